//! One part of the machine alone: a context for its inputs, and the actions that they lead to.

use grail_protocol::generation::{GeneratedRollout, ProofPass};
use grail_protocol::group::SignedGroup;
use grail_protocol::rollout::{
    Beacon, BeaconRound, Commit, ModelReference, Proof, Rollout, RolloutMeta, SatProblem, WindowContext,
};
use grail_protocol::signature::Hotkey;

use super::Actions;
use super::action::Action;
use super::context::Context;
use super::event::Timer;
use super::groups::Groups;
use super::marks::Marks;
use super::receipt::{Report, WindowOutcome};
use super::settings::{MachineSecrets, MachineSettings};
use super::timing::Timing;
use crate::answers::{Head, Now};

/// First block of the window that parts of a window are tested in.
pub(super) const WINDOW: u64 = 300;
pub(super) const BLOCK_MS: u64 = 12_000;
pub(super) const CREDENTIALS: [u8; 128] = [b'c'; 128];

/// Test bench: the inputs of a part.
pub(super) struct Bench {
    pub(super) settings: MachineSettings,
    pub(super) timing: Timing,
    pub(super) now_ms: u64,
    pub(super) stopping: bool,
    secrets: MachineSecrets,
    marks: Marks,
}

impl Bench {
    /// Creates a context in which this block is the newest.
    pub(super) fn at(head: u64) -> Self {
        Self::with(head, MachineSettings::new(Hotkey::from_bytes([1; 32])))
    }

    /// Creates the same context for an engine that works on so many groups at a time.
    pub(super) fn with_engine(head: u64, groups_in_flight_max: usize) -> Self {
        Self::with(head, MachineSettings { groups_in_flight_max, ..Self::at(head).settings })
    }

    fn with(head: u64, settings: MachineSettings) -> Self {
        let mut timing = Timing::new(&settings);
        timing.set_head(Head { number: head }, 1_000);
        let secrets = MachineSecrets { seed: 0, read_credentials: CREDENTIALS.to_vec() };
        Self { settings, timing, now_ms: 1_000, stopping: false, secrets, marks: Marks::default() }
    }

    /// Runs one input. Returns the actions that it led to.
    pub(super) fn run(&mut self, input: impl FnOnce(&mut Context<'_>)) -> Vec<Action> {
        let mut out = Actions::default();
        let now = Now { monotonic_ms: self.now_ms, wall_ms: 1_758_700_800_000 + self.now_ms };
        let Self { settings, timing, stopping, secrets, marks, .. } = self;
        input(&mut Context { now, settings, secrets, timing, marks, out: &mut out, stopping: *stopping });
        out.into_iter().collect()
    }
}

/// Returns the kinds of these actions.
pub(super) fn kinds(actions: &[Action]) -> Vec<String> {
    actions.iter().map(|action| action.summary().split(' ').next().unwrap_or_default().to_owned()).collect()
}

/// Returns when these actions let a timer fire.
pub(super) fn timer_ms(actions: &[Action], wanted: Timer) -> Option<u64> {
    actions.iter().find_map(|action| match action {
        Action::SetTimer { timer, at_ms } if *timer == wanted => Some(*at_ms),
        _ => None,
    })
}

/// Returns the windows that these actions give receipts to, with their outcomes.
pub(super) fn receipts(actions: &[Action]) -> Vec<(u64, WindowOutcome)> {
    let receipt = |action: &Action| match action {
        Action::Report(Report::Receipt(receipt)) => Some((receipt.window_start, receipt.outcome.clone())),
        _ => None,
    };
    actions.iter().filter_map(receipt).collect()
}

/// Returns what all groups of the window share.
pub(super) fn window_context() -> WindowContext {
    WindowContext {
        hotkey: Hotkey::from_bytes([1; 32]),
        window_start: WINDOW,
        block_hash: format!("0x{}", "ab".repeat(32)),
        randomness: "5a".repeat(32),
        use_drand: true,
    }
}

/// Returns groups of which the first `count` are clean.
pub(super) fn clean_groups(count: u32) -> Groups {
    let mut groups = Groups::new(WINDOW);
    groups.restore((0..count).map(|index| (index, signed_group(index))).collect());
    groups
}

/// Returns a group of which the first rollout alone solves its problem, and no other group has its solution.
pub(crate) fn signed_group(index: u32) -> SignedGroup {
    SignedGroup::from((0..4).map(|rollout| signed_rollout(index, rollout)).collect::<Vec<_>>())
}

/// Returns what the engine made for one rollout; its tokens tell it from the others.
pub(super) fn generated(rollout: u32) -> GeneratedRollout {
    let tokens = vec![rollout, 7];
    GeneratedRollout { tokens, prompt_length: 1, token_logprobs: vec![0.0, -1.0], pass: ProofPass::default() }
}

fn signed_rollout(group: u32, index: u32) -> Rollout {
    let WindowContext { block_hash, randomness, .. } = window_context();
    let success = index == 0;
    let assignment = (0..8).map(|bit| group >> bit & 1 == 1).chain([success]).collect();
    let meta = RolloutMeta {
        trajectory: Vec::new(),
        total_reward: 1.0,
        advantage: 0.0,
        success,
        token_logprobs: vec![0.0, -1.0],
        prompt_length: 1,
        completion_length: 1,
        satisfied_clauses: 1,
        assignment,
    };
    let problem = SatProblem { seed: "seed".to_owned(), num_vars: 9, clauses: Vec::new(), difficulty: 0.5 };
    let commit = Commit {
        tokens: vec![index, 7],
        s_vals: vec![1, 2],
        model: ModelReference { name: "model".to_owned(), layer_index: -1 },
        signature: "00".to_owned(),
        beacon: Beacon { randomness: randomness.clone() },
        sat_problem: problem,
        rollout: meta,
    };
    let proof = Proof { round_r1: BeaconRound { round: 1, randomness: randomness.clone() }, indices: vec![0] };
    Rollout {
        window_start: WINDOW,
        block: WINDOW,
        nonce: u64::from(10 * group + index),
        sat_seed: "seed".to_owned(),
        difficulty: 0.5,
        block_hash,
        randomness,
        use_drand: true,
        rollout_group: group,
        rollout_index: index,
        total_in_group: 4,
        commit,
        proof,
        timestamp: 0.0,
        challenge: "challenge".to_owned(),
        hotkey: "hotkey".to_owned(),
        signature: "00".to_owned(),
    }
}
