//! A set of 64-bit hashes that errs on one side only: a binary fuse filter in parts.
//!
//! The filter is the 3-wise binary fuse filter with 16 bits a slot (Graf and Lemire, "Binary Fuse Filters: Fast and Smaller
//! Than Xor Filters", 2022). Two things differ, and both because hashes come sorted and are as good as random:
//!
//! - The upper bits of a hash choose a *part*, and each part is a filter of its own. A part is complete when the first hash
//!   of the next one comes, so a filter of any size is built with the memory of one part.
//! - The bits below them choose the first of a hash's three slots, so sorted hashes are worked on in the order of memory.
//!
//! The bytes of a filter are read by every later version, and a wrong "no" would let a command through twice; therefore the
//! algorithm is here, with its bytes, and not behind another crate's version number.

use super::{u32_at, u64_at};

/// Bytes of a part in [`Filter::encode_parts`].
const PART_BYTES: usize = 24;
/// Seeds tried for a part. One of them fails once in some thousand times, in a part of few hashes more often.
const ATTEMPTS_MAX: u64 = 64;
/// Slots of a segment are at most 2^18, so that both of a hash's offsets in segments fit into 36 of its bits.
const SEGMENT_SLOTS_MAX: u32 = 1 << 18;

/// Which hashes are here: "no" is certain, "yes" is wrong once in 65,536 times.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// How many of the upper bits of a hash choose its part.
    part_bits: u32,
    parts: Vec<Part>,
    slots: Vec<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    seed: u64,
    /// The first of its slots.
    first_slot: u64,
    /// A power of two. 0 in a part that every hash passes, because no seed worked.
    segment_slots: u32,
    /// Slots that a hash's first slot can be; behind them come two more segments. 0 in a part without hashes.
    first_slots: u32,
}

impl Filter {
    /// Asks whether the hash is here. The slots are looked at when the answer is wanted: several filters that are asked
    /// first wait for memory together, not one behind the other.
    pub(super) fn probe(&self, hash: u64) -> Probe<'_> {
        let part = &self.parts[part_of(hash, self.part_bits)];
        if part.segment_slots == 0 || part.first_slots == 0 {
            return if part.segment_slots == 0 { Probe::YES } else { Probe::NO };
        }
        let (places, fingerprint) = part.places(hash, self.part_bits);
        Probe { slots: &self.slots[super::to_usize(part.first_slot)..], places, fingerprint }
    }

    pub(super) fn part_bits(&self) -> u32 {
        self.part_bits
    }

    /// Bytes in memory.
    pub(super) fn memory_bytes(&self) -> u64 {
        (self.parts.len() * size_of::<Part>() + self.slots.len() * 2) as u64
    }

    /// Each part: seed, first slot, slots of a segment, slots that come first.
    pub(super) fn encode_parts(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.parts.len() * PART_BYTES);
        for part in &self.parts {
            bytes.extend(part.seed.to_le_bytes());
            bytes.extend(part.first_slot.to_le_bytes());
            bytes.extend(part.segment_slots.to_le_bytes());
            bytes.extend(part.first_slots.to_le_bytes());
        }
        bytes
    }

    /// The slots of all parts. There are many, so no other form of all of them is made.
    pub(super) fn slots(&self) -> &[u16] {
        &self.slots
    }

    /// Bytes of [`Filter::encode_parts`]; `None` if there cannot be so many parts.
    pub(super) fn parts_bytes(part_bits: u32) -> Option<u64> {
        (part_bits <= 32).then(|| (PART_BYTES as u64) << part_bits)
    }

    /// From what was encoded; `None` if it is no filter that could be asked.
    pub(super) fn decode(part_bits: u32, parts: &[u8], slots: Vec<u16>) -> Option<Filter> {
        if Filter::parts_bytes(part_bits) != Some(parts.len() as u64) {
            return None;
        }
        let part = |bytes: &[u8]| Part {
            seed: u64_at(bytes, 0),
            first_slot: u64_at(bytes, 8),
            segment_slots: u32_at(bytes, 16),
            first_slots: u32_at(bytes, 20),
        };
        let parts: Vec<Part> = parts.chunks_exact(PART_BYTES).map(part).collect();
        let is_sound = |part: &Part| {
            let end = u64::from(part.first_slots) + 2 * u64::from(part.segment_slots);
            let is_size = part.segment_slots == 0
                || part.segment_slots.is_power_of_two()
                    && part.segment_slots <= SEGMENT_SLOTS_MAX
                    && part.first_slots.is_multiple_of(part.segment_slots);
            is_size && (part.first_slots == 0 || part.first_slot.saturating_add(end) <= slots.len() as u64)
        };
        parts.iter().all(is_sound).then_some(Filter { part_bits, parts, slots })
    }
}

