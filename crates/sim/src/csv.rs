//! CSV files of accounts and transfers as commands, by the same code in the page and on the command line.

use core::fmt;
use std::io::Read;
use std::sync::Arc;

use csv_core::{ReadRecordResult, Reader};
use ledger::{AccountName, Asset, Command, TransactionId};
use serde::{Deserialize, Serialize};

use crate::amount::parse_amount;

/// Which column holds what. Written `account=nodeid,opening_balance=init_balance,...`; what is left out keeps its own name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// In the accounts file: the name of an account.
    pub account: String,
    /// In the accounts file: what it is opened with, a decimal number.
    pub opening_balance: String,
    /// In the transfers file: who pays.
    pub from_account: String,
    /// In the transfers file: who is paid.
    pub to_account: String,
    /// In the transfers file: how much, a decimal number.
    pub amount: String,
}

/// What the numbers of a feed mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedOptions {
    /// Which column holds what.
    pub mapping: Mapping,
    /// The asset that accounts are opened with.
    pub asset: String,
    /// Its decimal places, and how many an amount may have.
    pub scale: u8,
}

/// A pair of files that can be fed to a pipeline: accounts to open, transfers to make, or one of both.
///
/// Every row was read once and is well-formed, so a feed never stops in the middle. It holds the decompressed bytes; a clone
/// shares them.
#[derive(Clone, Debug)]
pub struct Feed {
    id: FeedId,
    options: FeedOptions,
    asset: Asset,
    accounts: Option<Table>,
    transfers: Option<Table>,
    /// BLAKE3 of the decompressed transfers file.
    transfers_hash: [u8; 32],
    accounts_count: u64,
    transfers_count: u64,
}

/// What names a feed: BLAKE3 over both decompressed files, each with its length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FeedId(pub [u8; 32]);

/// The commands of a feed, one by one: first an opening for each row of the accounts file, then a transfer for each row of the
/// transfers file. A clone costs O(1) and goes on from the same row.
#[derive(Clone, Debug)]
pub struct Commands {
    feed: Arc<Feed>,
    accounts: Option<Rows>,
    transfers: Option<Rows>,
    fields: Fields,
}

/// Why a file cannot be fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedError {
    /// Which of the files.
    pub file: FeedFile,
    /// The line in it, counted from 1; `None` if the whole file is meant.
    pub line: Option<u64>,
    /// What is wrong, and what to do.
    pub what: String,
}

/// One of the files of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedFile {
    /// The accounts to open.
    Accounts,
    /// The transfers to make.
    Transfers,
}

/// Why a text is not a [`Mapping`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingError {
    /// What is wrong, and what to do.
    pub what: String,
}

/// Decompressed bytes of one file at most.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BOM: &[u8] = b"\xef\xbb\xbf";
const KEYS: [&str; 5] = ["account", "opening_balance", "from_account", "to_account", "amount"];

impl Default for Mapping {
    fn default() -> Self {
        let [account, opening_balance, from_account, to_account, amount] = KEYS.map(String::from);
        Mapping { account, opening_balance, from_account, to_account, amount }
    }
}

impl core::str::FromStr for Mapping {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Mapping, MappingError> {
        let mut mapping = Mapping::default();
        let mut given: Vec<&str> = Vec::new();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let error = |what| MappingError { what };
            let (key, column) = pair
                .split_once('=')
                .ok_or_else(|| error(format!("\"{pair}\" has no \"=\"; write field=column,field=column")))?;
            let (key, column) = (key.trim(), column.trim());
            let target = match key {
                "account" => &mut mapping.account,
                "opening_balance" => &mut mapping.opening_balance,
                "from_account" => &mut mapping.from_account,
                "to_account" => &mut mapping.to_account,
                "amount" => &mut mapping.amount,
                _ => {
                    return Err(error(format!(
                        "unknown field \"{key}\"; the fields are {}",
                        KEYS.join(", ")
                    )));
                }
            };
            if column.is_empty() {
                return Err(error(format!("field {key} has no column; write {key}=column")));
            }
            if given.contains(&key) {
                return Err(error(format!("field {key} is given twice")));
            }
            given.push(key);
            *target = String::from(column);
        }
        Ok(mapping)
    }
}

