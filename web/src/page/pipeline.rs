//! The pipeline as a picture: where commands are, how many a second pass, how full each stage is.
//!
//! Nothing moves that is not there: a bar is as long as its stage is full, and an arrow is strong when commands passed
//! in the last virtual second.

use yew::prelude::*;

use super::dom::use_size;
use super::format::{origin_tag, short};
use super::state::Part;
use crate::amount::grouped;
use crate::protocol::{Origin, Stage, StageView};

/// From this width on the stages stand side by side.
const WIDE_PX: u32 = 780;

/// Below this width nothing can be read; the page has it only while it is being laid out.
const NARROW_PX: u32 = 160;

/// The stages that stand in a row; answers go back below them.
const ROW: [Stage; 7] = [
    Stage::Clients,
    Stage::Gateway,
    Stage::Commands,
    Stage::Idempotency,
    Stage::Ledger,
    Stage::Journal,
    Stage::Projections,
];

#[derive(Properties, PartialEq)]
pub(super) struct PipelineProps {
    pub stages: Part<Vec<StageView>>,
}

/// The picture of the pipeline.
#[component]
pub(super) fn Pipeline(props: &PipelineProps) -> Html {
    let frame = use_node_ref();
    let (width, height) = use_size(&frame);
    let picture = match width {
        0..NARROW_PX => Html::default(),
        WIDE_PX.. => wide(&props.stages, width, height),
        _ => tall(&props.stages, width),
    };
    html! {
        <section class="card pipeline" aria-labelledby="pipeline-title">
            <div class="card-head">
                <h2 id="pipeline-title">{ "Pipeline" }</h2>
                { origin_tag(Origin::Modelled) }
                <p class="hint">{ "Rates per virtual second. Answers and balances appear only once a record is durable." }</p>
            </div>
            <figure ref={frame} data-testid="pipeline" class={if width < WIDE_PX { "picture tall" } else { "picture" }}>{ picture }</figure>
        </section>
    }
}

