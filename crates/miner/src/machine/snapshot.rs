//! Everything that a machine knows, as data: to go on from there, and to compare field by field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::event::Timer;
use super::heads::HeadCheck;
use super::marks::Marks;
use super::settlement::Unsettled;
use super::timing::Timing;
use super::window::{Recovered, Window};
use super::{Machine, MachineConfig};

/// The state of a [`Machine`] without its configuration, and so without secrets.
///
/// Between two windows it is small. A field that is added needs a default, so that what was written before still restores.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    timing: Timing,
    #[serde(default, skip_serializing_if = "HeadCheck::is_unused")]
    head_check: HeadCheck,
    account: Account,
    recovered: Option<Recovered>,
    window: Option<Window>,
    unsettled: Option<Unsettled>,
    stopping: bool,
    timers: BTreeMap<Timer, u64>,
}

impl Machine {
    /// The state as it is now.
    pub fn snapshot(&self) -> Snapshot {
        let Self { config: _, timing, head_check, account, recovered, window, unsettled, stopping, timers, marks: _ } =
            self.clone();
        Snapshot { timing, head_check, account, recovered, window, unsettled, stopping, timers }
    }

    /// A machine that goes on where another one was.
    pub fn restore(config: MachineConfig, snapshot: Snapshot) -> Self {
        let Snapshot { timing, head_check, account, recovered, window, unsettled, stopping, timers } = snapshot;
        let timing = timing.configured(&config);
        let marks = Marks::default();
        Self { config, timing, head_check, account, recovered, window, unsettled, stopping, timers, marks }
    }

    /// The newest block that counts.
    pub fn head(&self) -> Option<u64> {
        self.timing.head()
    }

    /// First block of the window that is mined.
    pub fn window_start(&self) -> Option<u64> {
        self.window.as_ref().map(|window| window.start)
    }
}