impl Feed {
    /// Reads both files, each as it is or gzipped, and checks every row. The first error names file and line.
    pub fn new(
        accounts: Option<&[u8]>,
        transfers: Option<&[u8]>,
        options: FeedOptions,
    ) -> Result<Feed, FeedError> {
        let asset: Asset = options.asset.parse().map_err(|error| FeedError {
            file: FeedFile::Accounts,
            line: None,
            what: format!("{error}"),
        })?;
        let accounts = accounts.map(|bytes| decompress(bytes, FeedFile::Accounts)).transpose()?;
        let transfers = transfers.map(|bytes| decompress(bytes, FeedFile::Transfers)).transpose()?;
        let transfers_hash = *blake3::hash(transfers.as_deref().unwrap_or(&[])).as_bytes();
        let id = feed_id(accounts.as_deref(), transfers.as_deref());
        let mapping = &options.mapping;
        let columns = [&mapping.account, &mapping.opening_balance, &mapping.opening_balance];
        let accounts = accounts.map(|bytes| Table::new(FeedFile::Accounts, bytes, columns)).transpose()?;
        let columns = [&mapping.from_account, &mapping.to_account, &mapping.amount];
        let transfers = transfers.map(|bytes| Table::new(FeedFile::Transfers, bytes, columns)).transpose()?;
        let mut feed = Feed {
            id,
            options,
            asset,
            accounts,
            transfers,
            transfers_hash,
            accounts_count: 0,
            transfers_count: 0,
        };
        feed.check_rows()?;
        Ok(feed)
    }

    /// What names this feed; the same files in the same roles have the same name, gzipped or not.
    pub fn id(&self) -> FeedId {
        self.id
    }

    /// What its numbers mean.
    pub fn options(&self) -> &FeedOptions {
        &self.options
    }

    /// Rows of the accounts file.
    pub fn accounts_count(&self) -> u64 {
        self.accounts_count
    }

    /// Rows of the transfers file.
    pub fn transfers_count(&self) -> u64 {
        self.transfers_count
    }

    /// All rows.
    pub fn rows_count(&self) -> u64 {
        self.accounts_count + self.transfers_count
    }

    /// The commands, from the first one.
    pub fn commands(self: &Arc<Self>) -> Commands {
        Commands {
            accounts: self.accounts.as_ref().map(Table::rows),
            transfers: self.transfers.as_ref().map(Table::rows),
            feed: Arc::clone(self),
            fields: Fields::default(),
        }
    }

    fn check_rows(&mut self) -> Result<(), FeedError> {
        let mut fields = Fields::default();
        if let Some(table) = &self.accounts {
            let mut rows = table.rows();
            while let Some(line) = rows.read(&mut fields) {
                self.opening(&fields).map_err(|what| table.error(line, what))?;
            }
            self.accounts_count = rows.number;
        }
        if let Some(table) = &self.transfers {
            let mut rows = table.rows();
            while let Some(line) = rows.read(&mut fields) {
                self.transfer(&fields, rows.number).map_err(|what| table.error(line, what))?;
            }
            self.transfers_count = rows.number;
        }
        Ok(())
    }

    fn opening(&self, fields: &Fields) -> Result<Command, String> {
        let [account, opening_balance, _] = fields.texts(self.accounts.as_ref())?;
        Ok(Command::OpenAccount {
            account: name(account)?,
            asset: self.asset.clone(),
            scale: self.options.scale,
            floor: None,
            opening_balance: self.amount(&self.options.mapping.opening_balance, opening_balance)?,
        })
    }

    /// `number` counts the rows of the transfers file from 1.
    fn transfer(&self, fields: &Fields, number: u64) -> Result<Command, String> {
        let [from_account, to_account, amount] = fields.texts(self.transfers.as_ref())?;
        Ok(Command::Transfer {
            transaction_id: TransactionId::derived("csv row", &[&self.transfers_hash, &number.to_le_bytes()]),
            from_account: name(from_account)?,
            to_account: name(to_account)?,
            amount: self.amount(&self.options.mapping.amount, amount)?,
            metadata: None,
        })
    }

