//! Brings a pipeline back from a log that is kept in the JSON Lines form.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use journal::{FromLines, LineError, LineErrorKind, LineSearch, LineVouching, line_is_whole};

use crate::lines::LedgerContent;
use crate::replay::{NotedBorder, Recovered, Recovery, RecoveryError, ReplayError};

/// A header line is far shorter; a first line that is longer is none.
const HEADER_LINE_BYTES_MAX: usize = 1_024;
/// How every header line begins.
const HEADER_BEGIN: &[u8] = b"{\"format\":\"wallet-lab-log\"";

/// As [`Recovery`], for the text that holds a log in the JSON Lines form and is appended to, batch by batch. The rules
/// are the same (docs/LOG.md): an interrupted append leaves lines that are no JSON objects, or a record without its last
/// lines, at the end; everything else that is wrong is corruption, and so is anything that a seal behind it calls durable.
pub struct LinesRecovery {
    lines: FromLines<LedgerContent>,
    recovery: Recovery,
    /// The binary form of the line at hand.
    log: Vec<u8>,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Where the next line begins.
    next: Place,
    /// Behind the last whole header, record or seal.
    border: Place,
    noted: Vec<(NotedBorder, u64)>,
    bad: Option<BadLine>,
}

/// A log in the JSON Lines form, brought back.
pub struct LinesRecovered {
    /// As from the binary form of the same lines; its `cut` is `None`.
    pub recovered: Recovered,
    /// What must be cut off the text before it can go on.
    pub cut: Option<TornLines>,
    /// How many bytes of the text are kept.
    pub bytes: u64,
    /// Whether the last line that is kept lacks its line end, which must be written before anything else.
    pub lacks_line_end: bool,
}

/// A tail of a text that may be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornLines {
    /// The text ends here once the tail is cut, behind a line end.
    pub cut_at_byte: u64,
    /// Bytes behind the cut.
    pub bytes_cut: u64,
    /// The first line that is cut off, from 1.
    pub line: u64,
    /// The sequence that the next record takes after the cut.
    pub next_sequence: u64,
    /// What stands there.
    pub reason: String,
}

/// Why a text must not be continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorruptLines {
    /// Where the bad line begins; of a record that does not follow from those before it, where its first line does.
    pub at_byte: u64,
    /// That line, from 1.
    pub line: u64,
    /// The record expected there.
    pub sequence: u64,
    /// What is wrong with it.
    pub what: String,
    /// The seal that says it was durable; `None` if the line itself can not come from an interrupted append.
    pub vouching: Option<LineVouching>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    at_byte: u64,
    /// Whole lines before it.
    lines: u64,
}

/// The first line that is refused, and what stands behind it.
struct BadLine {
    at: Place,
    /// Whether an interrupted append can leave it behind.
    may_be_torn: bool,
    what: String,
    search: LineSearch,
    /// All bytes from the bad line on.
    bytes: u64,
    /// The first of those bytes, for a text that never had a header.
    begin: Vec<u8>,
}

impl LinesRecovery {
    /// Waits for the first bytes of a text. `hash_seed` keys the in-memory tables. Places of the log are kept at least
    /// `note_every_bytes` bytes of its binary form apart, for [`LinesRecovery::take_noted`].
    pub fn new(hash_seed: u64, note_every_bytes: u64) -> LinesRecovery {
        LinesRecovery {
            lines: FromLines::new(LedgerContent::default()),
            recovery: Recovery::new(hash_seed).noting_borders(note_every_bytes),
            log: Vec::new(),
            partial: Vec::new(),
            next: Place::default(),
            border: Place::default(),
            noted: Vec::new(),
            bad: None,
        }
    }

