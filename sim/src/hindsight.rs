//! An economic oracle: what the miner's windows were worth, against the best that anybody could have made of them who knew
//! everything beforehand.
//!
//! The best is a bound, not a plan: the engine works from the window's first block to its last without a pause or a fault,
//! each group takes as long as the fastest one of the run, groups beyond those that were made solve their problem four
//! times in four ways, and the validator draws those groups that have most to show.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine};
use grail_miner::ports::Now;
use grail_protocol::PROTOCOL;
use grail_verify::sampling::groups_checked;
use grail_verify::score::{ROLLING_WINDOWS, WindowRecord, score};

use crate::engine::EngineSpeed;
use crate::report::SimReport;

/// Watches which groups are made, and how long each takes at the engine's full speed.
#[derive(Debug)]
pub struct Hindsight {
    speed: EngineSpeed,
    groups_max: Option<u32>,
    /// By window: how many clean groups had none, one, two … distinct solutions. A group that is made again after a
    /// reorganisation counts again, which only widens the bound.
    groups_with: BTreeMap<u64, [u32; PROTOCOL.rollouts_per_group + 1]>,
    /// The fastest group of the run: milliseconds of decoding and of proving.
    fastest_ms: Option<(u64, u64)>,
}

/// What was earned, and what could have been.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Earnings {
    /// Distinct solutions that the validator counted, over all windows.
    pub unique: usize,
    /// The most that it could have counted.
    pub unique_best: usize,
    /// The miner's score against the best one's, as the mean over windows; the weight that each would get from a field of
    /// rivals much larger than itself is in the same ratio.
    pub weight_share: f64,
}

impl Hindsight {
    /// For a run at this speed.
    pub const fn new(speed: EngineSpeed, groups_max: Option<u32>) -> Self {
        Self { speed, groups_max, groups_with: BTreeMap::new(), fastest_ms: None }
    }

    /// Compares a run with the best that could have been made of it.
    pub fn earnings(&self, report: &SimReport) -> Earnings {
        let (mut won, mut best) = (BTreeMap::new(), BTreeMap::new());
        let mut shares = Vec::new();
        for window in &report.windows {
            let start = window.receipt.window_start;
            let had_failure = window.judgement.outcome() == "rejected";
            let unique = window.successful_and_unique().1 as u64;
            won.insert(start, WindowRecord { unique, had_failure });
            best.insert(start, WindowRecord { unique: self.unique_best(start) as u64, had_failure: false });
            let best_score = score(Some(&best), start);
            if best_score > 0.0 {
                shares.push(score(Some(&won), start) / best_score);
            }
            let forgotten = start.saturating_sub(ROLLING_WINDOWS * PROTOCOL.window_blocks);
            won = won.split_off(&forgotten);
            best = best.split_off(&forgotten);
        }
        let starts = report.windows.iter().map(|window| window.receipt.window_start);
        Earnings {
            unique: report.windows.iter().map(|window| window.successful_and_unique().1).sum(),
            unique_best: starts.map(|start| self.unique_best(start)).sum(),
            weight_share: if shares.is_empty() { 1.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 },
        }
    }

    /// Returns the most distinct solutions that a validator could have counted in a window.
    fn unique_best(&self, window_start: u64) -> usize {
        let mut groups_with = self.groups_with.get(&window_start).copied().unwrap_or_default();
        let made: usize = groups_with.iter().map(|count| *count as usize).sum();
        let possible = self.groups_possible().max(made);
        groups_with[PROTOCOL.rollouts_per_group] += (possible - made) as u32;
        let worth = || {
            let classes = groups_with.iter().enumerate().rev();
            classes.flat_map(|(distinct, count)| std::iter::repeat_n(distinct, *count as usize))
        };
        let best_of = |checked: usize| worth().take(checked).sum::<usize>();
        let checked = |groups: usize| groups_checked(groups, groups * PROTOCOL.rollouts_per_group);
        (1..=possible).map(|groups| best_of(checked(groups))).max().unwrap_or(0)
    }

    /// Returns how many groups fit a window at full speed.
    fn groups_possible(&self) -> usize {
        let window_ms = PROTOCOL.window_blocks * PROTOCOL.block_ms;
        let Some((decode_ms, proof_ms)) = self.fastest_ms else { return 0 };
        let decoded = self.speed.groups_in_flight as u64 * (window_ms / decode_ms.max(1));
        let groups = decoded.min(window_ms / proof_ms.max(1)) as usize;
        groups.min(self.groups_max.map_or(usize::MAX, |max| max as usize))
    }
}

impl Observer for Hindsight {
    fn event(&mut self, _: Now, event: &Event) {
        let Event::GroupReady { group, sealed } = event else { return };
        let (decode_ms, proof_ms) = (self.speed.decode_ms(&sealed.generated), self.speed.proof_ms(&sealed.generated));
        let (decode_best_ms, proof_best_ms) = self.fastest_ms.unwrap_or((u64::MAX, u64::MAX));
        self.fastest_ms = Some((decode_ms.min(decode_best_ms), proof_ms.min(proof_best_ms)));
        if sealed.findings.is_empty() {
            let claims = sealed.rollouts.iter().map(|rollout| &rollout.commit.rollout);
            let distinct: BTreeSet<_> =
                claims.filter(|claims| claims.success).map(|claims| &claims.assignment).collect();
            self.groups_with.entry(group.window_start).or_default()[distinct.len()] += 1;
        }
    }

    fn action(&mut self, _: Now, _: &Action) {}

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}

    fn handled(&mut self, _: Now, _: &Machine) {}
}
