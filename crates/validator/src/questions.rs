//! Which event answers which action.

use grail_miner::outstanding::Question;

use crate::event::{Action, Event};

impl Question for Action {
    type Event = Event;

    fn is_spontaneous(event: &Event) -> bool {
        matches!(event, Event::Started(_) | Event::Shutdown)
    }

    fn is_question(&self) -> bool {
        !matches!(self, Self::ReconnectChain | Self::Discard | Self::Report(_) | Self::Exit)
    }

    fn closes(&self, earlier: &Self) -> bool {
        *self == Self::Discard && matches!(earlier, Self::Look { .. } | Self::Fetch { .. } | Self::Judge(_))
    }

    fn is_answered_by(&self, event: &Event) -> bool {
        match (event, self) {
            (Event::HeadMoved(_) | Event::HeadFailed(_), Self::WatchHead { .. })
            | (Event::MetagraphRead(_), Self::ReadMetagraph)
            | (Event::WeightsRead(_), Self::ReadWeights)
            | (Event::WeightsAnswered(_), Self::SetWeights(_)) => true,
            (Event::BlockHashRead { block, .. }, Self::ReadBlockHash(asked)) => block == asked,
            (Event::BeaconAnswered { round, .. }, Self::FetchBeacon(asked)) => round == asked,
            (Event::Looked { window_start, hotkey, .. }, Self::Look { window_start: start, hotkey: asked, .. })
            | (Event::Fetched { window_start, hotkey, .. }, Self::Fetch { window_start: start, hotkey: asked, .. }) => {
                window_start == start && hotkey == asked
            }
            (Event::Judged { window_start, hotkey, .. }, Self::Judge(facts)) => {
                *window_start == facts.window_start && *hotkey == facts.hotkey
            }
            (Event::JournalAnswered { entry, .. }, Self::AppendJournal { entry: asked, .. }) => entry == asked,
            (Event::TimerFired(timer), Self::SetTimer { timer: set, .. }) => timer == set,
            _ => false,
        }
    }
}