    fn amount(&self, column: &str, text: &str) -> Result<i64, String> {
        parse_amount(text, self.options.scale).map_err(|error| format!("{column} \"{text}\" {error}"))
    }
}

impl Iterator for Commands {
    type Item = Command;

    fn next(&mut self) -> Option<Command> {
        const CHECKED: &str = "every row was checked when the feed was made";
        if let Some(rows) = &mut self.accounts {
            if rows.read(&mut self.fields).is_some() {
                return Some(self.feed.opening(&self.fields).expect(CHECKED));
            }
            self.accounts = None;
        }
        let rows = self.transfers.as_mut()?;
        if rows.read(&mut self.fields).is_some() {
            return Some(self.feed.transfer(&self.fields, rows.number).expect(CHECKED));
        }
        self.transfers = None;
        None
    }
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = match self.file {
            FeedFile::Accounts => "accounts",
            FeedFile::Transfers => "transfers",
        };
        match self.line {
            Some(line) => write!(f, "{file} file, line {line}: {}", self.what),
            None => write!(f, "{file} file: {}", self.what),
        }
    }
}

impl std::error::Error for FeedError {}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column mapping: {}", self.what)
    }
}

impl std::error::Error for MappingError {}

/// A file with its header read.
#[derive(Clone, Debug)]
struct Table {
    file: FeedFile,
    /// Where the wanted columns are.
    columns: [usize; 3],
    columns_count: usize,
    first_row: Rows,
}

/// A place between two rows.
#[derive(Debug)]
struct Rows {
    bytes: Arc<[u8]>,
    at: usize,
    line: u64,
    /// Rows read so far.
    number: u64,
    reader: Reader,
}

impl Clone for Rows {
    /// Between two rows a reader remembers nothing, and a clone of csv-core's reader (0.1.13) has lost its table.
    fn clone(&self) -> Self {
        Rows {
            bytes: Arc::clone(&self.bytes),
            at: self.at,
            line: self.line,
            number: self.number,
            reader: fresh_reader(),
        }
    }
}

/// A reader that leaves a byte order mark alone: only the file's first is taken away, by us.
fn fresh_reader() -> Reader {
    let mut reader = Reader::new();
    reader.read_record(&[], &mut [], &mut []);
    reader
}

/// The fields of one row.
#[derive(Clone, Debug, Default)]
struct Fields {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Table {
    fn new(file: FeedFile, bytes: Arc<[u8]>, wanted: [&String; 3]) -> Result<Table, FeedError> {
        let at = if bytes.starts_with(BOM) { BOM.len() } else { 0 };
        let mut rows = Rows { bytes, at, line: 1, number: 0, reader: fresh_reader() };
        let mut header = Fields::default();
        let error = |line, what| FeedError { file, line, what };
        let Some(line) = rows.read(&mut header) else {
            return Err(error(None, String::from("it is empty; its first line must name the columns")));
        };
        let names: Result<Vec<&str>, String> = (0..header.len()).map(|column| header.text(column)).collect();
        let names = names.map_err(|what| error(Some(line), what))?;
        let find = |column: &String| {
            if names.iter().filter(|name| name.trim() == column).count() > 1 {
                let what = format!("two columns are named \"{column}\"; rename the one that is not meant");
                return Err(error(Some(line), what));
            }
            let place = names.iter().position(|name| name.trim() == column);
            place.ok_or_else(|| {
                let there = names.join(", ");
                error(
                    Some(line),
                    format!("there is no column \"{column}\"; the columns are {there}. Map it: field=column"),
                )
            })
        };
        let columns = [find(wanted[0])?, find(wanted[1])?, find(wanted[2])?];
        rows.number = 0;
        Ok(Table { file, columns, columns_count: names.len(), first_row: rows })
    }

    fn rows(&self) -> Rows {
        self.first_row.clone()
    }

