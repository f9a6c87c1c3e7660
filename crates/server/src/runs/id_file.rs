//! One run of ids.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger::TransactionId;

use super::block::{BlockShape, BlockWriter, Cell, CellReader, CellStream, Section};
use super::config::RunsConfig;
use super::error::{RunDamaged, RunsError};
use super::fuse::{Filter, FilterBuilder, Probe};
use super::head::{HEAD_BYTES, Head, OWN_BYTES};
use super::set::Run;
use super::writer::RunWriter;
use super::{to_usize, u32_at, u64_at};

const MAGIC: &[u8; 8] = b"\x89WLIDS\r\n";
/// What the tag of its blocks is made with.
const SECTION: u8 = 1;
/// Slots that are written or read at once.
const SLOTS_AT_ONCE: usize = 1 << 16;

/// A run of ids, open. In memory: the filter, and the first hash of each block.
#[derive(Debug)]
pub(super) struct IdRun {
    head: Head,
    own: Own,
    cells: Section,
    fences: Vec<u64>,
    filter: Filter,
    file_bytes: u64,
}

/// The fields that only runs of ids have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Own {
    part_bits: u32,
    key: [u8; 16],
    spans: Spans,
    /// 16-bit slots of the filter.
    slots: u64,
    fences_checksum: u32,
    parts_checksum: u32,
    slots_checksum: u32,
}

/// The smallest and the largest id, of ids of version 7 and of all others: the first grow with time, so most runs are told
/// apart by them, if others do not stand between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spans {
    /// For ids of version 7, then for others; the smallest is above the largest if there is none.
    smallest_and_largest: [[u128; 2]; 2],
}

impl Spans {
    pub(super) const EMPTY: Spans = Spans { smallest_and_largest: [[u128::MAX, 0]; 2] };

    pub(super) fn add(&mut self, id: &TransactionId) {
        let number = u128::from_be_bytes(id.as_bytes());
        let [smallest, largest] = &mut self.smallest_and_largest[class(id)];
        *smallest = number.min(*smallest);
        *largest = number.max(*largest);
    }

    /// Could the id be one of those that were added? "No" is certain.
    pub(super) fn may_hold(&self, id: &TransactionId) -> bool {
        let [smallest, largest] = &self.smallest_and_largest[class(id)];
        (*smallest..=*largest).contains(&u128::from_be_bytes(id.as_bytes()))
    }

    fn join(&mut self, other: &Spans) {
        for (own, other) in self.smallest_and_largest.iter_mut().zip(&other.smallest_and_largest) {
            *own = [own[0].min(other[0]), own[1].max(other[1])];
        }
    }
}

fn class(id: &TransactionId) -> usize {
    usize::from(id.as_bytes()[6] >> 4 != 7)
}

/// Writes the cells of a run, which come in order of hash and then of byte.
pub(super) struct IdRunWriter {
    out: RunWriter,
    blocks: BlockWriter,
    fences: Vec<u8>,
    filter: FilterBuilder,
    cells: u64,
}

impl IdRunWriter {
    /// Begins a run; `head.count` is how many cells will come.
    pub(super) fn create(path: PathBuf, head: &Head, config: &RunsConfig) -> Result<IdRunWriter, RunsError> {
        Ok(IdRunWriter {
            out: RunWriter::create(path, config)?,
            blocks: BlockWriter::new(head.shape, head.tag(SECTION)),
            fences: Vec::with_capacity(to_usize(head.shape.blocks(head.count)) * 8),
            filter: FilterBuilder::new(head.count, config.filter_part_ids_max),
            cells: 0,
        })
    }

    pub(super) fn push(&mut self, cell: Cell) -> Result<(), RunsError> {
        if self.blocks.is_at_border() {
            self.fences.extend(cell.0.to_le_bytes());
        }
        self.filter.add(cell.0);
        self.cells += 1;
        self.blocks.push(cell, &mut self.out)
    }

    /// Makes the run durable and gives it its name.
    pub(super) fn finish(mut self, head: &Head, key: [u8; 16], spans: Spans) -> Result<PathBuf, RunsError> {
        assert_eq!(self.cells, head.count, "the header says how many cells there are");
        self.blocks.finish(&mut self.out)?;
        self.out.write(&self.fences)?;
        let filter = self.filter.finish();
        let parts = filter.encode_parts();
        self.out.write(&parts)?;
        let (mut slots_checksum, mut bytes) = (0, Vec::new());
        for slots in filter.slots().chunks(SLOTS_AT_ONCE) {
            bytes.clear();
            bytes.extend(slots.iter().flat_map(|slot| slot.to_le_bytes()));
            slots_checksum = crc32c::crc32c_append(slots_checksum, &bytes);
            self.out.write(&bytes)?;
        }
        let own = Own {
            part_bits: filter.part_bits(),
            key,
            spans,
            slots: filter.slots().len() as u64,
            fences_checksum: crc32c::crc32c(&self.fences),
            parts_checksum: crc32c::crc32c(&parts),
            slots_checksum,
        };
        let head = Head { own: own.encode(), ..head.clone() };
        self.out.finish(&head.encode(MAGIC))
    }
}

