//! The real command in a pseudo-terminal: keys in, screen out, and the terminal given back however it ends.

use std::io::{Read, Write};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use grail::tape::travel::in_terminal;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::made::recorded;

const ROWS: u16 = 32;
const COLUMNS: u16 = 120;
/// How long the screen may stay as it is before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const PANICS: &str = "GRAIL_TEST_PANICS_IN_TERMINAL";

/// A program in a terminal of its own.
struct InTerminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    settings: String,
}

impl InTerminal {
    fn start(program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let size = PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let settings = format!("{:?}", pair.master.get_termios());
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        variables.iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).unwrap();
        let (mut reader, keys) = (pair.master.try_clone_reader().unwrap(), pair.master.take_writer().unwrap());
        // As long as this end is open, what the program wrote last can be read.
        std::mem::forget(pair.slave);
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = vt100::Parser::new(ROWS, COLUMNS, 0);
        Self { child, master: pair.master, keys, output, screen, settings }
    }

    fn travelling(folder: &tempfile::TempDir) -> Self {
        let path = folder.path().join("rehearsed.tape");
        std::fs::write(&path, recorded(7, 1, "none")).unwrap();
        Self::start(env!("CARGO_BIN_EXE_grail"), &["replay", "--step", path.to_str().unwrap()], &[])
    }

    fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Wait until the screen is so.
    fn wait(&mut self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) {
        while !is_so(self.screen.screen()) {
            let Ok(bytes) = self.output.recv_timeout(PATIENCE) else {
                panic!("{what} does not come:\n{}", self.screen.screen().contents());
            };
            self.screen.process(&bytes);
        }
    }

    fn shows(&mut self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text));
    }

    /// Wait for its end; its exit code. The terminal must be as it was before.
    fn ends(&mut self) -> u32 {
        let code = self.child.wait().unwrap().exit_code();
        self.wait("the first screen", |screen| !screen.alternate_screen() && !screen.hide_cursor());
        assert_eq!(format!("{:?}", self.master.get_termios()), self.settings, "the terminal's settings");
        code
    }
}

#[test]
fn keys_lead_through_a_tape_and_q_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = InTerminal::travelling(&folder);
    terminal.shows("rehearsed.tape  step 0 of 0-");
    assert!(terminal.screen.screen().alternate_screen());
    terminal.shows("equal");
    terminal.type_in("n\x1b[C");
    terminal.shows("step 2 of");
    terminal.type_in("\x1b[D");
    terminal.shows("step 1 of");
    terminal.type_in("bkind=upload_done\r");
    terminal.shows("c goes on to kind=upload_done");
    terminal.type_in("c");
    terminal.shows("stopped on kind=upload_done");
    terminal.shows("JournalAnswered { entry: UploadDone(3000000)");
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
        let mut terminal = InTerminal::travelling(&folder);
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
fn a_panic_gives_the_terminal_back_and_is_told() {
    if std::env::var_os(PANICS).is_some() {
        let outcome = in_terminal(|terminal| {
            terminal.draw(|frame| frame.render_widget("drawn before", frame.area()))?;
            panic!("a planted panic");
        });
        outcome.unwrap();
    }
    let this = std::env::current_exe().unwrap();
    let name = "pseudo_terminal::a_panic_gives_the_terminal_back_and_is_told";
    let mut terminal = InTerminal::start(this.to_str().unwrap(), &[name, "--exact", "--nocapture"], &[(PANICS, "1")]);
    assert_ne!(terminal.ends(), 0);
    terminal.shows("a planted panic");
}
