//! A summary as one static page: no scripts, no files next to it.

use std::fmt::Write as _;

use super::Role;
use super::record::Failure;
use super::summary::{Summary, counted};

/// The style of every page of figures.
const STYLE: &str = include_str!("../../operator/src/figures.css");

impl Summary {
    /// Returns the page.
    pub fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>Swarm</title><style>{STYLE}</style><h1>Swarm</h1>\
             <p class=lead>Build {}, format {}, seeds {}..{}, {} each; {:.1} seeds/s and process.{}</p>\
             <div class=cards>{}</div>",
            escaped(&self.manifest.build),
            self.manifest.format,
            self.manifest.seeds.start,
            self.manifest.seeds.end,
            counted(self.manifest.windows, "window"),
            self.pace_per_process(),
            if self.missing > 0 { format!(" {} were not run.", counted(self.missing, "seed")) } else { String::new() },
            self.cards()
        );
        page.push_str("<h2>Seeds per second, by batch</h2>");
        page.push_str(&line_chart(&self.pace));
        page.push_str(
            "<h2>Income</h2><p>Worlds by the groups from which their uploads were chosen, in parts of what a perfect \
             miner on the same engine would have had.</p>",
        );
        page.push_str(&self.income_chart());
        page.push_str(
            "<h2>Windows by fault</h2><p>In worlds in which the fault had an effect:<span class=\"key won\">won</span>\
             <span class=\"key lost\">lost</span></p>",
        );
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

    /// Returns the main figures; those of a role that did not run are left out.
    fn cards(&self) -> String {
        let marks = self.manifest.role.marks().len();
        let miner = self.manifest.role != Role::Validator;
        let validator = self.manifest.role != Role::Miner;
        let cards = [
            (true, self.seeds, "seeds".to_owned()),
            (true, self.failures.len() as u64, "failures".to_owned()),
            (miner, self.windows.1, format!("of {} windows won", self.windows.0)),
            (validator, self.judged.1, format!("of {} windows judged", self.judged.0)),
            (miner, self.groups.0, format!("of {} groups that perfect miners would have", self.groups.1)),
            (true, (marks - self.never_reached.len()) as u64, format!("of {marks} marks reached")),
        ];
        let card = |(_, value, what)| format!("<div class=card><b>{value}</b><span>{what}</span></div>");
        cards.into_iter().filter(|(is_shown, ..)| *is_shown).map(card).collect()
    }

    fn income_chart(&self) -> String {
        let most = self.incomes.iter().copied().max().unwrap_or(1).max(1);
        let mut rows = String::from("<div class=scroll><table id=income><tr><th>income<th>worlds<th>");
        for (tenth, worlds) in self.incomes.iter().enumerate() {
            let from = tenth * 10;
            let bar = bar(&[("bar", worlds * 400 / most)]);
            let _ = write!(rows, "<tr><td>{from}–{} %<td>{worlds}<td>{bar}", from + 10);
        }
        rows + "</table></div>"
    }

    fn fault_chart(&self) -> String {
        let most = self.faults.values().map(|(won, lost)| won + lost).max().unwrap_or(1).max(1);
        let mut rows = String::from("<div class=scroll><table><tr><th>fault<th>won<th>lost<th>");
        for (fault, (won, lost)) in &self.faults {
            let bar = bar(&[("won", won * 400 / most), ("lost", lost * 400 / most)]);
            let _ = write!(rows, "<tr><td>{fault}<td>{won}<td>{lost}<td>{bar}");
        }
        rows + "</table></div>"
    }

    fn mark_chart(&self) -> String {
        let length = |count: u64| (u64::from(count > 0) * 8) + u64::from(count.max(1).ilog2()) * 20;
        let mut rows = String::from("<div class=scroll><table><tr><th>mark<th>worlds<th>(logarithmic)");
        let never = self.never_reached.iter().map(|mark| (mark, 0));
        for (mark, count) in never.chain(self.marks.iter().map(|(mark, count)| (mark, *count))) {
            let class = if count == 0 { " class=bad" } else { "" };
            let _ = write!(rows, "<tr{class}><td>{mark}<td>{count}<td>{}", bar(&[("bar", length(count))]));
        }
        rows + "</table></div>"
    }
}

/// Returns a bar of parts, each with its class and its length out of 400.
fn bar(parts: &[(&str, u64)]) -> String {
    let (mut x, mut rects) = (0, String::new());
    for (class, length) in parts {
        // Quoted: a value without quotation marks would take the slash that ends the element.
        let _ = write!(rects, "<rect class=\"{class}\" x=\"{x}\" width=\"{length}\" height=\"12\"/>");
        x += length;
    }
    format!("<svg viewBox=\"0 0 402 12\" style=\"min-width:120px\">{rects}</svg>")
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
        "<svg viewBox=\"0 0 {width} {height}\"><line class=\"scale\" x1=\"0\" x2=\"{width}\" y1=\"20\" y2=\"20\"/>\
         <polyline class=\"line\" points=\"{}\"/><text x=\"4\" y=\"14\">{most:.1} seeds/s</text></svg>",
        points.join(" ")
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_that_a_slash_may_follow_is_quoted() {
        let page = bar(&[("won", 10), ("lost", 20)]) + &line_chart(&[1.0, 2.0]);
        for element in page.split('<').filter(|element| element.contains('=')) {
            let values = element.split('=').skip(1);
            assert!(values.clone().all(|value| value.starts_with('"')), "{element}");
        }
        assert!(page.contains("<rect class=\"lost\" x=\"10\" width=\"20\""), "{page}");
    }
}
