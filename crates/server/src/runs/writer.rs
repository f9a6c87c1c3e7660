//! A file that has its name only when all of it is durable.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::config::RunsConfig;
use super::error::RunsError;
use super::head::HEAD_BYTES;

/// What the name of an unfinished file ends in.
pub(super) const UNFINISHED_SUFFIX: &str = ".tmp";
/// Bytes gathered for one write.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes one run from behind its header to its end, then the header, and only then gives the file its name. Dropped
/// before that, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct RunWriter {
    file: File,
    path: PathBuf,
    unfinished: PathBuf,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    at_byte: u64,
    unsynced_bytes: u64,
    sync_every_bytes: u64,
    is_finished: bool,
}

impl RunWriter {
    /// Begins a file that will be called `path`.
    pub(super) fn create(path: PathBuf, config: &RunsConfig) -> Result<RunWriter, RunsError> {
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(UNFINISHED_SUFFIX);
        let unfinished = PathBuf::from(unfinished);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished);
        let file = file.map_err(|error| RunsError::io(&unfinished, "create it", error))?;
        Ok(RunWriter {
            file,
            path,
            unfinished,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            at_byte: HEAD_BYTES as u64,
            unsynced_bytes: 0,
            sync_every_bytes: config.sync_every_bytes,
            is_finished: false,
        })
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), RunsError> {
        for piece in bytes.chunks(BUFFER_BYTES) {
            if self.buffer.len() + piece.len() > BUFFER_BYTES {
                self.flush()?;
            }
            self.buffer.extend_from_slice(piece);
        }
        Ok(())
    }

    /// Writes the header, makes the file durable, then its name.
    pub(super) fn finish(mut self, head: &[u8; HEAD_BYTES]) -> Result<PathBuf, RunsError> {
        self.flush()?;
        let written = self.file.write_all_at(head, 0).and_then(|()| self.file.sync_all());
        written.map_err(|error| RunsError::io(&self.unfinished, "write and sync it", error))?;
        fs::rename(&self.unfinished, &self.path)
            .map_err(|error| RunsError::io(&self.path, "put it in place", error))?;
        self.is_finished = true;
        sync_directory(&self.path)?;
        Ok(self.path.clone())
    }

    fn flush(&mut self) -> Result<(), RunsError> {
        let failed = |error| RunsError::io(&self.unfinished, "write to it", error);
        self.file.write_all_at(&self.buffer, self.at_byte).map_err(failed)?;
        self.at_byte += self.buffer.len() as u64;
        self.unsynced_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        if self.unsynced_bytes >= self.sync_every_bytes {
            self.file.sync_data().map_err(|error| RunsError::io(&self.unfinished, "sync it", error))?;
            self.unsynced_bytes = 0;
        }
        Ok(())
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            // What cannot be removed now is removed when the directory is opened the next time.
            drop(fs::remove_file(&self.unfinished));
        }
    }
}

/// Makes the names beside this file durable.
fn sync_directory(path: &Path) -> Result<(), RunsError> {
    let Some(directory) = path.parent() else { return Ok(()) };
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| RunsError::io(directory, "sync the directory", error))
}
