//! One run of entries.

use std::fs::File;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::block::{BlockWriter, CHECK_READ_BYTES, Cell, CellReader, CellStream, Section};
use super::config::RunsConfig;
use super::error::{RunDamaged, RunsError};
use super::head::{HEAD_BYTES, Head, OWN_BYTES};
use super::id_file::{merged_head, read_checked};
use super::set::Run;
use super::writer::RunWriter;
use super::{u32_at, u64_at};

const MAGIC: &[u8; 8] = b"\x89WLENT\r\n";
/// What the tags of the two kinds of blocks are made with.
const ACCOUNTS_SECTION: u8 = 2;
const ENTRIES_SECTION: u8 = 3;

/// A run of entries, open. In memory: the first account of each block of accounts.
#[derive(Debug)]
pub(super) struct EntryRun {
    head: Head,
    /// Each account with how many entries it has and which is the first.
    accounts: Section,
    /// The entries of each account in the order of the log: where, and the balance after.
    entries: Section,
    fences: Vec<u32>,
    file_bytes: u64,
}

/// The fields that only runs of entries have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Own {
    accounts: u64,
    fences_checksum: u32,
}

/// Which entries of a run an account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) account: u32,
    pub(super) count: u32,
    pub(super) first: u64,
}

impl Slice {
    pub(super) fn end(self) -> u64 {
        self.first + u64::from(self.count)
    }

    fn cell(self) -> Cell {
        (u64::from(self.account) | u64::from(self.count) << 32, self.first)
    }

    fn of((one, first): Cell) -> Slice {
        let half = |number: u64| u32::try_from(number & u64::from(u32::MAX)).expect("32 bits");
        Slice { account: half(one), count: half(one >> 32), first }
    }
}

/// Writes a run: first all accounts in order, then the entries of each in the same order.
pub(super) struct EntryRunWriter {
    out: RunWriter,
    accounts: Option<BlockWriter>,
    entries: BlockWriter,
    accounts_count: u64,
    entries_count: u64,
    fences: Vec<u8>,
    first: u64,
}

impl EntryRunWriter {
    /// Begins a run; `head.count` is how many entries will come.
    pub(super) fn create(
        path: PathBuf,
        head: &Head,
        config: &RunsConfig,
    ) -> Result<EntryRunWriter, RunsError> {
        Ok(EntryRunWriter {
            out: RunWriter::create(path, config)?,
            accounts: Some(BlockWriter::new(head.shape, head.tag(ACCOUNTS_SECTION))),
            entries: BlockWriter::new(head.shape, head.tag(ENTRIES_SECTION)),
            accounts_count: 0,
            entries_count: 0,
            fences: Vec::new(),
            first: 0,
        })
    }

    /// The next account has so many entries.
    pub(super) fn account(&mut self, account: u32, count: u32) -> Result<(), RunsError> {
        let accounts = self.accounts.as_mut().expect("accounts come before entries");
        if accounts.is_at_border() {
            self.fences.extend(account.to_le_bytes());
        }
        self.accounts_count += 1;
        let slice = Slice { account, count, first: self.first };
        self.first = slice.end();
        accounts.push(slice.cell(), &mut self.out)
    }

    /// The next entry of the account whose turn it is.
    pub(super) fn entry(&mut self, cell: Cell) -> Result<(), RunsError> {
        self.end_accounts()?;
        self.entries_count += 1;
        self.entries.push(cell, &mut self.out)
    }

    /// Makes the run durable and gives it its name.
    pub(super) fn finish(mut self, head: &Head) -> Result<PathBuf, RunsError> {
        self.end_accounts()?;
        assert_eq!(
            (self.entries_count, self.first),
            (head.count, head.count),
            "accounts have all the entries"
        );
        self.entries.finish(&mut self.out)?;
        self.out.write(&self.fences)?;
        let own = Own { accounts: self.accounts_count, fences_checksum: crc32c::crc32c(&self.fences) };
        let head = Head { own: own.encode(), ..head.clone() };
        self.out.finish(&head.encode(MAGIC))
    }

