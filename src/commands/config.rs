//! `grail config show`.

use serde_json::{Value, json};

use crate::args::{ConfigArguments, ConfigCommand, ConfigShowArguments};
use crate::exit::Exit;
use grail_config::{Candidate, ConfigErrors, KEYS, MinerConfig, Notice, Origin, RawConfig, Redacted};
use grail_observe::contract::Schema;
use grail_terminal::printable;

pub(super) fn run(arguments: &ConfigArguments) -> anyhow::Result<Exit> {
    let ConfigCommand::Show(arguments) = &arguments.command;
    let typed = grail_config::load(&grail_config::process_environment(), arguments.env_file.env_file.as_deref())?;
    let meant = MinerConfig::from_raw(&typed);
    let outcome = if meant.is_ok() { Exit::Success } else { Exit::Negative };
    if arguments.json {
        super::output::line(Schema::ConfigShow.stamp(document(&typed, &meant)));
    } else {
        super::output::text(page(&typed, &meant, arguments));
    }
    Ok(outcome)
}

/// Returns one line per key, then doubtful and wrong values.
fn page(typed: &RawConfig, meant: &Result<MinerConfig, ConfigErrors>, arguments: &ConfigShowArguments) -> String {
    let names = names(typed);
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut page = String::new();
    for name in names {
        page += format!("{:<width$}  {}", printable(name), line(typed, name, arguments.origin)).trim_end();
        page.push('\n');
    }
    for notice in notices(typed, meant) {
        page += &format!("warning: {}\n", printable(&notice.to_string()));
    }
    for error in meant.as_ref().err().map_or(&[][..], |errors| &errors.0) {
        page += &format!("error: {}\n", printable(&error.to_string()));
    }
    page
}

fn line(typed: &RawConfig, name: &str, with_origin: bool) -> String {
    let Some(setting) = typed.get(name) else { return "(not set)".to_owned() };
    let value = |candidate: &Candidate| Redacted::of(name, &candidate.value).to_string();
    let mut line = value(&setting.won);
    if with_origin {
        line += &format!("  [{}]", setting.won.origin);
        for lost in &setting.lost {
            line += &format!("  not {} [{}]", value(lost), lost.origin);
        }
    }
    printable(&line)
}

/// Known names in order, then all others.
fn names(typed: &RawConfig) -> Vec<&str> {
    let known = KEYS.iter().map(|key| key.name);
    let others = typed.settings().map(|(name, _)| name).filter(|name| KEYS.iter().all(|key| key.name != *name));
    known.chain(others).collect()
}

fn notices(typed: &RawConfig, meant: &Result<MinerConfig, ConfigErrors>) -> Vec<Notice> {
    meant.as_ref().map_or_else(|_| typed.notices(), |config| config.notices.clone())
}

pub(super) fn document(typed: &RawConfig, meant: &Result<MinerConfig, ConfigErrors>) -> Value {
    let key = |name: &str| match typed.get(name) {
        None => json!({ "name": name, "value": null }),
        Some(setting) => {
            let lost: Vec<Value> = setting.lost.iter().map(|lost| candidate(name, lost)).collect();
            let mut key = candidate(name, &setting.won);
            key["name"] = json!(name);
            key["lost"] = json!(lost);
            key
        }
    };
    let notice = |notice: Notice| json!({ "kind": notice.kind(), "name": notice.name(), "text": notice.to_string() });
    let errors = meant.as_ref().err().map_or(&[][..], |errors| &errors.0);
    json!({
        "file": typed.file().map(|path| path.to_string_lossy()),
        "keys": names(typed).into_iter().map(key).collect::<Vec<_>>(),
        "warnings": notices(typed, meant).into_iter().map(notice).collect::<Vec<_>>(),
        "errors": errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn candidate(name: &str, candidate: &Candidate) -> Value {
    let mut object = match Redacted::of(name, &candidate.value) {
        Redacted::Plain(text) => json!({ "value": text }),
        Redacted::Secret { bytes, fingerprint } => {
            json!({ "secret": { "bytes": bytes, "sha256_prefix": fingerprint } })
        }
        Redacted::Hidden => json!({ "secret": {} }),
    };
    object["origin"] = match &candidate.origin {
        Origin::Environment => json!({ "source": "environment" }),
        Origin::File { path, line } => json!({ "source": "file", "path": path.to_string_lossy(), "line": line }),
        Origin::Default => json!({ "source": "default" }),
    };
    object
}
