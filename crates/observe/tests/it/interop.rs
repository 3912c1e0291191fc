//! A `.wandb` file read by the official client; skipped, with a notice, where Python has no `wandb`.

use std::process::Command;

use serde_json::Value;

use crate::offline::write_run;
use crate::online::row;
use crate::wandb_service::{KEY, Service};

/// Returns the interpreter that has a package, if one has.
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn python(package: &str) -> Option<String> {
    let python = std::env::var("GRAIL_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let imported = Command::new(&python).arg("-c").arg(format!("import {package}")).output();
    let found = imported.is_ok_and(|output| output.status.success()).then_some(python);
    if found.is_none() {
        eprintln!("skipped: no Python with {package}; name one in GRAIL_TEST_PYTHON");
    }
    found
}

#[test]
fn the_official_client_syncs_the_file() {
    let Some(python) = python("wandb") else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = write_run(folder.path(), 250);
    let service = Service::start();
    let output = Command::new(python)
        .args(["-m", "wandb", "sync"])
        .arg(&run)
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("WANDB_BASE_URL", service.server.url(""))
        .env("WANDB_API_KEY", KEY)
        .env("WANDB_ERROR_REPORTING", "false")
        .output()
        .unwrap();
    let reported = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{reported}");
    let synced = service.run("mine");
    assert_eq!(synced.history.len(), 250, "{reported}");
    for (step, line) in synced.history.iter().enumerate() {
        assert_eq!(line["_step"], step);
        for (name, value) in &row(step as u64).0 {
            let (found, expected) = (line[name].as_f64(), value.as_f64());
            assert_eq!(found, expected, "{name} of row {step}");
        }
    }
    assert_eq!((&synced.described["displayName"], &synced.described["notes"]), (&"first GPU".into(), &"why".into()));
    assert_eq!(synced.described["tags"], serde_json::json!(["a", "b"]));
    let reported: Value = serde_json::from_str(synced.described["config"].as_str().unwrap()).unwrap();
    assert_eq!((&reported["netuid"]["value"], &reported["model"]["value"]), (&81.into(), &"größer".into()));
    assert!(synced.is_over, "{reported}");
}
