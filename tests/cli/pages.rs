//! Pages that commands write of a simulation and of its tape.

use serde_json::Value;

use crate::process::{grail, simulated_tape};

/// Returns the data of a page.
fn data(html: &str) -> Value {
    let (_, rest) = html.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_simulation_and_its_tape_write_the_same_windows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let simulate = ["sim", "--engine", "synthetic", "--speed", "reference", "--windows", "2", "--seed", "4"];
    let written = grail(folder, &[&simulate[..], &["--html", "run.html", "--tape", "tapes"]].concat());
    assert_eq!(written.code, Some(0), "{written:?}");
    let replayed = grail(folder, &["replay", "tapes", "--html", "tape.html"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let read = |name: &str| data(&std::fs::read_to_string(folder.join(name)).unwrap());
    let (mut run, tape) = (read("run.html"), read("tape.html"));
    for window in run["windows"].as_array_mut().unwrap() {
        // Only who runs the validator knows its word.
        let verdict = window["verdict"].take();
        assert!(verdict["outcome"] == "accepted" || verdict.is_null(), "{verdict}");
    }
    assert_eq!(run, tape);
}

#[test]
fn a_tape_that_cannot_be_shown_is_reported_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["a.tape", "b.tape"] {
        std::fs::copy(simulated_tape(folder, 3), folder.join(name)).unwrap();
    }
    let refused = |arguments: &[&str]| {
        let finished = grail(folder, arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{finished:?}");
        finished.stderr
    };
    let html = refused(&["replay", ".", "--html", "x.html"]);
    assert_eq!(html, "grail: --html shows one tape, and there are 2; name one of them\n");
    assert!(refused(&["replay", "a.tape", "--step"]).contains("--step needs a terminal"));
    let unwritable = refused(&["replay", "a.tape", "--html", "no/such/folder.html"]);
    assert!(unwritable.contains("give --html a path that can be written"), "{unwritable}");
}