impl IdRun {
    pub(super) fn key(&self) -> [u8; 16] {
        self.own.key
    }

    /// Asks whether the id, which has this hash, can be here at all.
    pub(super) fn probe(&self, id: &TransactionId, hash: u64) -> Probe<'_> {
        if self.own.spans.may_hold(id) { self.filter.probe(hash) } else { Probe::NO }
    }

    /// Adds the bytes of the records whose ids have this hash; returns how many blocks it read.
    pub(super) fn find(&self, hash: u64, found: &mut Vec<u64>) -> Result<u64, RunDamaged> {
        // Equal hashes may begin in the block in front of the first one that begins with the hash.
        let behind = self.fences.partition_point(|fence| *fence < hash) as u64;
        let (cells, block_cells) = (self.cells.cells, self.cells.shape.block_cells());
        let first = behind.saturating_sub(1) * block_cells;
        let mut reader = CellReader::new(&self.cells);
        let mut at = first;
        if behind > 0 {
            let end_of_block = (first + block_cells).min(cells);
            at += reader.count_before(first, end_of_block, |cell| cell.0 < hash)?;
        }
        while at < cells && self.may_go_on(at, hash) {
            let cell = reader.cell(at)?;
            if cell.0 != hash {
                break;
            }
            found.push(cell.1);
            at += 1;
        }
        Ok(reader.reads)
    }

    /// Is it worth reading this cell? Where a block begins, its fence tells without reading it.
    fn may_go_on(&self, cell: u64, hash: u64) -> bool {
        let block_cells = self.cells.shape.block_cells();
        !cell.is_multiple_of(block_cells) || self.fences[to_usize(cell / block_cells)] == hash
    }
}

impl Run for IdRun {
    const SUFFIX: &'static str = ".wids";

    fn open(path: &Path) -> Result<IdRun, RunsError> {
        let bad = |at, what: String| RunDamaged::new(path, at, what);
        let file = File::open(path).map_err(|error| RunsError::io(path, "open it", error))?;
        let head = Head::read(path, &file, MAGIC)?;
        let own = Own::decode(&head.own);
        let shape = head.shape;
        let fences_at = HEAD_BYTES as u64 + shape.bytes(head.count);
        let parts_at = fences_at + shape.blocks(head.count) * 8;
        let too_many = || bad(0, format!("a filter of 2^{} parts is none", own.part_bits));
        let slots_at = parts_at + Filter::parts_bytes(own.part_bits).ok_or_else(too_many)?;
        let end = slots_at.saturating_add(own.slots.saturating_mul(2));
        let meta = file.metadata().map_err(|error| RunsError::io(path, "look at it", error))?;
        let file_bytes = meta.len();
        if file_bytes != end {
            let what = format!("it has {file_bytes} bytes instead of {end}");
            return Err(bad(file_bytes.min(end), what).into());
        }
        let read = |at, end: u64, checksum| read_checked(path, &file, at, end - at, checksum);
        let fences = read(fences_at, parts_at, own.fences_checksum)?;
        let parts = read(parts_at, slots_at, own.parts_checksum)?;
        let slots = read_slots(path, &file, slots_at, &own)?;
        let filter = Filter::decode(own.part_bits, &parts, slots)
            .ok_or_else(|| bad(parts_at, "its filter is none that could be asked".into()))?;
        let cells = Section {
            tag: head.tag(SECTION),
            file: Arc::new(file),
            path: path.into(),
            at_byte: HEAD_BYTES as u64,
            cells: head.count,
            shape,
        };
        let fences = fences.chunks_exact(8).map(|fence| u64_at(fence, 0)).collect();
        Ok(IdRun { head, own, cells, fences, filter, file_bytes })
    }

    fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    fn memory_bytes(&self) -> u64 {
        self.filter.memory_bytes() + self.fences.len() as u64 * 8
    }

    fn head(&self) -> &Head {
        &self.head
    }

    fn path(&self) -> &Path {
        &self.cells.path
    }

