//! State of the view: the focused pane, the chosen window, its story, and the history so far.

use std::collections::VecDeque;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use grail_observe::control::ProcessStatus;

/// Samples of a speed that are kept: a minute, with two a second.
const SAMPLES_MAX: usize = 120;

/// A pane that can have the focus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pane {
    /// The last windows.
    #[default]
    Windows,
    /// The miners that a validator judges.
    Miners,
    /// Health and troubles.
    Health,
    /// The miner's endpoints.
    Endpoints,
    /// The GPUs, where there are any.
    Gpus,
}

/// A window's story, as it is shown over everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// The window.
    pub window: u64,
    /// Its lines.
    pub lines: Vec<String>,
    /// Lines above the first one that is shown.
    pub scroll: usize,
}

/// Why the process no longer answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Since when, as hours, minutes and seconds in UTC.
    pub since: String,
    /// The question's error.
    pub why: String,
}

/// Command of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// End the view.
    End,
    /// Show a window's story.
    Story(u64),
}

/// State of the view.
#[derive(Debug, Clone, Default)]
pub struct Viewer {
    /// The last answer.
    pub status: Option<ProcessStatus>,
    /// Why there is no newer one.
    pub gone: Option<Gone>,
    /// The pane with the focus.
    pub pane: Pane,
    /// The window that is chosen, from the newest.
    pub chosen: usize,
    /// Miners above the first one that is shown.
    pub scrolled: usize,
    /// The story that is open.
    pub story: Option<Story>,
    /// Tokens a second at each answer, oldest first.
    pub tokens_per_second: VecDeque<f64>,
    /// The weight in each window that was seen, oldest first.
    pub weights: VecDeque<f64>,
    /// The window of the newest of them.
    weighed: Option<u64>,
}

impl Viewer {
    /// Takes an answer of the process.
    pub fn answered(&mut self, status: ProcessStatus) {
        let speed = status.speeds.tokens_per_second.unwrap_or(0.0);
        self.tokens_per_second.push_back(speed);
        if self.tokens_per_second.len() > SAMPLES_MAX {
            self.tokens_per_second.pop_front();
        }
        let window = status.window.as_ref().map(|window| window.start);
        if let Some(weight) = status.weight.filter(|_| window.is_some() && window != self.weighed) {
            self.weighed = window;
            self.weights.push_back(weight);
            if self.weights.len() > SAMPLES_MAX {
                self.weights.pop_front();
            }
        }
        (self.status, self.gone) = (Some(status), None);
    }

    /// Notes that the process does not answer; the first time counts.
    pub fn lost(&mut self, since: String, why: String) {
        self.gone.get_or_insert(Gone { since, why });
    }

    /// Handles a key. Returns the command for the program.
    pub fn pressed(&mut self, key: KeyEvent) -> Option<Wish> {
        let windows = self.status.as_ref().map(ProcessStatus::windows).unwrap_or_default();
        let miners = self.status.iter().filter_map(|status| status.judging.as_ref()).map(|it| it.miners.len()).sum();
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return (key.code == KeyCode::Char('c')).then_some(Wish::End);
        }
        if let Some(story) = &mut self.story {
            match key.code {
                KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') => self.story = None,
                KeyCode::Up | KeyCode::Char('k') => story.scroll = story.scroll.saturating_sub(1),
                KeyCode::Down | KeyCode::Char('j') => {
                    story.scroll = (story.scroll + 1).min(story.lines.len().saturating_sub(1));
                }
                _ => {}
            }
            return None;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Some(Wish::End),
            KeyCode::Tab => self.turn(1),
            KeyCode::BackTab => self.turn(self.panes().len() - 1),
            KeyCode::Up | KeyCode::Char('k') => {
                let place = self.place();
                *place = place.saturating_sub(1);
            }
            KeyCode::Down | KeyCode::Char('j') => {
                let count: usize = if self.pane == Pane::Miners { miners } else { windows.len() };
                let place = self.place();
                *place = (*place + 1).min(count.saturating_sub(1));
            }
            KeyCode::Enter if self.pane == Pane::Windows => {
                return windows.get(self.chosen).copied().map(Wish::Story);
            }
            _ => {}
        }
        None
    }

    /// Returns the panes of a miner or of a validator, in the order of Tab.
    fn panes(&self) -> &'static [Pane] {
        match &self.status {
            Some(status) if status.judging.is_some() => &[Pane::Windows, Pane::Miners, Pane::Health],
            Some(status) if !status.gpus.is_empty() => &[Pane::Windows, Pane::Health, Pane::Endpoints, Pane::Gpus],
            _ => &[Pane::Windows, Pane::Health, Pane::Endpoints],
        }
    }

    fn turn(&mut self, by: usize) {
        let panes = self.panes();
        let at = panes.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        self.pane = panes[(at + by) % panes.len()];
    }

    /// Returns what the arrows move.
    fn place(&mut self) -> &mut usize {
        if self.pane == Pane::Miners { &mut self.scrolled } else { &mut self.chosen }
    }

    /// Seconds to spare of the last windows, oldest first.
    pub fn slack(&self) -> Vec<f64> {
        let uploads = self.status.iter().flat_map(|status| status.uploads.iter().rev());
        uploads.filter_map(|upload| upload.slack_seconds).collect()
    }
}

/// Returns the last values as a row of blocks, the largest of them as the tallest.
pub fn sparkline(values: impl DoubleEndedIterator<Item = f64>, width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut last: Vec<f64> = values.rev().take(width).collect();
    last.reverse();
    let most = last.iter().copied().fold(0.0, f64::max);
    let block = |value: f64| {
        let share = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
        BLOCKS[(share * 7.0).round() as usize]
    };
    last.into_iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_shows_the_last_values_against_the_largest_of_them() {
        assert_eq!(sparkline([9.0, 0.0, 2.0, 4.0].into_iter(), 3), "▁▅█");
        assert_eq!(sparkline([0.0, 0.0].into_iter(), 8), "▁▁");
        assert_eq!(sparkline([].into_iter(), 8), "");
    }

    #[test]
    fn tab_goes_round_and_enter_asks_for_the_chosen_window() {
        let mut viewer = Viewer::default();
        let panes: Vec<Pane> = (0..3)
            .map(|_| {
                assert_eq!(viewer.pressed(KeyCode::Tab.into()), None);
                viewer.pane
            })
            .collect();
        assert_eq!(panes, [Pane::Health, Pane::Endpoints, Pane::Windows]);
        assert_eq!(viewer.pressed(KeyCode::Enter.into()), None, "no window is over");
        viewer.story = Some(Story { window: 30, lines: vec!["one".to_owned(), "two".to_owned()], scroll: 0 });
        viewer.pressed(KeyCode::Down.into());
        viewer.pressed(KeyCode::Down.into());
        assert_eq!(viewer.story.as_ref().map(|story| story.scroll), Some(1));
        assert_eq!(viewer.pressed(KeyCode::Esc.into()), None, "it closes the story alone");
        assert_eq!((viewer.story.is_none(), viewer.pressed(KeyCode::Esc.into())), (true, Some(Wish::End)));
    }
}
