//! What takes a while: CSV files, export, import, reset.

use std::sync::Arc;

use journal::{Decoder, FromLines, ToLines};
use js_sys::{Array, Uint8Array};
use pipeline::{LedgerContent, Recovery};
use sim::csv::{Feed, FeedFile, FeedOptions, Mapping};
use sim::{Options, World};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag};

use super::clock::now_ms;
use super::keeper::{Keeper, StoredRun};
use super::lab::{Control, Lab, Loading};
use super::open::{feed_key, new_world, quiet};
use super::{LOG, Shell};
use crate::protocol::{
    CsvMapping, CsvNotice, FileHandle, LogForm, PauseReason, Request, Response, RunOptions, Status,
};
use crate::storage::{self, Commit, Store, StoreError};

/// Bytes that are read, converted or stored between two turns of the event loop.
const PIECE_BYTES: usize = 4 << 20;

impl Lab {
    /// Whether this request waits for the store or for a file.
    pub(super) fn needs_waiting(&self, request: &Request) -> bool {
        matches!(
            request,
            Request::Reset { .. } | Request::LoadCsv { .. } | Request::Export { .. } | Request::Import { .. }
        )
    }

    /// Does such a request. Virtual time stands still meanwhile.
    pub(super) async fn handle_waiting(&mut self, shell: &Shell, request: Request) {
        match request {
            Request::Reset { options } => self.reset(shell, &options).await,
            Request::LoadCsv { accounts, transfers, mapping, scale } => {
                self.load_csv(shell, accounts, transfers, &mapping, scale).await;
            }
            Request::Export { form } => match self.export(shell, form).await {
                Ok(file) => shell.post(&Response::ExportReady { form, file }),
                Err(why) => {
                    failed(shell, "Export of the log", &why, "Load the page again and export once more.");
                }
            },
            Request::Import { file } => {
                let what = format!("Import of {}", file.name);
                if let Err(why) = self.import(shell, file).await {
                    failed(
                        shell,
                        &what,
                        &why,
                        "Nothing was changed. Choose a log exported from this page or written by walletlab.",
                    );
                }
            }
            other => self.handle(shell, other),
        }
        self.frames.want_tables();
    }

    /// Goes on with a feed that the stored run had not finished.
    pub(super) fn go_on_loading(&mut self) {
        let (Some(feed), Some(_)) = (self.feeds.last().cloned(), self.world.feed_progress()) else { return };
        let bytes = feed.rows_count();
        self.begin_loading(feed, "the stored CSV files".to_owned(), bytes);
    }

    fn begin_loading(&mut self, feed: Arc<Feed>, name: String, bytes: u64) {
        self.loading = Some(Loading { feed, name, bytes, told_ms: now_ms() });
        self.control = Control::Loading;
    }

    /// Waits until no commit is under way and gives the store, if there is one that works.
    async fn idle_store(&mut self, shell: &Shell) -> Option<Store> {
        while self.keeper.is_busy() {
            shell.bell.rest(20).await;
            if let Err(error) = self.keeper.poll(&mut self.world) {
                self.storage_failed(shell, &error);
            }
        }
        self.keeper.take_store()
    }

    async fn reset(&mut self, shell: &Shell, options: &RunOptions) {
        let store = match self.idle_store(shell).await {
            Some(mut store) => store.reset().await.map(|()| Some(store)),
            None if self.is_storeless => Ok(None),
            None => open_anew().await.map(Some),
        };
        let store = match store {
            Ok(store) => store,
            Err(error) => {
                self.storage_failed(shell, &error);
                failed(shell, "Reset", &error.to_string(), "Load the page again.");
                return;
            }
        };
        let world = new_world(shell, options);
        let is_saving = store.is_some();
        let keeper = Keeper::new(store, shell.bell.clone(), &world, 0);
        self.replace_world(world, keeper, PauseReason::Fresh);
        if is_saving {
            shell.post(&Response::Status(Status::NewLog));
        }
    }

