//! Throughput and latency over virtual time, as lines with axes.

use yew::prelude::*;

use super::dom::use_size;
use super::format::{duration, origin_tag, short};
use super::state::Part;
use crate::protocol::{CHART_POINTS_MAX, ChartPoint, ChartView, Origin};

const LEFT: u64 = 56;
const RIGHT: u64 = 8;
const TOP: u64 = 10;
const BOTTOM: u64 = 24;
/// The height of an axis in shares.
const SHARES: u64 = 100_000;
/// A chart is at least so many points wide, so that the first ones do not fill it.
const POINTS_MIN: usize = 40;

#[derive(Properties, PartialEq)]
pub(super) struct ChartsProps {
    pub chart: Part<Option<ChartView>>,
}

/// Both charts.
#[component]
pub(super) fn Charts(props: &ChartsProps) -> Html {
    let (interval, points) = match props.chart.as_ref() {
        Some(chart) => (chart.interval_micros, chart.points.as_slice()),
        None => (0, [].as_slice()),
    };
    let line = |name, class, value: &dyn Fn(&ChartPoint) -> u64| Line {
        name,
        class,
        values: points.iter().map(value).collect(),
    };
    let origin = Origin::Modelled;
    let latency = vec![
        line("p50", "line p50", &|point| point.latency_p50_micros.into()),
        line("p95", "line p95", &|point| point.latency_p95_micros.into()),
        line("p99", "line p99", &|point| point.latency_p99_micros.into()),
    ];
    html! {
        <div class="charts">
            <Chart title="Throughput" unit="commands per virtual second" quantity={Quantity::Rate} {interval}
                lines={throughput(interval, points)} {origin} />
            <Chart title="Latency" unit="first sending to answer, logarithmic" quantity={Quantity::Time} {interval} lines={latency} {origin} />
        </div>
    }
}

/// Throughput alone, by this machine's clock.
#[component]
pub(super) fn Throughput(props: &ChartsProps) -> Html {
    let (interval, points) = match props.chart.as_ref() {
        Some(chart) => (chart.interval_micros, chart.points.as_slice()),
        None => (0, [].as_slice()),
    };
    html! {
        <Chart title="Throughput" unit="commands a second, as they arrive" quantity={Quantity::Rate} {interval}
            lines={throughput(interval, points)} origin={Origin::Measured} />
    }
}

fn throughput(interval: u64, points: &[ChartPoint]) -> Vec<Line> {
    let per_second = |count: u32| (u64::from(count) * 1_000_000).checked_div(interval).unwrap_or(0);
    let line = |name, class, value: &dyn Fn(&ChartPoint) -> u64| Line {
        name,
        class,
        values: points.iter().map(value).collect(),
    };
    vec![
        line("completed", "line completed", &|point| per_second(point.completed)),
        line("refused", "line refused", &|point| per_second(point.refused)),
    ]
}

/// What the numbers of a chart count.
#[derive(Clone, Copy, PartialEq)]
enum Quantity {
    /// Commands in a second.
    Rate,
    /// Microseconds.
    Time,
}

#[derive(Clone, PartialEq)]
struct Line {
    name: &'static str,
    class: &'static str,
    values: Vec<u64>,
}

#[derive(Properties, PartialEq)]
struct ChartProps {
    title: &'static str,
    unit: &'static str,
    quantity: Quantity,
    interval: u64,
    lines: Vec<Line>,
    origin: Origin,
}

#[component]
fn Chart(props: &ChartProps) -> Html {
    let frame = use_node_ref();
    let (width, height) = use_size(&frame);
    let (width, height) = (u64::from(width), u64::from(height));
    let quantity = props.quantity;
    let write = move |value| match quantity {
        Quantity::Rate => short(value),
        Quantity::Time => duration(value),
    };
    let legend = props.lines.iter().map(|line| {
        let last = line.values.last().filter(|value| quantity == Quantity::Rate || **value > 0);
        let now = last.map_or_else(|| "–".into(), |value| write(*value));
        html! {
            <li key={line.name}>
                <svg class="swatch" viewBox="0 0 22 8" aria-hidden="true"><path class={line.class} d="M0 4H22" /></svg>
                { line.name }{ " " }<b>{ now }</b>
            </li>
        }
    });
    let id = format!("chart-{}", props.title);
    html! {
        <section class="card chart" aria-labelledby={id.clone()}>
            <div class="card-head">
                <h2 {id}>{ props.title }</h2>
                { origin_tag(props.origin) }
                <p class="hint">{ props.unit }</p>
            </div>
            <ul class="legend">{ for legend }</ul>
            <figure ref={frame} class="picture">
                if width > LEFT + RIGHT + 40 && height > TOP + BOTTOM + 40 { { picture(props, width, height, &write) } }
            </figure>
        </section>
    }
}

