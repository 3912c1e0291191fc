//! The chain: every endpoint answers and is up to date, our hotkey is registered, and the chain holds our read key.

use std::rc::Rc;

use futures_util::future::join_all;
use grail_miner::ports::{Chain, ChainError, Signer};
use grail_protocol::signature::Keypair;
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::check::{Check, Obstacle};
use super::configuration::VALUES;
use super::wallet::HOTKEY;
use super::{Subject, clock};
use grail_config::{ChainConfig, EndpointUrl, Network, StorageConfig};
use grail_live::chain::{ChainSettings, ChainSettingsError, FINNEY_GENESIS, Fitness, SubtensorChain};
use grail_live::unix_ms;

const ENDPOINT: &str = "chain.endpoint";
const HEAD: &str = "chain.head";
const REGISTRATION: &str = "chain.registration";
const COMMITMENT: &str = "chain.commitment";
const CLOCK: &str = "clock.chain";
/// A chain that is this many blocks late is in trouble, or our node is.
const AGE_BLOCKS_MAX: u64 = 5;
/// From here on the miner would mine for past windows.
const AGE_BLOCKS_FAILURE: u64 = 25;
const ENDPOINT_REMEDY: &str =
    "see whether the node runs and is reachable, or set BT_CHAIN_ENDPOINT to another; mining tries it again by itself";

const BEHIND_REMEDY: &str = "wait until the node has caught up, or set BT_CHAIN_ENDPOINT to one that is up to date";
const FOREIGN_REMEDY: &str =
    "set BT_NETWORK to the node's network, or BT_CHAIN_ENDPOINT to a node of the network meant";

/// A node that answers.
struct Reached<'a> {
    endpoint: &'a EndpointUrl,
    chain: SubtensorChain,
    head: u64,
    fitness: Fitness,
}

impl Reached<'_> {
    fn is_up_to_date(&self) -> bool {
        self.fitness == Fitness::UpToDate
    }
}

/// Why a node is unfit.
#[derive(Debug, thiserror::Error)]
enum Unreached {
    #[error(transparent)]
    Settings(#[from] ChainSettingsError),
    #[error("{}", worded(.0))]
    Chain(ChainError),
    #[error("no head within {call_ms} ms")]
    Late { call_ms: u64 },
}

pub(super) async fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let Some(config) = subject.parts.and_then(|parts| parts.chain.as_ref()) else {
        return [ENDPOINT, HEAD, REGISTRATION, COMMITMENT, CLOCK].map(|code| Check::skipped(code, VALUES)).into();
    };
    // Without our hotkey the nodes are asked with a placeholder.
    let anybody = || -> Rc<dyn Signer> { Rc::new(Keypair::from_seed(&[0; 32])) };
    let signer = subject.wallet().map_or_else(anybody, |wallet| wallet.clone() as Rc<dyn Signer>);
    let attempts = config.endpoints.iter().map(|endpoint| reach(subject, config, endpoint, signer.clone()));
    let attempts: Vec<Result<Reached<'_>, Unreached>> = join_all(attempts).await;
    let is_reached = attempts.iter().any(Result::is_ok);
    let named = config.endpoints.iter().zip(&attempts);
    // No waiting changes a node of another network.
    let is_foreign = attempts.iter().all(|it| matches!(it, Err(Unreached::Chain(ChainError::OtherNetwork(_)))));
    let mut checks: Vec<Check> =
        named.map(|(endpoint, attempt)| check_of(endpoint, attempt, is_reached, is_foreign)).collect();
    let mut nodes: Vec<Reached<'_>> = attempts.into_iter().filter_map(Result::ok).collect();
    // The best witness first; of equals the order of the configuration.
    nodes.sort_by_key(|node| match node.fitness {
        Fitness::UpToDate => 0,
        Fitness::Unknown(_) => 1,
        Fitness::Behind(_) => 2,
    });
    match nodes.as_slice() {
        [best, ..] => checks.extend(asked(subject, config, best, &nodes).await),
        [] => checks.extend([HEAD, REGISTRATION, COMMITMENT, CLOCK].map(|code| Check::skipped(code, ENDPOINT))),
    }
    checks
}

