//! Which of a core's questions are still open, derived from its events and actions alone.

use crate::machine::{Action, Event};

/// An action of a core: most are questions, which an event answers.
pub trait Question: Clone {
    /// The core's events.
    type Event;

    /// Returns whether this event answers nothing, as a start or a stop.
    fn is_spontaneous(event: &Self::Event) -> bool;
    /// Returns whether an event answers this.
    fn is_question(&self) -> bool;
    /// Returns whether it answers this question.
    fn is_answered_by(&self, event: &Self::Event) -> bool;
    /// Returns whether no event answers this earlier question any more.
    fn closes(&self, earlier: &Self) -> bool;
}

/// Open questions, each with a tag of the asker.
#[derive(Debug, Clone)]
pub struct Outstanding<T, A = Action>(Vec<(T, A)>);

/// Relation of an event to the questions before it.
#[derive(Debug, Clone, PartialEq)]
pub enum Relation<T, A = Action> {
    /// It answers this question, which is now closed.
    Answers(T, A),
    /// An answer that nothing asked for.
    Unasked,
    /// No answer at all: a start or a stop.
    Spontaneous,
}

impl<T, A> Default for Outstanding<T, A> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, A: Question> Outstanding<T, A> {
    /// Returns how an event relates to what was asked.
    pub fn on_event(&mut self, event: &A::Event) -> Relation<T, A> {
        if A::is_spontaneous(event) {
            return Relation::Spontaneous;
        }
        // The oldest one: answers about heads, registration and commitments do not say which question they answer.
        match self.0.iter().position(|(_, action)| action.is_answered_by(event)) {
            Some(at) => {
                let (tag, action) = self.0.remove(at);
                Relation::Answers(tag, action)
            }
            None => Relation::Unasked,
        }
    }

    /// An action was asked for.
    pub fn asked(&mut self, action: &A, tag: T) {
        self.0.retain(|(_, earlier)| !action.closes(earlier));
        if action.is_question() {
            self.0.push((tag, action.clone()));
        }
    }

    /// Returns the open questions, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &(T, A)> {
        self.0.iter()
    }
}

impl Question for Action {
    type Event = Event;

    fn is_spontaneous(event: &Event) -> bool {
        matches!(event, Event::Started(_) | Event::Shutdown)
    }

    fn is_question(&self) -> bool {
        !matches!(
            self,
            Self::ClearTimer(_) | Self::CancelGroup(_) | Self::ReconnectChain | Self::Report(_) | Self::Exit
        )
    }

    fn closes(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            // A timer is replaced when it is set again, so the earlier setting never fires.
            (Self::SetTimer { timer, .. } | Self::ClearTimer(timer), Self::SetTimer { timer: set, .. }) => timer == set,
            // The driver drops what a canceled group still answers.
            (Self::CancelGroup(id), Self::Generate(order)) => order.id == *id,
            _ => false,
        }
    }

    fn is_answered_by(&self, event: &Event) -> bool {
        match (event, self) {
            (Event::HeadMoved(_) | Event::HeadFailed(_), Self::WatchHead { .. })
            | (Event::RegistrationRead(_), Self::ReadRegistration)
            | (Event::CommitmentRead(_), Self::ReadCommitment)
            | (Event::CommitmentAnswered(_), Self::Commit(_)) => true,
            (Event::BlockHashRead { block, .. }, Self::ReadBlockHash(asked)) => block == asked,
            (Event::BeaconAnswered { round, .. }, Self::FetchBeacon(asked)) => round == asked,
            (Event::GroupReady { group, .. } | Event::GroupFailed { group, .. }, Self::Generate(order)) => {
                *group == order.id
            }
            (Event::JournalAnswered { entry, .. }, Self::AppendJournal { entry: asked, .. }) => entry == asked,
            (Event::UploadAnswered { window_start, .. }, Self::Upload { window_start: asked, .. })
            | (Event::ObjectRead { window_start, .. }, Self::ReadObject { window_start: asked, .. })
            | (Event::ObjectDeleted { window_start, .. }, Self::DeleteObject { window_start: asked, .. }) => {
                window_start == asked
            }
            (Event::TimerFired(timer), Self::SetTimer { timer: set, .. }) => timer == set,
            _ => false,
        }
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