    fn disagrees_with(&self, other: &IdRun) -> Option<&'static str> {
        (self.own.key != other.own.key)
            .then_some("its hashes have another key than those of the run in front of it")
    }

    fn merge(
        parts: &[Arc<IdRun>],
        path: PathBuf,
        config: &RunsConfig,
        stop: &AtomicBool,
    ) -> Result<Option<()>, RunsError> {
        let head = merged_head(parts, config);
        let mut writer = IdRunWriter::create(path, &head, config)?;
        let mut streams: Vec<CellStream<'_>> =
            parts.iter().map(|part| CellStream::new(&part.cells, config.merge_read_bytes)).collect();
        let mut next: Vec<Option<Cell>> = Vec::new();
        for stream in &mut streams {
            next.push(stream.next()?);
        }
        let least = |next: &[Option<Cell>]| {
            let cells = next.iter().enumerate().filter_map(|(at, cell)| Some((*cell.as_ref()?, at)));
            cells.min()
        };
        while let Some((cell, at)) = least(&next) {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            writer.push(cell)?;
            next[at] = streams[at].next()?;
        }
        let mut spans = Spans::EMPTY;
        parts.iter().for_each(|part| spans.join(&part.own.spans));
        writer.finish(&head, parts[0].own.key, spans)?;
        Ok(Some(()))
    }

    fn check(&self) -> Result<(), RunDamaged> {
        let mut stream = CellStream::new(&self.cells, super::block::CHECK_READ_BYTES);
        while stream.next()?.is_some() {}
        Ok(())
    }
}

/// The header of what these runs become.
pub(super) fn merged_head<R: Run>(parts: &[Arc<R>], config: &RunsConfig) -> Head {
    let (first, last) = (parts[0].head(), parts[parts.len() - 1].head());
    let mut range = first.range;
    (range.next_sequence, range.end_byte) = (last.range.next_sequence, last.range.end_byte);
    Head {
        log_id: first.log_id,
        range,
        count: parts.iter().map(|part| part.head().count).sum(),
        level: first.level.saturating_add(1),
        shape: BlockShape::new(config.block_bytes),
        own: [0; OWN_BYTES],
    }
}

/// The slots of a filter, of which the file is known to have so many.
fn read_slots(path: &Path, file: &File, slots_at: u64, own: &Own) -> Result<Vec<u16>, RunDamaged> {
    let mut slots = Vec::with_capacity(to_usize(own.slots));
    let (mut checksum, mut buffer) = (0, Vec::new());
    while slots.len() as u64 != own.slots {
        let left = to_usize(own.slots) - slots.len();
        buffer.resize(left.min(SLOTS_AT_ONCE) * 2, 0);
        let at_byte = slots_at + slots.len() as u64 * 2;
        let read = file.read_exact_at(&mut buffer, at_byte);
        read.map_err(|error| RunDamaged::new(path, at_byte, format!("cannot read the filter: {error}")))?;
        checksum = crc32c::crc32c_append(checksum, &buffer);
        slots.extend(buffer.chunks_exact(2).map(|slot| u16::from_le_bytes([slot[0], slot[1]])));
    }
    if checksum == own.slots_checksum {
        return Ok(slots);
    }
    Err(RunDamaged::new(path, slots_at, "the filter's checksum is wrong"))
}

/// Some bytes of a run that have one checksum.
pub(super) fn read_checked(
    path: &Path,
    file: &File,
    at_byte: u64,
    bytes: u64,
    checksum: u32,
) -> Result<Vec<u8>, RunDamaged> {
    let mut buffer = vec![0; to_usize(bytes)];
    let read = file.read_exact_at(&mut buffer, at_byte);
    read.map_err(|error| RunDamaged::new(path, at_byte, format!("cannot read {bytes} bytes: {error}")))?;
    if crc32c::crc32c(&buffer) == checksum {
        return Ok(buffer);
    }
    Err(RunDamaged::new(path, at_byte, format!("the checksum of these {bytes} bytes is wrong")))
}

impl Own {
    fn encode(&self) -> [u8; OWN_BYTES] {
        let mut bytes = [0; OWN_BYTES];
        bytes[..4].copy_from_slice(&self.part_bits.to_le_bytes());
        bytes[4..20].copy_from_slice(&self.key);
        for (at, id) in (20..).step_by(16).zip(self.spans.smallest_and_largest.iter().flatten()) {
            bytes[at..at + 16].copy_from_slice(&id.to_be_bytes());
        }
        bytes[84..92].copy_from_slice(&self.slots.to_le_bytes());
        let checksums = [self.fences_checksum, self.parts_checksum, self.slots_checksum];
        for (at, checksum) in (92..).step_by(4).zip(checksums) {
            bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8; OWN_BYTES]) -> Own {
        let key: [u8; 16] = bytes[4..20].try_into().expect("16 bytes");
        let id = |at: usize| u128::from_be_bytes(bytes[at..at + 16].try_into().expect("16 bytes"));
        Own {
            part_bits: u32_at(bytes, 0),
            key,
            spans: Spans { smallest_and_largest: [[id(20), id(36)], [id(52), id(68)]] },
            slots: u64_at(bytes, 84),
            fences_checksum: u32_at(bytes, 92),
            parts_checksum: u32_at(bytes, 96),
            slots_checksum: u32_at(bytes, 100),
        }
    }
}
