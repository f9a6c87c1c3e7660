//! From log bytes back to state: [`Replay`] applies, [`Recovery`] also folds the read models and judges damage.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::ControlFlow;
use journal::{
    Corrupt, Damage, Decoder, Header, Item, RecordMeta, SealBorder, Tail, TailSearch, TornTail, Verdict,
};
use ledger::{CommandKind, Event, Inconsistent, Ledger, Record, TransactionId};
use projection::Projections;

use crate::command_bytes::Malformed;
use crate::content::{CONTENT_KIND, RECORD_VERSION, decode_events};
use crate::read_models::Fold;

/// Folds the bytes of a ledger's log into a [`Ledger`]: decode, check, apply. It makes no outputs and judges nothing:
/// damage is an error here, wherever it is ([`Recovery`] tells a torn tail from corruption).
pub struct Replay {
    decoder: Decoder,
    ledger: Ledger,
    events: Vec<Event>,
    stopped: bool,
    record_at_byte: u64,
    applied: u64,
    frames: Frames,
    /// Borders are noted at least so many bytes apart, if at all.
    note_every_bytes: Option<u64>,
    noted: Vec<NotedBorder>,
    noted_at_byte: u64,
}

/// How many frames of each kind were read, records apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// Headers: segments, that is.
    pub headers: u64,
    /// Seals.
    pub seals: u64,
}

/// A place behind a seal, from which the log can be read without what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotedBorder {
    /// What a reader of the bytes needs.
    pub border: SealBorder,
    /// How many accounts the records before it opened: what a reader of the records needs, with their names.
    pub accounts_count: u32,
}

/// Why a log cannot be replayed.
#[derive(Clone, Debug)]
pub enum ReplayError {
    /// The bytes are not those of a log.
    Damage(Damage),
    /// The bytes are as they were written, but they are not records that this version knows.
    Unreadable {
        /// First byte of the record in the log.
        at_byte: u64,
        /// The record.
        sequence: u64,
        /// What is unknown.
        what: String,
    },
    /// The record is readable, but it does not follow from the ones before it.
    Inconsistent {
        /// First byte of the record in the log.
        at_byte: u64,
        /// The record.
        sequence: u64,
        /// The event in it, from 0.
        index: u32,
        /// What does not fit.
        inconsistent: Inconsistent,
    },
    /// Two records have the same transaction id.
    RepeatedId {
        /// First byte of the second one in the log.
        at_byte: u64,
        /// The second record.
        sequence: u64,
        /// The id.
        transaction_id: TransactionId,
        /// The record that had it first.
        first_sequence: u64,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::Damage(damage) => damage.fmt(f),
            ReplayError::Unreadable { at_byte, sequence, what } => {
                write!(f, "record {sequence} at byte {at_byte} cannot be read: {what}")
            }
            ReplayError::Inconsistent { at_byte, sequence, index, inconsistent } => write!(
                f,
                "record {sequence} at byte {at_byte}, event {index}, contradicts the records before it: {inconsistent}"
            ),
            ReplayError::RepeatedId { at_byte, sequence, transaction_id, first_sequence } => write!(
                f,
                "record {sequence} at byte {at_byte} has the transaction id {transaction_id}, which record \
                 {first_sequence} has already"
            ),
        }
    }
}

impl core::error::Error for ReplayError {}

impl Replay {
    /// An empty ledger, waiting for the first bytes of a log. `hash_seed` keys its in-memory tables.
    pub fn new(hash_seed: u64) -> Self {
        Replay {
            decoder: Decoder::new(),
            ledger: Ledger::new(hash_seed),
            events: Vec::new(),
            stopped: false,
            record_at_byte: 0,
            applied: 0,
            frames: Frames::default(),
            note_every_bytes: None,
            noted: Vec::new(),
            noted_at_byte: 0,
        }
    }

    /// Goes on from a place in a log, with the ledger as of that place.
    pub(crate) fn resume(tail: Tail, ledger: Ledger) -> Self {
        let applied = tail.next_sequence();
        Replay { decoder: Decoder::resume(tail), ledger, applied, ..Replay::new(0) }
    }

