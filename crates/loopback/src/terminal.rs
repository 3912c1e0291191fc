//! A program in a pseudo-terminal: keys in, screen out, and the terminal returned however it ends.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

pub use vt100::Screen;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Height of the terminal in rows.
pub const ROWS: u16 = 32;
/// Width of the terminal in columns.
pub const COLUMNS: u16 = 120;
/// How long the screen may stay as it is before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program in its own terminal.
pub struct InTerminal {
    /// The process in the terminal.
    pub child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    /// The terminal's screen.
    pub screen: vt100::Parser,
    settings: String,
    /// How many bytes were written to it.
    pub bytes: usize,
}

impl InTerminal {
    /// Starts `program` in its own terminal.
    pub fn start(program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
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
        Self { child, master: pair.master, keys, output, screen, settings, bytes: 0 }
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).unwrap();
        self.screen.screen_mut().set_size(rows, columns);
    }

    /// Types these keys.
    pub fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen is so.
    pub fn wait(&mut self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so(self.screen.screen()) {
            // A program that draws all the time never lets a wait for silence end.
            let Ok(bytes) = self.output.recv_timeout(until.saturating_duration_since(Instant::now())) else {
                panic!("{what} does not come:\n{}", self.screen.screen().contents());
            };
            self.bytes += bytes.len();
            self.screen.process(&bytes);
        }
    }

    /// Waits until the screen shows `text`.
    pub fn shows(&mut self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text));
    }

    /// Closes the terminal under the program.
    pub fn close(self) -> Box<dyn Child + Send + Sync> {
        self.child
    }

    /// Waits for its end; its exit code. The terminal must be as it was before.
    pub fn ends(&mut self) -> u32 {
        let code = self.child.wait().unwrap().exit_code();
        self.wait("the first screen", |screen| !screen.alternate_screen() && !screen.hide_cursor());
        assert_eq!(format!("{:?}", self.master.get_termios()), self.settings, "the terminal's settings");
        code
    }
}
