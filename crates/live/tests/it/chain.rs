//! The chain adapter against a node on loopback: its contract, and commitments as a node checks them.

use std::rc::Rc;

use grail_contract as contract;
use grail_live::chain::{ChainPatience, ChainSettings, SubtensorChain};
use grail_miner::ports::{Chain, ChainError, CommitError};
use grail_serve::chain::{Node, Runtime, State};
use sp_crypto_hashing::twox_128;
use subxt::ext::codec::Encode;

use grail_loopback::node::{NETUID, credentials, hotkey, registered, soon};

fn settings(node: &Node) -> ChainSettings {
    let patience = ChainPatience { poll_ms: 10, ..ChainPatience::default() };
    ChainSettings { patience, ..ChainSettings::custom([node.address()], NETUID) }
}

fn chain_by(settings: &ChainSettings) -> SubtensorChain {
    SubtensorChain::new(settings, Rc::new(hotkey())).expect("the settings are valid")
}

/// Returns the chain as a hotkey sees it through this node.
pub(super) fn chain(node: &Node) -> SubtensorChain {
    chain_by(&settings(node))
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let node = registered("contract", 1).await;
    let genesis = Some(node.state().genesis());
    let chain = chain_by(&ChainSettings { genesis, ..settings(&node) });
    soon(contract::chain(&chain, &credentials(1))).await;
    assert_eq!(soon(chain.registration()).await, Ok(Some(7)));
}

#[tokio::test]
async fn it_keeps_the_contract_where_heads_cannot_be_subscribed_to() {
    let node = registered("polling", 1).await;
    let refusal = (-32601, "Method not found".to_owned());
    node.state().errors.insert("chain_subscribeNewHeads".to_owned(), refusal);
    soon(contract::chain(&chain(&node), &credentials(1))).await;
    assert!(node.calls("chain_getHeader") > 2, "heads are asked for");
}