/// A question to a filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe<'a> {
    slots: &'a [u16],
    places: [u32; 3],
    fingerprint: u16,
}

impl Probe<'_> {
    const YES: Probe<'static> = Probe { slots: &[0], places: [0; 3], fingerprint: 0 };
    /// Of what is not here.
    pub(super) const NO: Probe<'static> = Probe { slots: &[0], places: [0; 3], fingerprint: 1 };

    /// Is the hash here, or does it look so?
    pub(super) fn passes(&self) -> bool {
        self.fingerprint == self.places.iter().fold(0, |sum, place| sum ^ self.slots[*place as usize])
    }
}

impl Part {
    /// The three slots of a hash, from the part's first one, and what they add up to.
    fn places(&self, hash: u64, part_bits: u32) -> ([u32; 3], u16) {
        let mixed = mix(hash ^ self.seed);
        let (inside, mask) = (hash << part_bits, self.segment_slots - 1);
        let first = upper_half(u128::from(inside) * u128::from(self.first_slots));
        let second = (first + self.segment_slots) ^ (low_half(mixed >> 18) & mask);
        let third = (first + 2 * self.segment_slots) ^ (low_half(mixed) & mask);
        ([first, second, third], u16::try_from(mixed >> 48).expect("16 bits"))
    }
}

/// Builds a filter from hashes that come in ascending order.
#[derive(Debug)]
pub(super) struct FilterBuilder {
    filter: Filter,
    /// The hashes of the part under way, each once.
    hashes: Vec<u64>,
    work: Work,
}

impl FilterBuilder {
    /// For about so many hashes, in parts of about `part_max` at most.
    pub(super) fn new(hashes: u64, part_max: u32) -> FilterBuilder {
        let parts = hashes.div_ceil(u64::from(part_max)).max(1).next_power_of_two();
        let mean = Part::sized(super::to_usize(hashes.div_ceil(parts)));
        // Parts differ a little; room for all of them, because a vector that grows takes twice what it needs.
        let slots = u64::from(mean.first_slots + 2 * mean.segment_slots) * parts;
        let filter = Filter {
            part_bits: parts.trailing_zeros(),
            slots: Vec::with_capacity(super::to_usize(slots + slots / 64)),
            ..Filter::default()
        };
        FilterBuilder { filter, hashes: Vec::new(), work: Work::default() }
    }

    /// Adds a hash that is not below the last one.
    pub(super) fn add(&mut self, hash: u64) {
        while part_of(hash, self.filter.part_bits) > self.filter.parts.len() {
            self.end_part();
        }
        if self.hashes.last() != Some(&hash) {
            self.hashes.push(hash);
        }
    }

    pub(super) fn finish(mut self) -> Filter {
        while self.filter.parts.len() < 1 << self.filter.part_bits {
            self.end_part();
        }
        self.filter
    }

    fn end_part(&mut self) {
        let Filter { part_bits, parts, slots } = &mut self.filter;
        let mut part = Part { first_slot: slots.len() as u64, ..Part::sized(self.hashes.len()) };
        if self.hashes.is_empty() {
            parts.push(part);
            return;
        }
        for attempt in 0..ATTEMPTS_MAX {
            part.seed = mix(attempt + 1);
            if self.work.order(&part, &self.hashes, *part_bits) {
                self.work.fill(&part, *part_bits, slots);
                self.hashes.clear();
                parts.push(part);
                return;
            }
        }
        // A part that says yes to everything costs reads, never an answer.
        parts.push(Part { segment_slots: 0, first_slots: 0, ..part });
        self.hashes.clear();
    }
}