    async fn load_csv(
        &mut self,
        shell: &Shell,
        accounts: Option<FileHandle>,
        transfers: FileHandle,
        mapping: &CsvMapping,
        scale: u8,
    ) {
        if self.loading.is_some() {
            let why = "other CSV files are being loaded";
            return failed(shell, "Loading CSV files", why, "Wait until they are done.");
        }
        let accounts_name = accounts.as_ref().map(|file| file.name.clone()).unwrap_or_default();
        let read = async {
            let accounts = match &accounts {
                Some(file) => Some(bytes_of(&file.blob).await?),
                None => None,
            };
            Ok::<_, String>((accounts, bytes_of(&transfers.blob).await?))
        };
        let (accounts, transfers_bytes) = match read.await {
            Ok(files) => files,
            Err(why) => return failed(shell, "Loading CSV files", &why, "Choose the files again."),
        };
        let options = FeedOptions {
            mapping: Mapping {
                account: mapping.account.clone(),
                opening_balance: mapping.opening_balance.clone(),
                from_account: mapping.from_account.clone(),
                to_account: mapping.to_account.clone(),
                amount: mapping.amount.clone(),
            },
            asset: self.world.options().asset.clone(),
            scale,
        };
        let feed = match Feed::new(accounts.as_deref(), Some(&transfers_bytes), options) {
            Ok(feed) => Arc::new(feed),
            Err(error) => {
                let file = match error.file {
                    FeedFile::Accounts => accounts_name,
                    FeedFile::Transfers => transfers.name,
                };
                let (line, message) = (error.line.unwrap_or(1), error.what);
                return shell.post(&Response::Csv(CsvNotice::Error { file, line, message }));
            }
        };
        // The world is brought back from these bytes, so they are stored beside the log.
        if let Some(bytes) = accounts {
            self.keeper.add_file((feed_key(&feed.id(), "accounts"), bytes));
        }
        let bytes = transfers_bytes.len() as u64;
        self.keeper.add_file((feed_key(&feed.id(), "transfers"), transfers_bytes));
        self.world.load_feed(Arc::clone(&feed));
        self.feeds.push(Arc::clone(&feed));
        self.begin_loading(feed, transfers.name, bytes);
    }

    /// The durable log as a file.
    async fn export(&mut self, shell: &Shell, form: LogForm) -> Result<FileHandle, String> {
        let parts = Array::new();
        let until = self.world.journal().durable_bytes();
        let mut decoder = Decoder::new();
        let mut to_lines = ToLines::new(LedgerContent::default());
        let mut out = Vec::new();
        for slice in self.world.journal().log().slices(0, until) {
            match form {
                LogForm::Binary => out.extend_from_slice(slice),
                LogForm::JsonLines => {
                    decoder.push(slice);
                    while let Some(item) = decoder.next().map_err(|damage| damage.to_string())? {
                        to_lines.push(&item, &mut out).map_err(|error| error.to_string())?;
                    }
                }
            }
            if out.len() >= PIECE_BYTES {
                parts.push(&Uint8Array::from(out.as_slice()));
                out.clear();
                shell.turns.next().await;
            }
        }
        parts.push(&Uint8Array::from(out.as_slice()));
        let (kind, name) = match form {
            LogForm::Binary => ("application/octet-stream", "events.wlog"),
            LogForm::JsonLines => ("application/x-ndjson", "events.log"),
        };
        let options = BlobPropertyBag::new();
        options.set_type(kind);
        let blob = Blob::new_with_u8_array_sequence_and_options(&parts, &options)
            .map_err(|error| format!("the browser cannot make the file: {error:?}"))?;
        Ok(FileHandle { name: name.to_owned(), blob })
    }

