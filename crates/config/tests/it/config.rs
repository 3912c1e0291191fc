//! Configuration: sources and precedence, what is refused, what is reported, and that no secret shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use grail_config::{
    ConfigError, ConfigErrors, CredentialsError, EnvFile, EnvFileError, Environment, KEYS, LogFormat, MinerConfig,
    Monitoring, Network, Notice, Origin, RawConfig, Redacted, Resume, load,
};
use secrecy::{ExposeSecret, SecretString};

pub(crate) const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
const READ_SECRET: &str = "planted0read0secret";

/// The smallest configuration of a miner.
pub(crate) const NEEDED: [(&str, &str); 6] = [
    ("HOME", "/users/miner"),
    ("R2_ACCOUNT_ID", ACCOUNT),
    ("R2_READ_ACCESS_KEY_ID", "planted0read0id"),
    ("R2_READ_SECRET_ACCESS_KEY", READ_SECRET),
    ("R2_WRITE_ACCESS_KEY_ID", "planted0write0id"),
    ("R2_WRITE_SECRET_ACCESS_KEY", "planted0write0secret"),
];

pub(crate) const CUSTOM: [(&str, &str); 2] = [("BT_NETWORK", "custom"), ("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9944")];
pub(crate) const OWN_BEACON: [(&str, &str); 5] = [
    ("GRAIL_DRAND_URLS", "http://127.0.0.1:81, http://127.0.0.1:82"),
    ("GRAIL_DRAND_CHAIN_HASH", "52DB9BA70E0CC0F6EAF7803DD07447A1F5477735FD3F661792BA94600C84E971"),
    ("GRAIL_DRAND_PUBLIC_KEY", QUICKNET_KEY),
    ("GRAIL_DRAND_GENESIS", "1692803367"),
    ("GRAIL_DRAND_PERIOD", "3"),
];
const QUICKNET_KEY: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";

pub(crate) fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect()
}

/// Returns the needed variables with some exchanged or added; an empty one counts as none.
pub(crate) fn typed(changes: &[(&str, &str)]) -> RawConfig {
    RawConfig::merge(&environment(&[&NEEDED[..], changes].concat()), None)
}

pub(crate) fn meant(changes: &[(&str, &str)]) -> Result<MinerConfig, ConfigErrors> {
    MinerConfig::from_raw(&typed(changes))
}

pub(crate) fn errors(changes: &[(&str, &str)]) -> Vec<ConfigError> {
    meant(changes).expect_err("the configuration should be refused").0
}

/// Checks that these values are refused, and for this one alone.
pub(crate) fn assert_invalid(changes: &[(&str, &str)], name: &str) {
    let found = errors(changes);
    let is_alone = matches!(&found[..], [ConfigError::Invalid { name: reported, .. }] if *reported == name);
    assert!(is_alone, "{name}: {changes:?}: {found:?}");
}

/// Checks that these values are refused, and for this missing one alone.
pub(crate) fn assert_missing(changes: &[(&str, &str)], name: &str) {
    let found = errors(changes);
    let is_alone = matches!(&found[..], [ConfigError::Missing { name: reported, .. }] if *reported == name);
    assert!(is_alone, "{name}: {changes:?}: {found:?}");
}

pub(crate) fn merged(variables: &[(&str, &str)], text: &str) -> RawConfig {
    RawConfig::merge(&environment(variables), Some(&EnvFile::parse(Path::new(".env"), text).unwrap()))
}

pub(crate) fn line(line: usize) -> Origin {
    Origin::File { path: PathBuf::from(".env"), line }
}

/// Value, origin, and the origins that lost.
pub(crate) fn holds(typed: &RawConfig, name: &str) -> (String, Origin, Vec<Origin>) {
    let setting = typed.get(name).unwrap();
    let lost = setting.lost.iter().map(|lost| lost.origin.clone()).collect();
    (setting.won.value.expose_secret().to_owned(), setting.won.origin.clone(), lost)
}

