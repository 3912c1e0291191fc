//! Prerequisites of a validator: a uid with a permit, a subnet without commit-reveal, and miners to judge.

use grail_live::chain::{Standing, SubtensorChain};
use grail_miner::ports::ChainError;
use grail_protocol::read_credentials::ReadCredentials;
use grail_validator::ports::{Chain, Neuron, WeightsState};

use super::check::{Check, Obstacle};
use super::{Examination, Limits};

const UID: &str = "validator.uid";
const PERMIT: &str = "validator.permit";
const STAKE: &str = "validator.stake";
const COMMIT_REVEAL: &str = "validator.commit_reveal";
const RATE_LIMIT: &str = "validator.rate_limit";
const MINERS: &str = "validator.miners";
const MODEL: &str = "validator.model";

/// Examines what a validator needs besides its configuration and its wallet; `model` is the result of loading the
/// model.
pub async fn examine_validator(
    chain: &SubtensorChain,
    weights_blocks: u64,
    limits: &Limits,
    model: anyhow::Result<String>,
) -> Examination {
    let call = limits.call();
    let weights = tokio::time::timeout(call, Chain::weights(chain)).await;
    let standing = tokio::time::timeout(call, chain.standing()).await;
    let metagraph = tokio::time::timeout(call, Chain::metagraph(chain)).await;
    let silent = |_| Err(ChainError::Unreachable(format!("no answer within {} ms", limits.call_ms)));
    let mut checks = match weights.unwrap_or_else(silent) {
        Ok(state) => of_weights(&state, weights_blocks),
        Err(error) => vec![
            Check::passing(UID, error.to_string(), "start a node, or give BT_CHAIN_ENDPOINT another one"),
            Check::skipped(COMMIT_REVEAL, UID),
            Check::skipped(RATE_LIMIT, UID),
        ],
    };
    checks.extend(match standing {
        Ok(Ok(Some(standing))) => of_standing(&standing),
        _ => [PERMIT, STAKE].map(|code| Check::skipped(code, UID)),
    });
    checks.push(match metagraph {
        Ok(Ok(neurons)) => of_miners(&neurons),
        _ => Check::skipped(MINERS, UID),
    });
    checks.push(match model {
        Ok(what) => Check::ok(MODEL, what),
        Err(error) => {
            Check::blocked(MODEL, Obstacle::Configuration, error.to_string(), "check GRAIL_MODEL_NAME and --device")
        }
    });
    Examination { checks }
}

fn of_weights(state: &WeightsState, weights_blocks: u64) -> Vec<Check> {
    let uid = match state.uid {
        Some(uid) => Check::ok(UID, format!("uid {uid}")),
        None => Check::blocked(UID, Obstacle::NoUid, "our hotkey has no uid", "register it: `btcli subnet register`"),
    };
    let commit_reveal = if state.commit_reveal {
        let value = "the subnet only takes weights that are revealed later";
        let remedy = "let its owner run `btcli sudo set --param commit_reveal_weights_enabled --value false`";
        Check::blocked(COMMIT_REVEAL, Obstacle::Configuration, value, remedy)
    } else {
        Check::ok(COMMIT_REVEAL, "weights are set in the open")
    };
    let limit = format!("weights every {} blocks at most, last set in block {}", state.rate_limit, state.last_update);
    let rate_limit = if state.rate_limit > weights_blocks {
        let remedy = format!("let the owner lower weights_rate_limit to {weights_blocks}, or set weights less often");
        Check::warning(RATE_LIMIT, limit, remedy)
    } else {
        Check::ok(RATE_LIMIT, limit)
    };
    vec![uid, commit_reveal, rate_limit]
}