    async fn import(&mut self, shell: &Shell, file: FileHandle) -> Result<(), String> {
        let bytes = bytes_of(&file.blob).await?;
        let log = to_log(shell, bytes).await?;
        let log = verified(shell, log).await?;
        let world = World::from_log(quiet(Options::default()), &log).map_err(|error| error.to_string())?;
        let store = match self.idle_store(shell).await {
            Some(mut store) => store.reset().await.map(|()| Some(store)),
            None if self.is_storeless => Ok(None),
            None => open_anew().await.map(Some),
        };
        let mut store = store.map_err(|error| error.to_string())?;
        let saved = match &mut store {
            Some(store) => save_all(store, &log, &world).await,
            None => Ok(()),
        };
        let base_bytes = world.log_len();
        let keeper = Keeper::new(store, shell.bell.clone(), &world, base_bytes);
        self.replace_world(world, keeper, PauseReason::Imported);
        if let Err(error) = saved {
            self.keeper.take_store();
            self.storage_failed(shell, &error);
            return Ok(());
        }
        let counts = &self.world.projections().counts;
        shell.post(&Response::ImportDone {
            file: file.name,
            digest: self.world.digest().to_string(),
            sequence: self.world.sequence(),
            accounts: u64::from(self.world.projections().balances.len()),
            transfers_completed: counts.transfers_completed(),
            transfers_failed: counts.transfers_failed(),
        });
        Ok(())
    }
}

/// The log's bytes, whichever form the file has.
async fn to_log(shell: &Shell, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if bytes.first() != Some(&b'{') {
        return Ok(bytes);
    }
    let mut from_lines = FromLines::new(LedgerContent::default());
    let mut log = Vec::new();
    for piece in bytes.chunks(PIECE_BYTES) {
        from_lines.push(piece, &mut log).map_err(|error| error.to_string())?;
        shell.turns.next().await;
    }
    from_lines.finish(&mut log).map_err(|error| error.to_string())?;
    Ok(log)
}

/// The log up to a torn tail, if it has one; refused if it does not verify.
async fn verified(shell: &Shell, mut log: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut recovery = Recovery::new(0);
    for piece in log.chunks(PIECE_BYTES) {
        recovery.push(piece, |_| ()).map_err(|error| error.to_string())?;
        shell.turns.next().await;
    }
    let recovered = recovery.finish().map_err(|error| error.to_string())?;
    if recovered.tail.is_none() {
        return Err("the file holds no log".to_owned());
    }
    if let Some(cut) = recovered.cut {
        log.truncate(usize::try_from(cut.cut_at_byte).unwrap_or(usize::MAX));
        // A copy of a log that a server is writing to ends in zeros, which are not of the log.
        if cut.is_reserved_space() {
            return Ok(log);
        }
        failed(shell, "The end of the imported log", &cut.to_string(), "Everything before it was imported.");
    }
    Ok(log)
}

/// Stores an imported log in pieces; only the last one says what it is.
async fn save_all(store: &mut Store, log: &[u8], world: &World) -> Result<(), StoreError> {
    let importing = serde_json::to_vec(&StoredRun::Importing).expect("plain data");
    let run = StoredRun::of(world, log.len() as u64);
    let run = serde_json::to_vec(&run).expect("a run record is plain data");
    let mut pieces = log.chunks(8 * PIECE_BYTES).peekable();
    while let Some(bytes) = pieces.next() {
        let run = if pieces.peek().is_some() { &importing } else { &run };
        store.commit(Commit { bytes, cut_to: None, run, files: &[] }).await?;
    }
    Ok(())
}

/// A store that failed is emptied by its name and opened again.
async fn open_anew() -> Result<Store, StoreError> {
    storage::reset(LOG).await?;
    Store::open(LOG).await.map(|opened| opened.store)
}

async fn bytes_of(blob: &Blob) -> Result<Vec<u8>, String> {
    let buffer = JsFuture::from(blob.array_buffer())
        .await
        .map_err(|error| format!("the browser cannot read the file: {error:?}"))?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

fn failed(shell: &Shell, what: &str, why: &str, advice: &str) {
    let (what, why, advice) = (what.to_owned(), why.to_owned(), advice.to_owned());
    shell.post(&Response::Failed { what, why, advice });
}
