//! Decimal texts to integer minor units, exactly.

use core::fmt;

/// Reads a decimal number such as `163.3` or `-5` as minor units of an asset with `scale` decimal places: with scale 2
/// that is 16330 and -500. No float is involved and nothing is rounded: more decimal places than the scale are an error
/// unless they are zeros.
pub fn parse_amount(text: &str, scale: u8) -> Result<i64, AmountError> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && decimals.is_empty()) || !all_digits(whole) || !all_digits(decimals) {
        return Err(AmountError::NotANumber);
    }
    let places = usize::from(scale);
    let (kept, beyond) = decimals.split_at(places.min(decimals.len()));
    if beyond.bytes().any(|byte| byte != b'0') {
        return Err(AmountError::TooManyDecimals { scale });
    }
    let zeros = core::iter::repeat_n(b'0', places - kept.len());
    // Negative numbers reach one further, so the sum is made on their side.
    let mut minor: i64 = 0;
    for digit in whole.bytes().chain(kept.bytes()).chain(zeros) {
        let next = minor.checked_mul(10).and_then(|tens| tens.checked_sub(i64::from(digit - b'0')));
        minor = next.ok_or(AmountError::OutOfRange { scale })?;
    }
    if negative { Ok(minor) } else { minor.checked_neg().ok_or(AmountError::OutOfRange { scale }) }
}

/// Writes minor units as a decimal number with `scale` decimal places: the other way of [`parse_amount`].
pub fn format_amount(minor: i64, scale: u8) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, decimals) = digits.split_at(digits.len() - usize::from(scale));
    let point = if scale == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{decimals}")
}

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmountError {
    /// It is not of the form `123`, `123.45` or `-123.45`.
    NotANumber,
    /// It has digits behind the asset's decimal places.
    TooManyDecimals {
        /// The asset's decimal places.
        scale: u8,
    },
    /// It does not fit into 63 bits of minor units.
    OutOfRange {
        /// The asset's decimal places.
        scale: u8,
    },
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AmountError::NotANumber => write!(f, "is not a decimal number; write it like 123.45"),
            AmountError::TooManyDecimals { scale } => {
                write!(f, "has more than {scale} decimal places; nothing is rounded, so give a larger scale")
            }
            AmountError::OutOfRange { scale } => {
                write!(f, "is too large: amounts stay below 2^63 units of 10^-{scale}")
            }
        }
    }
}

impl std::error::Error for AmountError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        let cases = [
            ("163.3", 2, Ok(16_330)),
            ("0", 2, Ok(0)),
            ("-5", 2, Ok(-500)),
            ("+.5", 1, Ok(5)),
            ("7.", 0, Ok(7)),
            ("1.2300", 2, Ok(123)),
            ("0.29", 2, Ok(29)),
            ("9223372036854775807", 0, Ok(i64::MAX)),
            ("-92233720368547758.08", 2, Ok(i64::MIN)),
            ("1.234", 2, Err(AmountError::TooManyDecimals { scale: 2 })),
            ("92233720368547758.08", 2, Err(AmountError::OutOfRange { scale: 2 })),
            ("99999999999999999999", 0, Err(AmountError::OutOfRange { scale: 0 })),
            ("1", 18, Ok(1_000_000_000_000_000_000)),
            ("10", 18, Err(AmountError::OutOfRange { scale: 18 })),
        ];
        for (text, scale, expected) in cases {
            assert_eq!(parse_amount(text, scale), expected, "{text} at scale {scale}");
        }
        for text in ["", "-", ".", "1,5", "1e3", " 1", "1 ", "--1", "1.2.3", "NaN", "٣", "1.-2"] {
            assert_eq!(parse_amount(text, 2), Err(AmountError::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn formatting_is_the_other_way() {
        for (minor, scale, text) in
            [(16_330, 2, "163.30"), (-5, 2, "-0.05"), (0, 0, "0"), (i64::MIN, 2, "-92233720368547758.08")]
        {
            assert_eq!(format_amount(minor, scale), text);
            assert_eq!(parse_amount(text, scale), Ok(minor));
        }
    }
}
