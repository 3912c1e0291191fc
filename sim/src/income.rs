//! The income oracle: a window's income, compared with that of a perfect miner on the same engine.
//!
//! The perfect miner draws full batches from the moment at which the window's randomness is known, knows beforehand how
//! large its last batch may be, never loses a group to one that failed, and stops in time for an upload that can be repeated once, before the blocks
//! that are reserved for it. It draws the groups of the run, and draws again what the run's self-check rejected.

use std::collections::BTreeMap;

use grail_miner::machine::{Action, Event, Report, WindowReceipt};
use grail_miner::policy::UploadPolicy;
use grail_miner::ports::JournalRecord;
use grail_protocol::PROTOCOL;
use grail_protocol::generation::GeneratedRollout;

use crate::chain::JITTER_MS;
use crate::config::Knobs;
use crate::speeds::EngineSpeed;

/// In a window without faults at least this share of what was possible must be uploaded, in percent.
const SHARE_MIN: usize = 97;
/// At the end a perfect miner, too, may have to draw a rollout again, and that one once more.
const RETRIES: u64 = 2;
/// What no miner knows beforehand: how long its next upload takes (it allows for this much, and as much again for a
/// second attempt), and how early the window's last block comes.
const UPLOAD_ALLOWED_MS: u64 = 4_000;
const END_UNKNOWN_MS: u64 = 2 * JITTER_MS;
/// In a window with faults: of what was possible in its longest stretch without one.
const SHARE_MIN_WITH_FAULTS: usize = 80;

/// Income of a window, in groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Income {
    /// Clean groups from which the policy would have chosen the uploaded ones.
    pub had: usize,
    /// Groups of a perfect miner.
    pub possible: usize,
}

impl Income {
    /// Both windows together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { had: self.had + other.had, possible: self.possible + other.possible }
    }

    /// Share of what was possible; a window in which nothing was lost has all of it.
    pub fn share(self) -> f64 {
        if self.possible == 0 { 1.0 } else { (self.had as f64 / self.possible as f64).min(1.0) }
    }
}

/// Cost of a group for the engine.
#[derive(Debug, Clone, Default)]
struct Cost {
    prompt: u64,
    completions: Vec<u64>,
}

/// State of a window.
#[derive(Debug, Default)]
struct WindowFacts {
    /// Generation, and when its first group was ordered.
    began: Option<(u32, u64)>,
    /// By index: what the group cost, and the solutions of its clean form.
    groups: BTreeMap<u32, (Cost, Vec<Vec<bool>>)>,
    clean_prefix: usize,
    /// By digest of a file: its groups, and when it was started.
    files: BTreeMap<String, (usize, u64)>,
    /// How long the link takes for the newest file.
    link_ms: u64,
    /// Duration of the newest confirmed upload, and the most that it should have been without faults.
    upload_ms: u64,
    allowed_upload_ms: u64,
    rejected: Vec<Cost>,
}

impl WindowFacts {
    /// Returns how long the perfect miner's upload takes.
    fn upload_ms(&self, is_faultless: bool) -> u64 {
        // Without faults an upload that took longer is the miner's own fault: one that came too late for the window, for
        // example, is confirmed in the next.
        if is_faultless { self.upload_ms.min(self.allowed_upload_ms) } else { self.upload_ms }
    }
}

/// Watches generation and uploads.
#[derive(Debug)]
pub(crate) struct Hindsight {
    speed: EngineSpeed,
    groups_max: usize,
    policy: UploadPolicy,
    safety_ms: u64,
    uplink_bytes_per_ms: u64,
    windows: BTreeMap<u64, WindowFacts>,
}

impl Hindsight {
    pub(crate) fn new(speed: EngineSpeed, groups_max: Option<u32>, policy: UploadPolicy, knobs: &Knobs) -> Self {
        Self {
            speed,
            groups_max: groups_max.map_or(usize::MAX, |max| max as usize),
            policy,
            safety_ms: knobs.safety_blocks * PROTOCOL.block_ms,
            uplink_bytes_per_ms: knobs.uplink_bytes_per_ms.max(1),
            windows: BTreeMap::new(),
        }
    }