#[test]
fn the_needed_values_are_enough() {
    let config = meant(&[]).unwrap();
    assert_eq!((config.chain.network, config.chain.netuid), (Network::Finney, 81));
    assert_eq!(config.chain.endpoints[0].expose(), "wss://entrypoint-finney.opentensor.ai:443");
    let path = config.wallet.hotkey_path();
    assert_eq!(path, Path::new("/users/miner/.bittensor/wallets/default/hotkeys/default"));
    assert_eq!((config.new_tokens_max, config.rollouts_per_group, config.safety_blocks), (1024, 4, 1));
    assert_eq!(config.storage.name(), ACCOUNT);
    assert_eq!(config.storage.endpoint.expose(), format!("https://{ACCOUNT}.r2.cloudflarestorage.com"));
    assert_eq!((config.storage.region.as_str(), config.storage.force_path_style), ("auto", false));
    assert!(matches!(config.monitoring, Monitoring { prometheus: false, wandb: None }));
    assert!(config.logging.loki.is_none() && config.alerts.is_empty());
    assert_eq!(config.notices, []);
}

#[test]
fn regions_that_r2_does_not_have_are_doubtful() {
    let elsewhere = [&CUSTOM[..], &[("R2_ENDPOINT_URL", "http://127.0.0.1:9000")]].concat();
    for (region, others, doubts) in
        [("us-east-1", &[][..], 0), ("weur", &[], 0), ("eu-west-1", &[], 1), ("eu-west-1", &elsewhere[..], 0)]
    {
        let config = meant(&[&[("R2_REGION", region)], others].concat()).unwrap();
        assert_eq!(config.notices.len(), doubts, "{region}: {:?}", config.notices);
        assert_eq!(config.storage.region, region);
    }
}

#[test]
fn the_environment_wins_unless_the_file_says_otherwise() {
    let file = "NETUID=1\nNETUID=2\nBT_WALLET_HOT=\nBT_WALLET_COLD=cold\n";
    let typed = merged(&[("NETUID", " 3 "), ("BT_WALLET_HOT", "hot"), ("BT_WALLET_COLD", "")], file);
    assert_eq!(holds(&typed, "NETUID"), ("3".into(), Origin::Environment, vec![line(2), line(1)]));
    assert_eq!(holds(&typed, "BT_WALLET_HOT"), ("hot".into(), Origin::Environment, vec![]));
    assert_eq!(holds(&typed, "BT_WALLET_COLD"), ("cold".into(), line(4), vec![]));
    assert_eq!(holds(&typed, "BT_NETWORK"), ("finney".into(), Origin::Default, vec![]));
    let notices: Vec<String> = typed.notices().iter().map(ToString::to_string).collect();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices[0].contains(".env:2") && notices[0].contains("GRAIL_ENV_OVERRIDE=1"), "{notices:?}");

    let typed = merged(&[("NETUID", "3")], "GRAIL_ENV_OVERRIDE=1\nNETUID=1\nNETUID=2\n");
    assert_eq!(holds(&typed, "NETUID"), ("2".into(), line(3), vec![line(2), Origin::Environment]));
    let typed = merged(&[("NETUID", "3"), ("GRAIL_ENV_OVERRIDE", "0")], "GRAIL_ENV_OVERRIDE=1\nNETUID=1\n");
    assert_eq!(holds(&typed, "NETUID").0, "3", "the environment decides on the switch itself");
}

