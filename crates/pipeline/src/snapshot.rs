//! The state of a ledger's log behind one of its seals, as bytes (docs/LOG.md, "The snapshot").

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use journal::{Header, Seal, SealBorder};
use ledger::{
    AccountIndex, AccountName, AccountView, Asset, Digest, Hold, Holds, Ledger, TransactionId, Unrestorable,
};
use projection::{BalanceRow, Balances, Counts, KINDS_COUNT, Projections, RESULTS_COUNT};
use time::Timestamp;

use crate::command_bytes::{Malformed, Reader, put_text, put_time};
use crate::content::{CONTENT_KIND, LogIdentity};

/// The first bytes of a snapshot; a text conversion shows in them, as in a log's.
pub const SNAPSHOT_MAGIC: [u8; 8] = *b"\x89WLSNP\r\n";
/// The version of the layout that this crate writes and reads.
pub const SNAPSHOT_VERSION: u16 = 2;

/// Bytes of the BLAKE3 hash that a snapshot ends in.
const HASH_BYTES: usize = 32;
/// Bytes before the counts.
const FIXED_BYTES: usize = 176;
/// The least that an account takes: a name of one byte, asset, floor, balance and what is held of it.
const ACCOUNT_BYTES_MIN: usize = 2 + 4 + 8 + 8 + 8;
/// The least that a pending transfer takes: its id, two accounts, an amount and that it has no deadline.
const HOLD_BYTES_MIN: usize = 16 + 4 + 4 + 8 + 1;

/// What is durable, copied out of read models at one moment: a copy costs O(accounts + open pending transfers), and
/// [`DurableView::encode`] then runs on any thread.
#[derive(Clone)]
pub struct DurableView {
    pub(crate) identity: LogIdentity,
    pub(crate) border: Option<SealBorder>,
    pub(crate) digest: Digest,
    pub(crate) balances: Balances,
    pub(crate) holds: Holds,
    pub(crate) counts: Counts,
}

/// The state of a log behind one of its seals: enough to go on from there without the log before it, with
/// [`Follower::resume`](crate::Follower::resume). It holds no history: neither entries nor transactions, nor the answered
/// ids themselves, which only the digest covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What names the log.
    pub identity: LogIdentity,
    /// The seal behind which the state is; `None` if the log has no seal yet, and then there is no record either.
    pub border: Option<SealBorder>,
    /// The digest of the ledger there.
    pub digest: Digest,
    /// How many commands came to which end; their checkpoint is the next sequence.
    pub counts: Counts,
    /// All accounts in the order of their indices.
    pub accounts: Vec<SnapshotAccount>,
    /// The open pending transfers in the order of their ids.
    pub holds: Vec<(TransactionId, Hold)>,
}

/// An account in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotAccount {
    /// Its name.
    pub name: AccountName,
    /// What it holds.
    pub asset: Asset,
    /// Decimal places of the asset.
    pub scale: u8,
    /// The balance that it never falls below, in minor units.
    pub floor: i64,
    /// The balance in minor units.
    pub posted: i64,
    /// What is held of it for pending transfers, in minor units.
    pub pending: i64,
}

/// Why bytes are not a snapshot, or a snapshot is not that of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotError {
    /// Where the field begins.
    pub at_byte: u64,
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl DurableView {
    /// A copy of read models that stand at a border: the state behind the log's last seal, with the ledger's digest as of
    /// there. `None` if records stand behind that seal, or before there is one. Costs O(accounts + open pending transfers).
    pub fn of(
        identity: LogIdentity,
        border: Option<&SealBorder>,
        digest: Digest,
        projections: &Projections,
    ) -> Option<DurableView> {
        let next_sequence = border.map_or(0, |border| border.next_sequence);
        let (balances, counts) = (&projections.balances, &projections.counts);
        (counts.checkpoint() == next_sequence).then(|| DurableView {
            identity,
            border: border.copied(),
            digest,
            balances: balances.clone(),
            holds: projections.pending.holds().clone(),
            counts: counts.clone(),
        })
    }

    /// What names the log.
    pub fn identity(&self) -> LogIdentity {
        self.identity
    }

    /// Every record with a smaller sequence is in the view, and no other.
    pub fn next_sequence(&self) -> u64 {
        self.counts.checkpoint()
    }

    /// The digest of the ledger behind those records.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The bytes of its [`Snapshot`]. Costs O(accounts).
    pub fn encode(&self) -> Vec<u8> {
        let accounts = self.balances.iter().map(|(_, row)| view_of(row));
        encode(&self.identity, self.border.as_ref(), self.digest, &self.counts, accounts, self.holds.iter())
    }
}

