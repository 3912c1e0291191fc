//! The last windows as one page: outcomes, scores, margins, rejections and speeds, from the miner's files.

use std::collections::BTreeMap;

use crate::plots::{STYLE, bars, date, escaped, line_plot, short};
use crate::weights::{WeightReading, set_after};
use crate::why::{Finding, Income, Receipt, WeightFacts};
use grail_terminal::counted;

/// Windows that are listed one by one.
const ROWS_MAX: usize = 500;
const UNKNOWN: &str = "unknown";
/// Longest reason for which the weight is unknown.
const WHY_CHARS: usize = 80;

/// Inputs of a report.
pub struct Report<'a> {
    /// Receipts in the order in which they were given.
    pub receipts: &'a [Receipt],
    /// Period of these windows, such as "24 h".
    pub since: &'a str,
    /// Weights that validators have set by now.
    pub weight: &'a Finding<WeightFacts>,
    /// Earlier weights, as the miner read them.
    pub readings: &'a [WeightReading],
    /// The requested hotkey; none if all receipts are of one hotkey and none was requested.
    pub hotkey: Option<&'a str>,
}

impl Report<'_> {
    /// Returns the whole page.
    pub fn page(&self) -> String {
        let all = self.receipts;
        let uploaded = all.iter().filter(|receipt| is_uploaded(receipt)).count();
        let mean = |values: Vec<f64>| {
            let count = values.len();
            if count == 0 { UNKNOWN.to_owned() } else { short(values.iter().sum::<f64>() / count as f64) }
        };
        let expected = |receipt: &Receipt| receipt.expected_score.filter(|_| is_uploaded(receipt));
        let income = |receipt: &Receipt| Income::of(all, receipt.window).map(Income::share);
        let cards = [
            (format!("{uploaded} of {}", all.len()), "windows uploaded and read back"),
            (mean(all.iter().filter_map(expected).collect()), "distinct solutions expected a file"),
            (mean(all.iter().filter_map(income).collect()), "income: share of the best window's groups"),
            (self.set(), "of the weights set now"),
            (all.iter().map(|receipt| receipt.rollouts_uploaded).sum::<u64>().to_string(), "rollouts uploaded"),
            (mean(all.iter().filter_map(|receipt| receipt.slack_seconds).collect()), "seconds to spare"),
        ];
        let cards: String = cards
            .iter()
            .map(|(value, what)| format!("<div class=card><b>{}</b><span>{what}</span></div>", escaped(value)))
            .collect();
        let ends = [all.first(), all.last()].map(|end| end.map_or_else(String::new, |end| date(end.ended_at)));
        let ends = [ends[0].as_str(), ends[1].as_str()];
        let line = |title: &str, unit: &str, value: &dyn Fn(&Receipt) -> Option<f64>| {
            line_plot(title, unit, &all.iter().map(value).collect::<Vec<_>>(), ends)
        };
        let rejections = all.iter().flat_map(|receipt| &receipt.self_check_rejections);
        let rejections = rejections.map(|(reason, count)| (reason, *count));
        let plots = [
            line("Score expected", "distinct solutions a window", &|receipt| receipt.expected_score),
            line("Income", "% of the best window's groups", &|receipt| Some(income(receipt)? * 100.0)),
            line("Weight set", "% of a validator's weights, after each window", &|receipt| {
                Some(set_share(self.readings, receipt)? * 100.0)
            }),
            line("To spare at the upload", "seconds", &|receipt| receipt.slack_seconds),
            line("Uploaded", "rollouts a window", &|receipt| Some(receipt.rollouts_uploaded as f64)),
            line("Clean", "rollouts a second", &|receipt| per_second(receipt.rollouts_clean?, receipt.seconds?)),
            line("Generated", "completion tokens a second", &|receipt| per_second(receipt.tokens?, receipt.seconds?)),
            by_name("Self-check rejections", "rollouts by reason", rejections),
            by_name("Outcomes", "windows", all.iter().map(|receipt| (&receipt.outcome, 1))),
        ];
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>grail: the last windows</title><style>{STYLE}</style>\
             <h1>The last windows</h1><p class=lead>{whose}<br>{count}, {since}{dates}.</p>\
             <div class=cards>{cards}</div><p class=lead>{weight}</p><h2>Plots</h2>\
             <p class=lead>Each line runs from the oldest window to the newest; it breaks where a value is not known.</p>\
             <div class=plots>{plots}</div><h2>Windows, newest first</h2>{table}</html>\n",
            whose = escaped(&self.whose()),
            count = counted(all.len(), "window"),
            since = escaped(self.since),
            dates = if all.is_empty() { String::new() } else { format!(": {} to {} UTC", ends[0], ends[1]) },
            weight = escaped(&self.weight_text()),
            plots = plots.concat(),
            table = table(all, self.readings),
        )
    }

    /// Returns the hotkey and the network, if the receipts hold them.
    fn whose(&self) -> String {
        let newest = |field: fn(&Receipt) -> Option<&String>| self.receipts.iter().rev().find_map(field);
        let hotkey = self.hotkey.or_else(|| newest(|receipt| receipt.hotkey.as_ref()).map(String::as_str));
        let network = newest(|receipt| receipt.network.as_ref()).map_or("an unknown network", String::as_str);
        format!("Hotkey {} on {network}", hotkey.unwrap_or("unknown"))
    }

    /// Returns the largest share that a validator has set.
    fn set(&self) -> String {
        let facts = self.weight.value();
        let most = facts.and_then(|facts| facts.validators.iter().map(|(_, share)| *share).reduce(f64::max));
        percent(most).unwrap_or_else(|| UNKNOWN.to_owned())
    }

    fn weight_text(&self) -> String {
        match self.weight {
            Finding::Unknown { why } => format!("The weight set now is unknown: {}.", first_words(why)),
            Finding::Known { value } if value.validators.is_empty() => "No validator has set weights.".to_owned(),
            Finding::Known { value } => {
                let share = |(uid, share): &(u16, f64)| format!("{:.3} % by uid {uid}", share * 100.0);
                let shares: Vec<String> = value.validators.iter().map(share).collect();
                format!("Set now for uid {}, over all its windows: {}.", value.uid, shares.join(", "))
            }
        }
    }
}

