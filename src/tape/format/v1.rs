//! Format 1, of release 0.1.0: steps without numbers, as postcard, and digests of a debugging text.

use grail_miner::machine::Event;
use serde::Deserialize;

use super::{Frame, Step};

pub(in crate::tape) const FORMAT: u32 = 1;

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

/// The frames of these numbered payloads, or the number of one that is none.
pub(in crate::tape) fn decode(payloads: Vec<(usize, Vec<u8>)>) -> Result<Vec<Frame>, usize> {
    let mut frames = Vec::new();
    for (number, payload) in payloads {
        match postcard::from_bytes(&payload).map_err(|_| number)? {
            Frame1::Step(step) => {
                let Step1 { monotonic_ms, wall_ms, event, actions } = *step;
                let number = frames.len() as u64;
                frames.push(Frame::Step(Box::new(Step { number, monotonic_ms, wall_ms, event, actions })));
            }
            // It hashes a text with the names of the machine's fields, so no later build can be held to it.
            Frame1::State(_) => {}
        }
    }
    Ok(frames)
}
