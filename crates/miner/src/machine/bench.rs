//! One part of the machine alone: a context for its inputs, and the actions that they lead to.

use grail_protocol::signature::Hotkey;

use super::action::Action;
use super::actions::Actions;
use super::context::Context;
use super::marks::Marks;
use super::settings::{MachineSecrets, MachineSettings};
use super::timing::Timing;
use crate::answers::{Head, Now};

pub(super) const BLOCK_MS: u64 = 12_000;
pub(super) const CREDENTIALS: [u8; 128] = [b'c'; 128];

/// What a part is given.
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
        let settings = MachineSettings::new(Hotkey::from_bytes([1; 32]));
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
    let kind = |action: &Action| action.summary().split(' ').next().unwrap_or_default().to_owned();
    actions.iter().map(kind).collect()
}