impl Part {
    /// With the sizes of the paper for so many hashes.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes of a part are far below 2^32 and never negative; what comes out is stored, not computed again"
    )]
    fn sized(hashes: usize) -> Part {
        let ln = (hashes.max(2) as f64).ln();
        let segment_slots = (1_u32 << (ln / 3.33_f64.ln() + 2.25).floor() as u32).min(SEGMENT_SLOTS_MAX);
        if hashes == 0 {
            return Part { segment_slots, ..Part::default() };
        }
        let factor = (0.875 + 0.25 * 1e6_f64.ln() / ln).max(1.125);
        let slots = (hashes as f64 * factor).round() as u32;
        let first_segments = slots.div_ceil(segment_slots).saturating_sub(2).max(1);
        Part { segment_slots, first_slots: first_segments * segment_slots, ..Part::default() }
    }
}

/// What building a part takes in memory: 9 bytes a slot and 9 a hash. It is used again for the next part.
#[derive(Debug, Default)]
struct Work {
    /// For each slot the hashes that are not taken out yet: how many, times 4, and which of their places it is, added up
    /// without carry.
    counts: Vec<u8>,
    /// For each slot these hashes, added up without carry.
    sums: Vec<u64>,
    /// Slots that had one hash when they were put here.
    lonely: Vec<u32>,
    /// The hashes in the order in which they were taken out.
    taken: Vec<u64>,
    /// At which of their places.
    found: Vec<u8>,
}

impl Work {
    /// Finds an order in which each hash has a slot that no later one uses; is there one?
    fn order(&mut self, part: &Part, hashes: &[u64], part_bits: u32) -> bool {
        let slots = (part.first_slots + 2 * part.segment_slots) as usize;
        self.counts.clear();
        self.counts.resize(slots, 0);
        self.sums.clear();
        self.sums.resize(slots, 0);
        self.lonely.clear();
        self.taken.clear();
        self.found.clear();
        for &hash in hashes {
            let (places, _) = part.places(hash, part_bits);
            for (which, place) in (0_u8..).zip(places) {
                let count = &mut self.counts[place as usize];
                let Some(more) = count.checked_add(4) else { return false };
                *count = more ^ which;
                self.sums[place as usize] ^= hash;
            }
        }
        self.lonely
            .extend((0..).zip(&self.counts).filter(|(_, count)| **count >> 2 == 1).map(|(slot, _)| slot));
        while let Some(slot) = self.lonely.pop() {
            let count = self.counts[slot as usize];
            if count >> 2 != 1 {
                continue;
            }
            let (hash, found) = (self.sums[slot as usize], count & 3);
            self.taken.push(hash);
            self.found.push(found);
            let (places, _) = part.places(hash, part_bits);
            for (which, place) in (0_u8..).zip(places) {
                let count = &mut self.counts[place as usize];
                *count = (*count - 4) ^ which;
                self.sums[place as usize] ^= hash;
                if *count >> 2 == 1 {
                    self.lonely.push(place);
                }
            }
        }
        self.taken.len() == hashes.len()
    }

    /// Appends the part's slots, so that the three of each hash add up to its fingerprint.
    fn fill(&self, part: &Part, part_bits: u32, slots: &mut Vec<u16>) {
        let first = slots.len();
        slots.resize(first + (part.first_slots + 2 * part.segment_slots) as usize, 0);
        let slots = &mut slots[first..];
        for (&hash, &found) in self.taken.iter().zip(&self.found).rev() {
            let (places, fingerprint) = part.places(hash, part_bits);
            let own = places[usize::from(found)] as usize;
            slots[own] = 0;
            slots[own] = places.iter().fold(fingerprint, |sum, place| sum ^ slots[*place as usize]);
        }
    }
}

/// The part that a hash is in.
fn part_of(hash: u64, part_bits: u32) -> usize {
    super::to_usize(hash.checked_shr(64 - part_bits).unwrap_or(0))
}

