//! A log in the JSON Lines form: one text that batches are appended to.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use journal::{Decoder, ToLines};
use pipeline::{LedgerContent, LinesRecovery, Recovered};

use super::FilesError;
use super::directory::{segments, sync_directory};
use super::file_journal::{Cut, READ_BYTES};
use super::log_shared::{INDEX_BYTES_MIN, LogIndex};

/// The one file of a log in the JSON Lines form.
const TEXT_LOG_NAME: &str = "events.log";

/// Where a data directory keeps its log if that is in the JSON Lines form.
#[must_use]
pub fn text_log_path(directory: &Path) -> PathBuf {
    directory.join(TEXT_LOG_NAME)
}

/// A text that was brought back; everything that is kept is on the disk.
pub(super) struct TextRecovered {
    pub(super) recovered: Recovered,
    pub(super) cut: Option<Cut>,
    pub(super) index: LogIndex,
    pub(super) bytes: u64,
}

/// Batches of the binary form into lines, for the writing end of a log.
#[derive(Debug)]
pub(super) struct Converter {
    decoder: Decoder,
    to_lines: ToLines<LedgerContent>,
    text: Vec<u8>,
}

/// Refuses a directory that holds a log in the binary form.
pub(super) fn refuse_segments(directory: &Path) -> Result<(), FilesError> {
    let Some(segment) = segments(directory)?.into_iter().next() else { return Ok(()) };
    let name = segment.path.file_name().unwrap_or_default().display().to_string();
    let what = format!(
        "this data directory holds a log in the binary form ({name}), and a log is not kept in two forms: \
         open it in the binary form, or make a copy in the JSON Lines form in another directory: \
         walletlab export {} --format jsonl > OTHER/{TEXT_LOG_NAME}",
        directory.display()
    );
    Err(FilesError::Segment { path: directory.to_owned(), what })
}

/// Refuses a directory that holds a log in the JSON Lines form.
pub(super) fn refuse_text(directory: &Path) -> Result<(), FilesError> {
    let path = text_log_path(directory);
    if !path.exists() {
        return Ok(());
    }
    let what = format!(
        "this data directory holds a log in the JSON Lines form ({TEXT_LOG_NAME}), and a log is not kept in two forms: \
         open it in the JSON Lines form, or make a copy in the binary form in another directory: \
         walletlab import {} --data OTHER",
        path.display()
    );
    Err(FilesError::Segment { path: directory.to_owned(), what })
}

/// Reads the text, cuts a torn tail, and makes sure that what is kept is on the disk.
pub(super) fn recover_text(directory: &Path, hash_seed: u64) -> Result<TextRecovered, FilesError> {
    let path = text_log_path(directory);
    let mut recovery = LinesRecovery::new(hash_seed, INDEX_BYTES_MIN);
    let mut index = LogIndex::new();
    let corrupt =
        |error: pipeline::CorruptLines| FilesError::Segment { path: path.clone(), what: error.to_string() };
    if path.exists() {
        let unreadable = |error| FilesError::io(&path, "read it", error);
        let mut file = File::open(&path).map_err(unreadable)?;
        let mut chunk = vec![0; READ_BYTES];
        loop {
            let read = file.read(&mut chunk).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            recovery.push(&chunk[..read]).map_err(corrupt)?;
            for (noted, at_byte) in recovery.take_noted() {
                index.note(&noted, at_byte);
            }
        }
    }
    let found = recovery.finish().map_err(corrupt)?;
    let cut = found.cut.map(|torn| Cut {
        path: path.clone(),
        file_bytes: torn.cut_at_byte,
        bytes_cut: torn.bytes_cut,
        next_sequence: torn.next_sequence,
        what: torn.to_string(),
    });
    let mut bytes = found.bytes;
    if path.exists() {
        settle(&path, bytes, cut.as_ref(), found.lacks_line_end)?;
        bytes += u64::from(found.lacks_line_end);
    }
    sync_directory(directory)?;
    Ok(TextRecovered { recovered: found.recovered, cut, index, bytes })
}

/// Makes the file what was kept of it, durably.
fn settle(path: &Path, bytes: u64, cut: Option<&Cut>, lacks_line_end: bool) -> Result<(), FilesError> {
    if bytes == 0 {
        return fs::remove_file(path).map_err(|error| FilesError::io(path, "remove it", error));
    }
    let settled = OpenOptions::new().append(true).open(path).and_then(|mut file| {
        if cut.is_some() {
            file.set_len(bytes)?;
        }
        if lacks_line_end {
            file.write_all(b"\n")?;
        }
        file.sync_all()
    });
    settled.map_err(|error| FilesError::io(path, "cut its torn tail and sync it", error))
}

impl Converter {
    /// Goes on behind what was recovered.
    pub(super) fn new(recovered: &Recovered) -> Converter {
        let names = recovered.projections.balances.names().clone();
        let opened = names.len();
        Converter {
            decoder: recovered.tail.clone().map_or_else(Decoder::new, Decoder::resume),
            to_lines: ToLines::new(LedgerContent::resume(names, opened)),
            text: Vec::new(),
        }
    }

    /// The lines of the next batches, which end in a seal.
    pub(super) fn convert(&mut self, bytes: &[u8]) -> Result<&[u8], String> {
        self.text.clear();
        self.decoder.push(bytes);
        while let Some(item) = self.decoder.next().map_err(|damage| damage.to_string())? {
            self.to_lines.push(&item, &mut self.text).map_err(|error| error.to_string())?;
        }
        Ok(&self.text)
    }
}
