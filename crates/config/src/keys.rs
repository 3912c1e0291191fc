//! Every key of the configuration, and the reference's keys that have no effect here.

use super::charset::Content;

/// How a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Plain,
    /// Never.
    Secret,
    /// As addresses without user, path and query, which may hold a provider's key.
    Endpoint,
}

/// A key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name in the environment.
    pub name: &'static str,
    /// The value if nothing is typed.
    pub default: Option<&'static str>,
    /// How its value may be shown.
    pub kind: Kind,
    /// Which characters its value may hold.
    pub content: Content,
}

/// The keys, in the order of `.env.example`.
pub const KEYS: &[Key] = &[
    plain("BT_NETWORK", Some("finney")),
    endpoint("BT_CHAIN_ENDPOINT", None),
    plain("NETUID", Some("81")),
    text("BT_WALLET_COLD", Some("default")),
    text("BT_WALLET_HOT", Some("default")),
    text("BT_WALLET_PATH", Some("~/.bittensor/wallets")),
    text("GRAIL_MODEL_NAME", Some("Qwen/Qwen3-4B-Instruct-2507")),
    plain("GRAIL_MAX_NEW_TOKENS", Some("1024")),
    plain("GRAIL_ROLLOUTS_PER_PROBLEM", Some("4")),
    plain("GRAIL_MINER_SAFETY_BLOCKS", Some("1")),
    plain("GRAIL_BLOCK_TIME", None),
    plain("GRAIL_DEVICE", None),
    endpoint("GRAIL_DRAND_URLS", None),
    plain("GRAIL_DRAND_CHAIN_HASH", None),
    plain("GRAIL_DRAND_PUBLIC_KEY", None),
    plain("GRAIL_DRAND_GENESIS", None),
    plain("GRAIL_DRAND_PERIOD", None),
    plain("R2_ACCOUNT_ID", None),
    plain("R2_BUCKET_ID", None),
    Key { content: Content::Part, ..secret("R2_READ_ACCESS_KEY_ID") },
    secret("R2_READ_SECRET_ACCESS_KEY"),
    Key { content: Content::Part, ..secret("R2_WRITE_ACCESS_KEY_ID") },
    secret("R2_WRITE_SECRET_ACCESS_KEY"),
    endpoint("R2_ENDPOINT_URL", None),
    Key { content: Content::Part, ..plain("R2_REGION", Some("auto")) },
    plain("R2_FORCE_PATH_STYLE", Some("false")),
    Key { content: Content::Words, ..plain("GRAIL_MONITORING_BACKEND", Some("null")) },
    secret("WANDB_API_KEY"),
    text("WANDB_PROJECT", Some("grail")),
    text("WANDB_ENTITY", None),
    plain("WANDB_MODE", Some("online")),
    endpoint("WANDB_BASE_URL", Some("https://api.wandb.ai")),
    plain("WANDB_RUN_ID", None),
    plain("WANDB_RESUME", Some("allow")),
    text("WANDB_NAME", None),
    text("WANDB_TAGS", None),
    Key { content: Content::Lines, ..plain("WANDB_NOTES", None) },
    text("WANDB_DIR", None),
    plain("GRAIL_LOG_FORMAT", Some("text")),
    endpoint("GRAIL_OBS_LOKI_URL", None),
    text("GRAIL_OBS_LOKI_LABELS", None),
    text("GRAIL_OBS_LOKI_USERNAME", None),
    Key { content: Content::Text, ..secret("GRAIL_OBS_LOKI_PASSWORD") },
    plain("GRAIL_OBS_LOKI_TIMEOUT_S", Some("5")),
    plain("GRAIL_OBS_LOKI_BATCH_SIZE", Some("100")),
    plain("GRAIL_OBS_LOKI_BATCH_INTERVAL_S", Some("1")),
    secret("GRAIL_ALERT_SLACK_URL"),
    secret("GRAIL_ALERT_DISCORD_URL"),
    secret("GRAIL_ALERT_TELEGRAM_TOKEN"),
    plain("GRAIL_ALERT_TELEGRAM_CHAT", None),
    endpoint("GRAIL_ALERT_TELEGRAM_API", Some("https://api.telegram.org")),
    secret("GRAIL_ALERT_PING_URL"),
    plain("GRAIL_ALERT_PING_INTERVAL_S", Some("60")),
    plain("GRAIL_ALERT_DISK_FREE_GB", Some("2")),
    plain(OVERRIDE, Some("0")),
];

