//! Rates as bars with whiskers, in SVG, readable on light and on dark.

use super::aims;
use super::compare::{Comparison, Run, Spread};

const WIDTH: f64 = 900.0;
/// Where the bars begin; the names stand before.
const LEFT: f64 = 240.0;
/// The longest bar.
const BAR: f64 = 440.0;
const ROW: f64 = 24.0;
const TITLE: f64 = 34.0;
const MARGIN: f64 = 16.0;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1b1f24}.title{font-weight:600}.small{font-size:11px;fill:#57606a}\
.bar{fill:#8c959f}.first{fill:#0969da}.whisker{stroke:#1b1f24;stroke-width:1.5}.back{fill:#ffffff}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.bar{fill:#656c76}.first{fill:#4493f8}\
.whisker{stroke:#e6edf3}.back{fill:#0d1117}}";

/// Each comparison has a scale of its own: its bars are shares of its fastest side.
pub(crate) fn svg(comparisons: &[Comparison]) -> String {
    let mut body = String::new();
    let mut y = MARGIN;
    for comparison in comparisons {
        y = group(&mut body, y, comparison);
    }
    let height = y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Rates, medians with smallest and largest\"><style>{STYLE}</style>\n\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\"/>\n{body}</svg>\n"
    )
}

/// Appends a comparison that begins at `y`, and says where the next one can begin.
fn group(body: &mut String, y: f64, comparison: &Comparison) -> f64 {
    let title = escaped(&format!("{}: {}", comparison.name, comparison.what));
    body.push_str(&format!("<text class=\"title\" x=\"{MARGIN}\" y=\"{:.1}\">{title}</text>\n", y + 16.0));
    let spreads: Vec<(&str, Option<Spread>)> =
        comparison.sides.iter().map(|side| (side.name.as_str(), side.spread(Run::rate))).collect();
    let largest = spreads.iter().filter_map(|(_, spread)| Some(spread.as_ref()?.max)).fold(0.0, f64::max);
    let mut at = y + TITLE;
    for (number, (name, spread)) in spreads.into_iter().enumerate() {
        let class = if number == 0 { "first" } else { "bar" };
        if let Some(spread) = spread.filter(|_| largest > 0.0) {
            bar(body, at, class, name, spread, BAR / largest);
        }
        at += ROW;
    }
    at + MARGIN
}

fn bar(body: &mut String, y: f64, class: &str, name: &str, spread: Spread, scale: f64) {
    let x = |value: f64| LEFT + value * scale;
    let (median, min, max, middle) = (x(spread.median), x(spread.min), x(spread.max), y + ROW / 2.0 - 3.0);
    let label = aims::number(spread.median);
    body.push_str(&format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\"/>\
         <path class=\"whisker\" d=\"M{min:.1} {middle:.1}H{max:.1}M{min:.1} {:.1}v8M{max:.1} {:.1}v8\"/>\
         <text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">{label}/s [{}..{}]</text>\n",
        LEFT - 8.0,
        middle + 5.0,
        escaped(name),
        median - LEFT,
        ROW - 6.0,
        middle - 4.0,
        middle - 4.0,
        max + 8.0,
        middle + 4.0,
        aims::number(spread.min),
        aims::number(spread.max),
    ));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::compare::Side;

    #[test]
    fn bars_are_shares_of_the_fastest() {
        let run = |rate: f64| Run { operations_per_second: rate, ..Run::default() };
        let side = |name: &str, rates: [f64; 2]| Side {
            name: name.to_owned(),
            durability: String::new(),
            settings: Vec::new(),
            load: None,
            runs: rates.map(run).into(),
        };
        let sides = vec![side("a<b", [100.0, 200.0]), side("c", [50.0, 50.0])];
        let comparison = Comparison { name: "n".into(), what: "w".into(), sides, missing: Vec::new() };
        let svg = svg(&[comparison]);
        assert!(
            svg.contains("a&lt;b") && svg.contains("width=\"440.0\"") && svg.contains("width=\"110.0\""),
            "{svg}"
        );
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }
}