    pub(crate) fn forget_before(&mut self, window_start: u64) {
        self.windows = self.windows.split_off(&window_start);
    }

    pub(crate) fn event(&mut self, now_ms: u64, event: &Event) {
        match event {
            Event::GroupReady { group, sealed } => {
                let window = self.windows.entry(group.window_start).or_default();
                let cost = |rollouts: &mut dyn Iterator<Item = &GeneratedRollout>| {
                    let mut cost = Cost::default();
                    for rollout in rollouts {
                        cost.prompt = rollout.prompt_length as u64;
                        let completion = (rollout.tokens.len() - rollout.prompt_length) as u64;
                        cost.completions.push(completion * self.speed.stretch);
                    }
                    cost
                };
                let rejected = sealed.findings.iter().filter_map(|finding| finding.rollout);
                let mut rejected = rejected.filter_map(|index| sealed.generated.get(index as usize));
                let rejected = cost(&mut rejected);
                if !rejected.completions.is_empty() {
                    window.rejected.push(rejected);
                }
                let claims = sealed.rollouts.iter().map(|rollout| &rollout.commit.rollout);
                let solutions = claims.filter(|claims| claims.success).map(|claims| claims.assignment.clone());
                let solutions = if sealed.findings.is_empty() { solutions.collect() } else { Vec::new() };
                window.groups.insert(group.index, (cost(&mut sealed.generated.iter()), solutions));
            }
            Event::ObjectRead { window_start, result: Ok(Some((digest, _))) } => {
                let window = self.windows.entry(*window_start).or_default();
                if let Some((_, began_ms)) = window.files.get(digest) {
                    window.upload_ms = now_ms - began_ms;
                    window.allowed_upload_ms = UPLOAD_ALLOWED_MS + window.link_ms;
                }
            }
            _ => {}
        }
    }

    pub(crate) fn action(&mut self, now_ms: u64, action: &Action) {
        match action {
            Action::Generate(order) => {
                let window = self.windows.entry(order.id.window_start).or_default();
                if window.began.is_none_or(|(generation, _)| generation != order.id.generation) {
                    window.began = Some((order.id.generation, now_ms));
                    window.clean_prefix = 0;
                }
            }
            Action::AppendJournal { record: JournalRecord::UploadStarted { window_start, digest, groups }, .. } => {
                let window = self.windows.entry(*window_start).or_default();
                window.files.insert(digest.clone(), (*groups, now_ms));
            }
            Action::Upload { window_start, bytes, .. } => {
                let window = self.windows.entry(*window_start).or_default();
                window.link_ms = bytes.len() as u64 / self.uplink_bytes_per_ms;
            }
            Action::Report(Report::GroupClean { window_start, clean_prefix, .. }) => {
                self.windows.entry(*window_start).or_default().clean_prefix = *clean_prefix;
            }
            _ => {}
        }
    }

    /// Returns the income of a window that ended at this time.
    pub(crate) fn income(&self, receipt: &WindowReceipt, end_ms: u64, is_faultless: bool) -> Income {
        let Some(window) = self.windows.get(&receipt.window_start) else { return Income::default() };
        let upload_ms = window.upload_ms(is_faultless);
        let possible_ms = window.began.map_or(0, |(_, began_ms)| self.usable_ms(upload_ms, began_ms, end_ms));
        Income { had: self.had(window, receipt), possible: self.possible(window, possible_ms) }
    }

    /// Returns the least income that a window must have; `healthy` are its stretches without faults, from when to when.
    pub(crate) fn least(&self, window_start: u64, end_ms: u64, healthy: &[(u64, u64)], is_faultless: bool) -> usize {
        let Some(window) = self.windows.get(&window_start) else { return 0 };
        let Some((_, began_ms)) = window.began else { return 0 };
        let again_ms = window.rejected.iter().map(|cost| self.draw_and_prove_us(cost) / 1_000).max().unwrap_or(0);
        let upload_ms = window.upload_ms(is_faultless);
        let most = |from_ms: u64, until_ms: u64| {
            let allowed_ms = 2 * UPLOAD_ALLOWED_MS.saturating_sub(upload_ms) + END_UNKNOWN_MS;
            let usable_ms = self.usable_ms(upload_ms, from_ms.max(began_ms), until_ms);
            self.possible(window, usable_ms.saturating_sub(RETRIES * again_ms + allowed_ms))
        };
        if is_faultless {
            return (most(began_ms, end_ms) * SHARE_MIN / 100).saturating_sub(1);
        }
        let best = healthy.iter().map(|(from_ms, until_ms)| most(*from_ms, *until_ms)).max().unwrap_or(0);
        (best * SHARE_MIN_WITH_FAULTS / 100).saturating_sub(1)
    }

