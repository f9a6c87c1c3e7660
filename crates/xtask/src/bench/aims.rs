//! Single figures, and what is aimed for.

use serde::Serialize;

use super::compare::Spread;

/// A figure, beside its aim if it has one.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    /// What it is, and on what settings.
    pub(crate) what: String,
    pub(crate) unit: String,
    pub(crate) value: Spread,
    pub(crate) aim: Option<Aim>,
}

/// Which side of a number is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub(crate) fn new(name: &str, what: &str, unit: &str, value: Spread, aim: Option<Aim>) -> Figure {
        Figure { name: name.to_owned(), what: what.to_owned(), unit: unit.to_owned(), value, aim }
    }

    /// Of one number.
    pub(crate) fn single(name: &str, what: &str, unit: &str, value: f64, aim: Option<Aim>) -> Figure {
        Figure::new(name, what, unit, Spread { median: value, min: value, max: value }, aim)
    }

    /// What came of the aim: the median counts.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.aim {
            None => "",
            Some(Aim::AtLeast(least)) if self.value.median >= least => "met",
            Some(Aim::AtMost(most)) if self.value.median <= most => "met",
            Some(Aim::AtLeast(_) | Aim::AtMost(_)) => "MISSED",
        }
    }

    /// The aim for people.
    pub(crate) fn aim_text(&self) -> String {
        match self.aim {
            None => String::new(),
            Some(Aim::AtLeast(least)) => format!("at least {}", number(least)),
            Some(Aim::AtMost(most)) => format!("at most {}", number(most)),
        }
    }
}

/// A number with thousands apart, and three digits of a small one.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "none".to_owned();
    }
    if value.abs() < 100.0 && value.fract() != 0.0 {
        return if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") };
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `median [min..max]`, or the one number.
pub(crate) fn spread(Spread { median, min, max }: Spread) -> String {
    if min.total_cmp(&max).is_eq() {
        return number(median);
    }
    format!("{} [{}..{}]", number(median), number(min), number(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_met_or_missed_by_the_median() {
        let verdict = |value, aim| Figure::single("n", "w", "u", value, Some(aim)).verdict();
        assert_eq!(verdict(6.0, Aim::AtLeast(6.0)), "met");
        assert_eq!(verdict(5.9, Aim::AtLeast(6.0)), "MISSED");
        assert_eq!(verdict(15.0, Aim::AtMost(15.0)), "met");
        assert_eq!(verdict(16.0, Aim::AtMost(15.0)), "MISSED");
    }

    #[test]
    fn numbers_are_readable() {
        let texts = [0.254, 12.34, 12.0, 999.6, 1_234_567.8, -1_000.0].map(number);
        assert_eq!(texts, ["0.25", "12.3", "12", "1,000", "1,234,568", "-1,000"]);
        assert_eq!(spread(Spread { median: 2.0, min: 1.5, max: 3.0 }), "2 [1.50..3]");
        assert_eq!(spread(Spread { median: 2.0, min: 2.0, max: 2.0 }), "2");
    }
}