impl Snapshot {
    /// The sequence of the first record that is not in it.
    pub fn next_sequence(&self) -> u64 {
        self.counts.checkpoint()
    }

    /// The time of its seal; zero if there is none.
    pub fn recorded_at(&self) -> Timestamp {
        self.border.map_or(Timestamp::ZERO, |border| border.recorded_at)
    }

    /// The bytes. Equal snapshots have equal bytes, on every machine.
    pub fn encode(&self) -> Vec<u8> {
        let accounts = self.accounts.iter().map(SnapshotAccount::view);
        let holds = self.holds.iter().copied();
        encode(&self.identity, self.border.as_ref(), self.digest, &self.counts, accounts, holds)
    }

    /// Reads what [`Snapshot::encode`] or [`DurableView::encode`] wrote, and nothing else: one state has one form. The
    /// rules for accounts are checked by [`Snapshot::ledger`].
    ///
    /// # Errors
    /// The bytes were changed, are cut off, or are of another version.
    pub fn decode(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
        let body = checked_body(bytes)?;
        let mut reader = Reader::new(body);
        decode_body(&mut reader).map_err(|refused| match refused {
            Refused::Malformed(Malformed { at_byte, expected }) => SnapshotError {
                at_byte: at_byte as u64,
                field: expected,
                what: String::from("not there or not valid"),
            },
            Refused::Field(error) => error,
        })
    }

    /// The ledger as of the snapshot, after every check that can be made. `hash_seed` keys its tables in memory.
    ///
    /// # Errors
    /// No ledger has these accounts and pending transfers.
    pub fn ledger(&self, hash_seed: u64) -> Result<Ledger, SnapshotError> {
        let views = self.accounts.iter().map(SnapshotAccount::view);
        let holds = self.holds.iter().copied();
        Ledger::restore(hash_seed, views, holds, self.digest).map_err(|unrestorable| {
            let field = match &unrestorable {
                Unrestorable::Account { .. } | Unrestorable::BelowFloor { .. } => "an account",
                Unrestorable::Unbalanced { .. } => "the accounts",
                Unrestorable::Hold { .. } | Unrestorable::Pending { .. } => "the pending transfers",
            };
            refused(self.accounts_at_byte(), field, format!("{unrestorable}"))
        })
    }

    /// Where the accounts begin.
    fn accounts_at_byte(&self) -> usize {
        let mut assets: BTreeMap<&Asset, u8> = BTreeMap::new();
        assets.extend(self.accounts.iter().map(|account| (&account.asset, account.scale)));
        let assets_bytes: usize = assets.keys().map(|asset| 1 + asset.as_str().len() + 1).sum();
        FIXED_BYTES + 2 + 8 * KINDS_COUNT * RESULTS_COUNT + 4 + assets_bytes + 4
    }
}

impl SnapshotAccount {
    fn view(&self) -> AccountView<'_> {
        let SnapshotAccount { name, asset, scale, floor, posted, pending } = self;
        AccountView { name, asset, scale: *scale, floor: *floor, posted: *posted, pending: *pending }
    }

    /// As a row of the balances.
    pub fn row(&self) -> BalanceRow<'_> {
        let SnapshotAccount { name, asset, scale, floor, posted, pending } = self;
        BalanceRow { name, asset, scale: *scale, floor: *floor, posted: *posted, pending: *pending }
    }
}

fn view_of(row: BalanceRow<'_>) -> AccountView<'_> {
    let BalanceRow { name, asset, scale, floor, posted, pending } = row;
    AccountView { name, asset, scale, floor, posted, pending }
}

/// Assets get numbers in the order in which the accounts name them first.
fn encode<'a>(
    identity: &LogIdentity,
    border: Option<&SealBorder>,
    digest: Digest,
    counts: &Counts,
    accounts: impl ExactSizeIterator<Item = AccountView<'a>> + Clone,
    holds: impl ExactSizeIterator<Item = (TransactionId, Hold)>,
) -> Vec<u8> {
    let mut assets: Vec<(&Asset, u8)> = Vec::new();
    let mut seen: BTreeSet<&Asset> = BTreeSet::new();
    for account in accounts.clone() {
        if seen.insert(account.asset) {
            assets.push((account.asset, account.scale));
        }
    }
    let mut out = Vec::with_capacity(2_048 + accounts.len() * 56 + holds.len() * 41);
    let accounts_count = count(accounts.len());
    let mut writer =
        SnapshotWriter::begin(identity, border, digest, counts, assets, accounts_count, &mut out);
    writer.accounts(accounts, &mut out);
    writer.finish(holds, &mut out);
    out
}

