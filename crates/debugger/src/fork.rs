//! A tape's run continues in the simulated world from one of its events.

use std::rc::Rc;

use grail_miner::machine::{Event, Machine};
use grail_sim::engine::{EngineSpeed, Generator};
use grail_sim::faults::Faults;
use grail_sim::fork::{fork, simulated_key};
use grail_sim::past::Past;
use grail_sim::run::{Knobs, SimConfig, SimReport};

use grail_tape::{Frame, Tape};

/// How to continue.
pub struct Fork {
    /// After this many steps of the tape.
    pub at: usize,
    /// Seed of the world and its faults; the recorded seed if none.
    pub seed: Option<u64>,
    /// Faults.
    pub faults: Faults,
    /// Source of rollouts.
    pub generator: Rc<dyn Generator>,
}

/// Why a tape cannot be forked.
#[derive(Debug, thiserror::Error)]
pub enum TapeForkError {
    /// Only the made-up keys of simulations are known.
    #[error(
        "the tape is not of a simulation, and what follows would have to be signed with its hotkey; \
             fork a tape of `grail sim --tape`"
    )]
    Unsigned,
    /// The tape lacks the steps before.
    #[error("the tape continues another one, so the calls in flight are unknown; fork the run's first tape")]
    Continued,
    /// The tape is shorter: it has this many steps.
    #[error("the tape has {0} steps; give --fork-at a number of at most that")]
    Beyond(usize),
    /// The run cannot continue.
    #[error(transparent)]
    Run(#[from] grail_sim::fork::ForkError),
}

impl Fork {
    /// Runs until the current window and the next one are judged.
    ///
    /// # Errors
    /// [`TapeForkError`].
    pub fn run(&self, tape: &Tape) -> Result<SimReport, TapeForkError> {
        if matches!(tape.frames.first(), Some(Frame::State(_))) {
            return Err(TapeForkError::Continued);
        }
        let steps = tape.steps().count();
        if self.at > steps {
            return Err(TapeForkError::Beyond(steps));
        }
        let recorded = &tape.header.settings;
        let recorded_seed = tape.header.simulated_seed.ok_or(TapeForkError::Unsigned)?;
        let keypair = simulated_key(recorded_seed, &recorded.hotkey).ok_or(TapeForkError::Unsigned)?;
        let seed = self.seed.unwrap_or(recorded_seed);
        let mut past = Past::new(Machine::new(tape.header.settings.clone(), tape.header.secrets(seed)));
        tape.steps().take(self.at).for_each(|step| past.tell(step.now(), step.event.clone()));
        let first_head = tape.steps().find_map(|step| match step.event {
            Event::HeadMoved(head) => Some(head.number),
            _ => None,
        });
        Ok(fork(past, first_head, keypair, &self.config(tape, seed))?)
    }

    fn config(&self, tape: &Tape, seed: u64) -> SimConfig {
        let recorded = &tape.header.settings;
        let is_alike = |speed: &EngineSpeed| speed.groups_in_flight == recorded.groups_in_flight_max;
        let speeds = EngineSpeed::all();
        let speed = speeds.iter().copied().find(is_alike).unwrap_or(speeds[0]);
        SimConfig {
            groups_max: recorded.groups_max,
            faults: self.faults.clone(),
            use_drand: recorded.use_drand,
            policy: recorded.policy,
            knobs: Knobs {
                safety_blocks: recorded.safety_blocks,
                reorganisation_blocks_max: recorded.reorganisation_blocks_max,
                early_upload_ms: recorded.early_upload_ms,
                ..Knobs::default()
            },
            ..SimConfig::new(self.generator.clone(), speed, seed, grail_sim::fork::WINDOWS)
        }
    }
}