    fn error(&self, line: u64, what: String) -> FeedError {
        FeedError { file: self.file, line: Some(line), what }
    }
}

impl Rows {
    /// Reads the next row and returns the line it begins on; `None` at the end of the file. Empty lines are skipped.
    fn read(&mut self, fields: &mut Fields) -> Option<u64> {
        while let Some(byte @ (b'\n' | b'\r')) = self.bytes.get(self.at) {
            self.line += u64::from(*byte == b'\n');
            self.at += 1;
        }
        if self.at >= self.bytes.len() {
            return None;
        }
        let line = self.line;
        self.reader.set_line(line);
        fields.bytes.resize(fields.bytes.capacity().max(256), 0);
        fields.ends.resize(fields.ends.capacity().max(16), 0);
        let (mut written, mut ended) = (0, 0);
        loop {
            let (result, used, bytes, ends) = self.reader.read_record(
                &self.bytes[self.at..],
                &mut fields.bytes[written..],
                &mut fields.ends[ended..],
            );
            self.at += used;
            written += bytes;
            ended += ends;
            match result {
                // An empty input, at the end of the file, finishes the last row.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => fields.bytes.resize(fields.bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => fields.ends.resize(fields.ends.len() * 2, 0),
                ReadRecordResult::Record | ReadRecordResult::End => break,
            }
        }
        self.line = self.reader.line();
        fields.bytes.truncate(written);
        fields.ends.truncate(ended);
        self.number += 1;
        Some(line)
    }
}

impl Fields {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn text(&self, column: usize) -> Result<&str, String> {
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        let bytes = &self.bytes[start..self.ends[column]];
        core::str::from_utf8(bytes).map_err(|_| format!("field {} is not UTF-8", column + 1))
    }

    fn texts(&self, table: Option<&Table>) -> Result<[&str; 3], String> {
        let table = table.expect("rows come from a table");
        if self.len() != table.columns_count {
            return Err(format!(
                "it has {} fields, but the header names {} columns",
                self.len(),
                table.columns_count
            ));
        }
        let [first, second, third] = table.columns;
        Ok([self.text(first)?, self.text(second)?, self.text(third)?])
    }
}

fn name(text: &str) -> Result<AccountName, String> {
    text.parse().map_err(|error| format!("account \"{text}\": {error}"))
}

fn decompress(bytes: &[u8], file: FeedFile) -> Result<Arc<[u8]>, FeedError> {
    if !bytes.starts_with(&GZIP_MAGIC) {
        return Ok(Arc::from(bytes));
    }
    let error = |what| FeedError { file, line: None, what };
    let mut decompressed = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes).take(FILE_BYTES_MAX + 1);
    decoder.read_to_end(&mut decompressed).map_err(|cause| error(format!("it is damaged gzip: {cause}")))?;
    if decompressed.len() as u64 > FILE_BYTES_MAX {
        return Err(error(format!("it has more than {FILE_BYTES_MAX} bytes decompressed; split it")));
    }
    Ok(Arc::from(decompressed))
}