/// Where a stage is drawn.
#[derive(Clone, Copy)]
struct Place {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

fn wide(stages: &[StageView], width: u32, height: u32) -> Html {
    const GAP: u32 = 22;
    const TOP: u32 = 30;
    let box_height = height.saturating_sub(TOP + 48).clamp(132, 172);
    let count: u32 = 7;
    let box_width = (width - 2 - GAP * (count - 1)) / count;
    let place =
        |index: u32| Place { x: 1 + index * (box_width + GAP), y: TOP, width: box_width, height: box_height };
    let boxes = (0..count).zip(ROW).map(|(index, stage)| upright(find(stages, stage), stage, place(index)));
    let arrows = (1..count).zip(ROW).map(|(index, stage)| {
        let to = place(index);
        arrow(to.x - GAP + 2, to.y + 40, to.x - 3, to.y + 40, arrow_class(stages, stage))
    });
    let (journal, clients) = (place(5), place(0));
    let (from_x, to_x) = (journal.x + box_width / 2, clients.x + box_width / 2);
    let (bottom, deep) = (TOP + box_height, TOP + box_height + 34);
    let way = format!("M{from_x} {} V{deep} H{to_x} V{}", bottom + 2, bottom + 6);
    let head = format!("M{} {} L{to_x} {} L{} {}", to_x - 5, bottom + 9, bottom + 2, to_x + 5, bottom + 9);
    let height = TOP + box_height + 48;
    html! {
        <svg viewBox={format!("0 0 {width} {height}")} width={width.to_string()} height={height.to_string()}
            role="img" aria-label={description(stages)}>
            { zone(place(3).x, place(4).x + box_width, 14, "in memory") }
            { zone(journal.x, journal.x + box_width, 14, "durable") }
            { for arrows }
            <path class={arrow_class(stages, Stage::Replies)} d={way} />
            <path class={arrow_class(stages, Stage::Replies)} d={head} />
            { for boxes }
            { replies_label(find(stages, Stage::Replies), u32::midpoint(from_x, to_x), deep) }
        </svg>
    }
}

fn tall(stages: &[StageView], width: u32) -> Html {
    const GAP: u32 = 16;
    const HEIGHT: u32 = 62;
    const LANE: u32 = 34;
    let box_width = width - LANE - 2;
    let place = |index: u32| Place { x: 1, y: 1 + index * (HEIGHT + GAP), width: box_width, height: HEIGHT };
    let boxes = (0..7).zip(ROW).map(|(index, stage)| lying(find(stages, stage), stage, place(index)));
    let arrows = (1..7).zip(ROW).map(|(index, stage)| {
        let to = place(index);
        arrow(28, to.y - GAP + 1, 28, to.y - 2, arrow_class(stages, stage))
    });
    let (journal, clients) = (place(5), place(0));
    let (from_y, to_y) = (journal.y + HEIGHT / 2, clients.y + HEIGHT / 2);
    let (side, lane) = (box_width + 3, box_width + LANE / 2);
    let class = arrow_class(stages, Stage::Replies);
    let replies = find(stages, Stage::Replies).map_or(0, |stage| stage.rate_per_second);
    let middle = u32::midpoint(from_y, to_y);
    let height = place(6).y + HEIGHT + 2;
    html! {
        <svg viewBox={format!("0 0 {width} {height}")} width={width.to_string()} height={height.to_string()}
            role="img" aria-label={description(stages)}>
            { for arrows }
            <path {class} d={format!("M{side} {from_y} H{lane} V{to_y} H{}", side + 3)} />
            <path {class} d={format!("M{} {} L{side} {to_y} L{} {}", side + 7, to_y - 5, side + 7, to_y + 5)} />
            { for boxes }
            <text class="small" text-anchor="middle" transform={format!("translate({} {middle}) rotate(-90)", lane + 14)}>
                { format!("replies {}/s, once durable", short(replies)) }
            </text>
        </svg>
    }
}

/// A stage as a standing box.
fn upright(view: Option<&StageView>, stage: Stage, place: Place) -> Html {
    let Place { x, y, width, height } = place;
    let (left, right) = (x + 10, x + width - 10);
    html! {
        <g class={stage_class(stage)} key={name(stage)}>
            <title>{ meaning(stage) }</title>
            { outline(stage, place) }
            <text class="name" x={left.to_string()} y={(y + 22).to_string()}>{ name(stage) }</text>
            <text class="rate" x={left.to_string()} y={(y + 50).to_string()}>
                { view.map_or_else(|| "–".into(), |view| short(view.rate_per_second)) }
                <tspan class="per" dx="2">{ "/s" }</tspan>
            </text>
            { bar(view, stage, left, y + 62, right - left) }
            <text class="small" x={left.to_string()} y={(y + height - 45).to_string()}>{ waiting(view) }</text>
            <text class="small" x={left.to_string()} y={(y + height - 28).to_string()}>{ flying(view) }</text>
            <text class="small" x={left.to_string()} y={(y + height - 11).to_string()}>{ passed(view) }</text>
        </g>
    }
}

/// A stage as a lying box.
fn lying(view: Option<&StageView>, stage: Stage, place: Place) -> Html {
    let Place { x, y, width, .. } = place;
    let (left, right) = (x + 12, x + width - 12);
    html! {
        <g class={stage_class(stage)} key={name(stage)}>
            <title>{ meaning(stage) }</title>
            { outline(stage, place) }
            <text class="name" x={left.to_string()} y={(y + 21).to_string()}>{ name(stage) }</text>
            <text class="rate" text-anchor="end" x={right.to_string()} y={(y + 23).to_string()}>
                { view.map_or_else(|| "–".into(), |view| short(view.rate_per_second)) }
                <tspan class="per" dx="2">{ "/s" }</tspan>
            </text>
            { bar(view, stage, left, y + 31, right - left) }
            <text class="small" x={left.to_string()} y={(y + 53).to_string()}>{ waiting(view) }</text>
            <text class="small" text-anchor="end" x={right.to_string()} y={(y + 53).to_string()}>{ flying(view) }</text>
        </g>
    }
}

/// The box; the queue is open at its left end, the journal is a pile of pages.
fn outline(stage: Stage, place: Place) -> Html {
    let Place { x, y, width, height } = place;
    let pile = (stage == Stage::Journal).then(|| {
        html! {
            <path class="pile" d={format!("M{} {} v-4 h{} v{} h-4", x + 6, y, width - 2, height - 4)} />
        }
    });
    html! {
        <>
            { pile }
            <rect class="box" x={x.to_string()} y={y.to_string()} width={width.to_string()} height={height.to_string()} rx="6" />
        </>
    }
}

/// How full a stage is. Without a limit of its own there is nothing to fill, so there is no bar.
fn bar(view: Option<&StageView>, stage: Stage, x: u32, y: u32, width: u32) -> Html {
    const SLOTS: u32 = 12;
    let Some(view) = view.filter(|view| view.depth_max > 0) else { return Html::default() };
    let fill = |of: u32| u32::try_from(view.depth * u64::from(of) / view.depth_max).unwrap_or(of).min(of);
    let ground = html! {
        <rect class="bar" x={x.to_string()} y={y.to_string()} width={width.to_string()} height="8" rx="2" />
    };
    let filled = fill(width).max(u32::from(view.depth > 0) * 2);
    let class = if view.depth * 10 >= view.depth_max * 9 { "fill full" } else { "fill" };
    let slots = (stage == Stage::Commands).then(|| {
        (1..SLOTS).map(|slot| {
            let at = (x + width * slot / SLOTS).to_string();
            html! { <line class="slot" x1={at.clone()} x2={at} y1={y.to_string()} y2={(y + 8).to_string()} /> }
        })
    });
    html! {
        <>
            { ground }
            <rect {class} x={x.to_string()} y={y.to_string()} width={filled.to_string()} height="8" rx="2" />
            { for slots.into_iter().flatten() }
        </>
    }
}

fn arrow(x1: u32, y1: u32, x2: u32, y2: u32, class: &'static str) -> Html {
    let head = if y1 == y2 {
        format!("M{} {} L{x2} {y2} L{} {}", x2 - 5, y2 - 4, x2 - 5, y2 + 4)
    } else {
        format!("M{} {} L{x2} {y2} L{} {}", x2 - 4, y2 - 5, x2 + 4, y2 - 5)
    };
    html! { <path {class} d={format!("M{x1} {y1} L{x2} {y2} {head}")} /> }
}

fn zone(x1: u32, x2: u32, y: u32, text: &'static str) -> Html {
    let middle = u32::midpoint(x1, x2);
    html! {
        <g class="zone">
            <path d={format!("M{x1} {} v-5 H{x2} v5", y + 8)} />
            <text class="small" text-anchor="middle" x={middle.to_string()} y={(y - 3).to_string()}>{ text }</text>
        </g>
    }
}

fn replies_label(view: Option<&StageView>, x: u32, y: u32) -> Html {
    let rate = view.map_or(0, |view| view.rate_per_second);
    let text = format!(
        "replies · {}/s · {} in all",
        short(rate),
        view.map_or_else(|| "0".into(), |view| short(view.total))
    );
    html! {
        <g class="replies">
            <rect class="ground" x={(x - 120).to_string()} y={(y - 10).to_string()} width="240" height="20" />
            <text class="small strong" text-anchor="middle" x={x.to_string()} y={(y + 4).to_string()}>{ text }</text>
        </g>
    }
}

fn waiting(view: Option<&StageView>) -> String {
    match view {
        None => String::new(),
        Some(view) if view.depth_max > 0 => format!("{} of {}", short(view.depth), short(view.depth_max)),
        Some(view) => format!("{} waiting", short(view.depth)),
    }
}

fn flying(view: Option<&StageView>) -> String {
    view.map_or_else(String::new, |view| format!("{} in flight", short(view.in_flight)))
}

fn passed(view: Option<&StageView>) -> String {
    view.map_or_else(String::new, |view| format!("{} in all", short(view.total)))
}

fn find(stages: &[StageView], stage: Stage) -> Option<&StageView> {
    stages.iter().find(|view| view.stage == stage)
}

/// The arrow that leaves a stage is strong when commands left it in the last virtual second.
fn arrow_class(stages: &[StageView], stage: Stage) -> &'static str {
    if find(stages, stage).is_some_and(|view| view.rate_per_second > 0) { "arrow active" } else { "arrow" }
}

