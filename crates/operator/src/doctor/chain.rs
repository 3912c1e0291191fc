//! The chain: every endpoint answers and is up to date, our hotkey is registered, and the chain holds our read key.

use std::rc::Rc;

use futures_util::future::join_all;
use grail_miner::ports::{Chain, ChainError, Signer};
use grail_protocol::signature::Keypair;
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::check::Check;
use super::configuration::VALUES;
use super::wallet::HOTKEY;
use super::{Subject, clock};
use grail_config::{ChainConfig, Endpoint, MinerConfig, Network};
use grail_live::chain::{ChainSettings, ChainSettingsError, FINNEY_GENESIS, OTHER_NETWORK, SubtensorChain};
use grail_live::unix_ms;

const ENDPOINT: &str = "chain.endpoint";
const HEAD: &str = "chain.head";
const REGISTRATION: &str = "chain.registration";
const COMMITMENT: &str = "chain.commitment";
const CLOCK: &str = "clock.chain";
/// A chain that is this many blocks late is in trouble, or our node is.
const AGE_BLOCKS_MAX: u64 = 5;
/// From here on whatever is mined belongs to the past.
const AGE_BLOCKS_FAILURE: u64 = 25;
const ENDPOINT_REMEDY: &str =
    "see whether the node runs and is reachable, or set BT_CHAIN_ENDPOINT to another; mining tries it again by itself";

const FOREIGN_REMEDY: &str =
    "set BT_NETWORK to the node's network, or BT_CHAIN_ENDPOINT to a node of the network meant";

/// A node that answers.
struct Reached {
    chain: SubtensorChain,
    head: u64,
}

/// Why a node is none of those.
#[derive(Debug, thiserror::Error)]
enum Unreached {
    #[error(transparent)]
    Settings(#[from] ChainSettingsError),
    #[error("{}", worded(.0))]
    Chain(ChainError),
    #[error("no head within {call_ms} ms")]
    Late { call_ms: u64 },
}

impl Unreached {
    /// A node of another network, which no waiting changes.
    fn is_foreign(&self) -> bool {
        matches!(self, Self::Chain(ChainError::Malformed(why)) if why.contains(OTHER_NETWORK))
    }
}

pub(super) async fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let Some(config) = subject.config() else {
        return [ENDPOINT, HEAD, REGISTRATION, COMMITMENT, CLOCK].map(|code| Check::skipped(code, VALUES)).into();
    };
    // Without our hotkey the nodes can be asked all the same, by anybody's.
    let anybody = || -> Rc<dyn Signer> { Rc::new(Keypair::from_seed(&[0; 32])) };
    let signer = subject.wallet().map_or_else(anybody, |wallet| wallet.clone() as Rc<dyn Signer>);
    let attempts =
        config.chain.endpoints.iter().map(|endpoint| reach(subject, &config.chain, endpoint, signer.clone()));
    let attempts: Vec<Result<Reached, Unreached>> = join_all(attempts).await;
    let is_reached = attempts.iter().any(Result::is_ok);
    let named = config.chain.endpoints.iter().zip(&attempts);
    let is_foreign = attempts.iter().all(|attempt| matches!(attempt, Err(why) if why.is_foreign()));
    let mut checks: Vec<Check> =
        named.map(|(endpoint, attempt)| told(endpoint, attempt, is_reached, is_foreign)).collect();
    match attempts.into_iter().find_map(Result::ok) {
        Some(node) => checks.extend(asked(subject, config, &node).await),
        None => checks.extend([HEAD, REGISTRATION, COMMITMENT, CLOCK].map(|code| Check::skipped(code, ENDPOINT))),
    }
    checks
}

async fn reach(
    subject: &Subject<'_>,
    config: &ChainConfig,
    endpoint: &Endpoint,
    signer: Rc<dyn Signer>,
) -> Result<Reached, Unreached> {
    let genesis = (config.network == Network::Finney).then_some(FINNEY_GENESIS);
    let settings = ChainSettings { genesis, ..ChainSettings::custom([endpoint.expose()], config.netuid) };
    let chain = SubtensorChain::new(&settings, signer)?;
    match timeout(subject.limits.call(), chain.next_head(0)).await {
        Ok(Ok(head)) => Ok(Reached { chain, head: head.number }),
        Ok(Err(error)) => Err(Unreached::Chain(error)),
        Err(_) => Err(Unreached::Late { call_ms: subject.limits.call_ms }),
    }
}

/// One of several endpoints may be missed.
fn told(endpoint: &Endpoint, attempt: &Result<Reached, Unreached>, is_reached: bool, is_foreign: bool) -> Check {
    match attempt {
        Ok(_) => Check::ok(ENDPOINT, format!("{endpoint} answers")),
        Err(why) => {
            // Most failures name their endpoint themselves.
            let why = why.to_string();
            let value = if why.starts_with(&endpoint.to_string()) { why } else { format!("{endpoint}: {why}") };
            match is_reached {
                true => Check::warning(ENDPOINT, value, ENDPOINT_REMEDY),
                false if is_foreign => Check::obstacle(ENDPOINT, value, FOREIGN_REMEDY),
                false => Check::failure(ENDPOINT, value, ENDPOINT_REMEDY),
            }
        }
    }
}

