//! What holds for every command that has an option, by walking the tree of commands.

use std::collections::BTreeSet;

use clap::CommandFactory;
use grail::args::Arguments;

use crate::process::{folder, grail, simulated_tape};

/// Returns every command with this option, as its words.
pub(crate) fn commands_with(option: &str) -> BTreeSet<String> {
    fn gather(command: &clap::Command, option: &str, words: &str, found: &mut BTreeSet<String>) {
        if command.get_arguments().any(|argument| argument.get_long() == Some(option)) {
            found.insert(words.to_owned());
        }
        for below in command.get_subcommands() {
            gather(below, option, format!("{words} {}", below.get_name()).trim(), found);
        }
    }
    let mut found = BTreeSet::new();
    gather(&Arguments::command(), option, "", &mut found);
    found
}

#[test]
fn a_missing_device_ends_every_command_that_needs_it_with_the_same_code() {
    let folder = folder("devices");
    let sim = ["sim", "--engine", "synthetic", "--speed", "reference", "--windows", "1", "--groups-max", "1"];
    grail(&folder, &[&sim[..], &["--out", "out"]].concat());
    let files = std::fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "gz")).unwrap();
    let hash = format!("0x{}", "ab".repeat(32));
    // The doctor examines everything else too, `why` needs no device without a file to judge, and `validate` reads its
    // configuration first.
    let runs: [(&str, &[&str], i32); 9] = [
        ("bench", &[], 78),
        ("doctor", &["--no-drand", "--env-file", "absent.env"], 1),
        ("golden", &[], 78),
        ("mine", &["--try"], 78),
        ("prove", &["--tokens", "tokens.json", "--randomness", "0x00ff"], 78),
        ("sim serve", &["--dir", "world"], 78),
        ("validate", &["--env-file", "absent.env"], 78),
        ("verify", &[file.to_str().unwrap(), "--block-hash", &hash], 78),
        ("why", &["30", "--data-dir", "data"], 3),
    ];
    std::fs::write(folder.join("tokens.json"), "[1, 2, 3]").unwrap();
    assert_eq!(
        BTreeSet::from(runs.map(|(words, ..)| words.to_owned())),
        commands_with("device"),
        "a command is not run here"
    );
    for (words, arguments, code) in runs {
        let words: Vec<&str> = words.split(' ').collect();
        let finished = grail(&folder, &[&words[..], arguments, &["--device", "cuda:63"]].concat());
        assert_eq!(finished.code, Some(code), "{words:?}: {finished:?}");
        let names_it = finished.stderr.contains("cuda") || code != 78 || words == ["validate"];
        assert!(names_it, "{words:?}: {finished:?}");
    }
}

#[test]
fn an_output_that_cannot_be_written_ends_every_command_before_its_work() {
    let folder = folder("outputs");
    simulated_tape(&folder, 1);
    let tape = "simulated/1-0.tape";
    grail(&folder, &["sim", "swarm", "--seeds", "0..1", "--jobs", "1", "--dir", "results"]);
    let many = ["sim", "--windows", "1000000"];
    let runs: [(&str, &str, &[&str]); 9] = [
        ("html", "estimate", &["estimate", "--gpu", "h200", "--windows", "100000", "--seeds", "1000"]),
        ("html", "replay", &["replay", tape]),
        ("html", "sim", &many),
        ("out", "bundle", &["bundle", "30"]),
        ("out", "report", &["report", "--data-dir", "data"]),
        ("out", "sim", &many),
        ("out", "sim swarm merge", &["sim", "swarm", "merge", "results"]),
        ("out", "tape export", &["tape", "export", tape]),
        ("trace", "sim", &many),
    ];
    let known: BTreeSet<(&str, String)> = ["html", "out", "trace"]
        .into_iter()
        .flat_map(|option| commands_with(option).into_iter().map(move |words| (option, words)))
        .collect();
    assert_eq!(
        BTreeSet::from(runs.map(|(option, words, _)| (option, words.to_owned()))),
        known,
        "an output is not tried here"
    );
    // A file is where a folder would have to be.
    std::fs::write(folder.join("file"), "").unwrap();
    for (option, words, arguments) in runs {
        let named = format!("--{option}");
        let finished = grail(&folder, &[arguments, &[&named, "file/result"]].concat());
        assert_eq!(finished.code, Some(2), "{words}: {finished:?}");
        let line = finished.stderr.lines().next().unwrap_or_default();
        assert!(line.contains("cannot write") && line.contains("file/result"), "{words}: {finished:?}");
        assert!(line.contains(&format!("give {named} ")), "{words} names no remedy: {finished:?}");
    }
}