    /// Time for generation between two moments of which the second ends what can be uploaded.
    fn usable_ms(&self, upload_ms: u64, from_ms: u64, until_ms: u64) -> u64 {
        // As the miner's plan does, it keeps time to repeat an upload that takes no longer than a block.
        let upload_ms = upload_ms + upload_ms.min(PROTOCOL.block_ms);
        until_ms.saturating_sub(self.safety_ms + upload_ms).saturating_sub(from_ms)
    }

    /// Returns the longest clean run from which the policy would have chosen the uploaded groups: more of them earn
    /// nothing.
    fn had(&self, window: &WindowFacts, receipt: &WindowReceipt) -> usize {
        let file = receipt.digest.as_ref().and_then(|digest| window.files.get(digest));
        let Some((groups, _)) = file else { return receipt.groups_uploaded };
        let solutions: Vec<Vec<&[bool]>> =
            window.groups.values().map(|(_, solved)| solved.iter().map(Vec::as_slice).collect()).collect();
        let is_chosen = |available: &usize| {
            self.policy.choose(&solutions[..(*available).min(solutions.len())], PROTOCOL.rollouts_per_group) == *groups
        };
        (*groups..=window.clean_prefix).rev().find(is_chosen).unwrap_or(*groups)
    }

    /// Returns how many groups are possible in this time.
    fn possible(&self, window: &WindowFacts, usable_ms: u64) -> usize {
        let costs: Vec<&Cost> = window.groups.values().map(|(cost, _)| cost).collect();
        if costs.is_empty() {
            return 0;
        }
        let rejected_us: u64 = window.rejected.iter().map(|cost| self.prove_us(cost)).sum();
        let rejected_us = rejected_us / costs.len() as u64;
        // A rollout that is drawn again takes the place of another rollout. The engine accepts few groups next to a
        // batch, so if more are drawn again, they take the places of whole groups.
        let rollouts: usize = window.rejected.iter().map(|cost| cost.completions.len()).sum();
        let ahead = self.speed.groups_in_flight - self.speed.batch_groups;
        let beyond = window.rejected.len().saturating_sub(ahead * costs.len() / self.speed.batch_groups);
        let places = rollouts.div_ceil(PROTOCOL.rollouts_per_group).max(beyond);
        let (places, made) = ((places + costs.len()) as u64, costs.len() as u64);
        let batch_us = |from: usize, groups: usize| {
            let batch = (from..from + groups).map(|number| costs[number % costs.len()]);
            let completions: Vec<u64> = batch.clone().flat_map(|cost| cost.completions.iter().copied()).collect();
            self.speed.draw_us(&completions) * places / made
                + batch.map(|cost| self.prove_us(cost) + rejected_us).sum::<u64>()
        };
        let (mut left_us, mut groups) = (usable_ms * 1_000, 0);
        let batch_groups = self.speed.batch_groups;
        loop {
            let whole_us = batch_us(groups, batch_groups);
            if whole_us > left_us || groups >= self.groups_max {
                break;
            }
            left_us -= whole_us;
            groups += batch_groups;
        }
        let last: Vec<usize> = (1..batch_groups).collect();
        let last = last.partition_point(|number| batch_us(groups, *number) <= left_us);
        (groups + last).min(self.groups_max)
    }

    fn prove_us(&self, cost: &Cost) -> u64 {
        self.speed.proof_us(cost.prompt, &cost.completions)
    }

    fn draw_and_prove_us(&self, cost: &Cost) -> u64 {
        self.speed.draw_us(&cost.completions) + self.prove_us(cost)
    }
}