fn of_standing(standing: &Standing) -> [Check; 2] {
    let Standing { permit, stake, stake_min, permits, least_permitted } = *standing;
    let permit = if permit {
        Check::ok(PERMIT, "the chain permits our uid to validate")
    } else {
        let why = match least_permitted {
            Some(least) => format!("the {permits} permits went to the largest stakes, down to {}", tokens(least)),
            None => format!("not all of {permits} permits are taken"),
        };
        let value = format!("our uid has no validator permit, so its weights count nothing; {why}");
        // An equal stake gets a permit only by the order of uids.
        let needed = least_permitted.map_or(0, |least| least.saturating_add(1)).max(stake_min).max(1);
        let remedy = if stake >= needed {
            "wait for the subnet's next epoch, which gives the permits again".to_owned()
        } else {
            format!(
                "raise the stake to at least {}: `btcli stake add`; the next epoch gives the permit",
                tokens(needed)
            )
        };
        Check::warning(PERMIT, value, remedy)
    };
    let value = format!("the hotkey's stake is {}", tokens(stake));
    let stake = if stake >= stake_min {
        Check::ok(STAKE, format!("{value}, and the chain takes weights from {} on", tokens(stake_min)))
    } else {
        let value = format!("{value} without child keys, and the chain takes weights from {} on", tokens(stake_min));
        Check::warning(STAKE, value, format!("add {}: `btcli stake add`", tokens(stake_min - stake)))
    };
    [permit, stake]
}

/// Returns an amount in whole tokens.
fn tokens(billionths: u64) -> String {
    let text = format!("{}.{:09}", billionths / 1_000_000_000, billionths % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn of_miners(neurons: &[Neuron]) -> Check {
    let parsed = neurons.iter().filter_map(|neuron| ReadCredentials::parse(neuron.committed.as_deref()?));
    let (all, committed) = (neurons.len(), parsed.count());
    let value = format!("{committed} of {all} hotkeys have committed a read key");
    if committed == 0 {
        Check::warning(MINERS, value, "start miners; nobody can be judged yet")
    } else {
        Check::ok(MINERS, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::CheckStatus;

    fn statuses(state: WeightsState) -> Vec<CheckStatus> {
        of_weights(&state, 360).into_iter().map(|check| check.status).collect()
    }

    #[test]
    fn each_obstacle_is_reported() {
        use CheckStatus::{Failure, Ok, Warning};
        let well = WeightsState { uid: Some(3), rate_limit: 100, ..WeightsState::default() };
        assert_eq!(statuses(well.clone()), [Ok, Ok, Ok]);
        assert_eq!(statuses(WeightsState { uid: None, ..well.clone() }), [Failure, Ok, Ok]);
        assert_eq!(statuses(WeightsState { commit_reveal: true, ..well.clone() }), [Ok, Failure, Ok]);
        assert_eq!(statuses(WeightsState { rate_limit: 361, ..well }), [Ok, Ok, Warning]);
    }

    #[test]
    fn without_a_permit_the_stake_that_gives_one_is_named() {
        use CheckStatus::{Ok, Warning};
        let lacking =
            Standing { permit: false, stake: 12_500_000_000, stake_min: 0, permits: 64, least_permitted: None };
        let shown = |standing: &Standing| {
            let checks = of_standing(standing);
            let text =
                checks.iter().map(|check| format!("{}; {}\n", check.value, check.remedy.as_deref().unwrap_or("")));
            (checks.iter().map(|check| check.status).collect::<Vec<_>>(), text.collect::<String>())
        };
        assert_eq!(shown(&Standing { permit: true, ..lacking }).0, [Ok, Ok]);
        let (statuses, text) = shown(&lacking);
        assert_eq!(statuses, [Warning, Ok]);
        assert!(text.contains("wait for the subnet's next epoch") && text.contains("stake is 12.5,"), "{text}");
        let (_, text) = shown(&Standing { least_permitted: Some(40_000_000_000), ..lacking });
        assert!(text.contains("down to 40") && text.contains("at least 40.000000001"), "{text}");
        let (statuses, text) = shown(&Standing { stake_min: 1_000_000_000_000, ..lacking });
        assert_eq!(statuses, [Warning, Warning]);
        assert!(text.contains("at least 1000:") && text.contains("add 987.5:"), "{text}");
    }

    #[test]
    fn only_read_keys_count_as_commitments() {
        let key = format!("{:<32}{:<32}{:<64}", "account", "key", "secret").into_bytes();
        let neuron = |uid, committed| Neuron { uid, hotkey: uid.to_string(), committed };
        let all = [neuron(0, None), neuron(1, Some(key)), neuron(2, Some(b"x".to_vec()))];
        assert!(of_miners(&all).value.starts_with("1 of 3"));
        assert_eq!(of_miners(&all[..1]).status, CheckStatus::Warning);
    }
}
