//! Where metrics are reported.

use secrecy::SecretString;

use super::error::ConfigError;
use super::keys::KEYS;
use super::notice::Notice;
use super::reader::Reader;
use super::typed::Origin;

/// Where metrics are reported.
#[derive(Debug, Clone)]
pub enum Monitoring {
    /// Nowhere.
    Null,
    /// Weights & Biases.
    Wandb(WandbConfig),
}

/// Weights & Biases.
#[derive(Debug, Clone)]
pub struct WandbConfig {
    /// The key; there is one unless it works offline.
    pub api_key: Option<SecretString>,
    /// The project.
    pub project: String,
    /// User or team; the key's own where there is none.
    pub entity: Option<String>,
    /// Whether runs stay on this machine.
    pub offline: bool,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Monitoring> {
    let backend = reader.parsed("GRAIL_MONITORING_BACKEND", "wandb or null", |text| match text {
        "wandb" => Some(true),
        "null" | "none" => Some(false),
        _ => None,
    });
    let mode = reader.parsed("WANDB_MODE", "online, offline or disabled", |text| {
        ["online", "offline", "disabled"].into_iter().find(|mode| *mode == text)
    });
    let (backend, mode) = (backend?, mode?);
    if !backend || mode == "disabled" {
        tell_idle_keys(reader);
        return Some(Monitoring::Null);
    }
    let api_key = reader.text("WANDB_API_KEY").map(SecretString::from);
    let offline = mode == "offline";
    if api_key.is_none() && !offline {
        reader.errors.push(ConfigError::WandbWithoutKey);
    }
    let project = reader.text("WANDB_PROJECT")?.to_owned();
    let entity = reader.text("WANDB_ENTITY").map(str::to_owned);
    Some(Monitoring::Wandb(WandbConfig { api_key, project, entity, offline }))
}

/// Keys of Weights & Biases that are set while it is off.
fn tell_idle_keys(reader: &mut Reader<'_>) {
    let names = KEYS.iter().map(|key| key.name).filter(|name| name.starts_with("WANDB_") && *name != "WANDB_MODE");
    for name in names {
        let typed = reader.typed.get(name).map(|setting| setting.won.origin.clone());
        if let Some(origin) = typed.filter(|origin| *origin != Origin::Default) {
            let why = "monitoring is off; set GRAIL_MONITORING_BACKEND=wandb to use it";
            reader.notices.push(Notice::Dead { name: name.to_owned(), origin, why });
        }
    }
}