fn picture(props: &ChartProps, width: u64, height: u64, write: &dyn Fn(u64) -> String) -> Html {
    let axis = Axis::of(props.quantity, props.lines.iter().flat_map(|line| &line.values).copied());
    let (plot_width, plot_height) = (width - LEFT - RIGHT, height - TOP - BOTTOM);
    let y_of = |value: u64| TOP + plot_height - axis.share(value) * plot_height / SHARES;
    let count = props.lines.first().map_or(0, |line| line.values.len());
    let slots = u64::try_from(count.clamp(POINTS_MIN, CHART_POINTS_MAX) - 1).unwrap_or(u64::MAX);
    let x_of = |index: usize| {
        let from_end = u64::try_from(count - 1 - index).unwrap_or(0);
        LEFT + plot_width - from_end * plot_width / slots
    };
    let ticks = axis.ticks().into_iter().map(|tick| {
        let y = y_of(tick).to_string();
        html! {
            <g key={tick.to_string()}>
                <line class="grid" x1={LEFT.to_string()} x2={(width - RIGHT).to_string()} y1={y.clone()} y2={y.clone()} />
                <text class="tick" text-anchor="end" dominant-baseline="middle" x={(LEFT - 8).to_string()} y={y}>{ write(tick) }</text>
            </g>
        }
    });
    let lines = props.lines.iter().map(|line| {
        let there = line.values.iter().enumerate().filter(|(_, value)| axis.holds(**value));
        let points: String =
            there.map(|(index, value)| format!("{},{} ", x_of(index), y_of(*value))).collect();
        html! { <polyline key={line.name} class={line.class} {points} /> }
    });
    let axis_y = (height - 6).to_string();
    let span = props.interval * slots;
    html! {
        <svg viewBox={format!("0 0 {width} {height}")} width={width.to_string()} height={height.to_string()}
            role="img" aria-label={description(props, write)}>
            { for ticks }
            { for lines }
            if count > 0 {
                <text class="tick" x={LEFT.to_string()} y={axis_y.clone()}>{ format!("{} ago", duration(span)) }</text>
            } else {
                <text class="empty" text-anchor="middle" x={(LEFT + plot_width / 2).to_string()} y={(TOP + plot_height / 2).to_string()}>
                    { "No answers yet" }
                </text>
            }
            <text class="tick" text-anchor="end" x={(width - RIGHT).to_string()} y={axis_y}>{ "now" }</text>
        </svg>
    }
}

/// An upright axis.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Axis {
    /// From 0, in even steps.
    Even { step: u64, top: u64 },
    /// From one power of ten to another, each as high as the next: a rare slow answer leaves the usual ones readable.
    Decades { low: u64, high: u64 },
}

impl Axis {
    fn of(quantity: Quantity, values: impl Iterator<Item = u64> + Clone) -> Self {
        let highest = values.clone().max().unwrap_or(0);
        match quantity {
            Quantity::Rate => {
                let step = tick_step(highest);
                Self::Even { step, top: step * highest.div_ceil(step).max(2) }
            }
            Quantity::Time => {
                let lowest = values.filter(|value| *value > 0).min().unwrap_or(1_000);
                let low = 10_u64.pow(lowest.ilog10());
                let high = 10_u64.pow(highest.max(2).ilog10() + 1).max(low * 10);
                Self::Decades { low, high }
            }
        }
    }

    fn ticks(self) -> Vec<u64> {
        match self {
            Self::Even { step, top } => (0..=top / step).map(|tick| tick * step).collect(),
            Self::Decades { low, high } => {
                (low.ilog10()..=high.ilog10()).map(|power| 10_u64.pow(power)).collect()
            }
        }
    }

    /// How high a value stands, of [`SHARES`].
    fn share(self, value: u64) -> u64 {
        match self {
            Self::Even { top, .. } => value.min(top) * SHARES / top,
            Self::Decades { low, high } => {
                let value = logarithm(value.clamp(low, high));
                (value - logarithm(low)) * SHARES / (logarithm(high) - logarithm(low))
            }
        }
    }

    /// Whether a value is a point: an interval without an answer has no latency.
    fn holds(self, value: u64) -> bool {
        match self {
            Self::Even { .. } => true,
            Self::Decades { .. } => value > 0,
        }
    }
}

/// 1,024 times the logarithm to base 2, straight between powers of two: off by less than 0.09, and never falling.
fn logarithm(value: u64) -> u64 {
    let power = value.ilog2();
    u64::from(power) * 1_024 + u64::try_from(((u128::from(value) << 10) >> power) & 1_023).unwrap_or(0)
}

fn description(props: &ChartProps, write: &dyn Fn(u64) -> String) -> String {
    let mut text = format!("{}, {}.", props.title, props.unit);
    for line in &props.lines {
        if let (Some(last), Some(highest)) = (line.values.last(), line.values.iter().max()) {
            text.push_str(&format!(" {}: now {}, highest {}.", line.name, write(*last), write(*highest)));
        }
    }
    text
}

/// A step of 1, 2 or 5 times a power of ten, so that two to five steps reach `highest`.
fn tick_step(highest: u64) -> u64 {
    let mut power = 1;
    loop {
        for factor in [1, 2, 5] {
            let step = power * factor;
            if highest.div_ceil(step) <= 4 || step > u64::MAX / 20 {
                return step;
            }
        }
        power *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for (highest, step) in [(0, 1), (4, 1), (5, 2), (9, 5), (1_000, 500), (90_000, 50_000), (801, 500)] {
            assert_eq!(tick_step(highest), step, "up to {highest}");
        }
        assert!(tick_step(u64::MAX) > 0);
    }

    #[test]
    fn decades_are_evenly_high_and_hold_every_value() {
        let axis = Axis::of(Quantity::Time, [2_300, 0, 202_000].into_iter());
        assert_eq!(axis, Axis::Decades { low: 1_000, high: 1_000_000 });
        assert_eq!(axis.ticks(), [1_000, 10_000, 100_000, 1_000_000]);
        assert_eq!((axis.share(1_000), axis.share(1_000_000)), (0, SHARES));
        assert!(axis.share(10_000).abs_diff(SHARES / 3) < SHARES / 50);
        assert!((1..5_000).all(|value| axis.share(value) <= axis.share(value + 1)), "never falling");
        let nothing = Axis::of(Quantity::Time, [].into_iter());
        assert_eq!(nothing.ticks(), [1_000, 10_000]);
    }
}
