//! `grail sim serve`: what it shows, what can be typed, how it ends, and what it refuses.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use grail_serve::ServeFault;

use crate::process::{command, folder, grail};

/// A server that listens; it is killed when this is dropped.
struct Server(Child);

impl Server {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = command(folder, &[&["sim", "serve", "--dir", "world"], arguments].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn terminate(&self) {
        let kill = std::process::Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(kill.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

#[test]
fn every_fault_is_listed_with_its_meaning() {
    let shown = grail(Path::new("."), &["sim", "serve", "--list-faults"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    for fault in ServeFault::ALL {
        let line = shown.stdout.lines().find(|line| line.starts_with(&format!("{} ", fault.name())));
        assert!(line.is_some_and(|line| line.contains(fault.meaning())), "{fault:?}: {}", shown.stdout);
    }
}

#[test]
fn impossible_worlds_are_refused_on_one_line() {
    let folder = folder("serve-refused");
    std::fs::write(folder.join("file"), "").unwrap();
    for (arguments, remedy) in [
        (&["--dir", "file"][..], "give --dir a folder"),
        (&["--dir", "d", "--faults", "fire"], "--list-faults"),
        (&["--dir", "d", "--faults", "socket-cot"], "did you mean `socket-cut`?"),
        (&["--dir", "d", "--block-time", "0"], "from 0.05 to 60"),
        (&["--dir", "d", "--block-time", "NaN"], "from 0.05 to 60"),
    ] {
        let refused = grail(&folder, &[&["sim", "serve"], arguments].concat());
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
        assert!(refused.stderr.contains(remedy) && refused.stderr.lines().count() == 1, "{refused:?}");
    }
}

#[test]
fn lines_switch_faults_and_a_signal_ends_it() {
    let folder = folder("serve-lines");
    // A window of a minute is over on no machine before this is.
    let mut server = Server::start(&folder, &["--block-time", "2"]);
    let mut shown = BufReader::new(server.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut until = |part: &str| shown.by_ref().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part}"));
    assert!(until("grail mine --env-file").contains(".env"));
    assert!(folder.join("world/.env").exists());
    for (line, answer) in [
        ("list", "no fault is on"),
        ("fault beacon-late", "on: beacon-late"),
        ("fault socket-cut for 60", "on: beacon-late, socket-cut"),
        ("heal beacon-late", "on: socket-cut"),
        ("fault fire", "not understood: unknown fault \"fire\""),
        ("heal", "no fault is on"),
    ] {
        server.type_line(line);
        until(answer);
    }
    server.terminate();
    until("0 of 0 judged windows accepted");
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
    assert!(folder.join("world/.env").exists(), "`grail why` reads it still");
}

#[test]
fn an_end_before_the_windows_were_judged_is_no_success() {
    let folder = folder("serve-short");
    let mut server = Server::start(&folder, &["--windows", "1", "--json", "--block-time", "2"]);
    let mut notices = BufReader::new(server.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let start = notices.find(|line| line.contains("grail mine --env-file")).unwrap();
    assert!(start.contains("--device cpu --data-dir ") && start.ends_with("serve-short/world/data"), "{start}");
    server.terminate();
    assert!(notices.any(|line| line.contains("serve-short/world keeps .env") && line.contains("sim serve --dir")));
    assert_eq!(server.0.wait().unwrap().code(), Some(1));
}