    fn end_accounts(&mut self) -> Result<(), RunsError> {
        self.accounts.take().map_or(Ok(()), |accounts| accounts.finish(&mut self.out))
    }
}

impl EntryRun {
    /// The entries of the account; `None` if it has none here.
    pub(super) fn slice(&self, account: u32, blocks_read: &mut u64) -> Result<Option<Slice>, RunDamaged> {
        let behind = self.fences.partition_point(|fence| *fence <= account) as u64;
        if behind == 0 {
            return Ok(None);
        }
        let block_cells = self.accounts.shape.block_cells();
        let first = (behind - 1) * block_cells;
        let end = (first + block_cells).min(self.accounts.cells);
        let mut reader = CellReader::new(&self.accounts);
        let at = first + reader.count_before(first, end, |cell| Slice::of(*cell).account < account)?;
        let slice = if at < end { Some(Slice::of(reader.cell(at)?)) } else { None };
        *blocks_read += reader.reads;
        let slice = slice.filter(|slice| slice.account == account);
        if slice.is_some_and(|slice| slice.count == 0 || slice.end() > self.entries.cells) {
            return Err(self.no_such_entries(account));
        }
        Ok(slice)
    }

    /// Reads entries by their number.
    pub(super) fn entries(&self) -> CellReader<'_> {
        CellReader::new(&self.entries)
    }

    fn slices(&self, read_bytes: u32) -> Slices<'_> {
        Slices(CellStream::new(&self.accounts, read_bytes))
    }

    fn no_such_entries(&self, account: u32) -> RunDamaged {
        RunDamaged::new(
            self.path(),
            HEAD_BYTES as u64,
            format!("account {account} has entries that are not in the run"),
        )
    }
}

/// The accounts of a run in order.
struct Slices<'a>(CellStream<'a>);

impl Iterator for Slices<'_> {
    type Item = Result<Slice, RunDamaged>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|cell| cell.map(Slice::of)).transpose()
    }
}

/// The accounts of several runs in order, each with how many entries each of these runs has of it.
struct Together<'a> {
    runs: Vec<Peekable<Slices<'a>>>,
    /// Of the account that came last, by run.
    counts: Vec<u32>,
}

impl<'a> Together<'a> {
    fn new(parts: &'a [Arc<EntryRun>], config: &RunsConfig) -> Together<'a> {
        let runs = parts.iter().map(|part| part.slices(config.merge_read_bytes).peekable()).collect();
        Together { runs, counts: vec![0; parts.len()] }
    }

    fn next(&mut self) -> Result<Option<u32>, RunDamaged> {
        let mut least = None;
        for run in &mut self.runs {
            match run.peek() {
                Some(Ok(slice)) => {
                    least = Some(least.map_or(slice.account, |least: u32| least.min(slice.account)));
                }
                Some(Err(damaged)) => return Err(damaged.clone()),
                None => {}
            }
        }
        let Some(account) = least else { return Ok(None) };
        for (run, count) in self.runs.iter_mut().zip(&mut self.counts) {
            let has = |slice: &Result<Slice, _>| slice.as_ref().is_ok_and(|slice| slice.account == account);
            *count = run.next_if(has).transpose()?.map_or(0, |slice| slice.count);
        }
        Ok(Some(account))
    }
}

impl Run for EntryRun {
    const SUFFIX: &'static str = ".went";