fn feed_id(accounts: Option<&[u8]>, transfers: Option<&[u8]>) -> FeedId {
    let mut hasher = blake3::Hasher::new();
    for file in [accounts, transfers] {
        // A missing file differs from an empty one.
        hasher.update(&[u8::from(file.is_some())]);
        let bytes = file.unwrap_or(&[]);
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    FeedId(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn options(mapping: &str) -> FeedOptions {
        FeedOptions { mapping: mapping.parse().unwrap(), asset: String::from("USD"), scale: 2 }
    }

    fn transfers(text: &str) -> Result<Vec<(String, String, i64)>, String> {
        let feed = Feed::new(None, Some(text.as_bytes()), options("")).map_err(|error| error.to_string())?;
        let commands = Arc::new(feed).commands();
        Ok(commands
            .map(|command| match command {
                Command::Transfer { from_account, to_account, amount, .. } => {
                    (from_account.to_string(), to_account.to_string(), amount)
                }
                other => panic!("{other:?}"),
            })
            .collect())
    }

    #[test]
    fn files_become_commands_in_order() {
        let accounts = b"nodeid,isFraud,init_balance\n0,0,184.44\nx,1,5\n";
        let rows = b"from,to,value,time\n0,x,1.5,1\n0,x,1.5,1\n";
        let mapping =
            "account=nodeid,opening_balance=init_balance,from_account=from,to_account=to,amount=value";
        let feed = Arc::new(Feed::new(Some(accounts), Some(rows), options(mapping)).unwrap());
        assert_eq!((feed.accounts_count(), feed.transfers_count(), feed.rows_count()), (2, 2, 4));
        let commands: Vec<Command> = feed.commands().collect();
        let opening = |account: &str, opening_balance| Command::OpenAccount {
            account: account.parse().unwrap(),
            asset: "USD".parse().unwrap(),
            scale: 2,
            floor: None,
            opening_balance,
        };
        assert_eq!(commands[..2], [opening("0", 18_444), opening("x", 500)]);
        assert_ne!(
            commands[2].transaction_id(),
            commands[3].transaction_id(),
            "equal rows are two transfers"
        );
        assert_eq!(commands[2].fingerprint(), commands[3].fingerprint());

        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(rows).unwrap();
        let zipped = Feed::new(Some(accounts), Some(&gzip.finish().unwrap()), options(mapping)).unwrap();
        assert_eq!((zipped.id(), Arc::new(zipped).commands().collect::<Vec<_>>()), (feed.id(), commands));
    }

    #[test]
    fn quotes_crlf_bom_and_blank_lines_are_read() {
        let text = "\u{feff}amount,\"to_account\",from_account\r\n\r\n1,\"b, \"\"B\"\"\",a\r\n\n-2.5,c,\"two\nlines?\"\r\n3,d,e";
        let refused = transfers(text).unwrap_err();
        assert!(refused.starts_with("transfers file, line 5: account \"two\nlines?\": "), "{refused}");
        let read = transfers(&text.replace("\"two\nlines?\"", "two")).unwrap();
        let row = |from: &str, to: &str, amount| (from.to_string(), to.to_string(), amount);
        assert_eq!(read, [row("a", "b, \"B\"", 100), row("two", "c", -250), row("e", "d", 300)]);
    }

    #[test]
    fn errors_name_file_line_and_remedy() {
        let header = "from_account,to_account,amount\n";
        let cases = [
            ("", "transfers file: it is empty; its first line must name the columns"),
            (
                "a,b\n",
                "transfers file, line 1: there is no column \"from_account\"; the columns are a, b. Map it: field=column",
            ),
            (
                "H1,2,3\n\n4,5,6,7\n",
                "transfers file, line 4: it has 4 fields, but the header names 3 columns",
            ),
            (
                "Ha,b,1\nc,d,1.234\n",
                "transfers file, line 3: amount \"1.234\" has more than 2 decimal places; nothing is rounded, so give a larger scale",
            ),
            (
                "Ha,b,99999999999999999999\n",
                "transfers file, line 2: amount \"99999999999999999999\" is too large: amounts stay below 2^63 units of 10^-2",
            ),
            (
                "Ha,b,x\n",
                "transfers file, line 2: amount \"x\" is not a decimal number; write it like 123.45",
            ),
            (
                "H,b,1\n",
                "transfers file, line 2: account \"\": the account name is empty; give it 1 to 64 bytes",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(transfers(&text.replace('H', header)).unwrap_err(), expected);
        }
        let broken = Feed::new(Some(&[0x1f, 0x8b, 1, 2]), None, options("")).unwrap_err().to_string();
        assert!(broken.starts_with("accounts file: it is damaged gzip: "), "{broken}");
        let latin =
            Feed::new(None, Some(b"from_account,to_account,amount\n\xe9,b,1\n"), options("")).unwrap_err();
        assert_eq!(latin.to_string(), "transfers file, line 2: field 1 is not UTF-8");
    }

    #[test]
    fn mappings_say_what_is_wrong() {
        let refused = |text: &str| text.parse::<Mapping>().unwrap_err().to_string();
        assert_eq!(
            refused("amount"),
            "column mapping: \"amount\" has no \"=\"; write field=column,field=column"
        );
        assert_eq!(refused("amount="), "column mapping: field amount has no column; write amount=column");
        assert_eq!(refused("amount=a,amount=b"), "column mapping: field amount is given twice");
        assert!(
            refused("value=a")
                .starts_with("column mapping: unknown field \"value\"; the fields are account, ")
        );
    }
}
