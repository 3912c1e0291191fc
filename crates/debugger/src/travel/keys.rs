//! Effect of each key on the position.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::journey::{Direction, Journey};

/// Steps that a page key goes.
const PAGE_STEPS: usize = 20;

/// Whether to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Shows the present state.
    Continue,
    /// The operator is done.
    Quit,
}

/// A pane that is taller than its room and can be scrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum Pane {
    Actions,
    Diff,
    State,
}

/// The current text input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum Question {
    Step,
    Window,
    Condition,
}

impl Pane {
    const fn next(self) -> Self {
        match self {
            Self::Actions => Self::Diff,
            Self::Diff => Self::State,
            Self::State => Self::Actions,
        }
    }
}

impl Question {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Step => "go to step",
            Self::Window => "go to window (first block)",
            Self::Condition => "stop on",
        }
    }
}

/// A journey as a person drives it.
pub struct Travel {
    /// The current position.
    pub journey: Journey,
    /// The tape's name.
    pub name: String,
    pub(super) pane: Pane,
    /// Lines that the panes are scrolled by.
    pub(super) scrolled: [u16; 3],
    pub(super) question: Option<(Question, String)>,
    pub(super) message: String,
    /// Lines that the help is scrolled by, while it is shown.
    pub(super) help: Option<u16>,
}

impl Travel {
    /// Starts at the journey's step.
    pub fn new(journey: Journey, name: String) -> Self {
        let message = "? for help".to_owned();
        Self { journey, name, pane: Pane::State, scrolled: [0; 3], question: None, message, help: None }
    }

    /// Takes one key.
    pub fn key(&mut self, key: KeyEvent) -> Flow {
        if key.kind == KeyEventKind::Release {
            return Flow::Continue;
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (key.code, self.question.take()) {
            (KeyCode::Char('c' | 'd'), _) if is_control => return Flow::Quit,
            (code, Some((question, text))) => self.answer(code, question, text),
            (code, None) if self.help.is_some() => {
                self.help = self.help.and_then(|scrolled| match code {
                    KeyCode::Down => Some(scrolled.saturating_add(1)),
                    KeyCode::Up => Some(scrolled.saturating_sub(1)),
                    _ => None,
                });
            }
            (KeyCode::Char('q') | KeyCode::Esc, None) => return Flow::Quit,
            (code, None) => self.command(code),
        }
        Flow::Continue
    }

    fn command(&mut self, code: KeyCode) {
        use Direction::{Back, Forward};
        self.message.clear();
        match code {
            KeyCode::Right | KeyCode::Char(' ' | 'n') => self.go(Forward, 1),
            KeyCode::Left | KeyCode::Char('p') => self.go(Back, 1),
            KeyCode::PageDown => self.go(Forward, PAGE_STEPS),
            KeyCode::PageUp => self.go(Back, PAGE_STEPS),
            KeyCode::Home => self.goto(0),
            KeyCode::End => self.goto(usize::MAX),
            KeyCode::Char('g') => self.ask(Question::Step),
            KeyCode::Char('w') => self.ask(Question::Window),
            KeyCode::Char('b') => self.ask(Question::Condition),
            KeyCode::Char('B') => {
                self.journey.conditions.clear();
                self.message = "no condition is set".to_owned();
            }
            KeyCode::Char('c') => self.run(Forward),
            KeyCode::Char('C') => self.run(Back),
            KeyCode::Char('d') => self.goto_difference(Forward),
            KeyCode::Char('D') => self.goto_difference(Back),
            KeyCode::Char('m') => self.journey.toggle_mark(),
            KeyCode::Tab => self.pane = self.pane.next(),
            KeyCode::Down => self.scroll(1),
            KeyCode::Up => self.scroll(-1),
            KeyCode::Char('?') => self.help = Some(0),
            _ => self.message = "? for help".to_owned(),
        }
    }

    fn answer(&mut self, code: KeyCode, question: Question, mut text: String) {
        match code {
            KeyCode::Enter => return self.answered(question, text.trim()),
            KeyCode::Esc => return,
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(c) => text.push(c),
            _ => {}
        }
        self.question = Some((question, text));
    }

    fn answered(&mut self, question: Question, text: &str) {
        match (question, text.parse::<u64>()) {
            (_, _) if text.is_empty() => {}
            (Question::Step, Ok(step)) => self.goto(usize::try_from(step).unwrap_or(usize::MAX)),
            (Question::Window, Ok(start)) => {
                if !self.journey.goto_window(start) {
                    let windows: Vec<String> = self.journey.windows().map(|start| start.to_string()).collect();
                    self.message = format!("no window starts at {start}; there are {}", windows.join(", "));
                }
                self.scrolled = [0; 3];
            }
            (Question::Step | Question::Window, Err(_)) => self.message = format!("{text:?} is not a number"),
            (Question::Condition, _) => match text.parse() {
                Ok(condition) => {
                    self.message = format!("c continues to {condition}, C back to it");
                    self.journey.conditions.push(condition);
                }
                Err(error) => self.message = super::ConditionError::to_string(&error),
            },
        }
    }

    fn ask(&mut self, question: Question) {
        self.question = Some((question, String::new()));
    }

    fn run(&mut self, direction: Direction) {
        if self.journey.conditions.is_empty() {
            self.message = "nothing to stop on yet: b sets a condition".to_owned();
            return;
        }
        let stopped = self.journey.run(direction);
        self.message = match stopped {
            Some(condition) => format!("stopped on {condition}"),
            None => "no condition holds up to the end that way".to_owned(),
        };
        self.scrolled = [0; 3];
    }

    fn goto_difference(&mut self, direction: Direction) {
        if !self.journey.goto_difference(direction) {
            self.message = "no step differs that way".to_owned();
        }
        self.scrolled = [0; 3];
    }

    fn go(&mut self, direction: Direction, steps: usize) {
        self.journey.go(direction, steps);
        self.scrolled = [0; 3];
    }

    fn goto(&mut self, number: usize) {
        self.journey.goto(number);
        self.scrolled = [0; 3];
    }

    fn scroll(&mut self, lines: i16) {
        let scrolled = &mut self.scrolled[self.pane as usize];
        *scrolled = scrolled.saturating_add_signed(lines);
    }
}
