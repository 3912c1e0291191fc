//! A validator's adapters: the chain's hotkeys and weights, miners' buckets.

use grail_live::chain::Standing;
use grail_live::validator::{MinersBuckets, ReadFrom};
use grail_loopback::node::{NETUID, credentials, hotkey, soon};
use grail_loopback::s3::{READ, S3Server, block_on};
use grail_miner::ports::{Bucket, PutCondition};
use grail_protocol::signature::Keypair;
use grail_serve::chain::{Node, Runtime, State};
use grail_validator::ports::{Chain, Store, StoreError, SubmitError};

use super::bucket::{bucket, committed};
use super::chain::chain;

const UID: u16 = 7;

async fn node(runtime: Runtime, hotkeys: u16) -> Node {
    let mut state = State::new("validator");
    state.runtime = runtime;
    state.register(NETUID, hotkey().hotkey(), UID);
    for uid in (0..hotkeys).filter(|uid| *uid != UID) {
        state.register(NETUID, miner(uid).hotkey(), uid);
    }
    grail_loopback::node::start(state).await
}

fn miner(uid: u16) -> Keypair {
    let mut seed = [9; 32];
    seed[..2].copy_from_slice(&uid.to_le_bytes());
    Keypair::from_seed(&seed)
}

#[tokio::test]
async fn every_hotkey_is_read_with_what_it_has_committed() {
    let node = node(Runtime::Spec461, 256).await;
    node.state().commit(NETUID, miner(200).hotkey(), &credentials(1));
    let neurons = soon(chain(&node).metagraph()).await.unwrap();
    assert_eq!(neurons.iter().map(|neuron| neuron.uid).collect::<Vec<_>>(), (0..256).collect::<Vec<_>>());
    for neuron in neurons {
        let address = if neuron.uid == UID { hotkey() } else { miner(neuron.uid) }.hotkey().to_ss58();
        assert_eq!(neuron.hotkey, address);
        assert_eq!(neuron.committed, (neuron.uid == 200).then(|| credentials(1)), "{}", neuron.uid);
    }
}

#[tokio::test]
async fn weights_that_are_set_are_read_back_under_both_runtimes() {
    for runtime in Runtime::ALL {
        let node = node(runtime, 60).await;
        let chain = chain(&node);
        let before = soon(chain.weights()).await.unwrap();
        assert_eq!((before.uid, before.last_update, before.rate_limit, before.commit_reveal), (Some(UID), 0, 0, false));
        assert_eq!(before.weights, []);
        // More than fit into a payload that is signed as it is.
        let weights: Vec<(u16, u16)> = (0..60).map(|uid| (uid, 65_535 - uid)).collect();
        soon(chain.set_weights(&weights)).await.unwrap();
        let after = soon(chain.weights()).await.unwrap();
        assert_eq!(after.weights, weights);
        assert!(after.last_update > 0);
        assert_eq!(node.state().weights(NETUID, UID), Some(weights));
    }
}

#[tokio::test]
async fn permit_and_stake_are_read_with_the_least_stake_that_has_a_permit() {
    const TOKEN: u64 = 1_000_000_000;
    for runtime in Runtime::ALL {
        let node = node(runtime, 9).await;
        let chain = chain(&node);
        let unstaked = Standing { permit: true, stake: 0, stake_min: 0, permits: 0, least_permitted: None };
        assert_eq!(soon(chain.standing()).await.unwrap(), Some(unstaked));
        for uid in 0..5 {
            node.state().stake(NETUID, miner(uid).hotkey(), (100 - 10 * u64::from(uid)) * TOKEN);
        }
        node.state().stake(NETUID, hotkey().hotkey(), 65 * TOKEN);
        node.state().give_permits(NETUID, 3, 50 * TOKEN);
        let lacking = Standing {
            permit: false,
            stake: 65 * TOKEN,
            stake_min: 50 * TOKEN,
            permits: 3,
            least_permitted: Some(80 * TOKEN),
        };
        assert_eq!(soon(chain.standing()).await.unwrap(), Some(lacking));
        node.state().give_permits(NETUID, 9, 50 * TOKEN);
        let permitted = Standing { permit: true, permits: 9, least_permitted: None, ..lacking };
        assert_eq!(soon(chain.standing()).await.unwrap(), Some(permitted), "six of nine permits are taken");
        // The chain counts a part of the stake on root: here the default, 5.27 %.
        node.state().stake(0, hotkey().hotkey(), 1_000 * TOKEN);
        let stake = soon(chain.standing()).await.unwrap().unwrap().stake;
        assert!((117 * TOKEN..118 * TOKEN).contains(&stake), "{stake}");
        node.state().deregister(NETUID, hotkey().hotkey());
        assert_eq!(soon(chain.standing()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn refusals_of_the_chain_are_reported() {
    let node = node(Runtime::Spec461, 8).await;
    let refused = soon(chain(&node).set_weights(&[(3, 1), (3, 2)])).await;
    match refused {
        Err(SubmitError::Refused(why)) => assert!(why.contains("DuplicateUids"), "{why}"),
        other => panic!("{other:?}"),
    }
    node.state().deregister(NETUID, hotkey().hotkey());
    assert_eq!(soon(chain(&node).weights()).await.unwrap().uid, None);
}

const KEY: &str = "grail/windows/5abc-window-30.json.gz";

fn buckets(server: &S3Server) -> MinersBuckets {
    let from = ReadFrom::Server { endpoint: server.url(), region: "us-east-1".to_owned() };
    MinersBuckets::new(from, 10_000).unwrap()
}

#[test]
fn a_file_is_read_with_what_its_miner_has_committed_and_nothing_else() {
    let server = S3Server::start();
    let buckets = buckets(&server);
    block_on(async {
        assert_eq!(buckets.look(&committed(READ), KEY).await, Ok(None));
        assert_eq!(buckets.fetch(&committed(READ), KEY).await, Ok(None));
        let own = bucket(&server);
        own.put(KEY, b"a file", &PutCondition::Absent, 10_000).await.unwrap();
        let facts = buckets.look(&committed(READ), KEY).await.unwrap().unwrap();
        assert_eq!(facts.bytes, 6);
        assert!(facts.modified_ms.is_some_and(|ms| grail_live::unix_ms().abs_diff(ms) < 60_000));
        assert_eq!(buckets.fetch(&committed(READ), KEY).await, Ok(Some((facts, b"a file".to_vec()))));
        let stranger = committed(("a-stranger", "secret"));
        assert!(buckets.fetch(&stranger, KEY).await.is_err());
        assert!(matches!(buckets.fetch(b"nonsense", KEY).await, Err(StoreError::Refused(_))));
    });
}

#[test]
fn a_file_above_the_limit_is_refused() {
    let server = S3Server::start();
    let buckets = buckets(&server).with_limit(5);
    block_on(async {
        let own = bucket(&server);
        for (bytes, is_read) in [(b"12345".as_slice(), true), (b"123456", false)] {
            own.delete(KEY).await.unwrap();
            own.put(KEY, bytes, &PutCondition::Absent, 10_000).await.unwrap();
            let looked = buckets.look(&committed(READ), KEY).await;
            assert_eq!(looked.is_ok(), is_read, "{looked:?}");
            assert_eq!(buckets.fetch(&committed(READ), KEY).await.is_ok(), is_read);
        }
    });
}
