//! Whether an endpoint is up to date. Only then may it say that something is missing on the chain.

use std::time::Duration;

use grail_miner::ports::ChainError;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::connection::Connection;
use super::failure::Failure;
use super::kept::Fitness;
use super::storage::{time_key, time_of};
use super::stored;
use crate::unix_ms;

/// How long a measurement holds for a connection that is in use.
pub(super) const IN_USE: Duration = Duration::from_secs(600);
/// How long a measurement holds for a verdict.
pub(super) const VERDICT: Duration = Duration::from_secs(60);
/// Time limit for both questions of a second opinion, in its waiting times.
const PATIENCE_FACTOR: u32 = 3;

/// Returns how up to date the endpoint of a connection is; measured again if the last measurement is older than
/// `age_max`.
pub(super) async fn fitness(connection: &Connection, age_max: Duration) -> Fitness {
    if let Some((_, fitness)) = connection.fitness.borrow().as_ref().filter(|(at, _)| at.elapsed() < age_max) {
        return fitness.clone();
    }
    let limit = Duration::from_millis(connection.patience.witness_ms) * PATIENCE_FACTOR;
    let measured = timeout(limit, measured(connection)).await;
    let fitness = measured.unwrap_or_else(|_| Fitness::Unknown("it does not answer in time".to_owned()));
    connection.endpoint.set_poor(matches!(fitness, Fitness::Behind(_)));
    connection.fitness.replace(Some((Instant::now(), fitness.clone())));
    fitness
}

async fn measured(connection: &Connection) -> Fitness {
    let (health, time) = tokio::join!(connection.call("system_health", Vec::new()), async {
        stored(connection, &time_key()).await?.map(|stored| time_of(&stored)).transpose()
    },);
    judged(health, time, connection.patience.fresh_ms, unix_ms())
}

/// Judges an endpoint without `system_health` by the age of its newest block alone.
fn judged(health: Result<Value, Failure>, time: Result<Option<u64>, Failure>, fresh_ms: u64, now_ms: u64) -> Fitness {
    if health.is_ok_and(|health| health.get("isSyncing") == Some(&Value::Bool(true))) {
        return Fitness::Behind("it is still syncing".to_owned());
    }
    let block_ms = match time {
        Ok(Some(block_ms)) => block_ms,
        Ok(None) => return Fitness::Unknown("its chain keeps no time".to_owned()),
        Err(failure) => return Fitness::Unknown(ChainError::from(failure).to_string()),
    };
    match now_ms.checked_sub(block_ms) {
        Some(age_ms) if age_ms <= fresh_ms => Fitness::UpToDate,
        Some(age_ms) => Fitness::Behind(format!("its newest block is {} s old", age_ms / 1000)),
        None if block_ms - now_ms <= fresh_ms => Fitness::UpToDate,
        None => Fitness::Unknown(format!("its newest block is {} s ahead of our clock", (block_ms - now_ms) / 1000)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn syncing_and_age_make_an_endpoint_unfit() {
        let now_ms = 1_758_700_800_000;
        let health = |is_syncing: bool| Ok(json!({"peers": 12, "isSyncing": is_syncing, "shouldHavePeers": true}));
        let refused = || Err(Failure::Answered { code: -32601, text: "Method not found".to_owned() });
        let fitness = |health, time| judged(health, time, 60_000, now_ms);
        assert_eq!(fitness(health(false), Ok(Some(now_ms - 60_000))), Fitness::UpToDate);
        assert_eq!(fitness(refused(), Ok(Some(now_ms + 60_000))), Fitness::UpToDate);
        assert_eq!(fitness(health(true), Ok(Some(now_ms))), Fitness::Behind("it is still syncing".to_owned()));
        for health in [health(false), refused(), Ok(json!("well"))] {
            let week_ms = 7 * 24 * 3_600_000;
            let Fitness::Behind(why) = fitness(health, Ok(Some(now_ms - week_ms))) else { panic!("a week old") };
            assert_eq!(why, "its newest block is 604800 s old");
        }
        for time in [Ok(None), Err(Failure::malformed("a time of 3 bytes")), Ok(Some(u64::MAX))] {
            assert!(matches!(fitness(health(false), time), Fitness::Unknown(_)));
        }
    }
}
