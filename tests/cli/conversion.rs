//! A rollout converted to a value equals the value that a validator reads from its file.

#[path = "../../benches/honest_window/mod.rs"]
mod honest_window;

use grail_protocol::python_json::{self, Value};
use grail_protocol::rollout::Rollout;
use grail_protocol::window_file::unpack;
use honest_window::HonestWindow;

/// `==` takes 1 and 1.0 for the same, as Python does; the debug form does not.
fn exact(value: &Value) -> String {
    format!("{value:?}")
}

fn read_back(rollout: &Rollout) -> Value {
    python_json::parse(&serde_json::to_vec(rollout).unwrap()).unwrap()
}

#[test]
fn rollouts_convert_to_what_their_json_reads_as() {
    let window = HonestWindow::new();
    for rollout in window.rollouts() {
        assert_eq!(exact(&rollout.to_value()), exact(&read_back(rollout)));
    }
}

#[test]
fn a_file_holds_the_rollouts_as_they_convert() {
    let window = HonestWindow::new();
    let document = unpack(&window.pack()).unwrap();
    let converted: Vec<Value> = window.rollouts().into_iter().map(Rollout::to_value).collect();
    assert_eq!(exact(document.get("inferences").unwrap()), exact(&Value::List(converted)));
}

#[test]
fn numbers_that_json_cannot_hold_convert_to_null() {
    let window = HonestWindow::new();
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut rollout = window.rollouts()[0].clone();
        rollout.timestamp = odd;
        rollout.difficulty = odd;
        let commit = &mut rollout.commit;
        commit.sat_problem.difficulty = odd;
        commit.rollout.total_reward = odd;
        commit.rollout.advantage = odd;
        commit.rollout.token_logprobs[0] = odd;
        commit.rollout.trajectory[0].2 = odd;
        assert_eq!(exact(&rollout.to_value()), exact(&read_back(&rollout)));
    }
}