/// Lets `.env` win over the process environment.
pub(super) const OVERRIDE: &str = "GRAIL_ENV_OVERRIDE";
/// Prefix of variables that hold wallet passwords.
pub(super) const PASSWORD_PREFIX: &str = "BT_PW_";
/// Prefixes of our names; a typing mistake among them is reported.
pub(super) const OUR_PREFIXES: [&str; 3] = ["BT_", "GRAIL_", "R2_"];

/// Prefixes of names that the reference reads and this miner does not, with the reason.
pub(super) const DEAD: &[(&str, &str)] = &[
    ("BT_CALL_", "time limits and repeated calls are fitted to the network as it answers"),
    ("GRAIL_CACHE_DIR", "models are in the Hugging Face cache; set HF_HOME to move it"),
    ("GRAIL_CHECKPOINT_", "the model is fixed in this release of the protocol"),
    ("GRAIL_DELTA_", "the model is fixed in this release of the protocol"),
    ("GRAIL_GENERATION_BATCH_SIZE", "the engine fits its batches to the GPU's memory"),
    ("GRAIL_GRPO_", "only the reference's trainer reads it"),
    ("GRAIL_METRIC_", "metrics are not buffered here"),
    ("GRAIL_REF_", "only the reference's trainer reads it"),
    ("GRAIL_TRAIN", "only the reference's trainer reads it"),
    ("WANDB_CACHE_DIR", "only wandb's Python client reads it"),
    ("WANDB_DATA_DIR", "only wandb's Python client reads it"),
];

/// Names that libraries and the system read in the process's environment, which python-dotenv would set from `.env`.
pub(super) const OF_THE_PROCESS: &[&str] = &[
    "ALL_PROXY",
    "CUDA_VISIBLE_DEVICES",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_TOKEN",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LD_LIBRARY_PATH",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
];

/// Names from elsewhere that stand for one of ours, too different for an edit distance.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("BT_NETUID", "NETUID"),
    ("BT_SUBTENSOR_CHAIN_ENDPOINT", "BT_CHAIN_ENDPOINT"),
    ("BT_SUBTENSOR_NETWORK", "BT_NETWORK"),
    ("BT_WALLET_HOTKEY", "BT_WALLET_HOT"),
    ("BT_WALLET_NAME", "BT_WALLET_COLD"),
    ("GRAIL_NETUID", "NETUID"),
    ("R2_ACCESS_KEY_ID", "R2_WRITE_ACCESS_KEY_ID"),
    ("R2_BUCKET_NAME", "R2_BUCKET_ID"),
    ("R2_ENDPOINT", "R2_ENDPOINT_URL"),
    ("R2_SECRET_ACCESS_KEY", "R2_WRITE_SECRET_ACCESS_KEY"),
];

/// Returns the key of this name.
pub(super) fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

const fn plain(name: &'static str, default: Option<&'static str>) -> Key {
    Key { name, default, kind: Kind::Plain, content: Content::Word }
}

const fn text(name: &'static str, default: Option<&'static str>) -> Key {
    Key { name, default, kind: Kind::Plain, content: Content::Text }
}

const fn endpoint(name: &'static str, default: Option<&'static str>) -> Key {
    Key { name, default, kind: Kind::Endpoint, content: Content::Words }
}

const fn secret(name: &'static str) -> Key {
    Key { name, default: None, kind: Kind::Secret, content: Content::Word }
}

#[cfg(test)]
mod tests {
    use grail_miner::machine::MachineSettings;
    use grail_protocol::PROTOCOL;
    use grail_protocol::signature::Hotkey;

    use super::*;

    #[test]
    fn defaults_are_those_of_protocol_and_core() {
        let machine = MachineSettings::new(Hotkey::from_bytes([0; 32]));
        let expected = [
            ("NETUID", PROTOCOL.netuid.to_string()),
            ("GRAIL_MODEL_NAME", PROTOCOL.model_name.to_owned()),
            ("GRAIL_MAX_NEW_TOKENS", PROTOCOL.new_tokens_max.to_string()),
            ("GRAIL_ROLLOUTS_PER_PROBLEM", PROTOCOL.rollouts_per_group.to_string()),
            ("GRAIL_MINER_SAFETY_BLOCKS", machine.safety_blocks.to_string()),
        ];
        for (name, value) in expected {
            assert_eq!(key(name).unwrap().default, Some(value.as_str()), "{name}");
        }
    }

    #[test]
    fn no_known_key_is_dead_or_an_alias() {
        for Key { name, .. } in KEYS {
            assert!(!DEAD.iter().any(|(prefix, _)| name.starts_with(prefix)), "{name}");
            assert!(!ALIASES.iter().any(|(alias, _)| alias == name), "{name}");
        }
        assert!(ALIASES.iter().all(|(_, name)| key(name).is_some()));
    }
}