async fn asked(subject: &Subject<'_>, config: &MinerConfig, node: &Reached) -> Vec<Check> {
    let limit = subject.limits.call();
    let (time, registration, commitment) = tokio::join!(
        timeout(limit, node.chain.block_time_ms()),
        timeout(limit, node.chain.registration()),
        timeout(limit, node.chain.commitment()),
    );
    let mut checks = head(subject, node.head, time.unwrap_or_else(|_| late()));
    let ours = match subject.wallet() {
        None => [REGISTRATION, COMMITMENT].map(|code| Check::skipped(code, HOTKEY)),
        Some(wallet) => [
            registered(config, wallet.name(), registration.unwrap_or_else(|_| late())),
            committed(config, commitment.unwrap_or_else(|_| late())),
        ],
    };
    checks.extend(ours);
    checks
}

fn head(subject: &Subject<'_>, number: u64, time: Result<Option<u64>, ChainError>) -> Vec<Check> {
    let block_ms = match time {
        Ok(Some(block_ms)) => block_ms,
        Ok(None) => {
            let value = format!("block {number}, of unknown age: the chain keeps no time");
            return vec![Check::ok(HEAD, value), Check::skipped(CLOCK, HEAD)];
        }
        Err(error) => {
            let value = format!("block {number}, of unknown age: {}", worded(&error));
            return vec![Check::warning(HEAD, value, ENDPOINT_REMEDY), Check::skipped(CLOCK, HEAD)];
        }
    };
    let age_ms = i64::try_from(unix_ms()).unwrap_or(i64::MAX).saturating_sub_unsigned(block_ms);
    let value = format!("block {number}, {} s old", age_ms.max(0) / 1000);
    let remedy = "if the clocks below are right, the node has fallen behind: use another endpoint";
    let blocks = age_ms.max(0).unsigned_abs() / subject.block_ms.max(1);
    // Test networks make blocks faster than clocks can be compared.
    let blocks = if age_ms < 5_000 { 0 } else { blocks };
    let head = match blocks {
        blocks if blocks <= AGE_BLOCKS_MAX => Check::ok(HEAD, value),
        blocks if blocks <= AGE_BLOCKS_FAILURE => Check::warning(HEAD, value, remedy),
        _ => Check::failure(HEAD, value, remedy),
    };
    vec![head, clock::check_by_block(CLOCK, age_ms)]
}

fn registered(config: &MinerConfig, name: &str, uid: Result<Option<u16>, ChainError>) -> Check {
    let netuid = config.chain.netuid;
    match uid {
        Ok(Some(uid)) => Check::ok(REGISTRATION, format!("uid {uid} on subnet {netuid}")),
        Ok(None) => {
            let (cold, hot) = name.split_once('/').unwrap_or((name, name));
            let remedy = format!(
                "run `btcli subnet register --netuid {netuid} --wallet {cold} --wallet-hotkey {hot}` where the coldkey lies \
                 (btcli 9 calls the option --wallet-name)"
            );
            Check::obstacle(REGISTRATION, format!("{name} is not registered on subnet {netuid}"), remedy)
        }
        Err(error) => Check::failure(REGISTRATION, worded(&error), ENDPOINT_REMEDY),
    }
}

/// `grail mine` commits by itself, so only what it cannot mend is a failure. Nothing of what is committed is shown.
fn committed(config: &MinerConfig, committed: Result<Option<Vec<u8>>, ChainError>) -> Check {
    let committed = match committed {
        Ok(committed) => committed,
        Err(error) => return Check::failure(COMMITMENT, worded(&error), ENDPOINT_REMEDY),
    };
    let Some(committed) = committed else {
        let remedy = "nothing is to be done: `grail mine` commits the read key once the hotkey is registered";
        return Check::warning(COMMITMENT, "the chain holds no read key yet", remedy);
    };
    let write = &config.storage.write;
    let holds = |secret: &str| committed.windows(secret.len().max(1)).any(|bytes| bytes == secret.as_bytes());
    if holds(write.id.expose_secret()) || holds(write.secret.expose_secret()) {
        return Check::obstacle(
            COMMITMENT,
            "the WRITE key is published on the chain, so anybody can overwrite your windows",
            "revoke that R2 token at once, make a new one, and set R2_WRITE_* to its key",
        );
    }
    match config.storage.read_credentials() {
        Ok(ours) if committed == ours => Check::ok(COMMITMENT, "the chain holds our read key"),
        _ => Check::warning(
            COMMITMENT,
            "the chain holds another read key than ours",
            "`grail mine` replaces it when it starts; if another machine mines with this hotkey, stop one of them",
        ),
    }
}

fn late<T>() -> Result<T, ChainError> {
    Err(ChainError::Unreachable("no answer in time".to_owned()))
}

/// Without what the miner adds while it tries again.
fn worded(error: &ChainError) -> String {
    match error {
        ChainError::Unreachable(why) | ChainError::Malformed(why) => why.clone(),
        ChainError::Disagreement { .. } => error.to_string(),
        ChainError::RateLimited => "the endpoint limits our rate".to_owned(),
    }
}
