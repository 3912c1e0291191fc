//! Outcome of each window, and whether it could be won.

use std::fmt::Write as _;

use grail_serve::ServeFault;
use serde_json::Value;

/// A window in which the miner's threads waited for a processor for this share of its time or longer, all of them together,
/// is said to be lost to the machine.
const STARVED_SHARE: f64 = 0.25;

/// Returns the fault of this window, by its number: every other one has one, in turn.
pub(super) fn fault_of(number: u64) -> Option<ServeFault> {
    (number % 2 == 1).then(|| {
        let all: Vec<_> = super::faults().collect();
        all[(number / 2) as usize % all.len()]
    })
}

/// One window.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Its first block.
    pub(super) start: u64,
    /// The fault in it.
    pub(super) fault: Option<ServeFault>,
    /// Whether it did already.
    pub(super) has_struck: bool,
    /// How long the miner's threads had waited for a processor when it started and when it ended, in seconds.
    pub(super) waited_at: (f64, f64),
    /// The miner's receipt.
    pub(super) receipt: Option<Value>,
    /// Whether the validator accepted it, where it looked.
    pub(super) judged: Option<bool>,
}

/// How a window ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Won,
    /// The fault in it may cost it.
    Fault,
    /// The miner hardly had a processor.
    Starved,
    /// Nothing excuses it.
    Lost,
}

impl Window {
    fn waited(&self) -> f64 {
        self.waited_at.1 - self.waited_at.0
    }

    fn fate(&self, window_seconds: f64) -> Fate {
        let is_uploaded = self.receipt.as_ref().is_some_and(|receipt| receipt["outcome"] == "uploaded");
        match () {
            () if is_uploaded && self.judged == Some(true) => Fate::Won,
            // Nothing excuses a file that the validator does not accept.
            () if is_uploaded => Fate::Lost,
            () if self.fault.is_some_and(ServeFault::may_cost_its_window) => Fate::Fault,
            () if self.waited() >= STARVED_SHARE * window_seconds => Fate::Starved,
            () => Fate::Lost,
        }
    }
}

/// Which windows.
type Choice = fn(&Window) -> bool;

/// All windows that the validator could judge.
pub(super) struct Windows {
    windows: Vec<Window>,
    window_seconds: f64,
}

impl Windows {
    /// Returns those from the first that the validator judged on: before it, the chain holds no read key.
    pub(super) fn new(windows: impl Iterator<Item = Window>, window_seconds: f64) -> Self {
        Self { windows: windows.skip_while(|window| window.judged.is_none()).collect(), window_seconds }
    }

    fn of(&self, fate: Fate) -> impl Iterator<Item = &Window> {
        self.windows.iter().filter(move |window| window.fate(self.window_seconds) == fate)
    }

    pub(super) fn has_lost_what_was_winnable(&self) -> bool {
        self.of(Fate::Lost).next().is_some()
    }

    pub(super) fn csv(&self) -> String {
        let mut text = "window,fault,outcome,accepted,slack_seconds,waited_for_processor_seconds,why\n".to_owned();
        for window in &self.windows {
            let reported = |name: &str| window.receipt.as_ref().map_or(&Value::Null, |receipt| &receipt[name]);
            let fault = window.fault.map_or("", ServeFault::name);
            let accepted = window.judged.map_or("unknown", |yes| if yes { "yes" } else { "no" });
            let (outcome, slack, why) = (reported("outcome"), reported("slack_seconds"), reported("why"));
            let waited = window.waited();
            let _ = writeln!(text, "{},{fault},{outcome},{accepted},{slack},{waited:.2},{why}", window.start);
        }
        text
    }

    pub(super) fn summary(&self) -> String {
        let mut text = format!("\n{} windows\n", self.windows.len());
        let groups: [(&str, Choice); 3] = [
            ("without a fault", |window| window.fault.is_none()),
            ("with a fault that costs none", |window| window.fault.is_some_and(|fault| !fault.may_cost_its_window())),
            ("with a fault that may cost it", |window| window.fault.is_some_and(ServeFault::may_cost_its_window)),
        ];
        for (name, is_in) in groups {
            let count = |fate| self.of(fate).filter(|window| is_in(window)).count();
            let all = self.windows.iter().filter(|window| is_in(window)).count();
            let (won, fault) = (count(Fate::Won), count(Fate::Fault));
            let (starved, lost) = (count(Fate::Starved), count(Fate::Lost));
            let _ = writeln!(
                text,
                "{name}: {won} of {all} won, {fault} lost to the fault, {starved} without a processor, {lost} lost"
            );
        }
        for (fate, which) in [(Fate::Won, "won"), (Fate::Starved, "lost without a processor")] {
            let waited = super::measure::median(self.of(fate).map(Window::waited));
            if waited.is_finite() {
                let _ = writeln!(
                    text,
                    "windows {which}: the miner's threads waited {waited:.2} s for a processor (median)"
                );
            }
        }
        for window in self.of(Fate::Lost).chain(self.of(Fate::Starved)) {
            let receipt = window
                .receipt
                .as_ref()
                .map_or("no receipt".to_owned(), |receipt| format!("{} {}", receipt["outcome"], receipt["why"]));
            let fault = window.fault.map_or("no fault", ServeFault::name);
            let _ =
                writeln!(text, "lost: window {}, {fault}, waited {:.2} s: {receipt}", window.start, window.waited());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn window(fault: Option<ServeFault>, outcome: &str, judged: Option<bool>, waited: f64) -> Window {
        let receipt = Some(json!({ "outcome": outcome, "why": null, "slack_seconds": 1.0 }));
        Window { fault, receipt, judged, waited_at: (10.0, 10.0 + waited), ..Window::default() }
    }

    #[test]
    fn only_a_costly_fault_or_a_starved_miner_excuses_a_lost_window() {
        let fate = |fault, outcome, judged, waited| window(fault, outcome, judged, waited).fate(8.0);
        let (costly, cheap) = (Some(ServeFault::StalledChain), Some(ServeFault::SlowBucket));
        assert_eq!(fate(None, "uploaded", Some(true), 9.0), Fate::Won);
        assert_eq!(fate(costly, "uploaded", Some(false), 9.0), Fate::Lost);
        assert_eq!(fate(costly, "nothing_ready", Some(false), 0.0), Fate::Fault);
        assert_eq!(fate(cheap, "lost", Some(false), 1.9), Fate::Lost);
        assert_eq!(fate(None, "nothing_ready", None, 2.1), Fate::Starved);
    }

    #[test]
    fn each_fault_has_its_turn_and_every_other_window_none() {
        let struck: Vec<_> = (0..2 * super::super::faults().count() as u64).filter_map(fault_of).collect();
        assert_eq!(struck, super::super::faults().collect::<Vec<_>>());
    }

    #[test]
    fn a_lost_window_is_reported_and_those_before_the_commitment_do_not_count() {
        let before = window(None, "uploaded", None, 0.0);
        let (won, lost) = (window(None, "uploaded", Some(true), 0.0), window(None, "lost", Some(false), 0.0));
        let windows = Windows::new([before, won, lost].into_iter(), 8.0);
        assert!(windows.has_lost_what_was_winnable());
        assert!(
            windows
                .summary()
                .contains("without a fault: 1 of 2 won, 0 lost to the fault, 0 without a processor, 1 lost")
        );
        assert_eq!(windows.csv().lines().count(), 3);
    }
}
