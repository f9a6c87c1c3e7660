//! The copy in the origin private file system: one file of frames behind a synchronous handle.
//!
//! The handle is exclusive: while it is open, nobody else can open the file for writing. It is what keeps a second
//! writer out even where locks fail.

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions, FileSystemGetFileOptions,
    FileSystemReadWriteOptions, FileSystemSyncAccessHandle,
};

use super::error::StoreError;
use super::format::{Change, State};
use super::frames::{FrameKind, FrameMaker, HEADER_BYTES, Scan};
use super::js::{self, failure};

/// The file of frames.
pub(super) const LOG_FILE: &str = "log";

/// A worker that was just ended may hold the file for a moment yet: so often it is asked for, this far apart.
const OPEN_TRIES_MAX: u32 = 40;
const OPEN_RETRY_MILLIS: f64 = 50.0;

/// A file of the origin private file system, open for this worker alone. Closed when dropped.
pub(super) struct OpfsFile {
    handle: FileSystemSyncAccessHandle,
}

impl OpfsFile {
    /// Opens or makes the file in the log's directory.
    pub(super) async fn open(name: &str, file: &str) -> Result<OpfsFile, StoreError> {
        let directory = directory(name).await?;
        let options = FileSystemGetFileOptions::new();
        options.set_create(true);
        let file: FileSystemFileHandle =
            done("opening a private file", &directory.get_file_handle_with_options(file, &options)).await?;
        for _ in 1..OPEN_TRIES_MAX {
            match done("opening a private file", &file.create_sync_access_handle()).await {
                Ok(handle) => return Ok(OpfsFile { handle }),
                Err(StoreError::HeldElsewhere) => js::pause(OPEN_RETRY_MILLIS).await,
                Err(other) => return Err(other),
            }
        }
        let handle = done("opening a private file", &file.create_sync_access_handle()).await?;
        Ok(OpfsFile { handle })
    }

    /// The file's length.
    pub(super) fn bytes(&self) -> Result<u64, StoreError> {
        self.handle.get_size().map(js::whole).map_err(reading)
    }

    /// Fills the whole buffer from a place in the file.
    pub(super) fn read(&self, at: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let part = &mut buffer[filled..];
            let options = place(at + filled as u64);
            let read = self.handle.read_with_u8_array_and_options(part, &options).map_err(reading)?;
            match usize::try_from(js::whole(read)) {
                Ok(read) if read > 0 => filled += read,
                _ => {
                    let what = format!("the private file ends before byte {}", at + buffer.len() as u64);
                    return Err(StoreError::Failed { what });
                }
            }
        }
        Ok(())
    }

    /// Writes all bytes at a place in the file. On disk only after [`OpfsFile::flush`].
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.handle.write_with_u8_array_and_options(bytes, &place(at)).map_err(writing)?;
        if js::whole(written) == bytes.len() as u64 {
            return Ok(());
        }
        let what = format!("a private file took {written} of {} bytes", bytes.len());
        Err(StoreError::Quota { what })
    }

    /// Cuts the file.
    pub(super) fn truncate(&self, bytes: u64) -> Result<(), StoreError> {
        self.handle.truncate_with_f64(bytes as f64).map_err(writing)
    }

    /// Waits until everything written is on disk.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.handle.flush().map_err(writing)
    }

    /// Checks the whole file.
    pub(super) fn scan(&self) -> Result<Scan, StoreError> {
        Scan::read(self.bytes()?, &mut |at, buffer| self.read(at, buffer))
    }

    /// Writes one commit's frame at `at` and says where it ends. On disk only after [`OpfsFile::flush`].
    pub(super) fn append(
        &self,
        at: u64,
        previous: Option<&State>,
        state: &State,
        change: &Change<'_>,
    ) -> Result<u64, StoreError> {
        let front = FrameMaker::commit(previous, state, change);
        self.write(at, &front)?;
        let bytes_at = at + front.len() as u64;
        if !change.bytes.is_empty() {
            self.write(bytes_at, change.bytes)?;
        }
        Ok(bytes_at + change.bytes.len() as u64)
    }

    /// Begins a file anew with the whole log in one frame, whose bytes follow by [`Rebuild::push`].
    pub(super) fn rebuild(
        &self,
        state: &State,
        files: &[(&str, u64, &[u8])],
    ) -> Result<Rebuild<'_>, StoreError> {
        self.truncate(0)?;
        let maker = FrameMaker::new(FrameKind::Base, &[], &state.run, files);
        self.write(HEADER_BYTES, maker.lead())?;
        let at = HEADER_BYTES + maker.lead().len() as u64;
        Ok(Rebuild { file: self, maker, at })
    }
}

impl Drop for OpfsFile {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// A file that is being built anew. Without its header, which comes last, it holds nothing.
pub(super) struct Rebuild<'a> {
    file: &'a OpfsFile,
    maker: FrameMaker,
    at: u64,
}

impl Rebuild<'_> {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write(self.at, bytes)?;
        self.maker.push(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Says where the file ends. What stands behind the header is on disk before the header is written.
    pub(super) fn finish(self, state: &State) -> Result<u64, StoreError> {
        self.file.flush()?;
        self.file.write(0, &self.maker.finish(&state.head))?;
        self.file.flush()?;
        Ok(self.at)
    }
}

async fn directory(name: &str) -> Result<FileSystemDirectoryHandle, StoreError> {
    let storage = js::scope().navigator().storage().ok_or_else(|| StoreError::Unavailable {
        what: "this page has no private file system (OPFS)".to_owned(),
    })?;
    let root: FileSystemDirectoryHandle =
        done("asking for the private file system (OPFS)", &storage.get_directory()).await?;
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(true);
    let directory = root.get_directory_handle_with_options(&directory_name(name), &options);
    done("opening the private directory", &directory).await
}

/// The directory of a log.
pub(super) fn directory_name(name: &str) -> String {
    format!("walletlab-{name}")
}

async fn done<T: JsCast>(doing: &str, promise: &js_sys::Promise) -> Result<T, StoreError> {
    match JsFuture::from(promise.clone()).await {
        Ok(value) => Ok(value.unchecked_into()),
        Err(error) => Err(failure(doing, &error)),
    }
}

fn place(at: u64) -> FileSystemReadWriteOptions {
    let options = FileSystemReadWriteOptions::new();
    options.set_at(at as f64);
    options
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err, which hands errors over by value")]
fn reading(error: JsValue) -> StoreError {
    failure("reading a private file", &error)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err, which hands errors over by value")]
fn writing(error: JsValue) -> StoreError {
    failure("writing to a private file", &error)
}
