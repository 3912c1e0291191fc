//! The real command in a pseudo-terminal: keys in, screen out, and the terminal restored at every exit.

use std::process::Command;

use grail_loopback::terminal::InTerminal;
use grail_terminal::in_terminal;

use crate::process::simulated_tape;

const PANICS: &str = "GRAIL_TEST_PANICS_IN_TERMINAL";

fn traveling(folder: &tempfile::TempDir) -> InTerminal {
    let path = folder.path().join("simulated.tape");
    std::fs::copy(simulated_tape(folder.path(), 7), &path).unwrap();
    InTerminal::start(env!("CARGO_BIN_EXE_grail"), &["replay", "--step", path.to_str().unwrap()], &[])
}

#[test]
fn keys_lead_through_a_tape_and_q_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = traveling(&folder);
    terminal.shows("simulated.tape  step 0 of 0-");
    assert!(terminal.screen.screen().alternate_screen());
    terminal.shows("equal");
    terminal.type_in("n\x1b[C");
    terminal.shows("step 2 of");
    terminal.type_in("\x1b[D");
    terminal.shows("step 1 of");
    terminal.type_in("bkind=upload_done\r");
    terminal.shows("c continues to kind=upload_done");
    terminal.type_in("c");
    terminal.shows("stopped on kind=upload_done");
    terminal.shows(r#"JournalAnswered {"entry":{"UploadDone":3000000}"#);
    terminal.type_in("w3000000\r");
    terminal.shows("- > 3000000".trim_start_matches("- > "));
    terminal.type_in("?");
    terminal.shows("the next, the previous step that differs");
    terminal.type_in("xg0\r");
    terminal.shows("step 0 of");
    terminal.type_in("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn control_c_and_signals_give_the_terminal_back() {
    for end in ["control-c", "TERM", "INT", "HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let mut terminal = traveling(&folder);
        terminal.shows("step 0 of");
        match end {
            "control-c" => terminal.type_in("\x03"),
            signal => {
                let process = terminal.child.process_id().unwrap().to_string();
                let sent = Command::new("kill").args(["-s", signal, &process]).status().unwrap();
                assert!(sent.success());
            }
        }
        assert_eq!(terminal.ends(), 0, "{end}");
    }
}

#[test]
fn a_panic_restores_the_terminal_and_is_reported() {
    if std::env::var_os(PANICS).is_some() {
        let outcome = in_terminal(|terminal| {
            terminal.draw(|frame| frame.render_widget("drawn before", frame.area()))?;
            panic!("a planted panic");
        });
        outcome.unwrap();
    }
    let this = std::env::current_exe().unwrap();
    let name = "travel::a_panic_restores_the_terminal_and_is_reported";
    let mut terminal = InTerminal::start(this.to_str().unwrap(), &[name, "--exact", "--nocapture"], &[(PANICS, "1")]);
    assert_ne!(terminal.ends(), 0);
    terminal.shows("a planted panic");
}
