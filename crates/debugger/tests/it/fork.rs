//! A tape that continues in the simulated world.

use std::rc::Rc;

use grail_debugger::{Fork, TapeForkError};
use grail_sim::faults::Faults;
use grail_sim::run::SimConfig;
use grail_sim::synthetic::SyntheticModel;

use crate::made::{recorded_by, simulation};

#[test]
fn a_tape_continues_under_another_seed_and_with_faults() {
    let tape = recorded_by(SimConfig { groups_max: Some(1), ..simulation(7, 1, "none") });
    let steps = tape.steps().count();
    let fork = |at, seed, faults: &str| Fork {
        at,
        seed,
        faults: faults.parse::<Faults>().unwrap(),
        generator: Rc::new(SyntheticModel::default()),
    };
    for at in [0, 1, steps / 2, steps] {
        let report = fork(at, Some(3), "random").run(&tape).unwrap();
        assert_eq!(report.violations, [] as [String; 0], "from step {at}");
        assert_eq!(report.windows.len(), 2);
    }
    assert_ne!(
        fork(9, None, "none").run(&tape).unwrap().trace_hash,
        fork(9, Some(8), "none").run(&tape).unwrap().trace_hash
    );
    assert!(matches!(fork(steps + 1, None, "none").run(&tape), Err(TapeForkError::Beyond(_))));
    let mut live = tape;
    live.header.simulated_seed = None;
    assert!(matches!(fork(3, None, "none").run(&live), Err(TapeForkError::Unsigned)));
}