fn stage_class(stage: Stage) -> &'static str {
    match stage {
        Stage::Clients | Stage::Gateway | Stage::Replies => "stage outside",
        Stage::Commands => "stage queue",
        Stage::Idempotency | Stage::Ledger => "stage core",
        Stage::Journal => "stage durable",
        Stage::Projections => "stage read",
    }
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Clients => "Clients",
        Stage::Gateway => "Gateway",
        Stage::Commands => "Queue",
        Stage::Idempotency => "Idempotency",
        Stage::Ledger => "Ledger",
        Stage::Journal => "Journal",
        Stage::Projections => "Projections",
        Stage::Replies => "Replies",
    }
}

fn meaning(stage: Stage) -> &'static str {
    match stage {
        Stage::Clients => "Clients send commands over a network that loses, delays and doubles messages",
        Stage::Gateway => "The gateway answers known ids at once and pushes new commands into the queue",
        Stage::Commands => "The queue “commands”: when it is full, the gateway answers Busy",
        Stage::Idempotency => {
            "Asks whether the transaction id was seen before; a repeat gets the first answer again"
        }
        Stage::Ledger => "Decides each command and applies its events in memory",
        Stage::Journal => {
            "Appends each command's events as one record and waits until both copies are stored"
        }
        Stage::Projections => "Balances, entries and totals, folded from durable records only",
        Stage::Replies => "Answers leave only after their record is durable",
    }
}

fn description(stages: &[StageView]) -> String {
    let mut text = String::from("Pipeline from clients to projections.");
    for view in stages {
        text.push_str(&format!(
            " {}: {} a second, {} waiting, {} in flight.",
            name(view.stage),
            grouped(view.rate_per_second),
            grouped(view.depth),
            grouped(view.in_flight)
        ));
    }
    text
}
