//! `grail diff`: two builds over the same tapes. A script plays the old build.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use grail_loopback::terminal::InTerminal;
use serde_json::json;

use crate::process::{folder, grail, simulated_tape};

/// A program of this name that prints `text` whatever it is asked.
fn program(folder: &Path, text: &str) {
    std::fs::write(folder.join("answer"), text).unwrap();
    let script = format!("#!/bin/sh\ncat '{}'\n", folder.join("answer").display());
    let path = folder.join("old-grail");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn differences_between_builds_are_shown_and_accepted_once() {
    let folder = folder("diff");
    simulated_tape(&folder, 1);
    let this = env!("CARGO_BIN_EXE_grail");
    let equal = grail(&folder, &["diff", "simulated", "--against", this]);
    assert_eq!((equal.code, equal.stdout.as_str()), (Some(0), "0 differing decisions, 0 not accepted\n"), "{equal:?}");
    let lines =
        json!([{ "in": "recorded", "action": "upload bytes=5" }, { "in": "replayed", "action": "upload bytes=7" }]);
    let old = json!({ "schema": "replay.v1", "divergences": [{ "step": 3, "event": "head_moved", "lines": lines }] });
    program(&folder, &old.to_string());
    let arguments = ["diff", "simulated", "--against", "./old-grail"];
    let differs = grail(&folder, &arguments);
    assert_eq!(differs.code, Some(1), "{differs:?}");
    let expected = "upload becomes upload: 1 time\n  first in simulated/1-0.tape, step 3, at head_moved\n    \
                    - upload bytes=7\n    + upload bytes=5\n1 differing decision, 1 not accepted\n";
    assert_eq!(differs.stdout, expected);
    let shell = format!("cd '{}' && exec '{this}' diff simulated --against ./old-grail", folder.display());
    let mut terminal = InTerminal::start("/bin/sh", &["-c", &shell], &[]);
    terminal.shows("a accept, r reject");
    terminal.type_in("a\r");
    terminal.shows("1 differing decision, 0 not accepted");
    assert_eq!(terminal.ends(), 0);
    assert_eq!(grail(&folder, &arguments).code, Some(0), "the ruling is kept");
    let document = grail(&folder, &[&arguments[..], &["--json"]].concat()).json();
    assert_eq!(document["kinds"][0]["differences"][0]["ruling"], "accepted");
    program(&folder, "no JSON");
    let unusable = grail(&folder, &arguments);
    assert!(unusable.code == Some(2) && unusable.stderr.contains("printed no JSON"), "{unusable:?}");
    let absent = grail(&folder, &["diff", "simulated", "--against", "./none"]);
    assert!(absent.code == Some(2) && absent.stderr.contains("give --against"), "{absent:?}");
}
