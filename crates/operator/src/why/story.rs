//! A window's story in the order of time, from its tape.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow};
use grail_debugger::timeline::{Call, End, Gatherer, WindowLanes};
use grail_tape::Tape;

use super::Cause;
use crate::tapes::tapes_in;

/// Most lines of a story; a window with more of them shows its first and last ones.
const LINES_MAX: usize = 24;

/// Returns the story of a window on one of the tapes in a folder, of `hotkey` if one is named.
///
/// # Errors
/// If no tape there holds the window.
pub fn story(tapes: &Path, window: u64, hotkey: Option<&str>) -> anyhow::Result<Vec<Cause>> {
    let paths = tapes_in(tapes).with_context(|| format!("no tapes in {}", tapes.display()))?;
    // The window asked for is most often a late one.
    for path in paths.iter().rev() {
        let Ok(tape) = Tape::read(path) else { continue };
        let is_of_another = hotkey.is_some_and(|wanted| tape.header.settings.hotkey.to_ss58() != wanted);
        if is_of_another || tape.windows().iter().all(|one| one.window_start != window) {
            continue;
        }
        let timeline = Gatherer::of_tape(&tape.excerpt(window)?).timeline();
        let lanes = timeline.windows.iter().find(|lanes| lanes.start == window);
        let lanes = lanes.ok_or_else(|| anyhow!("the tape {} has none of its steps", path.display()))?;
        return Ok(story_of(lanes, tape.header.settings.block_ms));
    }
    Err(anyhow!("no tape in {} holds that window; tapes go after 14 days, or with `--tape off`", tapes.display()))
}

/// A window's story for the screen, or why there is none.
pub fn story_lines(tapes: &Path, window: u64, hotkey: &str) -> Vec<String> {
    match story(tapes, window, Some(hotkey)) {
        Ok(causes) => causes.iter().map(Cause::line).collect(),
        Err(error) => vec![format!("{error:#}")],
    }
}

/// Returns a window's lanes as lines, oldest first. A miner that starts late first sees a later block than the window's.
fn story_of(lanes: &WindowLanes, block_ms: u64) -> Vec<Cause> {
    let late_ms = lanes.heads.first().map_or(0, |(_, block)| block.saturating_sub(lanes.start) * block_ms);
    let began_ms = lanes.heads.first().map_or(lanes.from_ms, |(at, _)| *at);
    let mut lines: Vec<(u64, String)> = Vec::new();
    if let Some((at, block)) = lanes.heads.first() {
        lines.push((*at, format!("block {block} is the first of the window that is seen")));
    }
    lines.extend(calls("the first block's hash", &lanes.hash));
    lines.extend(calls("the beacon's round", &lanes.beacon));
    lines.extend(lanes.replaced_ms.iter().map(|at| (*at, "the window's first block was replaced".to_owned())));
    lines.extend(groups(lanes));
    lines.extend(troubles(lanes));
    lines.extend(uploads(lanes));
    lines.extend(lanes.closed_ms.map(|at| (at, "generation ended".to_owned())));
    if let Some(receipt) = &lanes.receipt {
        lines.push((lanes.to_ms, format!("the receipt: {}", grail_observe::receipt_line(receipt))));
    }
    lines.sort_by_key(|(at, _)| *at);
    if lines.len() > LINES_MAX {
        let left_out = lines.len() - LINES_MAX;
        let middle = LINES_MAX / 2;
        let at = lines[middle].0;
        lines.splice(
            middle..middle + left_out,
            [(at, format!("{left_out} more lines; `grail replay --html` shows all"))],
        );
    }
    let seconds = |at: u64| (at + late_ms).saturating_sub(began_ms) as f64 / 1000.0;
    let cause = |(at, text): (u64, String)| Cause { seconds: seconds(at), text };
    lines.into_iter().map(cause).collect()
}

/// Returns the last of several questions of one kind, with how many there were.
fn calls(what: &str, calls: &[Call]) -> Option<(u64, String)> {
    let last = calls.last()?;
    let tries = if calls.len() > 1 { format!(" at try {}", calls.len()) } else { String::new() };
    let at = last.to_ms.unwrap_or(last.from_ms);
    Some(match (last.to_ms, last.is_good) {
        (None, _) => (at, format!("{what} was asked for and not answered{tries}")),
        (Some(_), true) => (at, format!("{what} was known{tries}")),
        (Some(_), false) => (at, format!("{what} could not be read{tries}: {}", last.answer)),
    })
}