    /// Takes the next bytes of the text, in pieces of any size.
    ///
    /// # Errors
    /// A record contradicts those before it.
    pub fn push(&mut self, mut text: &[u8]) -> Result<(), CorruptLines> {
        while self.bad.is_none() {
            let Some(end) = text.iter().position(|byte| *byte == b'\n') else {
                self.partial.extend_from_slice(text);
                return self.check_length();
            };
            let (line, rest) = text.split_at(end + 1);
            if self.partial.is_empty() {
                self.line(line)?;
            } else {
                let mut whole = core::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole)?;
                whole.clear();
                self.partial = whole;
            }
            text = rest;
        }
        self.push_behind(text);
        Ok(())
    }

    /// The places kept since the last call, each with where it is in the text.
    pub fn take_noted(&mut self) -> Vec<(NotedBorder, u64)> {
        core::mem::take(&mut self.noted)
    }

    /// The text ends here.
    ///
    /// # Errors
    /// It is corrupt and must not be continued.
    pub fn finish(mut self) -> Result<LinesRecovered, CorruptLines> {
        let mut lacks_line_end = false;
        if !self.partial.is_empty() {
            let last = core::mem::take(&mut self.partial);
            // The brace at its end shows that a line is whole, so nothing of it is missing but the line end.
            lacks_line_end = line_is_whole(&last);
            let (line, whole) = (last.len(), [&last[..], b"\n"].concat());
            self.line(if lacks_line_end { &whole } else { &whole[..line] })?;
            if lacks_line_end && self.bad.is_none() {
                self.next.at_byte -= 1;
                self.border.at_byte = self.border.at_byte.min(self.next.at_byte);
            }
        }
        let cut = match self.bad.take() {
            Some(bad) => Some(self.judge(bad)?),
            None => self.half_a_record(),
        };
        let bytes = self.border.at_byte;
        let recovered = self.recovery.finish().map_err(|error| {
            let what = error.to_string();
            CorruptLines { at_byte: 0, line: 1, sequence: 0, what, vouching: None }
        })?;
        Ok(LinesRecovered {
            recovered: Recovered { cut: None, ..recovered },
            lacks_line_end: lacks_line_end && cut.is_none(),
            cut,
            bytes,
        })
    }

    /// One line with its line end, or what the text ends in.
    fn line(&mut self, line: &[u8]) -> Result<(), CorruptLines> {
        self.log.clear();
        if let Err(error) = self.lines.push(line, &mut self.log) {
            self.refuse(line, &error);
            return Ok(());
        }
        if !line.ends_with(b"\n") {
            // Not a whole line: what stands there is for `judge`.
            let kind = LineErrorKind::Line("the text ends inside this line".to_string());
            let error = LineError { line: self.next.lines + 1, sequence: self.lines.next_sequence(), kind };
            self.refuse(line, &error);
            return Ok(());
        }
        self.next.at_byte += line.len() as u64;
        self.next.lines += 1;
        if !self.log.is_empty() {
            self.recovery.push(&self.log, |_| ()).map_err(|error| self.inconsistent(&error))?;
            self.border = self.next;
            let noted = self.recovery.take_noted().into_iter().map(|noted| (noted, self.next.at_byte));
            self.noted.extend(noted);
        }
        Ok(())
    }

    fn refuse(&mut self, line: &[u8], error: &LineError) {
        let may_be_torn = match error.kind {
            LineErrorKind::Line(_) => !line_is_whole(line),
            LineErrorKind::Rule(_) | LineErrorKind::Content(_) | LineErrorKind::SealMismatch { .. } => false,
        };
        self.bad = Some(BadLine {
            at: self.next,
            may_be_torn,
            what: error.kind.to_string(),
            search: LineSearch::new(self.next.at_byte, self.recovery.next_sequence()),
            bytes: 0,
            begin: Vec::new(),
        });
        self.push_behind(line);
    }

    fn push_behind(&mut self, text: &[u8]) {
        if let Some(bad) = &mut self.bad {
            bad.search.push(text);
            bad.bytes += text.len() as u64;
            let room = HEADER_LINE_BYTES_MAX.saturating_sub(bad.begin.len()).min(text.len());
            bad.begin.extend_from_slice(&text[..room]);
        }
    }

    /// A line that never ends is not held in memory.
    fn check_length(&mut self) -> Result<(), CorruptLines> {
        if self.partial.len() > journal::LINE_BYTES_MAX + 1 {
            let line = core::mem::take(&mut self.partial);
            self.line(&line)?;
        }
        Ok(())
    }

    fn inconsistent(&self, error: &RecoveryError) -> CorruptLines {
        let Place { at_byte, lines } = self.border;
        let (sequence, what) = match error {
            RecoveryError::Replay(ReplayError::Inconsistent { sequence, index, inconsistent, .. }) => {
                (*sequence, format!("event {index} contradicts the records before it: {inconsistent}"))
            }
            RecoveryError::Replay(ReplayError::RepeatedId {
                sequence,
                transaction_id,
                first_sequence,
                ..
            }) => (
                *sequence,
                format!("record {first_sequence} has the transaction id {transaction_id} already"),
            ),
            RecoveryError::Replay(ReplayError::Unreadable { sequence, what, .. }) => {
                (*sequence, what.clone())
            }
            RecoveryError::Replay(ReplayError::Damage(_)) | RecoveryError::Corrupt(_) => {
                (self.recovery.next_sequence(), error.to_string())
            }
        };
        CorruptLines { at_byte, line: lines + 1, sequence, what, vouching: None }
    }

    fn judge(&self, mut bad: BadLine) -> Result<TornLines, CorruptLines> {
        let vouching = bad.search.finish();
        let sequence = self.recovery.next_sequence();
        let is_creation = self.border.at_byte == 0 && is_torn_creation(&bad);
        if vouching.is_some() || !bad.may_be_torn || (self.border.at_byte == 0 && !is_creation) {
            let Place { at_byte, lines } = bad.at;
            return Err(CorruptLines { at_byte, line: lines + 1, sequence, what: bad.what, vouching });
        }
        let cut_at_byte = self.border.at_byte;
        Ok(TornLines {
            cut_at_byte,
            bytes_cut: bad.at.at_byte - cut_at_byte + bad.bytes,
            line: self.border.lines + 1,
            next_sequence: sequence,
            reason: if bad.search.is_only_zeros() { "only zeros follow".to_string() } else { bad.what },
        })
    }

    /// The text ends behind a line that is not the last of its record.
    fn half_a_record(&self) -> Option<TornLines> {
        (self.next.at_byte > self.border.at_byte).then(|| TornLines {
            cut_at_byte: self.border.at_byte,
            bytes_cut: self.next.at_byte - self.border.at_byte,
            line: self.border.lines + 1,
            next_sequence: self.recovery.next_sequence(),
            reason: "the record is not complete".to_string(),
        })
    }
}

