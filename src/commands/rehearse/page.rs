//! The report as one page: no script, no network, plots as inline SVG.

use std::fmt::Write;

use grail_sim::rehearsal::{Card, Rehearsal, Report, Variant};

use super::{HEADINGS, assumptions, percent, row, source};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;color:#1d2430;background:#fff;max-width:1000px;margin:2em auto;padding:0 1em}\
h1{font-size:1.5em;margin:0}h2{font-size:1.1em;margin:1.6em 0 .4em}.lead{color:#5a6474;margin:.2em 0 1.2em}\
.cards{display:flex;gap:1em;flex-wrap:wrap}.card{flex:1;min-width:9em;border:1px solid #d9dee6;border-radius:8px;padding:.7em .9em}\
.card b{display:block;font-size:1.6em}.card span{color:#5a6474;font-size:.9em}\
.plots{display:grid;grid-template-columns:1fr 1fr;gap:1em}figure{margin:0;border:1px solid #d9dee6;border-radius:8px;padding:.6em}\
figcaption{font-weight:600;font-size:.95em;margin-bottom:.3em}svg{width:100%;height:auto;display:block}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}td,th{text-align:right;padding:.25em .6em;border-bottom:1px solid #e8ebf0}\
td:first-child,th:first-child{text-align:left}tr.now td{background:#eef4ff}li{margin:.15em 0}";

/// Inner size of a plot, and the room for its labels.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 52.0;
const BOTTOM: f64 = 26.0;
const TOP: f64 = 12.0;

/// The whole page.
pub(super) fn page(profile: &str, rehearsal: &Rehearsal, report: &Report) -> String {
    let Card { tokens_per_s, proof_ms, .. } = rehearsal.card;
    let plain = &report.plain;
    let cards = [
        (format!("{:.0}", plain.groups_mean()), "clean groups a window"),
        (percent(plain.clean_share), "of the windows clean"),
        (short(plain.weight_mean()), "weight"),
        (format!("{} of {}", plain.place, rehearsal.rivals + 1), "place among the miners"),
    ];
    let cards: String =
        cards.map(|(value, what)| format!("<div class=card><b>{value}</b><span>{what}</span></div>")).concat();
    let weight = |variant: &Variant| variant.outcome.weight_mean();
    let groups = |variant: &Variant| variant.outcome.groups_mean();
    let plots = [
        line_plot("Clean groups of each window", &plain.groups.iter().map(|groups| *groups as f64).collect::<Vec<_>>()),
        line_plot("Weight after each window", &plain.weights),
        bars("Weight by speed", &report.speeds, weight),
        bars("Clean groups by speed", &report.speeds, groups),
        bars("Weight by safety blocks", &report.safety, weight),
        bars("Weight by policy", &report.policies, weight),
    ];
    let tables = [
        rows("Speed, of the stated one", &report.speeds, "100 %"),
        rows("Safety blocks", &report.safety, &rehearsal.safety_blocks.to_string()),
        rows("Policy", &report.policies, ""),
    ];
    let assumptions: String = assumptions(rehearsal).iter().map(|line| format!("<li>{}</li>", escaped(line))).collect();
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>grail: rehearsal of {title}</title><style>{STYLE}</style>\
         <h1>Rehearsal of {title}</h1><p class=lead>{windows} windows among {rivals} rivals, seed {seed}. \
         {tokens_per_s:.0} tokens/s, {proof_ms:.3} ms of proof a token ({source}).</p>\
         <div class=cards>{cards}</div><h2>Plots</h2><div class=plots>{plots}</div>{tables}\
         <h2>What this rests on</h2><ul>{assumptions}</ul></html>\n",
        title = escaped(profile),
        windows = rehearsal.windows,
        rivals = rehearsal.rivals,
        seed = rehearsal.seed,
        source = escaped(&source(profile)),
        plots = plots.concat(),
        tables = tables.concat(),
    )
}

fn rows(title: &str, variants: &[Variant], now: &str) -> String {
    let cells =
        |tag: &str, cells: &[String]| -> String { cells.iter().map(|cell| format!("<{tag}>{cell}</{tag}>")).collect() };
    let body: String = variants
        .iter()
        .map(|variant| {
            let class = if variant.name == now { " class=now" } else { "" };
            format!("<tr{class}>{}</tr>", cells("td", &row(&variant.name, &variant.outcome)))
        })
        .collect();
    let headings: Vec<String> = HEADINGS.iter().map(|heading| escaped(heading)).collect();
    format!("<h2>{title}</h2><table><tr>{}</tr>{body}</table>", cells("th", &headings))
}

fn line_plot(title: &str, values: &[f64]) -> String {
    let most = ceiling(values.iter().copied().fold(0.0, f64::max));
    let step = WIDTH / values.len().saturating_sub(1).max(1) as f64;
    let points: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(at, value)| format!("{:.1},{:.1}", LEFT + at as f64 * step, height(*value, most)))
        .collect();
    let line = format!("<polyline fill=none stroke=#2f6fde stroke-width=1.5 points=\"{}\"/>", points.join(" "));
    let ends = format!(
        "<text x={LEFT} y={y}>window 1</text><text x={right} y={y} text-anchor=end>{count}</text>",
        y = TOP + HEIGHT + 18.0,
        right = LEFT + WIDTH,
        count = values.len(),
    );
    figure(title, most, &(line + &ends))
}

fn bars(title: &str, variants: &[Variant], value: impl Fn(&Variant) -> f64) -> String {
    let most = ceiling(variants.iter().map(&value).fold(0.0, f64::max));
    let step = WIDTH / variants.len() as f64;
    let mut body = String::new();
    for (at, variant) in variants.iter().enumerate() {
        let (x, top) = (LEFT + at as f64 * step, height(value(variant), most));
        let middle = x + step / 2.0;
        write!(
            body,
            "<rect x={:.1} y={top:.1} width={:.1} height={:.1} rx=3 fill=#2f6fde />\
             <text x={middle:.1} y={:.1} text-anchor=middle>{}</text><text x={middle:.1} y={:.1} text-anchor=middle>{}</text>",
            x + step * 0.18,
            step * 0.64,
            TOP + HEIGHT - top,
            TOP + HEIGHT + 18.0,
            escaped(&variant.name),
            (top - 4.0).max(TOP + 8.0),
            short(value(variant)),
        )
        .expect("writing to a String cannot fail");
    }
    figure(title, most, &body)
}

/// A frame with a scale of four steps around a plot's body.
fn figure(title: &str, most: f64, body: &str) -> String {
    let mut scale = String::new();
    for quarter in 0..=4 {
        let value = most * f64::from(quarter) / 4.0;
        let y = height(value, most);
        write!(
            scale,
            "<line x1={LEFT} x2={} y1={y:.1} y2={y:.1} stroke=#e3e7ee /><text x={} y={:.1} text-anchor=end>{}</text>",
            LEFT + WIDTH,
            LEFT - 6.0,
            y + 4.0,
            short(value),
        )
        .expect("writing to a String cannot fail");
    }
    format!(
        "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {} {}\" role=img aria-label=\"{}\" font-size=11 fill=#5a6474>{scale}{body}</svg></figure>",
        escaped(title),
        LEFT + WIDTH + 8.0,
        TOP + HEIGHT + BOTTOM,
        escaped(title),
    )
}

fn height(value: f64, most: f64) -> f64 {
    TOP + HEIGHT * (1.0 - value / most)
}

/// The next of 1, 2, 4, 5, 8 times a power of ten that is not below a value.
fn ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let step = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        // Two digits that mean something.
        value if value < 0.1 => format!("{value:.0$}", 1 + (-value.log10()).ceil() as usize),
        value if value < 10.0 => format!("{value:.2}"),
        value => format!("{value:.0}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use grail_miner::policy::UploadPolicy;

    use super::*;

    #[test]
    fn the_page_stands_alone_and_what_was_typed_cannot_write_into_it() {
        let card = Card::parse("gpu=a100").expect("a card");
        let rehearsal =
            Rehearsal { seed: 1, windows: 14, rivals: 3, card, safety_blocks: 1, policy: UploadPolicy::Score };
        let page = page("gpu=a100<script>\"", &rehearsal, &rehearsal.report());
        assert_eq!(page.matches("<svg").count(), 6);
        assert!(page.contains("gpu=a100&lt;script&gt;&quot;"));
        for foreign in ["<script", "http:", "https:", "NaN", "inf"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn scales_end_at_round_numbers_that_hold_every_value() {
        for (value, expected) in [(0.0, 1.0), (0.031, 0.04), (170.0, 200.0), (1.0, 1.0), (9.1, 10.0)] {
            assert!((ceiling(value) - expected).abs() < 1e-12, "{value}");
        }
    }
}
