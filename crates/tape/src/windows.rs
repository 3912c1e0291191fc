//! Which window each step of a tape belongs to.

use super::format::{FORMAT, Frame, Header};
use super::player::NoSuchWindow;
use super::reader::Tape;
use super::role::Role;
use super::session::Session;

/// One window on a tape.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WindowSpan {
    /// Its first block.
    pub window_start: u64,
    /// The step in which it starts, from 0.
    pub first_step: usize,
    /// Steps until the next one starts.
    pub steps: usize,
    /// Wall time of its beginning, in milliseconds since 1970.
    pub wall_ms: u64,
    /// Its outcome from its receipt; none if the receipt is not on this tape.
    pub outcome: Option<String>,
    /// Number of the frame in which it starts.
    #[serde(skip)]
    pub(super) first_frame: usize,
}

impl<R: Role> Tape<R> {
    /// Returns the windows, in order.
    pub fn windows(&self) -> Vec<WindowSpan> {
        let mut windows: Vec<WindowSpan> = Vec::new();
        let mut steps = 0;
        for (number, frame) in self.frames.iter().enumerate() {
            let Frame::Step(step) = frame else {
                if let Frame::State(state) = frame
                    && number == 0
                    && let Some(window_start) = state["window"]["start"].as_u64()
                {
                    windows.push(WindowSpan::new(window_start, 0, self.first_wall_ms(), 0));
                }
                continue;
            };
            let opened = R::opened(&step.actions);
            if let Some(window_start) = opened.filter(|w| windows.last().is_none_or(|last| last.window_start < *w)) {
                windows.push(WindowSpan::new(window_start, steps, step.wall_ms, number));
            }
            for (window_start, outcome) in step.actions.iter().filter_map(|action| R::outcome(action)) {
                if let Some(window) = windows.iter_mut().find(|window| window.window_start == window_start) {
                    window.outcome = Some(outcome);
                }
            }
            steps += 1;
        }
        let ends: Vec<usize> = windows.iter().skip(1).map(|window| window.first_step).chain([steps]).collect();
        for (window, end) in windows.iter_mut().zip(ends) {
            window.steps = end - window.first_step;
        }
        windows
    }

    /// Returns the window that starts with this block.
    ///
    /// # Errors
    /// [`NoSuchWindow`].
    pub fn window(&self, window: u64) -> Result<WindowSpan, NoSuchWindow> {
        let windows = self.windows();
        let known = windows.iter().map(|span| span.window_start).collect();
        windows.into_iter().find(|span| span.window_start == window).ok_or(NoSuchWindow { window, known })
    }

    /// Returns one window as its own tape, which starts with the machine's state at that time.
    ///
    /// # Errors
    /// [`NoSuchWindow`].
    pub fn excerpt(&self, window: u64) -> Result<Self, NoSuchWindow> {
        let span = self.window(window)?;
        let mut session = Session::new(self);
        session.go_to(span.first_step);
        let state = Frame::State(session.state());
        let mut steps = 0;
        let is_inside = |frame: &&Frame<R>| {
            let number = steps;
            steps += usize::from(matches!(frame, Frame::Step(_)));
            (span.first_step..span.first_step + span.steps).contains(&number)
        };
        let frames = self.frames.iter().filter(is_inside).cloned();
        let header = Header { continues: Some(format!("window {window} of a longer tape")), ..self.header.clone() };
        Ok(Self { header, frames: std::iter::once(state).chain(frames).collect(), torn_bytes: 0, format: FORMAT })
    }

    fn first_wall_ms(&self) -> u64 {
        self.steps().next().map_or(0, |step| step.wall_ms)
    }
}

impl WindowSpan {
    const fn new(window_start: u64, first_step: usize, wall_ms: u64, first_frame: usize) -> Self {
        Self { window_start, first_step, steps: 0, wall_ms, outcome: None, first_frame }
    }
}
