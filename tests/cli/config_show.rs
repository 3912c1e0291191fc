//! `grail config show`, as it is run.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const ENV_FILE: &str = "\
# one line that is not a value
NETUID=5
R2_ACCOUNT_ID=0123456789abcdef0123456789abcdef
R2_READ_ACCESS_KEY_ID=planted0read0id
R2_READ_SECRET_ACCESS_KEY=planted0read0secret
R2_WRITE_ACCESS_KEY_ID=planted0write0id
R2_WRITE_SECRET_ACCESS_KEY=planted0write0secret
R2_BUKET_ID=planted0elsewhere
GRAIL_TRAINER_LR=1
";

fn show(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    command.args(["config", "show"]).args(arguments).current_dir(folder).env_clear().env("HOME", "/nowhere");
    command.envs(variables.iter().copied()).output().unwrap()
}

fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".env"), text).unwrap();
    folder
}

fn text(output: &Output) -> String {
    let shown = [&output.stdout[..], &output.stderr[..]].concat();
    let shown = String::from_utf8(shown).unwrap();
    assert!(!shown.contains("planted"), "{shown}");
    shown
}

#[test]
fn every_key_is_shown_with_its_origins() {
    let folder = folder_with(ENV_FILE);
    let output = show(folder.path(), &["--origin"], &[("NETUID", "81")]);
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let line = |name: &str| shown.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_default();
    assert!(line("NETUID").ends_with("81  [environment]  not 5 [.env:2]"), "{shown}");
    assert!(line("BT_NETWORK").ends_with("finney  [default]"), "{shown}");
    assert!(line("WANDB_API_KEY").ends_with("(not set)"), "{shown}");
    assert!(line("R2_WRITE_SECRET_ACCESS_KEY").contains("(20 bytes, sha256 "), "{shown}");
    assert!(shown.contains("warning: R2_BUKET_ID (.env:8) is not known: did you mean R2_BUCKET_ID?"), "{shown}");
    assert!(shown.contains("warning: GRAIL_TRAINER_LR (.env:9) has no effect"), "{shown}");
    assert!(!text(&show(folder.path(), &[], &[])).contains("[default]"));
}

#[test]
fn json_holds_the_same() {
    let folder = folder_with(ENV_FILE);
    let output = show(folder.path(), &["--json"], &[("NETUID", "81")]);
    let document: serde_json::Value = serde_json::from_str(&text(&output)).unwrap();
    let key = |name: &str| {
        let mut keys = document["keys"].as_array().unwrap().iter();
        keys.find(|key| key["name"] == name).unwrap().clone()
    };
    assert_eq!(key("NETUID")["value"], "81");
    assert_eq!(key("NETUID")["origin"]["source"], "environment");
    assert_eq!(key("NETUID")["lost"][0]["origin"]["line"], 2);
    assert_eq!(key("R2_WRITE_SECRET_ACCESS_KEY")["secret"]["bytes"], 20);
    assert!(key("R2_WRITE_SECRET_ACCESS_KEY")["value"].is_null());
    assert_eq!((&document["file"], &document["errors"]), (&".env".into(), &serde_json::json!([])));
    assert_eq!(document["warnings"].as_array().unwrap().len(), 3, "{document}");
}

#[test]
fn the_kind_of_problem_decides_the_exit_code() {
    let folder = folder_with("R2_READ_ACCESS_KEY_ID=planted\nR2_WRITE_ACCESS_KEY_ID=planted\n");
    let output = show(folder.path(), &[], &[]);
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("error: R2_READ_ACCESS_KEY_ID equals R2_WRITE_ACCESS_KEY_ID"), "{shown}");
    fs::write(folder.path().join(".env"), "\nplanted secret\n").unwrap();
    let output = show(folder.path(), &[], &[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output).starts_with("grail: .env:2: there is no `=`"), "{}", text(&output));
    let output = show(folder.path(), &["--env-file", "absent.env"], &[]);
    assert!(output.status.code() == Some(78) && text(&output).contains("absent.env"), "{}", text(&output));
}
