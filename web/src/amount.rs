//! Amounts as people write them: decimal text to minor units and back, exactly.
//!
//! What is absent here: floating point, rounding and locales. An amount with more decimals than its asset is an
//! error, not a smaller amount.

use core::fmt;

/// The greatest scale of an asset.
pub const SCALE_MAX: u8 = 18;

/// Minor units of decimal text: `12.5` at scale 2 is 1,250.
///
/// Takes an optional sign, digits with an optional point, and commas, spaces or underscores between digits before
/// the point.
///
/// # Errors
/// See [`AmountError`].
pub fn parse(text: &str, scale: u8) -> Result<i64, AmountError> {
    let trimmed = text.trim();
    let (negative, digits) = match trimmed.as_bytes().first() {
        None => return Err(AmountError::Empty),
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        Some(_) => (false, trimmed),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    if decimals.chars().count() > usize::from(scale) && decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AmountError::TooManyDecimals { scale });
    }
    let mut units: i128 = 0;
    let mut seen = false;
    for character in whole.chars().chain(decimals.chars()) {
        match character.to_digit(10) {
            Some(digit) => {
                seen = true;
                units = units.saturating_mul(10).saturating_add(i128::from(digit));
            }
            None if seen && matches!(character, ',' | '_' | ' ') => {}
            None => return Err(AmountError::NotADigit { character }),
        }
    }
    if !seen {
        return Err(AmountError::Empty);
    }
    for _ in decimals.chars().count()..usize::from(scale) {
        units = units.saturating_mul(10);
    }
    let signed = if negative { -units } else { units };
    i64::try_from(signed).map_err(|_| AmountError::TooGreat)
}

/// Decimal text of minor units, with commas between groups of three: 123,456,789 at scale 2 is `1,234,567.89`.
pub fn format(units: i128, scale: u8) -> String {
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, decimals) = digits.split_at(digits.len() - usize::from(scale));
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 2);
    if units < 0 {
        text.push('\u{2212}');
    }
    push_grouped(whole, &mut text);
    if scale > 0 {
        text.push('.');
        text.push_str(decimals);
    }
    text
}

/// A count with commas between groups of three.
pub fn grouped(number: u64) -> String {
    let mut text = String::new();
    push_grouped(&number.to_string(), &mut text);
    text
}

/// Why text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmountError {
    /// There is no digit.
    Empty,
    /// Something that does not belong into an amount.
    NotADigit {
        /// The first such character.
        character: char,
    },
    /// The asset has fewer decimals.
    TooManyDecimals {
        /// The asset's decimals.
        scale: u8,
    },
    /// It does not fit into 64 bits of minor units.
    TooGreat,
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "Enter an amount."),
            Self::NotADigit { character } => {
                write!(f, "“{character}” does not belong into an amount: use digits and one point.")
            }
            Self::TooManyDecimals { scale: 0 } => write!(f, "This asset has no decimals."),
            Self::TooManyDecimals { scale } => write!(f, "This asset has {scale} decimals, no more."),
            Self::TooGreat => write!(f, "This amount does not fit into 64 bits."),
        }
    }
}

fn push_grouped(digits: &str, text: &mut String) {
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_minor_units_exactly() {
        for (text, scale, expected) in [
            ("12.5", 2, Ok(1_250)),
            ("12.50", 2, Ok(1_250)),
            (" 1,234,567.89 ", 2, Ok(123_456_789)),
            (".5", 2, Ok(50)),
            ("7", 0, Ok(7)),
            ("7.", 2, Ok(700)),
            ("-1", 2, Ok(-100)),
            ("+1", 2, Ok(100)),
            ("92233720368547758.07", 2, Ok(i64::MAX)),
            ("-92233720368547758.08", 2, Ok(i64::MIN)),
            ("92233720368547758.08", 2, Err(AmountError::TooGreat)),
            ("9.223372036854775807", 18, Ok(i64::MAX)),
            ("0.001", 2, Err(AmountError::TooManyDecimals { scale: 2 })),
            ("1.0", 0, Err(AmountError::TooManyDecimals { scale: 0 })),
            ("1e3", 2, Err(AmountError::NotADigit { character: 'e' })),
            ("1.2.3", 2, Err(AmountError::NotADigit { character: '.' })),
            ("€5", 2, Err(AmountError::NotADigit { character: '€' })),
            ("", 2, Err(AmountError::Empty)),
            (".", 2, Err(AmountError::Empty)),
            ("-", 2, Err(AmountError::Empty)),
        ] {
            assert_eq!(parse(text, scale), expected, "{text:?} at scale {scale}");
        }
        let huge = "9".repeat(400);
        assert_eq!(parse(&huge, 2), Err(AmountError::TooGreat));
    }

    #[test]
    fn minor_units_become_text_exactly() {
        for (units, scale, expected) in [
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 2, "−0.05"),
            (123_456_789, 2, "1,234,567.89"),
            (1_000, 0, "1,000"),
            (i128::from(i64::MAX), 2, "92,233,720,368,547,758.07"),
            (i128::from(i64::MIN), 0, "−9,223,372,036,854,775,808"),
            (i128::MAX, 18, "170,141,183,460,469,231,731.687303715884105727"),
            (1, 18, "0.000000000000000001"),
        ] {
            assert_eq!(format(units, scale), expected);
        }
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for units in [0, 1, 99, 100, 12_345, i64::MAX] {
            for scale in 0..=SCALE_MAX {
                assert_eq!(parse(&format(i128::from(units), scale), scale), Ok(units));
            }
        }
    }
}