#[tokio::test]
async fn an_unregistered_hotkey_has_no_uid() {
    let node = grail_loopback::node::start(State::new("unregistered")).await;
    let chain = chain(&node);
    assert_eq!(soon(chain.registration()).await, Ok(None));
    assert_eq!(soon(chain.commitment()).await, Ok(None));
    let refused = soon(chain.commit(&credentials(1))).await;
    let Err(CommitError::Refused(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("the hotkey is not registered on subnet 81"), "{why}");
    // The failed one used up its nonce, so this shows that the next one is asked for.
    node.state().register(NETUID, hotkey().hotkey(), 3);
    assert_eq!(soon(chain.commit(&credentials(2))).await, Ok(()));
    assert_eq!(soon(chain.commitment()).await, Ok(Some(credentials(2))));
}

#[tokio::test]
async fn a_weight_is_seen_whichever_validator_gives_it() {
    let node = registered("weights", 1).await;
    let chain = chain(&node);
    let weighted = async || {
        let set = soon(chain.weights_for(hotkey().hotkey())).await?;
        Ok(set.and_then(|set| set.is_weighted()))
    };
    assert_eq!(weighted().await, Ok(None), "nobody has set any");
    // SubtensorModule.Weights, by subnet and validator.
    let entry = [twox_128(b"SubtensorModule"), twox_128(b"Weights")].concat();
    let set = |validator: u16, weights: &[(u16, u16)]| {
        let key = [&entry[..], &NETUID.to_le_bytes(), &validator.to_le_bytes()].concat();
        node.state().storage.insert(key, weights.encode());
    };
    set(0, &[(7, 0)]);
    assert_eq!(weighted().await, Ok(None), "weights of nothing say nothing");
    set(1, &[(3, 65_535), (7, 0)]);
    assert_eq!(weighted().await, Ok(Some(false)));
    set(2, &[(3, 65_535), (7, 1)]);
    set(3, &[(3, 65_535)]);
    assert_eq!(weighted().await, Ok(Some(true)));
    // The largest share is by validator 4, where one has more and another as much.
    set(4, &[(2, 10), (3, 65_535), (7, 40_000), (8, 40_000), (9, 0)]);
    assert_eq!(soon(chain.weights_for(hotkey().hotkey())).await.unwrap().unwrap().rank, Some((2, 4)));
    // An invented value is an error, not a weight.
    let odd = [&entry[..], &NETUID.to_le_bytes(), &[9, 0]].concat();
    node.state().storage.insert(odd, vec![8, 1]);
    assert!(matches!(weighted().await, Err(ChainError::Malformed(_))));
    node.state().deregister(NETUID, hotkey().hotkey());
    assert_eq!(weighted().await, Ok(None), "who has no uid has no weight to be read");
}

#[tokio::test]
async fn a_runtime_upgrade_is_noticed() {
    let node = registered("upgrade", 1).await;
    node.state().runtime = Runtime::Spec365;
    let chain = chain(&node);
    assert_eq!(soon(chain.commit(&credentials(1))).await, Ok(()));
    assert_eq!(soon(chain.commit(&credentials(2))).await, Ok(()));
    assert_eq!((node.calls("state_call"), node.calls("state_getMetadata")), (1, 0), "metadata is kept");
    node.state().runtime = Runtime::Spec461;
    assert_eq!(soon(chain.commit(&credentials(3))).await, Ok(()));
    assert_eq!((node.calls("state_call"), node.calls("state_getMetadata")), (2, 0), "metadata is renewed");
    // A node without the runtime's own call gives version 14.
    node.state().errors.insert("state_call".to_owned(), (-32601, "Method not found".to_owned()));
    node.state().runtime = Runtime::Spec365;
    assert_eq!(soon(chain.commit(&credentials(4))).await, Ok(()));
    assert_eq!(node.calls("state_getMetadata"), 1);
    assert_eq!(soon(chain.commit(&credentials(3))).await, Ok(()));
    assert_eq!(soon(chain.commitment()).await, Ok(Some(credentials(3))));
}

#[tokio::test]
async fn the_pool_may_refuse() {
    let node = registered("pool", 1).await;
    let chain = chain(&node);
    for code in [1010, 1012, 1013, 1014] {
        let refusal = (code, "Pool".to_owned());
        node.state().errors.insert("author_submitAndWatchExtrinsic".to_owned(), refusal);
        let refused = soon(chain.commit(&credentials(1))).await;
        let Err(CommitError::Refused(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains(&format!("(error {code}: ")), "{why}");
    }
    node.state().errors.clear();
    assert_eq!(soon(chain.commitment()).await, Ok(None), "nothing of it came through");
}

#[tokio::test]
async fn a_network_that_is_not_meant_is_refused() {
    let node = registered("another network", 1).await;
    let address = format!("{}/?apikey=hunter2hunter2", node.address());
    let settings = ChainSettings { endpoints: vec![address], genesis: Some([1; 32]), ..settings(&node) };
    let chain = chain_by(&settings);
    let refused = soon(chain.next_head(0)).await;
    let Err(ChainError::OtherNetwork(why)) = &refused else { panic!("{refused:?}") };
    assert_eq!(why.endpoint, node.address());
    assert_eq!(why.wanted, format!("0x{}", "01".repeat(32)));
    let why = refused.unwrap_err().to_string();
    assert!(why.contains("it serves another network"), "{why}");
    assert!(!why.contains("hunter2"), "{why}");
    let refused = soon(chain.commit(&credentials(1))).await;
    assert!(matches!(refused, Err(CommitError::Refused(_))), "nothing is sent to it: {refused:?}");
}

#[tokio::test]
async fn blocks_beyond_the_chains_range_are_not_requested() {
    let node = registered("far", 1).await;
    let chain = chain(&node);
    assert_eq!(soon(chain.block_hash(u64::MAX)).await, Ok(None));
    assert!(soon(chain.block_hash(0)).await.is_ok_and(|hash| hash.is_some()));
    let refused = soon(chain.commit(&[0; 129])).await;
    assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
}