#[test]
fn unknown_names_are_reported() {
    let file = "BT_WALLET_NAME=a\nHF_TOKEN=b\nGRAIL_TRAINER_LR=c\nWANDB_PROJET=d\nGRAIL_XYZZY=e\nWANDB_CACHE_DIR=f\n";
    let typed = merged(&[("R2_BUKET_ID", "g"), ("NETUI", "h"), ("PATH", "i"), ("BT_PW_X", "j")], file);
    let reported: Vec<(String, &str, String)> =
        typed.notices().iter().map(|notice| (notice.name().to_owned(), notice.kind(), notice.to_string())).collect();
    let expected = [
        ("BT_WALLET_NAME", "unknown", "did you mean BT_WALLET_COLD?"),
        ("GRAIL_TRAINER_LR", "dead", "trainer"),
        ("GRAIL_XYZZY", "unknown", ".env.example"),
        ("R2_BUKET_ID", "unknown", "did you mean R2_BUCKET_ID?"),
        ("WANDB_CACHE_DIR", "dead", "Python client"),
        ("WANDB_PROJET", "unknown", "did you mean WANDB_PROJECT?"),
        // Python would pass this to its libraries.
        ("HF_TOKEN", "dead", "environment of the process"),
    ];
    assert_eq!(reported.len(), expected.len(), "{reported:?}");
    for ((name, kind, text), expected) in reported.iter().zip(expected) {
        assert_eq!((name.as_str(), *kind), (expected.0, expected.1));
        assert!(text.contains(expected.2), "{text}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let changes = [("NETUID", "x"), ("R2_ACCOUNT_ID", ""), ("R2_READ_ACCESS_KEY_ID", ""), ("BT_NETWORK", "local")];
    let found = errors(&changes);
    let shown = ConfigErrors(found).to_string();
    for part in [
        "BT_NETWORK (environment) is \"local\"",
        "BT_CHAIN_ENDPOINT",
        "NETUID",
        "R2_ACCOUNT_ID is not set",
        "R2_READ_ACCESS_KEY_ID is not set",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn malformed_values_are_refused() {
    let malformed = [
        ("NETUID", "65536"),
        ("BT_CHAIN_ENDPOINT", "https://node.example"),
        ("BT_CHAIN_ENDPOINT", ","),
        ("BT_WALLET_COLD", "a/b"),
        ("BT_WALLET_HOT", ".."),
        ("BT_WALLET_HOT", "5EHgWw2Af1pnoc7f1A8bfmM97W3DAYW8xr82RfhLL9oAabAe"),
        ("GRAIL_MINER_SAFETY_BLOCKS", "0"),
        ("GRAIL_MINER_SAFETY_BLOCKS", "30"),
        ("GRAIL_MAX_NEW_TOKENS", "many"),
        ("R2_ACCOUNT_ID", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("R2_ENDPOINT_URL", "s3.example"),
        ("R2_ENDPOINT_URL", "https://s3.example/another"),
        ("R2_ENDPOINT_URL", "https://s3.example?region=x"),
        ("R2_ENDPOINT_URL", "https://user:planted@s3.example"),
        ("R2_FORCE_PATH_STYLE", "maybe"),
        ("GRAIL_MONITORING_BACKEND", "statsd"),
        ("GRAIL_MONITORING_BACKEND", "prometheus,"),
        ("WANDB_MODE", "on"),
        ("GRAIL_LOG_FORMAT", "yaml"),
        ("GRAIL_OBS_LOKI_URL", "loki:3100"),
        ("GRAIL_OBS_LOKI_URL", "http://loki:3100/loki/api/v1/push,"),
        ("GRAIL_OBS_LOKI_LABELS", "level=info"),
        ("GRAIL_OBS_LOKI_BATCH_SIZE", "0"),
        ("GRAIL_OBS_LOKI_TIMEOUT_S", "inf"),
        ("GRAIL_ALERT_SLACK_URL", "hooks.slack.com/services/planted"),
        ("GRAIL_ALERT_PING_INTERVAL_S", "0"),
        ("GRAIL_ALERT_DISK_FREE_GB", "-1"),
    ];
    for (name, value) in malformed {
        assert_invalid(&[(name, value)], name);
    }
    let telegram = [("GRAIL_ALERT_TELEGRAM_TOKEN", "1:a/../b"), ("GRAIL_ALERT_TELEGRAM_CHAT", "1")];
    assert_invalid(&telegram, "GRAIL_ALERT_TELEGRAM_TOKEN");
    let found = errors(&[("BT_WALLET_PATH", "${HOME}/wallets")]);
    assert!(matches!(&found[..], [ConfigError::Substitution { name: "BT_WALLET_PATH", .. }]), "{found:?}");
    let found = errors(&[("HOME", "")]);
    assert_eq!(found, [ConfigError::NoHome]);
}

#[test]
fn constants_change_on_a_custom_network_alone() {
    let changes =
        [("GRAIL_MODEL_NAME", "other/model"), ("GRAIL_MAX_NEW_TOKENS", "16"), ("GRAIL_ROLLOUTS_PER_PROBLEM", "2")];
    for network in ["finney", "test"] {
        let found = errors(&[&changes[..], &[("BT_NETWORK", network)]].concat());
        assert!(found.len() == 3 && found.iter().all(|e| matches!(e, ConfigError::Constant { .. })), "{found:?}");
    }
    let custom = [("BT_NETWORK", "custom"), ("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9944, wss://node.example/key")];
    let config = meant(&[&changes[..], &custom].concat()).unwrap();
    assert_eq!((config.model_name.as_str(), config.new_tokens_max, config.rollouts_per_group), ("other/model", 16, 2));
    let endpoints: Vec<&str> = config.chain.endpoints.iter().map(|endpoint| endpoint.expose()).collect();
    assert_eq!(endpoints, ["ws://127.0.0.1:9944", "wss://node.example/key"]);
    assert_eq!(errors(&[("BT_NETWORK", "custom")]), [ConfigError::CustomWithoutEndpoint]);
}

#[test]
fn contradictions_are_refused_with_their_remedy() {
    let found =
        errors(&[("R2_READ_ACCESS_KEY_ID", "planted0write0id"), ("R2_READ_SECRET_ACCESS_KEY", "planted0write0secret")]);
    assert!(found.len() == 2 && found.iter().all(|e| matches!(e, ConfigError::WriteKeyPublished { .. })), "{found:?}");
    assert!(found[0].to_string().contains("Object Read only"), "{}", found[0]);
    let found = errors(&[("R2_BUCKET_ID", "rollouts")]);
    assert!(matches!(&found[..], [ConfigError::OtherBucket { .. }]), "{found:?}");
    assert!(meant(&[("R2_BUCKET_ID", ACCOUNT)]).is_ok());
    let wandb = ("GRAIL_MONITORING_BACKEND", "wandb");
    assert_eq!(errors(&[wandb]), [ConfigError::WandbWithoutKey]);
    let config = meant(&[wandb, ("WANDB_MODE", "offline")]).unwrap();
    let sent = config.monitoring.wandb.expect("wandb was asked for");
    assert!(sent.offline && sent.project == "grail" && sent.resume == Resume::Allow);
    assert_eq!((config.notices, sent.base_url.expose()), (Vec::<Notice>::new(), "https://api.wandb.ai"));
    let disabled = meant(&[wandb, ("WANDB_MODE", "disabled")]).unwrap().monitoring;
    assert!(matches!(disabled, Monitoring { prometheus: false, wandb: None }));
}

#[test]
fn metrics_may_go_to_several_places() {
    let several = ("GRAIL_MONITORING_BACKEND", "prometheus, wandb");
    let monitoring = meant(&[several, ("WANDB_MODE", "offline")]).unwrap().monitoring;
    assert!(monitoring.prometheus && monitoring.wandb.is_some());
    for (value, prometheus) in [("prometheus", true), ("null,prometheus", true), ("none", false)] {
        let config = meant(&[("GRAIL_MONITORING_BACKEND", value)]).unwrap();
        assert_eq!((config.monitoring.prometheus, config.monitoring.wandb.is_some()), (prometheus, false), "{value}");
        assert_eq!(config.notices, Vec::<Notice>::new());
    }
}

#[test]
fn a_run_is_described_as_its_own_client_has_it() {
    let wandb = [("GRAIL_MONITORING_BACKEND", "wandb"), ("WANDB_API_KEY", "planted0key")];
    let described = [
        ("WANDB_RUN_ID", "run-1_a"),
        ("WANDB_RESUME", "must"),
        ("WANDB_NAME", "first GPU"),
        ("WANDB_TAGS", "a, b,,"),
        ("WANDB_NOTES", "why"),
        ("WANDB_BASE_URL", "http://127.0.0.1:8080/"),
        ("WANDB_DIR", "/runs"),
    ];
    let sent = meant(&[&wandb[..], &described].concat()).unwrap().monitoring.wandb.unwrap();
    assert_eq!(
        (sent.run_id.as_deref(), sent.resume, sent.name.as_deref()),
        (Some("run-1_a"), Resume::Must, Some("first GPU"))
    );
    assert_eq!((sent.tags, sent.notes.as_deref()), (vec!["a".to_owned(), "b".to_owned()], Some("why")));
    assert_eq!((sent.base_url.expose(), sent.folder.as_deref()), ("http://127.0.0.1:8080", Some(Path::new("/runs"))));
    for (name, value) in
        [("WANDB_RUN_ID", "../x"), ("WANDB_RESUME", "yes"), ("WANDB_BASE_URL", "wandb.ai"), ("WANDB_PROJECT", "a/b")]
    {
        assert_invalid(&[&wandb[..], &[(name, value)]].concat(), name);
    }
    assert_missing(&[&wandb[..], &[("WANDB_RESUME", "must")]].concat(), "WANDB_RUN_ID");
}

#[test]
fn log_and_alerts_are_read_and_no_webhook_is_shown() {
    let typed = [
        ("GRAIL_LOG_FORMAT", "json"),
        ("GRAIL_OBS_LOKI_URL", "http://127.0.0.1:3100/loki/api/v1/push, https://logs.example/loki/api/v1/push"),
        ("GRAIL_OBS_LOKI_LABELS", "env=dev"),
        ("GRAIL_OBS_LOKI_USERNAME", "user"),
        ("GRAIL_OBS_LOKI_PASSWORD", "planted"),
        ("GRAIL_ALERT_SLACK_URL", "https://hooks.slack.com/services/planted"),
        ("GRAIL_ALERT_TELEGRAM_TOKEN", "1:planted"),
        ("GRAIL_ALERT_TELEGRAM_CHAT", "-100"),
        ("GRAIL_ALERT_PING_URL", "https://hc-ping.com/planted"),
    ];
    let config = meant(&typed).unwrap();
    let loki = config.logging.loki.as_ref().unwrap();
    assert_eq!((config.logging.format, loki.urls.len(), loki.labels["env"].as_str()), (LogFormat::Json, 2, "dev"));
    assert_eq!(config.alerts.telegram.as_ref().unwrap().chat, "-100");
    assert_eq!(config.alerts.disk_free_min, 2_000_000_000);
    let shown = format!("{config:?}");
    assert!(!shown.contains("planted"), "{shown}");
    for (name, other) in [
        ("GRAIL_ALERT_TELEGRAM_TOKEN", "GRAIL_ALERT_TELEGRAM_CHAT"),
        ("GRAIL_ALERT_TELEGRAM_CHAT", "GRAIL_ALERT_TELEGRAM_TOKEN"),
        ("GRAIL_OBS_LOKI_USERNAME", "GRAIL_OBS_LOKI_PASSWORD"),
        ("GRAIL_OBS_LOKI_PASSWORD", "GRAIL_OBS_LOKI_USERNAME"),
    ] {
        assert_missing(&[(name, "1:planted")], other);
    }
}

#[test]
fn doubtful_values_are_reported() {
    let notices =
        meant(&[("NETUID", "429"), ("R2_ENDPOINT_URL", "http://s3:9000"), ("WANDB_API_KEY", "k")]).unwrap().notices;
    let reported: Vec<(&str, &str)> = notices.iter().map(|notice| (notice.kind(), notice.name())).collect();
    assert_eq!(reported, [("doubtful", "NETUID"), ("doubtful", "R2_ENDPOINT_URL"), ("dead", "WANDB_API_KEY")]);
    let test = [("BT_NETWORK", "test"), ("NETUID", "429")];
    assert_eq!(meant(&test).unwrap().notices, Vec::<Notice>::new());
}

#[test]
fn the_bucket_in_the_servers_address_is_left_out_and_reported() {
    let url = format!("https://{ACCOUNT}.r2.cloudflarestorage.com/{ACCOUNT}");
    let config = meant(&[("R2_ENDPOINT_URL", &url)]).unwrap();
    assert_eq!(config.storage.endpoint.expose(), format!("https://{ACCOUNT}.r2.cloudflarestorage.com"));
    let reported: Vec<String> = config.notices.iter().map(ToString::to_string).collect();
    assert!(matches!(&reported[..], [one] if one.contains("R2_ENDPOINT_URL holds the bucket's name")), "{reported:?}");
    // On a public network the account alone gives the address that validators read. On a custom network this address
    // does.
    assert_eq!(config.storage.validators_endpoint, None);
    let own = format!("http://127.0.0.1:9000/{ACCOUNT}/");
    let storage = meant(&[&CUSTOM[..], &[("R2_ENDPOINT_URL", own.as_str())]].concat()).unwrap().storage;
    assert_eq!(storage.validators_endpoint.unwrap().expose(), "http://127.0.0.1:9000");
}

#[test]
fn read_credentials_are_three_padded_fields() {
    let storage = meant(&[]).unwrap().storage;
    let expected = format!("{ACCOUNT:<32}{:<32}{READ_SECRET:<64}", "planted0read0id");
    assert_eq!(storage.read_credentials().unwrap(), *expected.as_bytes());
    let found = errors(&[("R2_READ_ACCESS_KEY_ID", &"a".repeat(33))]);
    let too_long = CredentialsError::TooLong { name: "R2_READ_ACCESS_KEY_ID", bytes: 33, bytes_max: 32 };
    assert_eq!(found, [ConfigError::Credentials(too_long)]);
    let mut beyond_ascii = storage.clone();
    beyond_ascii.read.secret = SecretString::from("sécret");
    let not_ascii = CredentialsError::NotAscii { name: "R2_READ_SECRET_ACCESS_KEY" };
    assert_eq!(beyond_ascii.read_credentials(), Err(not_ascii));
    assert!(meant(&[("R2_READ_SECRET_ACCESS_KEY", &"a".repeat(64))]).is_ok());
}

#[test]
fn no_secret_shows_anywhere() {
    let secrets = [
        ("BT_CHAIN_ENDPOINT", "wss://user:planted@node.example/planted?key=planted"),
        ("BT_PW__HOME", "planted"),
        ("R2_SECRET_KEY", "planted"),
        ("WANDB_API_KEY", "planted"),
        ("R2_READ_SECRET_ACCESS_KEY", "planted read"),
    ];
    let mut outputs = Vec::new();
    for count in 0..=secrets.len() {
        let typed = typed(&secrets[..count]);
        outputs.push(format!("{typed:?} {:?} {:?}", typed.notices(), typed.passwords()));
        outputs.extend(typed.notices().iter().map(ToString::to_string));
        outputs.extend(typed.settings().map(|(name, setting)| Redacted::of(name, &setting.won.value).to_string()));
        match MinerConfig::from_raw(&typed) {
            Ok(config) => outputs.push(format!("{config:?}")),
            Err(errors) => outputs.push(format!("{errors} {errors:?}")),
        }
    }
    let same = errors(&[("R2_READ_ACCESS_KEY_ID", "planted0write0id"), ("BT_CHAIN_ENDPOINT", "planted://planted")]);
    outputs.push(format!("{} {same:?}", same[0]));
    let environment = environment(&NEEDED);
    outputs.push(format!("{environment:?} {:?}", EnvFile::parse(Path::new(".env"), "WANDB_API_KEY=planted")));
    for output in outputs {
        assert!(!output.contains("planted"), "{output}");
    }
}

#[test]
fn values_are_shown_by_kind() {
    let shown = |name: &str, value: &str| Redacted::of(name, &SecretString::from(value)).to_string();
    assert_eq!(shown("NETUID", "81"), "81");
    assert_eq!(shown("WANDB_API_KEY", "abc"), "(3 bytes, sha256 ba7816bf…)");
    assert_eq!(shown("R2_SECRET_KEY", "abc"), "(3 bytes, sha256 ba7816bf…)");
    assert_eq!(shown("BT_PW_X", "abc"), "(hidden)");
    assert_eq!(shown("BT_CHAIN_ENDPOINT", "ws://a:1,wss://u:p@b/c"), "ws://a:1,wss://b/…");
    assert_eq!(shown("R2_ENDPOINT_URL", "abc"), "(3 bytes, sha256 ba7816bf…)");
}

#[test]
fn files_are_found_read_and_blamed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("miner.env");
    let missing = load(&Environment::new(), Some(&path)).unwrap_err();
    assert!(matches!(missing, EnvFileError::Missing { .. }) && missing.to_string().contains("--env-file"), "{missing}");
    fs::write(&path, "export NETUID='7' # the test subnet\n").unwrap();
    let typed = load(&Environment::new(), Some(&path)).unwrap();
    assert_eq!(holds(&typed, "NETUID").1, Origin::File { path: path.clone(), line: 1 });
    assert_eq!(typed.file(), Some(&path));
    fs::write(&path, b"A=1\nB=\xff\xfe\n").unwrap();
    assert!(matches!(load(&Environment::new(), Some(&path)), Err(EnvFileError::Encoding { line: 2, .. })));
}

#[test]
fn the_example_names_every_key_and_no_other() {
    let text = include_str!("../../../../.env.example");
    let file = EnvFile::parse(Path::new(".env.example"), text).unwrap();
    let names: BTreeSet<&str> = file.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, KEYS.iter().map(|key| key.name).collect());
    assert_eq!(file.entries.len(), KEYS.len(), "each key once");
    for (entry, key) in file.entries.iter().zip(KEYS) {
        let value = entry.value.expose_secret();
        assert_eq!((entry.name.as_str(), value), (key.name, key.default.unwrap_or("")), "in the order of KEYS");
    }
    let unchanged = RawConfig::merge(&environment(&[("HOME", "/users/miner")]), Some(&file));
    let errors = MinerConfig::from_raw(&unchanged).unwrap_err();
    assert!(errors.0.iter().all(|error| matches!(error, ConfigError::Missing { .. })), "{errors}");
}
