//! Which of the machine's questions are still open, derived from its events and actions alone.

use crate::machine::{Action, Event};

/// Open questions, each with a tag of the asker.
#[derive(Debug, Clone)]
pub struct Outstanding<T>(Vec<(T, Action)>);

/// Relation of an event to the questions before it.
#[derive(Debug, Clone, PartialEq)]
pub enum Relation<T> {
    /// It answers this question, which is now closed.
    Answers(T, Action),
    /// An answer that nothing asked for.
    Unasked,
    /// No answer at all: a start or a stop.
    Spontaneous,
}

impl<T> Default for Outstanding<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Outstanding<T> {
    /// Returns an event arrived.
    pub fn on_event(&mut self, event: &Event) -> Relation<T> {
        if matches!(event, Event::Started(_) | Event::Shutdown) {
            return Relation::Spontaneous;
        }
        // The oldest one: answers about heads, registration and commitments do not say which question they answer.
        match self.0.iter().position(|(_, action)| answers(event, action)) {
            Some(at) => {
                let (tag, action) = self.0.remove(at);
                Relation::Answers(tag, action)
            }
            None => Relation::Unasked,
        }
    }

    /// An action was asked for.
    pub fn asked(&mut self, action: &Action, tag: T) {
        match action {
            // A timer is replaced when it is set again, so the earlier setting never fires.
            Action::SetTimer { timer, .. } => {
                self.0.retain(|(_, other)| !matches!(other, Action::SetTimer { timer: set, .. } if set == timer));
            }
            Action::ClearTimer(timer) => {
                self.0.retain(|(_, other)| !matches!(other, Action::SetTimer { timer: set, .. } if set == timer));
                return;
            }
            // The driver drops what a canceled group still answers.
            Action::CancelGroup(id) => {
                self.0.retain(|(_, other)| !matches!(other, Action::Generate(order) if order.id == *id));
                return;
            }
            // No event answers these.
            Action::ReconnectChain | Action::Report(_) | Action::Exit => return,
            _ => {}
        }
        self.0.push((tag, action.clone()));
    }

    /// Returns the open questions, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &(T, Action)> {
        self.0.iter()
    }
}

fn answers(event: &Event, action: &Action) -> bool {
    match (event, action) {
        (Event::HeadMoved(_) | Event::HeadFailed(_), Action::WatchHead { .. })
        | (Event::RegistrationRead(_), Action::ReadRegistration)
        | (Event::CommitmentRead(_), Action::ReadCommitment)
        | (Event::CommitmentAnswered(_), Action::Commit(_)) => true,
        (Event::BlockHashRead { block, .. }, Action::ReadBlockHash(asked)) => block == asked,
        (Event::BeaconAnswered { round, .. }, Action::FetchBeacon(asked)) => round == asked,
        (Event::GroupReady { group, .. } | Event::GroupFailed { group, .. }, Action::Generate(order)) => {
            *group == order.id
        }
        (Event::JournalAnswered { entry, .. }, Action::AppendJournal { entry: asked, .. }) => entry == asked,
        (Event::UploadAnswered { window_start, .. }, Action::Upload { window_start: asked, .. })
        | (Event::ObjectRead { window_start, .. }, Action::ReadObject { window_start: asked, .. })
        | (Event::ObjectDeleted { window_start, .. }, Action::DeleteObject { window_start: asked, .. }) => {
            window_start == asked
        }
        (Event::TimerFired(timer), Action::SetTimer { timer: set, .. }) => timer == set,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::Head;
    use crate::machine::Timer;

    #[test]
    fn an_answer_closes_the_oldest_question_that_it_fits() {
        let mut outstanding = Outstanding::default();
        for (tag, block) in [(1, 30), (2, 60), (3, 30)] {
            outstanding.asked(&Action::ReadBlockHash(block), tag);
        }
        let read = |block| Event::BlockHashRead { block, result: Ok(None) };
        assert_eq!(outstanding.on_event(&read(60)), Relation::Answers(2, Action::ReadBlockHash(60)));
        assert_eq!(outstanding.on_event(&read(30)), Relation::Answers(1, Action::ReadBlockHash(30)));
        assert_eq!(outstanding.on_event(&read(60)), Relation::Unasked);
        assert_eq!(outstanding.on_event(&Event::HeadMoved(Head { number: 1 })), Relation::Unasked);
        assert_eq!(outstanding.on_event(&Event::Shutdown), Relation::Spontaneous);
        assert_eq!(outstanding.open().count(), 1);
    }

    #[test]
    fn a_timer_is_open_once_and_until_it_is_cleared() {
        let mut outstanding = Outstanding::default();
        let set = |at_ms| Action::SetTimer { timer: Timer::Retry, at_ms };
        outstanding.asked(&set(5), 1);
        outstanding.asked(&set(9), 2);
        assert_eq!(outstanding.on_event(&Event::TimerFired(Timer::Retry)), Relation::Answers(2, set(9)));
        outstanding.asked(&set(11), 3);
        outstanding.asked(&Action::ClearTimer(Timer::Retry), 4);
        assert_eq!(outstanding.on_event(&Event::TimerFired(Timer::Retry)), Relation::Unasked);
    }
}
