//! Backends for metrics, and the names of a run at Weights & Biases.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::endpoint::EndpointUrl;
use super::error::ConfigError;
use super::keys::{KEYS, Key};
use super::notice::Notice;
use super::reader::Reader;

/// Longest id of a run and longest tag, as the service has them.
const SHORT_CHARS_MAX: usize = 64;
/// Longest name of a run, a project and an entity at the service.
const LONG_CHARS_MAX: usize = 128;

/// Backends for metrics; none by default.
#[derive(Debug, Clone, Default)]
pub struct Monitoring {
    /// An endpoint that Prometheus reads.
    pub prometheus: bool,
    /// Weights & Biases.
    pub wandb: Option<WandbConfig>,
}

/// Weights & Biases, by the variables of its own client (<https://docs.wandb.ai/guides/track/environment-variables/>).
#[derive(Debug, Clone)]
pub struct WandbConfig {
    /// The key; there is one unless it works offline.
    pub api_key: Option<SecretString>,
    /// The server.
    pub base_url: EndpointUrl,
    /// The project.
    pub project: String,
    /// User or team; the key's own if there is none.
    pub entity: Option<String>,
    /// Whether runs stay on this machine.
    pub offline: bool,
    /// The run's id; a new one if there is none.
    pub run_id: Option<String>,
    /// What to do if a run with this id exists.
    pub resume: Resume,
    /// The name that is shown.
    pub name: Option<String>,
    /// Tags of the run.
    pub tags: Vec<String>,
    /// Notes on the run.
    pub notes: Option<String>,
    /// Parent of the folder `wandb`; the data folder if none.
    pub folder: Option<PathBuf>,
}

/// What to do if a run with the same id exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Resume {
    /// Continue with it, or start it.
    Allow,
    /// Continue with it; there must be one.
    Must,
    /// Start it; there must be none.
    Never,
    /// Continue with the last run of this data folder.
    Auto,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Monitoring> {
    let expected = "prometheus, wandb or null, or several with a comma between";
    let backends = reader.parsed("GRAIL_MONITORING_BACKEND", expected, |text| {
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        names.iter().all(|name| ["prometheus", "wandb", "null", "none"].contains(name)).then_some(names.join(","))
    });
    let mode = reader.parsed("WANDB_MODE", "online, offline or disabled", |text| {
        ["online", "offline", "disabled"].into_iter().find(|mode| *mode == text)
    });
    let (backends, mode) = (backends?, mode?);
    let named = |backend| backends.split(',').any(|name| name == backend);
    let prometheus = named("prometheus");
    if !named("wandb") || mode == "disabled" {
        tell_idle_keys(reader);
        return Some(Monitoring { prometheus, wandb: None });
    }
    let wandb = read_wandb(reader, mode == "offline")?;
    Some(Monitoring { prometheus, wandb: Some(wandb) })
}

fn read_wandb(reader: &mut Reader<'_>, offline: bool) -> Option<WandbConfig> {
    let api_key = reader.text("WANDB_API_KEY").map(SecretString::from);
    if !reader.is_typed("WANDB_API_KEY") && !offline {
        reader.errors.push(ConfigError::WandbWithoutKey);
    }
    let expected = "the http:// or https:// address of a W&B server, or take it out for wandb.ai";
    let base_url = reader.parsed("WANDB_BASE_URL", expected, |text| EndpointUrl::parse(text, &["http", "https"]));
    let resume = reader.parsed("WANDB_RESUME", "allow, must, never or auto", |text| text.parse::<Resume>().ok());
    // It names a folder, a file and a part of an address.
    let expected = "up to 64 letters, digits, hyphens and underscores";
    let is_id = |text: &str| {
        text.len() <= SHORT_CHARS_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let run_id = optional(reader, "WANDB_RUN_ID", expected, |text| is_id(text).then(|| text.to_owned()))?;
    if resume == Some(Resume::Must) && run_id.is_none() {
        reader.errors.push(ConfigError::Missing {
            name: "WANDB_RUN_ID",
            remedy: "WANDB_RESUME=must continues with a run that it names; set it, or set WANDB_RESUME=allow",
        });
    }
    // The service refuses a run with anything longer, and an offline run only when it is synced.
    let expected = "tags of at most 64 characters each, with commas between";
    let tags = optional(reader, "WANDB_TAGS", expected, |text| {
        let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned);
        Some(tags.collect::<Vec<_>>()).filter(|tags| tags.iter().all(|tag| tag.chars().count() <= SHORT_CHARS_MAX))
    });
    let is_short = |text: &str| text.chars().count() <= LONG_CHARS_MAX;
    let name = optional(reader, "WANDB_NAME", "a name of at most 128 characters", |text| {
        is_short(text).then(|| text.to_owned())
    });
    let expected = "a name of at most 128 characters, without / \\ # ? % and :, that starts with no dot";
    let is_name =
        |text: &str| is_short(text) && !text.contains(['/', '\\', '#', '?', '%', ':']) && !text.starts_with('.');
    let project = reader.parsed("WANDB_PROJECT", expected, |text| is_name(text).then(|| text.to_owned()));
    let entity = optional(reader, "WANDB_ENTITY", expected, |text| is_name(text).then(|| text.to_owned()));
    Some(WandbConfig {
        api_key,
        base_url: base_url?,
        project: project?,
        entity: entity?,
        offline,
        run_id,
        resume: resume?,
        name: name?,
        tags: tags?.unwrap_or_default(),
        notes: reader.text("WANDB_NOTES").map(str::to_owned),
        folder: reader.text("WANDB_DIR").map(PathBuf::from),
    })
}

/// Returns an optional value; `None` if it cannot be used.
pub(super) fn optional<T>(
    reader: &mut Reader<'_>,
    name: &'static str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<Option<T>> {
    if reader.typed.get(name).is_none() {
        return Some(None);
    }
    reader.parsed(name, expected, parse).map(Some)
}

/// Keys of Weights & Biases that are set while it is off.
fn tell_idle_keys(reader: &mut Reader<'_>) {
    for Key { name, default, .. } in
        KEYS.iter().filter(|key| key.name.starts_with("WANDB_") && key.name != "WANDB_MODE")
    {
        // A copied .env.example writes every default out.
        let typed = reader.typed.get(name).filter(|setting| Some(setting.won.value.expose_secret()) != *default);
        if let Some(origin) = typed.map(|setting| setting.won.origin.clone()) {
            let why = "GRAIL_MONITORING_BACKEND does not name wandb";
            reader.notices.push(Notice::Dead { name: (*name).to_owned(), origin, why });
        }
    }
}
