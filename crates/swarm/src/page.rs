//! A summary as one static page: no scripts, no files next to it.

use std::fmt::Write as _;

use super::record::Failure;
use super::summary::Summary;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222;\
                     background:#fff}table{border-collapse:collapse}td,th{padding:.1em .8em;text-align:left}\
                     td.n{text-align:right}h2{margin-top:2em}code{background:#eee}.bad{color:#a00}";

impl Summary {
    /// Returns the page.
    pub fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>Swarm</title><style>{STYLE}</style>\
             <h1>Swarm</h1><pre>{}</pre>",
            escaped(&self.text())
        );
        let _ = write!(
            page,
            "<p>Build {}, format {}, seeds {}..{}, {} windows each.</p>",
            self.manifest.build,
            self.manifest.format,
            self.manifest.seeds.start,
            self.manifest.seeds.end,
            self.manifest.windows
        );
        page.push_str("<h2>Seeds per second, by batch</h2>");
        page.push_str(&line_chart(&self.pace));
        page.push_str(
            "<h2>Weight against hindsight</h2><p>Worlds by their weight, in parts of the most that anybody \
                       could have had who knew everything beforehand.</p>",
        );
        page.push_str(&self.weight_chart());
        page.push_str("<h2>Windows by fault</h2><p>Won and lost in worlds in which the fault had an effect.</p>");
        page.push_str(&self.fault_chart());
        page.push_str("<h2>Worlds that reached each mark</h2>");
        page.push_str(&self.mark_chart());
        page.push_str("<h2>Failures</h2>");
        if self.failures.is_empty() {
            page.push_str("<p>None.</p>");
        }
        for Failure { seed, violation, reproduce, .. } in &self.failures {
            let (violation, reproduce) = (escaped(violation), escaped(reproduce));
            let _ = write!(page, "<p class=bad>Seed {seed}: {violation}<br><code>{reproduce}</code></p>");
        }
        page + "</html>\n"
    }

    fn weight_chart(&self) -> String {
        let most = self.weight_shares.iter().copied().max().unwrap_or(1).max(1);
        let mut rows = String::from("<table id=weight><tr><th>weight<th>worlds<th>");
        for (tenth, worlds) in self.weight_shares.iter().enumerate() {
            let (from, width) = (tenth * 10, worlds * 400 / most);
            let _ = write!(
                rows,
                "<tr><td>{from}–{} %<td class=n>{worlds}<td><svg width=402 height=14><rect width={width} height=14 \
                 fill=#3a7/></svg>",
                from + 10
            );
        }
        rows + "</table>"
    }

    fn fault_chart(&self) -> String {
        let most = self.faults.values().map(|(won, lost)| won + lost).max().unwrap_or(1).max(1);
        let mut rows = String::from("<table><tr><th>fault<th>won<th>lost<th>");
        for (fault, (won, lost)) in &self.faults {
            let (green, red) = (won * 400 / most, lost * 400 / most);
            let _ = write!(
                rows,
                "<tr><td>{fault}<td class=n>{won}<td class=n>{lost}<td><svg width=402 height=14><rect width={green} \
                 height=14 fill=#3a7/><rect x={green} width={red} height=14 fill=#c44/></svg>"
            );
        }
        rows + "</table>"
    }

    fn mark_chart(&self) -> String {
        let length = |count: u64| (u64::from(count > 0) * 8) + u64::from(count.max(1).ilog2()) * 20;
        let mut rows = String::from("<table><tr><th>mark<th>worlds<th>(logarithmic)");
        let never = self.never_reached.iter().map(|mark| (mark, 0));
        for (mark, count) in never.chain(self.marks.iter().map(|(mark, count)| (mark, *count))) {
            let class = if count == 0 { " class=bad" } else { "" };
            let width = length(count);
            let _ = write!(
                rows,
                "<tr{class}><td>{mark}<td class=n>{count}<td><svg width=402 height=14><rect width={width} height=14 \
                 fill=#58a/></svg>"
            );
        }
        rows + "</table>"
    }
}

fn line_chart(values: &[f64]) -> String {
    let (width, height) = (800.0, 160.0);
    let most = values.iter().copied().fold(1e-9, f64::max);
    let step = width / (values.len().max(2) - 1) as f64;
    let points: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(i, value)| format!("{:.1},{:.1}", i as f64 * step, height - value / most * (height - 20.0)))
        .collect();
    format!(
        "<svg width={width} height={height} style=\"background:#f6f6f6\"><polyline fill=none stroke=#58a \
         points=\"{}\"/><text x=4 y=14>{most:.1}</text></svg>",
        points.join(" ")
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
