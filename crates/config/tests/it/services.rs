//! Custom networks, and services that a miner reports to.

use grail_config::ConfigError;

use crate::config::{CUSTOM, OWN_BEACON, assert_invalid, assert_missing, errors, meant};

#[test]
fn values_that_the_service_of_runs_refuses_are_refused_at_the_start() {
    let wandb = [("GRAIL_MONITORING_BACKEND", "wandb"), ("WANDB_MODE", "offline")];
    let (long, longest, long_id) = ("ü".repeat(65), "n".repeat(129), "x".repeat(65));
    let [tags, fitting] = [format!("a,{long}"), format!("a,{}", &long[2..])];
    for (name, value) in [
        ("WANDB_TAGS", tags.as_str()),
        ("WANDB_NAME", longest.as_str()),
        ("WANDB_PROJECT", longest.as_str()),
        ("WANDB_PROJECT", "a:b"),
        ("WANDB_ENTITY", longest.as_str()),
        ("WANDB_ENTITY", "team/project"),
        ("WANDB_RUN_ID", long_id.as_str()),
    ] {
        assert_invalid(&[&wandb[..], &[(name, value)]].concat(), name);
    }
    let sent =
        meant(&[&wandb[..], &[("WANDB_TAGS", fitting.as_str()), ("WANDB_NAME", &longest[1..])]].concat()).unwrap();
    assert_eq!(sent.monitoring.wandb.unwrap().tags[1].chars().count(), 64);
}

#[test]
fn a_network_of_ones_own_has_its_own_pace_and_beacon() {
    let config = meant(&[&CUSTOM[..], &OWN_BEACON, &[("GRAIL_BLOCK_TIME", "0.25")]].concat()).unwrap();
    assert_eq!(config.chain.block_ms, 250);
    let beacon = config.beacon.unwrap();
    let relays: Vec<&str> = beacon.relays.iter().map(|relay| relay.expose()).collect();
    assert_eq!(relays, ["http://127.0.0.1:81", "http://127.0.0.1:82"]);
    assert_eq!((beacon.schedule.genesis_s, beacon.schedule.period_s), (1_692_803_367, 3));
    assert!(beacon.chain_hash.starts_with("52db9ba7"), "{}", beacon.chain_hash);
    let config = meant(&CUSTOM).unwrap();
    assert_eq!((config.chain.block_ms, config.beacon), (12_000, None));
}

#[test]
fn a_public_network_has_neither() {
    assert_eq!(errors(&[("GRAIL_BLOCK_TIME", "1")]), [ConfigError::OnlyCustom { name: "GRAIL_BLOCK_TIME" }]);
    assert_eq!(errors(&OWN_BEACON), [ConfigError::OnlyCustom { name: "GRAIL_DRAND_URLS" }]);
}

#[test]
fn half_a_beacon_is_none() {
    for left_out in 0..OWN_BEACON.len() {
        let mut changes = [&CUSTOM[..], &OWN_BEACON].concat();
        let (name, _) = changes.remove(CUSTOM.len() + left_out);
        assert_missing(&changes, name);
    }
    for (name, value) in [("GRAIL_DRAND_PERIOD", "0"), ("GRAIL_DRAND_GENESIS", "soon"), ("GRAIL_DRAND_CHAIN_HASH", "5")]
    {
        assert_invalid(&[&CUSTOM[..], &OWN_BEACON, &[(name, value)]].concat(), name);
    }
    for value in ["0", "61", "fast", "NaN"] {
        assert_invalid(&[&CUSTOM[..], &[("GRAIL_BLOCK_TIME", value)]].concat(), "GRAIL_BLOCK_TIME");
    }
}
