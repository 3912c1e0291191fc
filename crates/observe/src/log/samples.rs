//! Samples of what the model writes, for an operator who asks for everything.

use std::panic::Location;
use std::rc::Rc;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine};
use grail_miner::ports::{Engine, Now};

use grail_terminal::printable;

/// Most samples of a window.
const SAMPLES_MAX: usize = 5;
/// Most characters of one.
const TEXT_MAX: usize = 1000;

/// Logs the first rollout of the first few groups of each window, by `tracing::trace!`.
pub struct Samples {
    engine: Rc<dyn Engine>,
    window: u64,
    shown: usize,
}

impl Samples {
    /// Samples, decoded by this engine's tokenizer.
    pub fn new(engine: Rc<dyn Engine>) -> Self {
        Self { engine, window: 0, shown: 0 }
    }
}

impl Observer for Samples {
    fn event(&mut self, _: Now, event: &Event) {
        let Event::GroupReady { group, sealed } = event else { return };
        if group.window_start > self.window {
            (self.window, self.shown) = (group.window_start, 0);
        }
        // Decoding costs time on the event loop, so it runs only if the level is on.
        if !tracing::enabled!(tracing::Level::TRACE) || group.window_start < self.window || self.shown == SAMPLES_MAX {
            return;
        }
        let Some(rollout) = sealed.rollouts.first() else { return };
        self.shown += 1;
        let claims = &rollout.commit.rollout;
        let completion = rollout.commit.tokens.get(claims.prompt_length..).unwrap_or_default();
        let text: String = self.engine.tokenizer().decode(completion, false).chars().take(TEXT_MAX).collect();
        let (window, index, text) = (group.window_start, group.index, printable(&text));
        tracing::trace!(
            window,
            group = index,
            solved = usize::from(claims.success),
            reward = claims.total_reward,
            tokens = claims.completion_length,
            text,
            "window {window}: group {index} starts with (reward {:.3}, {} tokens): {text}",
            claims.total_reward,
            claims.completion_length
        );
    }

    fn action(&mut self, _: Now, _: &Action) {}

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}

    fn handled(&mut self, _: Now, _: &Machine) {}
}