/// The finaliser of MurmurHash3: every bit of the outcome depends on every bit.
fn mix(mut number: u64) -> u64 {
    number ^= number >> 33;
    number = number.wrapping_mul(0xff51_afd7_ed55_8ccd);
    number ^= number >> 33;
    number = number.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ (number >> 33)
}

fn upper_half(product: u128) -> u32 {
    u32::try_from(product >> 64).expect("below the 32-bit factor")
}

fn low_half(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).expect("32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(count: u64, salt: u64) -> Vec<u64> {
        let mut hashes: Vec<u64> = (0..count).map(|number| mix(mix(number + 1) ^ mix(salt))).collect();
        hashes.sort_unstable();
        hashes
    }

    fn build(hashes: &[u64], part_max: u32) -> Filter {
        let mut builder = FilterBuilder::new(hashes.len() as u64, part_max);
        hashes.iter().for_each(|hash| builder.add(*hash));
        builder.finish()
    }

    #[test]
    fn what_is_here_passes_and_little_else_whatever_the_size() {
        for count in (0..70).chain([1_000, 5_000, 100_000]) {
            for part_max in [1, 16, 1_000, 1 << 17] {
                let here = hashes(count, 1);
                let filter = build(&here, part_max);
                assert!(
                    here.iter().all(|hash| filter.probe(*hash).passes()),
                    "{count} in parts of {part_max}"
                );
                assert!(
                    filter.parts.iter().all(|part| part.segment_slots > 0),
                    "a seed worked for each part"
                );
                let wrong =
                    hashes(100_000, 2).into_iter().filter(|hash| filter.probe(*hash).passes()).count();
                assert!(wrong < 20, "{wrong} of 100,000 pass wrongly with {count} in parts of {part_max}");
                let (parts, slots) = (filter.encode_parts(), filter.slots.clone());
                assert_eq!(Filter::decode(filter.part_bits, &parts, slots), Some(filter));
            }
        }
    }

    #[test]
    fn a_large_filter_takes_under_19_bits_a_hash() {
        let filter = build(&hashes(1 << 19, 1), 1 << 18);
        assert_eq!(filter.parts.len(), 2);
        let bits = filter.memory_bytes() * 8 * 100 / (1 << 19);
        assert!(bits < 1_900, "{bits} hundredths of a bit");
    }

    #[test]
    fn equal_hashes_count_once_and_crowded_ones_still_pass() {
        let equal = [7; 1_000];
        assert!(build(&equal, 16).probe(7).passes());
        // All in one part, and all with the same first slot.
        let crowded: Vec<u64> = (0..5_000).collect();
        let filter = build(&crowded, 16);
        assert!(crowded.iter().all(|hash| filter.probe(*hash).passes()));
    }

    #[test]
    fn what_is_no_filter_is_not_decoded() {
        let filter = build(&hashes(100, 1), 16);
        let (parts, slots) = (filter.encode_parts(), filter.slots.clone());
        assert_eq!(Filter::decode(filter.part_bits + 1, &parts, slots.clone()), None);
        assert_eq!(Filter::decode(filter.part_bits, &parts, slots[1..].to_vec()), None);
        let mut odd = parts.clone();
        odd[16] ^= 1;
        assert_eq!(Filter::decode(filter.part_bits, &odd, slots.clone()), None);
        assert_eq!(Filter::decode(60, &parts, slots), None);
    }

    /// The bytes are read for ever: this text never changes.
    #[test]
    fn the_bytes_of_a_filter_are_fixed() {
        let filter = build(&[1 << 60, 3 << 60, 9 << 60, 15 << 60], 2);
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let text = format!(
            "{}\n{}\n{}",
            filter.part_bits,
            hex(filter.encode_parts()),
            hex(filter.slots.iter().flat_map(|slot| slot.to_le_bytes()).collect())
        );
        expect_test::expect![[r#"
            1
            2ccbc234fcbc56b4000000000000000004000000040000002ccbc234fcbc56b40c000000000000000400000004000000
            0000000000000000000000000000000000000000512269c60000000000000000000000000000b5070000891d00000000"#]].assert_eq(&text);
    }
}
