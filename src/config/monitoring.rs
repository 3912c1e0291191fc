//! Where metrics are reported.

use secrecy::SecretString;

use super::error::ConfigError;
use super::keys::KEYS;
use super::notice::Notice;
use super::reader::Reader;
use super::typed::Origin;

/// Where metrics are reported; nowhere by default.
#[derive(Debug, Clone, Default)]
pub struct Monitoring {
    /// An endpoint that Prometheus reads.
    pub prometheus: bool,
    /// Weights & Biases.
    pub wandb: Option<WandbConfig>,
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
    let what = "names wandb, and this release sends nothing to Weights & Biases: use prometheus".to_owned();
    reader.notices.push(Notice::Doubtful { name: "GRAIL_MONITORING_BACKEND", what });
    let api_key = reader.text("WANDB_API_KEY").map(SecretString::from);
    let offline = mode == "offline";
    if api_key.is_none() && !offline {
        reader.errors.push(ConfigError::WandbWithoutKey);
    }
    let project = reader.text("WANDB_PROJECT")?.to_owned();
    let entity = reader.text("WANDB_ENTITY").map(str::to_owned);
    Some(Monitoring { prometheus, wandb: Some(WandbConfig { api_key, project, entity, offline }) })
}

/// Keys of Weights & Biases that are set while it is off.
fn tell_idle_keys(reader: &mut Reader<'_>) {
    let names = KEYS.iter().map(|key| key.name).filter(|name| name.starts_with("WANDB_") && *name != "WANDB_MODE");
    for name in names {
        let typed = reader.typed.get(name).map(|setting| setting.won.origin.clone());
        if let Some(origin) = typed.filter(|origin| *origin != Origin::Default) {
            let why = "GRAIL_MONITORING_BACKEND does not name wandb";
            reader.notices.push(Notice::Dead { name: name.to_owned(), origin, why });
        }
    }
}
