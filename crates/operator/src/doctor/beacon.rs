//! The beacon: a relay answers, and its signature verifies.

use tokio::time::timeout;

use super::check::{Check, Obstacle};
use super::{Subject, clock};
use grail_live::beacon::{DrandRelays, NoRound};
use grail_live::unix_ms;

const RELAY: &str = "beacon.relay";
const SIGNATURE: &str = "beacon.signature";
const CLOCK: &str = "clock.beacon";
const UNREACHABLE_REMEDY: &str = "let the host reach the relays over HTTPS, or mine with --no-drand; until then the block hash alone is the \
     randomness, as validators allow";

pub(super) async fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let relays = match &subject.beacon {
        Some(Ok(relays)) => relays,
        Some(Err(why)) => {
            let remedy = "correct GRAIL_DRAND_*, whose values `grail config show --origin` lists with their places";
            let wrong = Check::blocked(RELAY, Obstacle::Configuration, why.to_string(), remedy);
            return vec![wrong, Check::skipped(SIGNATURE, RELAY), Check::skipped(CLOCK, RELAY)];
        }
        None => return vec![Check::ok(RELAY, "not used: the block hash alone is the randomness")],
    };
    // The newest round may not have spread to every relay yet.
    let round = relays.schedule().round_at(unix_ms()).saturating_sub(1).max(1);
    let [relay, signature] = match timeout(subject.limits.call(), relays.fetch(round)).await {
        Ok(Ok(_)) => [Check::ok(RELAY, "answers"), Check::ok(SIGNATURE, format!("round {round} verifies"))],
        Ok(Err(failures)) => failed(&failures),
        Err(_) => {
            let value = format!("no answer within {} ms", subject.limits.call_ms);
            [Check::warning(RELAY, value, UNREACHABLE_REMEDY), Check::skipped(SIGNATURE, RELAY)]
        }
    };
    vec![relay, signature, clock_of(relays)]
}

fn failed(failures: &NoRound) -> [Check; 2] {
    match failures.0.iter().any(|(_, failure)| failure.is_dishonest()) {
        true => {
            let remedy = "a relay, or somebody on the way to it, gives out what the beacon did not sign: name other relays, \
                          or mine with --no-drand";
            [Check::ok(RELAY, "answers"), Check::failure(SIGNATURE, failures.to_string(), remedy)]
        }
        false => [Check::warning(RELAY, failures.to_string(), UNREACHABLE_REMEDY), Check::skipped(SIGNATURE, RELAY)],
    }
}

fn clock_of(relays: &DrandRelays) -> Check {
    relays.server_offset_ms().map_or_else(|| Check::skipped(CLOCK, RELAY), |offset_ms| clock::check(CLOCK, offset_ms))
}