/// Returns the start of a text, up to the first clause's end, so that it stays a line.
fn first_words(text: &str) -> String {
    let clause = text.split([';', '\n']).next().unwrap_or(text).trim().trim_end_matches('.');
    match clause.char_indices().nth(WHY_CHARS) {
        Some((end, _)) => format!("{}…", &clause[..end]),
        None => clause.to_owned(),
    }
}

/// The largest share of a validator's weights once it could have judged this window, which sums over twelve.
fn set_share(readings: &[WeightReading], receipt: &Receipt) -> Option<f64> {
    set_after(readings, receipt.window)?.most()
}

fn percent(share: Option<f64>) -> Option<String> {
    share.map(|share| format!("{:.3} %", share * 100.0))
}

fn is_uploaded(receipt: &Receipt) -> bool {
    receipt.outcome == "uploaded"
}

fn per_second(count: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| count as f64 / seconds)
}

/// Returns a bar for the sum of each name.
fn by_name<'a>(title: &str, unit: &str, counts: impl Iterator<Item = (&'a String, u64)>) -> String {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    counts.for_each(|(name, count)| *sums.entry(name).or_default() += count);
    let sums: Vec<(&str, f64)> = sums.into_iter().map(|(name, sum)| (name, sum as f64)).collect();
    bars(title, unit, &sums)
}

fn table(receipts: &[Receipt], readings: &[WeightReading]) -> String {
    const HEADINGS: [&str; 10] = [
        "window",
        "ended, UTC",
        "outcome",
        "groups",
        "uploaded",
        "solved",
        "score expected",
        "weight set after it",
        "to spare",
        "rollouts/s",
    ];
    let number = |value: Option<f64>| value.map_or_else(|| UNKNOWN.to_owned(), short);
    let row = |receipt: &Receipt| {
        // A row of its own, which a narrow screen can wrap.
        let why = match (is_uploaded(receipt), &receipt.why) {
            (true, _) => String::new(),
            (false, why) => {
                let why = escaped(&format!("{} (grail why {})", why.as_deref().unwrap_or_default(), receipt.window));
                format!("<tr class=why><td colspan={}><p>{why}</p></td></tr>", HEADINGS.len())
            }
        };
        let speed = receipt.rollouts_clean.zip(receipt.seconds).and_then(|(count, seconds)| per_second(count, seconds));
        let cells = [
            receipt.window.to_string(),
            date(receipt.ended_at),
            receipt.outcome.replace('_', " "),
            receipt.groups_clean.to_string(),
            receipt.groups_uploaded.to_string(),
            receipt.rollouts_solved.map_or_else(|| UNKNOWN.to_owned(), |solved| solved.to_string()),
            number(receipt.expected_score),
            percent(set_share(readings, receipt)).unwrap_or_else(|| UNKNOWN.to_owned()),
            receipt.slack_seconds.map_or_else(|| "-".to_owned(), |slack| format!("{slack:.1} s")),
            number(speed),
        ];
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>{why}")
    };
    let head: String = HEADINGS.iter().map(|heading| format!("<th>{heading}</th>")).collect();
    let rows: String = receipts.iter().rev().take(ROWS_MAX).map(row).collect();
    let left_out = receipts.len().saturating_sub(ROWS_MAX);
    let more = match left_out {
        0 => String::new(),
        older => format!("<p>{} in the plots alone.</p>", counted(older, "older window")),
    };
    format!("<div class=scroll><table class=report><tr>{head}</tr>{rows}</table></div>{more}")
}