async fn reach<'a>(
    subject: &Subject<'_>,
    config: &ChainConfig,
    endpoint: &'a EndpointUrl,
    signer: Rc<dyn Signer>,
) -> Result<Reached<'a>, Unreached> {
    let genesis = (config.network == Network::Finney).then_some(FINNEY_GENESIS);
    let custom = ChainSettings::custom([endpoint.expose()], config.netuid);
    let settings = ChainSettings { genesis, block_ms: config.block_ms, ..custom };
    let chain = SubtensorChain::new(&settings, signer)?;
    let asked = timeout(subject.limits.call(), async {
        Ok::<_, ChainError>((chain.next_head(0).await?, chain.fitness().await?))
    })
    .await;
    match asked {
        Ok(Ok((head, fitness))) => Ok(Reached { endpoint, chain, head: head.number, fitness }),
        Ok(Err(error)) => Err(Unreached::Chain(error)),
        Err(_) => Err(Unreached::Late { call_ms: subject.limits.call_ms }),
    }
}

/// One of several endpoints may fail.
fn check_of(
    endpoint: &EndpointUrl,
    attempt: &Result<Reached<'_>, Unreached>,
    is_reached: bool,
    is_foreign: bool,
) -> Check {
    match attempt {
        Ok(Reached { fitness: Fitness::Behind(why), .. }) => {
            Check::warning(ENDPOINT, format!("{endpoint} answers, but it is behind: {why}"), BEHIND_REMEDY)
        }
        Ok(_) => Check::ok(ENDPOINT, format!("{endpoint} answers")),
        Err(why) => {
            // Most failures name their endpoint themselves.
            let why = why.to_string();
            let value = if why.starts_with(&endpoint.to_string()) { why } else { format!("{endpoint}: {why}") };
            match is_reached {
                true => Check::warning(ENDPOINT, value, ENDPOINT_REMEDY),
                false if is_foreign => Check::blocked(ENDPOINT, Obstacle::OtherNetwork, value, FOREIGN_REMEDY),
                false => Check::failure(ENDPOINT, value, ENDPOINT_REMEDY),
            }
        }
    }
}