/// Whether a text without a whole header line holds the beginning of one, or zeros.
fn is_torn_creation(bad: &BadLine) -> bool {
    let begin = &bad.begin;
    let compared = begin.len().min(HEADER_BEGIN.len());
    bad.bytes == begin.len() as u64
        && !begin.contains(&b'\n')
        && (bad.search.is_only_zeros() || begin[..compared] == HEADER_BEGIN[..compared])
}

impl fmt::Display for TornLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TornLines { cut_at_byte, bytes_cut, line, next_sequence, reason } = self;
        write!(
            f,
            "an append was interrupted: cut {bytes_cut} bytes at byte {cut_at_byte}, line {line}, \
             the next record is {next_sequence} ({reason})"
        )
    }
}

impl fmt::Display for CorruptLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CorruptLines { at_byte, line, sequence, what, vouching } = self;
        write!(f, "line {line}, byte {at_byte}, record {sequence}: {what}")?;
        match vouching {
            Some(LineVouching { line_at_byte, durable_before }) => write!(
                f,
                "; the seal line at byte {line_at_byte} says that the records before {durable_before} were durable, \
                 so this is no interrupted append: restore the log from a copy"
            ),
            None => f.write_str("; an interrupted append does not leave this behind, so nothing is cut"),
        }
    }
}

impl core::error::Error for CorruptLines {}
