//! Proxies: which servers are reached through one, so that nobody has to guess it from a failure.

use std::collections::BTreeMap;

use super::Subject;
use super::check::{Check, Obstacle};
use grail_config::{EndpointUrl, MinerConfig};
use grail_http::proxy::Proxies;
use grail_live::beacon::PUBLIC_RELAYS;

const PROXY: &str = "network.proxy";

/// Returns one check for each variable that is used; none if everything is reached directly.
pub(super) fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let Ok(config) = subject.config else { return Vec::new() };
    let proxies = Proxies::of_process();
    let mut used: BTreeMap<&str, (&_, Vec<String>)> = BTreeMap::new();
    for server in servers(config, subject.beacon.is_some()) {
        let proxy = server.expose().parse().ok().and_then(|url| proxies.for_url(&url));
        if let Some(proxy) = proxy {
            used.entry(proxy.variable()).or_insert((proxy, Vec::new())).1.push(server.to_string());
        }
    }
    let checks = used.into_iter().map(|(variable, (proxy, servers))| match proxy.is_usable() {
        true => Check::ok(PROXY, format!("{} {proxy}", servers.join(", "))),
        false => Check::blocked(
            PROXY,
            Obstacle::Configuration,
            format!("{proxy}, and {} can be reached through it alone", servers.join(", ")),
            format!("correct {variable} or unset it, or name the servers in NO_PROXY"),
        ),
    });
    checks.collect()
}

/// Returns every server that a miner speaks with.
fn servers(config: &MinerConfig, asks_beacon: bool) -> Vec<EndpointUrl> {
    let public = || PUBLIC_RELAYS.iter().filter_map(|relay| EndpointUrl::parse(relay, &["https"])).collect();
    let relays = config.beacon.as_ref().map_or_else(public, |beacon| beacon.relays.clone());
    let alerts = [&config.alerts.slack, &config.alerts.discord, &config.alerts.ping];
    let telegram = config.alerts.telegram.as_ref().map(|telegram| telegram.api.clone());
    let wandb = config.monitoring.wandb.as_ref().filter(|wandb| !wandb.offline).map(|wandb| wandb.base_url.clone());
    let loki = config.logging.loki.iter().flat_map(|loki| loki.urls.clone());
    let needed = config.chain.endpoints.iter().cloned().chain(relays.into_iter().filter(|_| asks_beacon));
    needed
        .chain([config.storage.endpoint.clone()])
        .chain(loki)
        .chain(wandb)
        .chain(alerts.into_iter().flatten().cloned())
        .chain(telegram)
        .collect()
}
