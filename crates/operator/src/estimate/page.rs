//! The report as one page: no script, no network, plots as inline SVG.

use grail_estimate::{Estimate, Gpu, Report, Variant};

use super::{Economics, HEADINGS, assumptions, percent, row, source};
use crate::plots::{STYLE, bars, escaped, line_plot, short};

/// Returns the whole page.
pub fn page(stated: &str, estimate: &Estimate, report: &Report, economics: Option<&Economics>) -> String {
    let Gpu { tokens_per_s, proof_ms, .. } = estimate.gpu;
    let plain = &report.plain;
    let cards = [
        (format!("{:.0}", plain.groups_mean()), "clean groups a window"),
        (percent(plain.clean_share), "of the windows clean"),
        (short(plain.weight_mean()), "weight"),
        (format!("{} of {}", plain.place, estimate.rivals + 1), "place among the miners"),
    ];
    let cards: String =
        cards.map(|(value, what)| format!("<div class=card><b>{value}</b><span>{what}</span></div>")).concat();
    let weight = |variant: &Variant| variant.outcome.weight_mean();
    let groups = |variant: &Variant| variant.outcome.groups_mean();
    let plots = [
        by_window("Clean groups of each window", plain.groups.iter().map(|groups| *groups as f64)),
        by_window("Weight after each window", plain.weights.iter().copied()),
        by_variant("Weight by speed", &report.speeds, weight),
        by_variant("Clean groups by speed", &report.speeds, groups),
        by_variant("Weight by safety blocks", &report.safety, weight),
        by_variant("Weight by policy", &report.policies, weight),
    ];
    let tables = [
        rows("Speed, of the stated one", &report.speeds, "100 %"),
        rows("Safety blocks", &report.safety, &estimate.safety_blocks.to_string()),
        rows("Policy", &report.policies, ""),
    ];
    let assumptions: String = assumptions(estimate).iter().map(|line| format!("<li>{}</li>", escaped(line))).collect();
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>grail: estimate for {title}</title><style>{STYLE}</style>\
         <h1>Estimate for {title}</h1><p class=lead>{windows} windows among {rivals} rivals, seed {seed}. \
         {tokens_per_s:.0} tokens/s, {proof_ms:.3} ms of proof a token ({source}).</p>\
         <div class=cards>{cards}</div>{economics}<h2>Plots</h2><div class=plots>{plots}</div>{tables}\
         <h2>What this rests on</h2><ul>{assumptions}</ul></html>\n",
        title = escaped(stated),
        economics = economics.map_or_else(String::new, |it| format!("<h2>A day</h2><p>{}</p>", escaped(&it.text()))),
        windows = estimate.windows,
        rivals = estimate.rivals,
        seed = estimate.seed,
        source = escaped(&source(stated)),
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
    format!("<h2>{title}</h2><div class=scroll><table><tr>{}</tr>{body}</table></div>", cells("th", &headings))
}

fn by_window(title: &str, values: impl Iterator<Item = f64>) -> String {
    let values: Vec<Option<f64>> = values.map(Some).collect();
    line_plot(title, "by window", &values, ["window 1", &values.len().to_string()])
}

fn by_variant(title: &str, variants: &[Variant], value: impl Fn(&Variant) -> f64) -> String {
    let named: Vec<(&str, f64)> = variants.iter().map(|variant| (variant.name.as_str(), value(variant))).collect();
    bars(title, "", &named)
}

#[cfg(test)]
mod tests {
    use grail_miner::policy::UploadPolicy;

    use super::*;

    #[test]
    fn the_page_stands_alone_and_typed_text_cannot_write_into_it() {
        let gpu = Gpu::parse("gpu=a100").expect("a GPU");
        let estimate = Estimate { seed: 1, windows: 14, rivals: 3, gpu, safety_blocks: 1, policy: UploadPolicy::Score };
        let page = page("gpu=a100<script>\"", &estimate, &estimate.report(), None);
        assert_eq!(page.matches("<svg").count(), 6);
        assert!(page.contains("gpu=a100&lt;script&gt;&quot;"));
        for foreign in ["<script", "http:", "https:", "NaN", "inf"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}