async fn asked(subject: &Subject<'_>, config: &ChainConfig, best: &Reached<'_>, nodes: &[Reached<'_>]) -> Vec<Check> {
    let limit = subject.limits.call();
    let (time, registrations, commitments) = tokio::join!(
        timeout(limit, best.chain.block_time_ms()),
        join_all(nodes.iter().map(|node| timeout(limit, node.chain.registration()))),
        join_all(nodes.iter().map(|node| timeout(limit, node.chain.commitment()))),
    );
    let mut checks = head(subject, best.head, time.unwrap_or_else(|_| late()));
    let ours = match subject.wallet() {
        None => [REGISTRATION, COMMITMENT].map(|code| Check::skipped(code, HOTKEY)),
        Some(wallet) => {
            let uids = registrations.into_iter().map(|answer| answer.unwrap_or_else(|_| late()));
            let answers: Vec<_> = nodes.iter().zip(uids).collect();
            let commitments: Vec<_> = commitments.into_iter().map(|answer| answer.unwrap_or_else(|_| late())).collect();
            [registered(config, wallet.name(), &answers), committed(subject.storage(), &commitments)]
        }
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

/// Only a node that is up to date may say that the hotkey has no uid; one that shows a uid contradicts it.
fn registered(config: &ChainConfig, name: &str, answers: &[(&Reached<'_>, Result<Option<u16>, ChainError>)]) -> Check {
    let netuid = config.netuid;
    let shown = |is_wanted: &dyn Fn(&Reached<'_>) -> bool| {
        let uids = answers.iter().filter(|(node, _)| is_wanted(node)).filter_map(|(_, answer)| answer.as_ref().ok());
        uids.flatten().copied().next()
    };
    if let Some(uid) = shown(&|node| node.is_up_to_date()) {
        return Check::ok(REGISTRATION, format!("uid {uid} on subnet {netuid}"));
    }
    if let Some((node, _)) = answers.iter().find(|(node, uid)| node.is_up_to_date() && matches!(uid, Ok(None))) {
        let (cold, hot) = name.split_once('/').unwrap_or((name, name));
        let remedy = format!(
            "run `btcli subnet register --netuid {netuid} --wallet {cold} --wallet-hotkey {hot}` on the \
             machine that has the coldkey (btcli 9 calls the option --wallet-name)"
        );
        let value =
            format!("{name} is not registered on subnet {netuid}, as {} says, which is up to date", node.endpoint);
        return Check::blocked(REGISTRATION, Obstacle::NoUid, value, remedy);
    }
    if let Some(uid) = shown(&|_| true) {
        return Check::ok(REGISTRATION, format!("uid {uid} on subnet {netuid}, as a node says that may be behind"));
    }
    let doubtful = answers.iter().find_map(|(node, uid)| match (&node.fitness, uid) {
        (Fitness::Behind(why), _) | (Fitness::Unknown(why), Ok(None)) => Some((node.endpoint, why)),
        _ => None,
    });
    match (doubtful, answers.iter().find_map(|(_, answer)| answer.as_ref().err())) {
        (Some((endpoint, why)), _) => {
            let value = format!("{endpoint} cannot tell whether {name} is registered on subnet {netuid}: {why}");
            Check::passing(REGISTRATION, value, BEHIND_REMEDY)
        }
        (None, Some(error)) => Check::failure(REGISTRATION, worded(error), ENDPOINT_REMEDY),
        (None, None) => Check::skipped(REGISTRATION, ENDPOINT),
    }
}

/// `grail mine` commits by itself, so only a problem that it cannot fix is a failure. The commitment is never shown.
///
/// A node that shows the write key has it, however old or dishonest the node is.
fn committed(storage: Option<&StorageConfig>, answers: &[Result<Option<Vec<u8>>, ChainError>]) -> Check {
    let Some(storage) = storage else { return Check::skipped(COMMITMENT, VALUES) };
    let write = &storage.write;
    let secrets = [write.id.expose_secret(), write.secret.expose_secret()];
    let is_published = |committed: &Vec<u8>| {
        let holds = |secret: &str| committed.windows(secret.len().max(1)).any(|bytes| bytes == secret.as_bytes());
        secrets.into_iter().any(holds)
    };
    if answers.iter().flatten().flatten().any(is_published) {
        return Check::blocked(
            COMMITMENT,
            Obstacle::Credentials,
            "the WRITE key is published on the chain, so anybody can overwrite your windows",
            "revoke that R2 token at once, make a new one, and set R2_WRITE_* to its key",
        );
    }
    let committed = match answers.first() {
        Some(Ok(Some(committed))) => committed,
        Some(Ok(None)) => {
            let remedy = "nothing is to be done: `grail mine` commits the read key once the hotkey is registered";
            return Check::warning(COMMITMENT, "the chain holds no read key yet", remedy);
        }
        Some(Err(error)) => return Check::failure(COMMITMENT, worded(error), ENDPOINT_REMEDY),
        None => return Check::skipped(COMMITMENT, ENDPOINT),
    };
    match storage.read_credentials() {
        Ok(ours) if *committed == ours => Check::ok(COMMITMENT, "the chain holds our read key"),
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

/// Without the miner's remark about retries.
fn worded(error: &ChainError) -> String {
    match error {
        ChainError::Unreachable(why) | ChainError::Malformed(why) => why.clone(),
        ChainError::OtherNetwork(what) => what.to_string(),
        ChainError::Disagreement { .. } => error.to_string(),
        ChainError::RateLimited => "the endpoint limits our rate".to_owned(),
    }
}