/// When the first group was clean, and how attempts ended.
fn groups(lanes: &WindowLanes) -> Vec<(u64, String)> {
    let ended = |end: End| lanes.groups.iter().filter(move |attempt| attempt.end == end);
    let clean = || ended(End::Clean).filter_map(|attempt| attempt.to_ms);
    let mut lines: Vec<(u64, String)> = Vec::new();
    lines.extend(lanes.groups.first().map(|first| (first.from_ms, "the first group was started".to_owned())));
    lines.extend(clean().min().map(|at| (at, "the first group was clean".to_owned())));
    let last = |at| (at, format!("the last group was clean; {} in all", ended(End::Clean).count()));
    lines.extend(clean().max().map(last));
    for (end, word) in [(End::Rejected, "rejected by the self-check"), (End::Failed, "failed in the engine")] {
        let mut reasons: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
        for attempt in ended(end) {
            let entry = reasons.entry(attempt.why.as_str()).or_insert((attempt.to_ms.unwrap_or(attempt.from_ms), 0));
            entry.1 += 1;
        }
        lines.extend(reasons.into_iter().map(|(why, (at, count))| (at, format!("{count} × {word}: {why}"))));
    }
    lines
}

/// Calls of the upload. Those that failed alike are one line, with how many more there were.
fn uploads(lanes: &WindowLanes) -> Vec<(u64, String)> {
    let mut alike: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    let mut lines = Vec::new();
    for call in &lanes.upload {
        let outcome = match (call.to_ms, call.is_good) {
            (None, _) => "not answered",
            (Some(_), true) => "good",
            (Some(_), false) => {
                alike.entry(&call.answer).or_default().push(call);
                continue;
            }
        };
        let answer = if call.answer.is_empty() { String::new() } else { format!(": {}", call.answer) };
        lines.push((call.from_ms, format!("{} ({outcome}{answer})", call.what)));
    }
    for (answer, calls) in alike {
        let [first, more @ ..] = calls.as_slice() else { continue };
        let again = more.last().map_or_else(String::new, |last| {
            format!("; {} more like it in {} s", more.len(), (last.from_ms - first.from_ms) / 1000)
        });
        lines.push((first.from_ms, format!("{} (failed: {answer}{again})", first.what)));
    }
    lines
}

/// Problems, each text once with its count.
fn troubles(lanes: &WindowLanes) -> Vec<(u64, String)> {
    let mut counted: BTreeMap<(&str, &str), (u64, u64, usize)> = BTreeMap::new();
    for (at, area, text) in &lanes.troubles {
        let entry = counted.entry((area, text)).or_insert((*at, *at, 0));
        (entry.1, entry.2) = (*at, entry.2 + 1);
    }
    let line = |((area, text), (first, last, count)): ((&str, &str), (u64, u64, usize))| {
        let again = match count {
            1 => String::new(),
            count => format!(" ({count} times in {} s)", (last - first) / 1000),
        };
        (first, format!("{area}: {text}{again}"))
    };
    counted.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_in_the_order_of_time_with_repeats_counted() {
        let call = |what: &str, from_ms, is_good, answer: &str| Call {
            what: what.to_owned(),
            from_ms,
            to_ms: Some(from_ms + 500),
            is_good,
            answer: answer.to_owned(),
        };
        let lanes = WindowLanes {
            start: 30,
            from_ms: 10_000,
            to_ms: 300_000,
            heads: vec![(10_000, 31)],
            hash: vec![call("hash", 11_000, false, "refused"), call("hash", 12_000, true, "0x")],
            troubles: vec![(60_000, "bucket", "503".to_owned()), (90_000, "bucket", "503".to_owned())],
            upload: vec![
                call("put", 280_000, false, "503"),
                call("put again", 283_000, false, "503"),
                call("put", 284_000, false, "timeout"),
                call("put", 286_000, false, "503"),
                call("put", 290_000, true, "written"),
            ],
            ..WindowLanes::default()
        };
        let lines: Vec<String> =
            story_of(&lanes, 12_000).iter().map(|cause| format!("{} {}", cause.seconds, cause.text)).collect();
        let expected = [
            "12 block 31 is the first of the window that is seen",
            "14.5 the first block's hash was known at try 2",
            "62 bucket: 503 (2 times in 30 s)",
            "282 put (failed: 503; 2 more like it in 6 s)",
            "286 put (failed: timeout)",
            "292 put (good: written)",
        ];
        assert_eq!(lines, expected);
        assert!(story(Path::new("/no/such/folder"), 30, None).is_err());
    }
}