    /// Takes the next bytes and folds every record that is complete into the read models too, which are as of the same
    /// record as the ledger. A transaction id that they know already is refused.
    pub(crate) fn fold(
        &mut self,
        bytes: &[u8],
        models: &mut impl Fold,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), ReplayError> {
        let mut repeated = None;
        let pushed = self.push_with(bytes, |ledger, record, at_byte| {
            repeated = repeated_id(record, models);
            if repeated.is_some() {
                return ControlFlow::Break(());
            }
            models.fold(ledger, record, at_byte);
            each(record);
            ControlFlow::Continue(())
        });
        if let Some((sequence, transaction_id, first_sequence)) = repeated {
            let at_byte = self.record_at_byte;
            return Err(ReplayError::RepeatedId { at_byte, sequence, transaction_id, first_sequence });
        }
        pushed
    }

    /// Takes the next bytes and calls `each` with every record that is complete, after it was applied.
    /// After `Break` every further byte is ignored.
    pub fn push(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReplayError> {
        self.push_with(bytes, |_, record, _| each(record))
    }

    fn push_with(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&Ledger, &Record<'_>, u64) -> ControlFlow<()>,
    ) -> Result<(), ReplayError> {
        if self.stopped {
            return Ok(());
        }
        self.decoder.push(bytes);
        loop {
            let item = match self.decoder.next() {
                Ok(Some(item)) => item,
                Ok(None) => return Ok(()),
                Err(damage) => return Err(ReplayError::Damage(damage)),
            };
            match item {
                Item::Header(header) => {
                    check_header(&header, self.applied)?;
                    self.frames.headers += 1;
                }
                Item::Seal { .. } => {
                    self.frames.seals += 1;
                    if let Some(bytes_min) = self.note_every_bytes {
                        self.note(bytes_min);
                    }
                }
                Item::Record { meta, payload, at_byte } => {
                    let kind = known_record(&meta, payload, at_byte, &mut self.events)?;
                    let record = Record {
                        sequence: meta.sequence,
                        recorded_at: meta.recorded_at,
                        generation: meta.generation,
                        kind,
                        events: &self.events,
                    };
                    apply(&mut self.ledger, &record, at_byte)?;
                    self.record_at_byte = at_byte;
                    self.applied += 1;
                    if each(&self.ledger, &record, at_byte).is_break() {
                        self.stopped = true;
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Keeps the border behind a seal if the last one kept is far enough away.
    fn note(&mut self, bytes_min: u64) {
        if let Some(border) =
            self.decoder.border().filter(|border| border.bytes >= self.noted_at_byte + bytes_min)
        {
            self.noted_at_byte = border.bytes;
            self.noted.push(NotedBorder { border, accounts_count: self.ledger.accounts_count() });
        }
    }

    /// The log ends here: fails if it ends inside a frame.
    pub fn finish(&mut self) -> Result<(), ReplayError> {
        if self.stopped {
            return Ok(());
        }
        self.decoder.finish().map_err(ReplayError::Damage)
    }

    /// The ledger as of the last record.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The frames read so far.
    pub fn frames(&self) -> Frames {
        self.frames
    }

    /// The bytes taken and not read: after a damage, what [`TailSearch`] wants first.
    pub fn undecoded(&self) -> &[u8] {
        self.decoder.undecoded()
    }

    /// Where the log could be continued; `None` before its header.
    pub fn tail(&self) -> Option<Tail> {
        self.decoder.tail()
    }

    /// The records applied so far, which is the next sequence expected.
    pub fn next_sequence(&self) -> u64 {
        self.decoder.next_sequence()
    }
}

/// The record, an id in it that an earlier record has, and that record. The id of an expiry is derived, and a client may
/// have sent the same one before; it means nothing there.
fn repeated_id(record: &Record<'_>, models: &impl Fold) -> Option<(u64, TransactionId, u64)> {
    if record.kind == CommandKind::ExpireTransfer {
        return None;
    }
    let mut last = None;
    record.events.iter().find_map(|event| {
        let transaction_id = event.transaction_id();
        if last.replace(transaction_id) == Some(transaction_id) {
            return None;
        }
        let first_sequence = models.sequence_of(&transaction_id)?;
        Some((record.sequence, transaction_id, first_sequence))
    })
}

/// Is this the header of a ledger's log that goes on where `applied` records end? The decoder sees to it that a later
/// header continues the one before; the first one must begin.
fn check_header(header: &Header, applied: u64) -> Result<(), ReplayError> {
    let what = if header.content != CONTENT_KIND {
        alloc::format!("content kind {} is not a ledger's log (kind {CONTENT_KIND})", header.content)
    } else if header.first_sequence > applied {
        alloc::format!(
            "it begins in the middle of a log, at record {}; the segments before it are needed too",
            header.first_sequence
        )
    } else {
        return Ok(());
    };
    Err(ReplayError::Unreadable { at_byte: 0, sequence: header.first_sequence, what })
}

/// Reads a record's events in the place of those before.
fn known_record(
    meta: &RecordMeta,
    payload: &[u8],
    at_byte: u64,
    events: &mut Vec<Event>,
) -> Result<CommandKind, ReplayError> {
    if known_kind(meta.kind, meta.kind_version).is_none() {
        let what = alloc::format!("kind {} version {} is unknown", meta.kind, meta.kind_version);
        return Err(ReplayError::Unreadable { at_byte, sequence: meta.sequence, what });
    }
    read_record(meta, payload, events).map_err(|Malformed { at_byte: in_payload, expected }| {
        let what = alloc::format!("expected {expected} at byte {in_payload} of its payload");
        ReplayError::Unreadable { at_byte, sequence: meta.sequence, what }
    })
}

/// Reads the events of one record, in the place of those before, and its kind. What the record has to do with others is
/// not checked.
///
/// # Errors
/// The kind is unknown, or the payload is not that of its kind.
pub fn read_record(
    meta: &RecordMeta,
    payload: &[u8],
    events: &mut Vec<Event>,
) -> Result<CommandKind, Malformed> {
    let unknown = Malformed { at_byte: 0, expected: "a kind and version of record that is known" };
    let kind = known_kind(meta.kind, meta.kind_version).ok_or(unknown)?;
    events.clear();
    decode_events(payload, events)?;
    Ok(kind)
}

/// The command kind of a record, if this version knows it.
pub(crate) fn known_kind(kind: u16, version: u8) -> Option<CommandKind> {
    let kind = u8::try_from(kind).ok().and_then(CommandKind::from_u8);
    kind.filter(|_| version == RECORD_VERSION)
}

fn apply(ledger: &mut Ledger, record: &Record<'_>, at_byte: u64) -> Result<(), ReplayError> {
    let sequence = record.sequence;
    let refuse = |index, inconsistent| ReplayError::Inconsistent { at_byte, sequence, index, inconsistent };
    ledger.check_record(record).map_err(|inconsistent| refuse(0, inconsistent))?;
    for (index, event) in (0..).zip(record.events) {
        ledger.check(event).map_err(|inconsistent| refuse(index, inconsistent))?;
        ledger.apply(event);
    }
    assert!(ledger.is_settled(), "a record of whole transactions leaves no half of one open");
    Ok(())
}

/// Brings a pipeline back from its log: folds the ledger and the read models, and at the first damage decides
/// whether it is the torn tail of an interrupted append, which may be cut, or corruption, which may not.
pub struct Recovery<R = Projections> {
    replay: Replay,
    projections: R,
    search: Option<TailSearch>,
}

/// A log brought back.
pub struct Recovered<R = Projections> {
    /// The ledger as of the last whole record.
    pub ledger: Ledger,
    /// The read models as of the same record.
    pub projections: R,
    /// Where the log goes on, behind the cut if there is one; `None` if there is no log yet, not even a header.
    pub tail: Option<Tail>,
    /// What must be cut off before the log can go on.
    pub cut: Option<TornTail>,
}

impl<R> Recovered<R> {
    /// The same log with other read models, and those that it had.
    pub fn with_read_models<S>(self, read_models: S) -> (Recovered<S>, R) {
        let Recovered { ledger, projections, tail, cut } = self;
        (Recovered { ledger, projections: read_models, tail, cut }, projections)
    }
}

/// Why a log must not be continued.
#[derive(Clone, Debug)]
pub enum RecoveryError {
    /// Damage that no interrupted append leaves behind.
    Corrupt(Corrupt),
    /// The bytes are whole, but what they say cannot be.
    Replay(ReplayError),
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoveryError::Corrupt(corrupt) => corrupt.fmt(f),
            RecoveryError::Replay(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RecoveryError {}

impl Recovery {
    /// Waits for the first bytes of a log. `hash_seed` keys the in-memory tables.
    pub fn new(hash_seed: u64) -> Self {
        Recovery::into(hash_seed, Projections::new(hash_seed))
    }
}

impl<R: Fold> Recovery<R> {
    /// As [`Recovery::new`], into these read models of an empty log.
    pub fn into(hash_seed: u64, read_models: R) -> Self {
        Recovery { replay: Replay::new(hash_seed), projections: read_models, search: None }
    }

    /// Waits for the bytes behind a border of the log, with the ledger and the read models as of there. Places are
    /// counted from the log's beginning. The next seal shows whether the border is one of this log.
    ///
    /// # Errors
    /// No log has such a border.
    pub fn resume(border: &SealBorder, ledger: Ledger, read_models: R) -> Result<Self, journal::BorderError> {
        let tail = Tail::at_border(border)?;
        Ok(Recovery { replay: Replay::resume(tail, ledger), projections: read_models, search: None })
    }

    /// Takes the next bytes of the log, in pieces of any size, and shows `each` every record after it was applied.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&Record<'_>)) -> Result<(), RecoveryError> {
        if let Some(search) = &mut self.search {
            search.push(bytes);
            return Ok(());
        }
        let pushed = self.replay.fold(bytes, &mut self.projections, &mut each);
        self.judge(pushed)
    }

    fn judge(&mut self, pushed: Result<(), ReplayError>) -> Result<(), RecoveryError> {
        match pushed {
            Ok(()) => Ok(()),
            Err(ReplayError::Damage(damage)) => {
                let mut search = TailSearch::new(&damage);
                search.push(self.replay.decoder.undecoded());
                self.search = Some(search);
                Ok(())
            }
            Err(
                error @ (ReplayError::Unreadable { .. }
                | ReplayError::Inconsistent { .. }
                | ReplayError::RepeatedId { .. }),
            ) => Err(RecoveryError::Replay(error)),
        }
    }

    /// Keeps places of the log that are at least `bytes_min` bytes apart, for [`Recovery::take_noted`].
    #[must_use]
    pub fn noting_borders(mut self, bytes_min: u64) -> Self {
        self.replay.note_every_bytes = Some(bytes_min);
        self
    }

    /// The places kept since the last call, in order.
    pub fn take_noted(&mut self) -> Vec<NotedBorder> {
        core::mem::take(&mut self.replay.noted)
    }

    /// Whether a damage was found: what follows is not applied, and only judges it.
    pub fn has_damage(&self) -> bool {
        self.search.is_some()
    }

    /// The records applied so far.
    pub fn next_sequence(&self) -> u64 {
        self.replay.next_sequence()
    }

    /// The ledger as of the last record applied.
    pub fn ledger(&self) -> &Ledger {
        self.replay.ledger()
    }

    /// The read models as of the same record.
    pub fn projections(&self) -> &R {
        &self.projections
    }

    /// The log ends here.
    pub fn finish(mut self) -> Result<Recovered<R>, RecoveryError> {
        if self.search.is_none() {
            let finished = self.replay.finish();
            self.judge(finished)?;
        }
        let cut = match self.search.map(TailSearch::finish) {
            None => None,
            Some(Verdict::TornTail(torn) | Verdict::TornCreation(torn)) => Some(torn),
            Some(Verdict::Corrupt(corrupt)) => return Err(RecoveryError::Corrupt(corrupt)),
        };
        let tail = self.replay.tail();
        Ok(Recovered { ledger: self.replay.ledger, projections: self.projections, tail, cut })
    }
}
