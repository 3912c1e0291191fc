//! Format 1, of release 0.1.0: steps without numbers, as postcard, and digests of a debugging text.

use grail_miner::machine::Event;
use serde::Deserialize;

use super::{Frame, Step};

pub(crate) const FORMAT: u32 = 1;

/// As it was written. [`Event`] is read by position here: a change of its order needs a copy of the old one in this file.
#[derive(Deserialize)]
enum Frame1 {
    Step(Box<Step1>),
    State(#[expect(dead_code, reason = "it is read past")] String),
}

#[derive(Deserialize)]
struct Step1 {
    monotonic_ms: u64,
    wall_ms: u64,
    event: Event,
    actions: Vec<String>,
}

/// The frame of a payload, without its number, or nothing for a state; none where it holds something else.
pub(crate) fn decode(payload: &[u8]) -> Option<Option<Frame>> {
    Some(match postcard::from_bytes(payload).ok()? {
        Frame1::Step(step) => {
            let Step1 { monotonic_ms, wall_ms, event, actions } = *step;
            Some(Frame::Step(Box::new(Step { number: 0, monotonic_ms, wall_ms, event, actions })))
        }
        // It hashes a text with the names of the machine's fields, so no later build can be held to it.
        Frame1::State(_) => None,
    })
}

/// Number the steps by their place.
pub(crate) fn number(frames: &mut [Frame]) {
    let steps = frames.iter_mut().filter_map(|frame| match frame {
        Frame::Step(step) => Some(step),
        Frame::State(_) => None,
    });
    for (step, number) in steps.zip(0..) {
        step.number = number;
    }
}
