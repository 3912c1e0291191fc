//! Warnings that repeat: the first at once, then one a minute with a count, and one line when it is over.

use std::collections::BTreeMap;

use grail_miner::machine::{Area, Event};

use crate::state::{PortAnswer, answer};

/// Pause between two lines of the same kind, and time without a failure after which an area counts as healthy again.
const PAUSE_MS: u64 = 60_000;
/// Most kinds in one area, because foreign text could create any number.
const KINDS_MAX: usize = 8;
/// Characters of a text that make its kind.
const KIND_CHARS_MAX: usize = 120;

/// Repeated failures, by area.
#[derive(Debug, Default)]
pub(super) struct Repeats(BTreeMap<Area, Spell>);

/// A time in which an area fails.
#[derive(Debug)]
struct Spell {
    since_ms: u64,
    last_ms: u64,
    failures: u64,
    kinds: BTreeMap<String, Kind>,
}

/// Failures of one kind.
#[derive(Debug, Default)]
struct Kind {
    logged_ms: Option<u64>,
    untold: u64,
}

/// The end of a spell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) area: Area,
    pub(super) failures: u64,
    pub(super) seconds: u64,
}

impl Repeats {
    /// Records a failure. Returns how many of its kind were suppressed since the last line, if this one is logged.
    pub(super) fn failed(&mut self, now_ms: u64, area: Area, text: &str) -> Option<u64> {
        let begun = Spell { since_ms: now_ms, last_ms: now_ms, failures: 0, kinds: BTreeMap::new() };
        let spell = self.0.entry(area).or_insert(begun);
        spell.last_ms = now_ms;
        spell.failures += 1;
        let mut kind = kind(text);
        if spell.kinds.len() >= KINDS_MAX && !spell.kinds.contains_key(&kind) {
            kind.clear();
        }
        let kind = spell.kinds.entry(kind).or_default();
        if kind.logged_ms.is_some_and(|logged_ms| now_ms.saturating_sub(logged_ms) < PAUSE_MS) {
            kind.untold += 1;
            return None;
        }
        kind.logged_ms = Some(now_ms);
        Some(std::mem::take(&mut kind.untold))
    }

    /// Records a success. Returns the period of failures that it ends; none for a single failure.
    pub(super) fn ended(&mut self, now_ms: u64, event: &Event) -> Option<Over> {
        let area = succeeded(event)?;
        if now_ms.saturating_sub(self.0.get(&area)?.last_ms) < PAUSE_MS {
            return None;
        }
        let Spell { since_ms, last_ms, failures, .. } = self.0.remove(&area)?;
        (failures > 1).then_some(Over { area, failures, seconds: (last_ms - since_ms) / 1_000 })
    }
}

/// Returns the area that an event shows to work.
fn succeeded(event: &Event) -> Option<Area> {
    match event {
        Event::CommitmentRead(Ok(_)) | Event::CommitmentAnswered(Ok(())) => Some(Area::Commitment),
        event => answer(event).filter(|(_, answer)| *answer == PortAnswer::Fine).map(|(area, _)| area),
    }
}

/// Returns a text without the parts that change between failures: numbers, and text in brackets.
fn kind(text: &str) -> String {
    let mut depth = 0_usize;
    let outside = text.chars().filter(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && !c.is_ascii_digit()
    });
    outside.take(KIND_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use grail_miner::ports::{Etag, Head};

    use super::*;

    fn put() -> Event {
        Event::UploadAnswered { window_start: 30, result: Ok(Etag("1".to_owned())) }
    }

    #[test]
    fn of_hundreds_of_failures_one_a_minute_is_logged_with_a_count() {
        let mut repeats = Repeats::default();
        let counts: Vec<(u64, u64)> = (0..226)
            .filter_map(|number| {
                let (now_ms, text) = (number * 333, format!("the bucket refused for now (attempt {number}); retrying"));
                Some((now_ms, repeats.failed(now_ms, Area::Bucket, &text)?))
            })
            .collect();
        assert_eq!(counts, [(0, 0), (60_273, 180)]);
        assert_eq!(
            repeats.failed(80_000, Area::Bucket, "the upload's outcome is unknown (x)"),
            Some(0),
            "another kind"
        );
        assert_eq!(repeats.failed(80_000, Area::Chain, "the bucket refused for now"), Some(0), "another area");
    }

    #[test]
    fn the_end_is_logged_once_nothing_failed_for_a_minute() {
        let mut repeats = Repeats::default();
        let head = Event::HeadMoved(Head { number: 1 });
        for now_ms in [0, 10_000, 20_000] {
            repeats.failed(now_ms, Area::Bucket, "x");
        }
        assert_eq!(repeats.ended(40_000, &put()), None, "it may fail again");
        assert_eq!(repeats.ended(90_000, &head), None, "another area is well");
        assert_eq!(repeats.ended(90_000, &put()), Some(Over { area: Area::Bucket, failures: 3, seconds: 20 }));
        assert_eq!(repeats.ended(90_001, &put()), None);
        assert_eq!(repeats.failed(90_002, Area::Bucket, "x"), Some(0), "a new spell starts");
        assert_eq!(repeats.ended(200_000, &put()), None, "one failure was logged when it happened");
    }

    #[test]
    fn a_stranger_cannot_fill_the_log_with_ever_other_texts() {
        let mut repeats = Repeats::default();
        let text = |number: u32| format!("the chain refused the commitment: {}", "x".repeat(number as usize % 90));
        let counts = (0..10_000).filter(|number| repeats.failed(1, Area::Commitment, &text(*number)).is_some()).count();
        assert_eq!(counts, KINDS_MAX + 1);
    }
}