/// Writes a snapshot piece by piece, so that nobody has to hold all of it, or to stand still for it. What it appends is for
/// its caller to take away whenever it wants.
pub struct SnapshotWriter {
    hasher: blake3::Hasher,
    /// Numbers of assets.
    numbers: BTreeMap<Asset, u32>,
    accounts_left: u32,
}

impl SnapshotWriter {
    /// Appends everything before the accounts. `assets` are all of the ledger's, with their scales, in the order in which
    /// its accounts name them first.
    pub fn begin<'a>(
        identity: &LogIdentity,
        border: Option<&SealBorder>,
        digest: Digest,
        counts: &Counts,
        assets: impl IntoIterator<Item = (&'a Asset, u8)>,
        accounts_count: u32,
        out: &mut Vec<u8>,
    ) -> SnapshotWriter {
        let start = out.len();
        encode_fixed(identity, border, counts.checkpoint(), digest, out);
        out.push(small(KINDS_COUNT));
        out.push(small(RESULTS_COUNT));
        for counted in counts.all().iter().flatten() {
            out.extend_from_slice(&counted.to_le_bytes());
        }
        let assets_at = out.len();
        out.extend_from_slice(&[0; 4]);
        let mut numbers = BTreeMap::new();
        for (asset, scale) in assets {
            put_text(asset.as_str(), out);
            out.push(scale);
            numbers.insert(asset.clone(), count(numbers.len()));
        }
        out[assets_at..assets_at + 4].copy_from_slice(&count(numbers.len()).to_le_bytes());
        out.extend_from_slice(&accounts_count.to_le_bytes());
        let mut hasher = blake3::Hasher::new();
        hasher.update(&out[start..]);
        SnapshotWriter { hasher, numbers, accounts_left: accounts_count }
    }

    /// Appends the next accounts, in the order of their indices.
    ///
    /// # Panics
    /// If they are more than were announced, or one has an asset that was not.
    pub fn accounts<'a>(&mut self, accounts: impl IntoIterator<Item = AccountView<'a>>, out: &mut Vec<u8>) {
        let start = out.len();
        for account in accounts {
            self.accounts_left = self.accounts_left.checked_sub(1).expect("as many accounts as announced");
            put_text(account.name.as_str(), out);
            out.extend_from_slice(&self.numbers[account.asset].to_le_bytes());
            out.extend_from_slice(&account.floor.to_le_bytes());
            out.extend_from_slice(&account.posted.to_le_bytes());
            out.extend_from_slice(&account.pending.to_le_bytes());
        }
        self.hasher.update(&out[start..]);
    }

    /// Appends the open pending transfers, in the order of their ids, and the hash that ends the snapshot.
    ///
    /// # Panics
    /// If accounts are missing.
    pub fn finish(mut self, holds: impl ExactSizeIterator<Item = (TransactionId, Hold)>, out: &mut Vec<u8>) {
        assert_eq!(self.accounts_left, 0, "a snapshot holds all accounts");
        let start = out.len();
        out.extend_from_slice(&count(holds.len()).to_le_bytes());
        for (pending_id, Hold { from_account, to_account, amount, expires_at }) in holds {
            out.extend_from_slice(&pending_id.as_bytes());
            out.extend_from_slice(&from_account.0.to_le_bytes());
            out.extend_from_slice(&to_account.0.to_le_bytes());
            out.extend_from_slice(&amount.to_le_bytes());
            put_time(expires_at, out);
        }
        self.hasher.update(&out[start..]);
        let hash = self.hasher.finalize();
        out.extend_from_slice(hash.as_bytes());
    }
}

fn encode_fixed(
    identity: &LogIdentity,
    border: Option<&SealBorder>,
    next_sequence: u64,
    digest: Digest,
    out: &mut Vec<u8>,
) {
    let LogIdentity { log_id, ledger_id, partition } = identity;
    out.extend_from_slice(&SNAPSHOT_MAGIC);
    out.extend_from_slice(&SNAPSHOT_VERSION.to_le_bytes());
    out.extend_from_slice(&CONTENT_KIND.to_le_bytes());
    out.extend_from_slice(&partition.to_le_bytes());
    out.extend_from_slice(log_id);
    out.extend_from_slice(ledger_id);
    out.extend_from_slice(&next_sequence.to_le_bytes());
    let numbers = border.map_or([0; 5], |border| {
        [
            border.bytes,
            border.generation,
            border.recorded_at.micros(),
            border.durable_before,
            border.header.first_sequence,
        ]
    });
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    let seals = border.map_or([Seal::ZERO; 2], |border| [border.header.previous_seal, border.seal]);
    seals.iter().for_each(|seal| out.extend_from_slice(&seal.0));
    out.extend_from_slice(&digest.as_u128().to_le_bytes());
}

