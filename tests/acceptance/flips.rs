//! Every bit of a log, flipped.

use std::thread;

use journal::{Corrupt, Damage, Decoder, Header, Item, RecordMeta, SealFrame, TailSearch, TornTail, Verdict};
use ledger::Digest;
use pipeline::{Recovery, RecoveryError};

use super::harness::{commands, digests, log_of};

/// Bytes of the log that is flipped, at least.
const LOG_BYTES: usize = 64 * 1_024;
/// Records in an append.
const BATCH: usize = 16;

/// A log of at least [`LOG_BYTES`], as it stands when its writer dies after its last append.
fn log() -> Vec<u8> {
    let commands = commands(20, 900);
    let whole = log_of(&commands, BATCH);
    let mut records = commands.len() * LOG_BYTES / whole.len() / BATCH * BATCH;
    loop {
        let log = log_of(&commands[..records], BATCH);
        if log.len() >= LOG_BYTES {
            return log;
        }
        records += BATCH;
    }
}

/// An item that outlives its decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    Header(Header),
    Record { meta: RecordMeta, payload: Vec<u8>, at_byte: u64 },
    Seal { frame: SealFrame, at_byte: u64 },
}

impl Kept {
    fn is(&self, item: &Item<'_>) -> bool {
        match (self, item) {
            (Kept::Header(kept), Item::Header(header)) => kept == header,
            (Kept::Record { meta, payload, at_byte }, Item::Record { meta: m, payload: p, at_byte: a }) => {
                meta == m && payload == p && at_byte == a
            }
            (Kept::Seal { frame, at_byte }, Item::Seal { frame: f, at_byte: a }) => {
                frame == f && at_byte == a
            }
            (Kept::Header(_) | Kept::Record { .. } | Kept::Seal { .. }, _) => false,
        }
    }
}

/// A frame of the unharmed log, and the decoder that has read everything before it.
struct Frame {
    decoder: Decoder,
    from: usize,
    to: usize,
    next_sequence: u64,
}

/// The unharmed log.
struct Original {
    log: Vec<u8>,
    frames: Vec<Frame>,
    items: Vec<Kept>,
    /// The mark of the last seal: what is below was known durable.
    durable_before: u64,
}

/// What became of flips.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    refused: u64,
    cut: u64,
}

#[test]
fn each_flipped_bit_is_refused_by_its_byte_or_cut_behind_the_durable_mark() {
    let original = original(log());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let original = &original;
                scope.spawn(move || {
                    let mut tally = Tally::default();
                    for number in (worker..original.frames.len()).step_by(threads) {
                        flip_frame(original, number, &mut tally);
                    }
                    tally
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no assertion failed")).collect()
    });
    let (refused, cut) = tallies.iter().fold((0, 0), |sum, tally| (sum.0 + tally.refused, sum.1 + tally.cut));
    println!("{} bits: {refused} refused, {cut} cut behind the durable mark", original.log.len() * 8);
    assert_eq!(refused + cut, original.log.len() as u64 * 8);
    assert!(cut > 0 && refused > cut, "both answers are given");
}

fn original(log: Vec<u8>) -> Original {
    let (mut frames, mut items, mut durable_before) = (Vec::new(), Vec::new(), 0);
    let mut decoder = Decoder::new();
    let mut at = 0;
    while at < log.len() {
        let before = decoder.clone();
        let mut to = at;
        let kept = loop {
            // Byte by byte, so that the decoder kept for the next frame holds nothing of it.
            decoder.push(&log[to..=to]);
            to += 1;
            match decoder.next().expect("a good log") {
                None => {}
                Some(Item::Header(header)) => break Kept::Header(header),
                Some(Item::Record { meta, payload, at_byte }) => {
                    break Kept::Record { meta, payload: payload.to_vec(), at_byte };
                }
                Some(Item::Seal { frame, at_byte }) => {
                    durable_before = frame.durable_before;
                    break Kept::Seal { frame, at_byte };
                }
            }
        };
        frames.push(Frame { next_sequence: before.next_sequence(), decoder: before, from: at, to });
        items.push(kept);
        at = to;
    }
    Original { log, frames, items, durable_before }
}

/// Flips each bit of one frame. What comes before it is decoded already, so each flip costs the frame and the search
/// behind it, not the log.
fn flip_frame(original: &Original, number: usize, tally: &mut Tally) {
    let Frame { decoder, from, to, next_sequence } = &original.frames[number];
    let mut frame = original.log[*from..*to].to_vec();
    for bit in 0..frame.len() * 8 {
        frame[bit / 8] ^= 1 << (bit % 8);
        let (damage, verdict) = judge(original, number, decoder.clone(), &frame, &original.log[*to..]);
        let flipped = from + bit / 8;
        assert_eq!((damage.at_byte, damage.sequence), (*from as u64, *next_sequence), "byte {flipped}");
        match verdict {
            Verdict::Corrupt(Corrupt { damage: named, .. }) => {
                assert_eq!(named, damage, "the refusal names the byte");
                tally.refused += 1;
            }
            Verdict::TornTail(TornTail { cut_at_byte, next_sequence, .. }) => {
                assert_eq!(cut_at_byte, *from as u64, "a cut is at a frame's border");
                assert!(next_sequence >= original.durable_before, "byte {flipped}: a durable record was cut");
                tally.cut += 1;
            }
            Verdict::TornCreation(torn) => panic!("byte {flipped}: {torn}"),
        }
        frame[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Decodes on, with the flipped frame and what follows; every item that comes is one of the original log.
fn judge(
    original: &Original,
    mut number: usize,
    mut decoder: Decoder,
    frame: &[u8],
    rest: &[u8],
) -> (Damage, Verdict) {
    decoder.push(frame);
    let mut waiting = Some(rest);
    let damage = loop {
        match decoder.next() {
            Ok(Some(item)) => {
                assert!(original.items[number].is(&item), "frame {number} has become another one");
                number += 1;
            }
            Ok(None) => match waiting.take() {
                Some(rest) => decoder.push(rest),
                None => break decoder.finish().expect_err("no flip goes unnoticed"),
            },
            Err(damage) => break damage,
        }
    };
    let mut search = TailSearch::new(&damage);
    search.push(decoder.undecoded());
    search.push(waiting.unwrap_or_default());
    (damage, search.finish())
}

#[test]
fn a_flipped_log_recovers_to_a_prefix_or_not_at_all() {
    let mut log = log();
    let original = original(log.clone());
    let digests: Vec<Digest> = digests(&log);
    for byte in (0..log.len()).step_by(61).chain(log.len() - 300..log.len()) {
        let flip = 1 << (byte % 8);
        log[byte] ^= flip;
        let mut recovery = Recovery::new(1);
        let pushed = log.chunks(4_096).try_for_each(|chunk| recovery.push(chunk, |_| {}));
        let frame = original.frames.partition_point(|frame| frame.from <= byte) - 1;
        match pushed.and_then(|()| recovery.finish()) {
            Ok(recovered) => {
                let torn = recovered.cut.expect("a flip leaves a cut or a refusal");
                assert_eq!(torn.cut_at_byte, original.frames[frame].from as u64);
                assert!(torn.next_sequence >= original.durable_before);
                let records = usize::try_from(torn.next_sequence).expect("a small log");
                assert_eq!(recovered.ledger.digest(), digests[records]);
            }
            Err(RecoveryError::Corrupt(corrupt)) => {
                assert_eq!(corrupt.damage.at_byte, original.frames[frame].from as u64);
            }
            Err(RecoveryError::Replay(error)) => panic!("byte {byte}: {error}"),
        }
        log[byte] ^= flip;
    }
}