    fn open(path: &Path) -> Result<EntryRun, RunsError> {
        let bad = |at, what: String| RunDamaged::new(path, at, what);
        let file = File::open(path).map_err(|error| RunsError::io(path, "open it", error))?;
        let head = Head::read(path, &file, MAGIC)?;
        let own = Own::decode(&head.own);
        if own.accounts > head.count {
            return Err(bad(0, format!("{} accounts have {} entries", own.accounts, head.count)).into());
        }
        let shape = head.shape;
        let entries_at = HEAD_BYTES as u64 + shape.bytes(own.accounts);
        let fences_at = entries_at + shape.bytes(head.count);
        let fences_bytes = shape.blocks(own.accounts) * 4;
        let end = fences_at + fences_bytes;
        let meta = file.metadata().map_err(|error| RunsError::io(path, "look at it", error))?;
        let file_bytes = meta.len();
        if file_bytes != end {
            let what = format!("it has {file_bytes} bytes instead of {end}");
            return Err(bad(file_bytes.min(end), what).into());
        }
        let fences = read_checked(path, &file, fences_at, fences_bytes, own.fences_checksum)?;
        let (file, path): (Arc<File>, Arc<Path>) = (Arc::new(file), path.into());
        let section = |at_byte, cells, section| Section {
            file: Arc::clone(&file),
            path: Arc::clone(&path),
            at_byte,
            cells,
            shape,
            tag: head.tag(section),
        };
        let accounts = section(HEAD_BYTES as u64, own.accounts, ACCOUNTS_SECTION);
        let entries = section(entries_at, head.count, ENTRIES_SECTION);
        let fences = fences.chunks_exact(4).map(|fence| u32_at(fence, 0)).collect();
        Ok(EntryRun { head, accounts, entries, fences, file_bytes })
    }

    fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    fn memory_bytes(&self) -> u64 {
        self.fences.len() as u64 * 4
    }

    fn head(&self) -> &Head {
        &self.head
    }

    fn path(&self) -> &Path {
        &self.entries.path
    }

    fn disagrees_with(&self, _other: &EntryRun) -> Option<&'static str> {
        None
    }

    fn merge(
        parts: &[Arc<EntryRun>],
        path: PathBuf,
        config: &RunsConfig,
        stop: &AtomicBool,
    ) -> Result<Option<()>, RunsError> {
        let head = merged_head(parts, config);
        let mut writer = EntryRunWriter::create(path, &head, config)?;
        // Accounts are read twice, because how many there are decides where the entries begin.
        let mut together = Together::new(parts, config);
        while let Some(account) = together.next()? {
            writer.account(account, together.counts.iter().sum())?;
        }
        let mut streams: Vec<CellStream<'_>> =
            parts.iter().map(|part| CellStream::new(&part.entries, config.merge_read_bytes)).collect();
        let mut together = Together::new(parts, config);
        while let Some(account) = together.next()? {
            for (at, stream) in streams.iter_mut().enumerate() {
                for _ in 0..together.counts[at] {
                    if stop.load(Ordering::Relaxed) {
                        return Ok(None);
                    }
                    writer.entry(stream.next()?.ok_or_else(|| parts[at].no_such_entries(account))?)?;
                }
            }
        }
        writer.finish(&head)?;
        Ok(Some(()))
    }

    fn check(&self) -> Result<(), RunDamaged> {
        let mut entries = 0;
        for slice in self.slices(CHECK_READ_BYTES) {
            let slice = slice?;
            if slice.first != entries {
                return Err(self.no_such_entries(slice.account));
            }
            entries = slice.end();
        }
        if entries != self.entries.cells {
            return Err(RunDamaged::new(
                self.path(),
                HEAD_BYTES as u64,
                "its entries are not those of its accounts",
            ));
        }
        let mut stream = CellStream::new(&self.entries, CHECK_READ_BYTES);
        while stream.next()?.is_some() {}
        Ok(())
    }
}

impl Own {
    fn encode(self) -> [u8; OWN_BYTES] {
        let mut bytes = [0; OWN_BYTES];
        bytes[4..12].copy_from_slice(&self.accounts.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.fences_checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; OWN_BYTES]) -> Own {
        Own { accounts: u64_at(bytes, 4), fences_checksum: u32_at(bytes, 12) }
    }
}