/// What stands before the hash, after magic, version and hash were checked.
fn checked_body(bytes: &[u8]) -> Result<&[u8], SnapshotError> {
    if !bytes.starts_with(&SNAPSHOT_MAGIC) {
        return Err(refused(0, "the magic", String::from("this is no snapshot")));
    }
    // The version comes first, because another one may have its hash elsewhere.
    if let Some(&version) = bytes.get(8..).and_then(|rest| rest.first_chunk()) {
        let version = u16::from_le_bytes(version);
        if version != SNAPSHOT_VERSION {
            let what = format!("version {version} is unknown: this program reads version {SNAPSHOT_VERSION}");
            return Err(refused(8, "the version", what));
        }
    }
    match bytes.split_last_chunk::<HASH_BYTES>() {
        Some((body, hash)) if body.len() >= FIXED_BYTES => {
            if blake3::hash(body).as_bytes() == hash {
                return Ok(body);
            }
            let what = String::from("the bytes do not have this hash: they were changed or cut off");
            Err(refused(body.len(), "the hash", what))
        }
        Some(_) | None => {
            let what = format!("the snapshot ends here, but has at least {} bytes", FIXED_BYTES + HASH_BYTES);
            Err(refused(bytes.len(), "the end", what))
        }
    }
}

enum Refused {
    Malformed(Malformed),
    Field(SnapshotError),
}

impl From<Malformed> for Refused {
    fn from(malformed: Malformed) -> Refused {
        Refused::Malformed(malformed)
    }
}

fn decode_body(reader: &mut Reader<'_>) -> Result<Snapshot, Refused> {
    let field = |at_byte, field, what| Err(Refused::Field(refused(at_byte, field, what)));
    reader.array::<10>("the magic and the version")?;
    let content = reader.u16("the content kind")?;
    if content != CONTENT_KIND {
        return field(10, "the content kind", format!("{content} is not the ledger's, {CONTENT_KIND}"));
    }
    let partition = reader.u32("the partition")?;
    let (log_id, ledger_id) = (reader.array("the log id")?, reader.array("the ledger id")?);
    let identity = LogIdentity { log_id, ledger_id, partition };
    let next_sequence = reader.u64("the next sequence")?;
    let border = decode_border(reader, identity, next_sequence)?;
    let digest = Digest::from_u128(u128::from_le_bytes(reader.array("the digest")?));
    let counts = decode_counts(reader, next_sequence)?;
    let accounts = decode_accounts(reader)?;
    let holds = decode_holds(reader)?;
    reader.end()?;
    if border.is_none() && (digest != Digest::default() || !accounts.is_empty()) {
        return field(160, "the digest", String::from("a log without a record has a state"));
    }
    Ok(Snapshot { identity, border, digest, counts, accounts, holds })
}

fn decode_border(
    reader: &mut Reader<'_>,
    identity: LogIdentity,
    next_sequence: u64,
) -> Result<Option<SealBorder>, Refused> {
    let at_byte = reader.at();
    let bytes = reader.u64("the bytes of the log")?;
    let generation = reader.u64("the generation")?;
    let time_at = reader.at();
    let micros = reader.u64("the time of the seal")?;
    let durable_before = reader.u64("the durable mark")?;
    let first_sequence = reader.u64("the first sequence")?;
    let previous_seal = Seal(reader.array("the previous seal")?);
    let seal = Seal(reader.array("the seal")?);
    let recorded_at = Timestamp::from_micros(micros).ok_or_else(|| {
        let what = format!("{micros} us, expected at most {}", Timestamp::MAX.micros());
        Refused::Field(refused(time_at, "the time of the seal", what))
    })?;
    if seal == Seal::ZERO {
        let numbers = [next_sequence, bytes, generation, micros, durable_before, first_sequence];
        if numbers != [0; 6] || previous_seal != Seal::ZERO {
            let what = String::from("there is no seal, but something before it");
            return Err(Refused::Field(refused(at_byte, "the seal", what)));
        }
        return Ok(None);
    }
    let LogIdentity { log_id, ledger_id, partition } = identity;
    let header =
        Header { log_id, ledger_id, partition, content: CONTENT_KIND, first_sequence, previous_seal };
    let border = SealBorder { header, next_sequence, durable_before, generation, recorded_at, seal, bytes };
    match border.check() {
        Ok(()) => Ok(Some(border)),
        Err(error) => Err(Refused::Field(refused(at_byte, "the seal", format!("{error}")))),
    }
}

