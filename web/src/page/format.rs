//! Numbers and times as the page writes them.

use yew::prelude::*;

use crate::amount::grouped;
use crate::protocol::Origin;

const MICROS_PER_SECOND: u64 = 1_000_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// Date and time in UTC to the microsecond: `2025-01-01 00:00:01.250000`.
pub(super) fn date_time(micros: u64) -> String {
    let seconds = micros / MICROS_PER_SECOND;
    let (year, month, day) = civil(seconds / SECONDS_PER_DAY);
    format!("{year:04}-{month:02}-{day:02} {}", time_of_day(micros))
}

/// The time of the day in UTC to the microsecond: `00:00:01.250000`.
pub(super) fn time_of_day(micros: u64) -> String {
    let second = micros / MICROS_PER_SECOND % SECONDS_PER_DAY;
    let (hours, minutes, seconds) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:06}", micros % MICROS_PER_SECOND)
}

/// A length of time with three digits and a unit: `850 µs`, `12.4 ms`, `1.25 s`, `3 min 20 s`.
pub(super) fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => three_digits(micros, 1_000, "ms"),
        1_000_000..60_000_000 => three_digits(micros, MICROS_PER_SECOND, "s"),
        _ => {
            let seconds = micros / MICROS_PER_SECOND;
            format!("{} min {} s", grouped(seconds / 60), seconds % 60)
        }
    }
}

/// A count with three digits and a letter: `987`, `12.3 k`, `4.56 M`.
pub(super) fn short(count: u64) -> String {
    match count {
        0..10_000 => grouped(count),
        10_000..1_000_000 => three_digits(count, 1_000, "k"),
        1_000_000..1_000_000_000 => three_digits(count, 1_000_000, "M"),
        _ => three_digits(count, 1_000_000_000, "G"),
    }
}

/// A number of bytes in powers of 1,024: `512 B`, `12.3 KiB`, `256 MiB`.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..0x400 => format!("{count} B"),
        0x400..0x10_0000 => three_digits(count, 0x400, "KiB"),
        0x10_0000..0x4000_0000 => three_digits(count, 0x10_0000, "MiB"),
        _ => three_digits(count, 0x4000_0000, "GiB"),
    }
}

/// Thousandths as a factor: `0.1×`, `98×`.
pub(super) fn factor(per_mille: u64) -> String {
    match per_mille {
        0..10_000 => format!("{}.{}×", per_mille / 1_000, per_mille % 1_000 / 100),
        _ => format!("{}×", grouped(per_mille / 1_000)),
    }
}

/// Text in groups of `size` characters, set apart by style alone: what is copied or read by a test is the bare text.
pub(super) fn in_groups(text: &str, size: usize) -> Html {
    let first = text.chars().count() % size;
    let mut groups = Vec::new();
    let mut group = String::new();
    for (position, character) in text.chars().enumerate() {
        if position > 0 && position >= first && (position - first).is_multiple_of(size) {
            groups.push(std::mem::take(&mut group));
        }
        group.push(character);
    }
    groups.push(group);
    html! { <>{ for groups.into_iter().filter(|group| !group.is_empty()).map(|group| html! { <span class="group">{ group }</span> }) }</> }
}

/// The label that says where a number comes from.
pub(super) fn origin_tag(origin: Origin) -> Html {
    let (class, word, meaning) = match origin {
        Origin::Measured => {
            ("origin measured", "measured", "Counted or clocked while the real code ran in this tab")
        }
        Origin::Replayed => ("origin replayed", "replayed", "Computed again from the stored log"),
        Origin::Modelled => {
            ("origin modelled", "modelled", "Made by a model: the seed decides it, not this machine")
        }
    };
    html! { <span {class} title={meaning}>{ word }</span> }
}

fn three_digits(number: u64, unit: u64, name: &str) -> String {
    let hundredths = u128::from(number) * 100 / u128::from(unit);
    let (whole, part) = (hundredths / 100, hundredths % 100);
    match whole {
        0..10 => format!("{whole}.{part:02} {name}"),
        10..100 => format!("{whole}.{} {name}", part / 10),
        _ => format!("{whole} {name}"),
    }
}

/// Year, month and day of a day number since 1970, by whole eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date_time(0), "1970-01-01 00:00:00.000000");
        assert_eq!(date_time(951_782_399_000_001), "2000-02-28 23:59:59.000001");
        assert_eq!(date_time(951_782_400_000_000), "2000-02-29 00:00:00.000000");
        assert_eq!(date_time(1_735_689_600_250_000), "2025-01-01 00:00:00.250000");
        assert_eq!(date_time((1 << 53) - 1), "2255-06-05 23:47:34.740991");
    }

    #[test]
    fn numbers_are_short_and_never_round_up() {
        assert_eq!(duration(850), "850 µs");
        assert_eq!(duration(12_499), "12.4 ms");
        assert_eq!(duration(1_259_999), "1.25 s");
        assert_eq!(duration(200_000_000), "3 min 20 s");
        assert_eq!(short(9_999), "9,999");
        assert_eq!(short(12_399), "12.3 k");
        assert_eq!(short(4_569_999), "4.56 M");
        assert_eq!(bytes(256 << 20), "256 MiB");
        assert_eq!(factor(100), "0.1×");
        assert_eq!(factor(98_700), "98×");
    }
}
