//! Completions and manual pages, by the programs that read them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory;
use grail::args::Arguments;

use crate::process::{folder, grail};

/// Returns the subcommands, as the command line itself has them.
fn subcommands() -> BTreeSet<String> {
    Arguments::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// Returns bash's completions for these words; the last one is unfinished.
fn completed(script: &Path, words: &[&str]) -> BTreeSet<String> {
    let read = format!(
        "set -eu; source '{}'; COMP_WORDS=({}); COMP_CWORD={}; _grail grail '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.join(" "),
        words.len() - 1,
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let output = Command::new("bash").args(["--norc", "-c", &read]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_subcommands_and_their_options() {
    let folder = folder("completions");
    let script = folder.join("grail.bash");
    let printed = grail(&folder, &["completions", "bash"]);
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
    std::fs::write(&script, printed.stdout).unwrap();
    let offered = completed(&script, &["grail", "''"]);
    assert!(subcommands().is_subset(&offered), "{offered:?}");
    assert_eq!(completed(&script, &["grail", "doc"]), BTreeSet::from(["doctor".to_owned()]));
    assert_eq!(completed(&script, &["grail", "sim", "sw"]), BTreeSet::from(["swarm".to_owned()]));
    assert_eq!(completed(&script, &["grail", "mine", "--take"]), BTreeSet::from(["--take-over".to_owned()]));
}

#[test]
fn every_shell_has_its_script_and_another_is_refused() {
    let folder = folder("shells");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let printed = grail(&folder, &["completions", shell]);
        assert_eq!(printed.code, Some(0));
        for name in subcommands() {
            assert!(printed.stdout.contains(&name), "{shell} does not know {name}");
        }
    }
    assert_eq!(grail(&folder, &["completions", "cmd"]).code, Some(2));
}

#[test]
fn the_manual_names_every_subcommand_and_has_a_page_for_it() {
    let folder = folder("manual");
    let written = grail(&folder, &["man", "pages/man1"]);
    assert_eq!((written.code, written.stdout.as_str(), written.stderr.as_str()), (Some(0), "", ""));
    // In roff a hyphen is written with a backslash.
    let page = |name: &str| std::fs::read_to_string(folder.join("pages/man1").join(name)).unwrap().replace('\\', "");
    let main = page("grail.1");
    for name in subcommands() {
        assert!(main.contains(&format!("grail-{name}(1)")), "grail.1 does not name {name}");
        assert!(page(&format!("grail-{name}.1")).contains(".SH SYNOPSIS"), "{name}");
    }
    assert!(page("grail-mine.1").contains("--take-over") && page("grail-sim-swarm.1").contains("--shard"));
    std::fs::write(folder.join("file"), "").unwrap();
    let refused = grail(&folder, &["man", "file"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("give a folder"), "{}", refused.stderr);
}