fn decode_counts(reader: &mut Reader<'_>, next_sequence: u64) -> Result<Counts, Refused> {
    let at_byte = reader.at();
    let table = (reader.u8("the number of kinds")?, reader.u8("the number of results")?);
    if table != (small(KINDS_COUNT), small(RESULTS_COUNT)) {
        let what = format!(
            "{} kinds with {} results, expected {KINDS_COUNT} with {RESULTS_COUNT}: another program wrote them",
            table.0, table.1
        );
        return Err(Refused::Field(refused(at_byte, "the counts", what)));
    }
    let mut counts = [[0; RESULTS_COUNT]; KINDS_COUNT];
    for count in counts.iter_mut().flatten() {
        *count = reader.u64("the counts")?;
    }
    Counts::restore(next_sequence, counts).ok_or_else(|| {
        let what = format!("{next_sequence} records cannot have so many commands");
        Refused::Field(refused(at_byte, "the counts", what))
    })
}

fn decode_accounts(reader: &mut Reader<'_>) -> Result<Vec<SnapshotAccount>, Refused> {
    let assets_count = reader.u32("the number of assets")?;
    let mut assets: Vec<(Asset, u8)> = Vec::new();
    for _ in 0..assets_count {
        assets.push((reader.asset()?, reader.u8("a scale")?));
    }
    let accounts_count = reader.u32("the number of accounts")?;
    // What the bytes can hold, not what the number says.
    let room = (accounts_count as usize).min(reader.rest_bytes() / ACCOUNT_BYTES_MIN);
    let mut accounts = Vec::with_capacity(room);
    let mut seen = 0;
    for _ in 0..accounts_count {
        let name = reader.account()?;
        let at_byte = reader.at();
        let number = reader.u32("an asset number")? as usize;
        let Some((asset, scale)) = assets.get(number).filter(|_| number <= seen) else {
            let what = format!("asset {number} is not the next of {} assets, {seen}", assets.len());
            return Err(Refused::Field(refused(at_byte, "an asset number", what)));
        };
        seen = seen.max(number + 1);
        let (floor, posted) = (reader.i64("a floor")?, reader.i64("a balance")?);
        let pending = reader.i64("what is held")?;
        accounts.push(SnapshotAccount { name, asset: asset.clone(), scale: *scale, floor, posted, pending });
    }
    let mut names: Vec<&Asset> = assets.iter().map(|(asset, _)| asset).collect();
    names.sort_unstable();
    names.dedup();
    if seen != assets.len() || names.len() != assets.len() {
        return Err(Refused::Malformed(reader.malformed("an account for each asset, and each asset once")));
    }
    Ok(accounts)
}

/// The ids must rise, so that one state has one form.
fn decode_holds(reader: &mut Reader<'_>) -> Result<Vec<(TransactionId, Hold)>, Refused> {
    let holds_count = reader.u32("the number of pending transfers")?;
    let room = (holds_count as usize).min(reader.rest_bytes() / HOLD_BYTES_MIN);
    let mut holds: Vec<(TransactionId, Hold)> = Vec::with_capacity(room);
    for _ in 0..holds_count {
        let at_byte = reader.at();
        let pending_id = reader.transaction_id()?;
        if holds.last().is_some_and(|(last, _)| *last >= pending_id) {
            let what = format!("{pending_id} does not come behind the one before it");
            return Err(Refused::Field(refused(at_byte, "a pending transfer", what)));
        }
        let hold = Hold {
            from_account: AccountIndex(reader.u32("an account index")?),
            to_account: AccountIndex(reader.u32("an account index")?),
            amount: reader.i64("an amount")?,
            expires_at: reader.optional_time()?,
        };
        holds.push((pending_id, hold));
    }
    Ok(holds)
}

fn refused(at_byte: usize, field: &'static str, what: String) -> SnapshotError {
    SnapshotError { at_byte: at_byte as u64, field, what }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("an AccountIndex counts every account, and there are no more assets")
}

fn small(length: usize) -> u8 {
    u8::try_from(length).expect("there are few kinds and few results")
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SnapshotError { at_byte, field, what } = self;
        write!(f, "snapshot, byte {at_byte}, {field}: {what}")
    }
}

impl core::error::Error for SnapshotError {}
