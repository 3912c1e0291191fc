//! The chain adapter on bad days: silence, broken connections, rate limits, nonsense.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use grail_live::chain::{ChainPatience, ChainSettings, Fitness, SubtensorChain};
use grail_loopback::node::trouble::{self, Gate};
use grail_loopback::node::{NETUID, credentials, hotkey, is_silent, registered, soon};
use grail_miner::ports::{Chain, ChainError, CommitError, Head, LAG_BLOCKS_MAX};
use grail_serve::chain::{Node, State};
use proptest::prelude::*;
use serde_json::{Value, json};

async fn node(name: &str) -> Node {
    registered(name, 1).await
}

fn chain(endpoints: &[&str]) -> SubtensorChain {
    let patience = ChainPatience { poll_ms: 10, backoff_ms_min: 10, backoff_ms_max: 40, ..ChainPatience::default() };
    let settings = ChainSettings { patience, ..ChainSettings::custom(endpoints.iter().copied(), NETUID) };
    SubtensorChain::new(&settings, Rc::new(hotkey())).expect("the settings are valid")
}

fn mute(node: &Node, method: &str) {
    node.state().mute.insert(method.to_owned());
}

#[tokio::test]
async fn a_connection_that_breaks_in_mid_call_is_replaced() {
    let node = node("cut").await;
    let gate = Gate::before(node.address()).await;
    let chain = chain(&[&gate.address]);
    assert_eq!(soon(chain.registration()).await, Ok(Some(7)));
    let asked = node.calls("state_getStorage");
    mute(&node, "state_getStorage");
    let cut = async {
        grail_loopback::node::called(&node, "state_getStorage", asked + 1).await;
        gate.cut();
    };
    let (answer, ()) = soon(async { tokio::join!(chain.registration(), cut) }).await;
    assert!(matches!(answer, Err(ChainError::Unreachable(_))), "{answer:?}");
    node.state().mute.clear();
    assert_eq!(soon(chain.registration()).await, Ok(Some(7)));
}

#[tokio::test]
async fn heads_continue_after_a_broken_connection() {
    let node = node("heads").await;
    let gate = Gate::before(node.address()).await;
    let chain = chain(&[&gate.address]);
    let head = soon(chain.next_head(0)).await.expect("a head");
    let cut = async { gate.cut() };
    let (answer, ()) = soon(async { tokio::join!(chain.next_head(head.number + LAG_BLOCKS_MAX), cut) }).await;
    assert!(matches!(answer, Err(ChainError::Unreachable(_))), "{answer:?}");
    assert!(soon(chain.next_head(head.number)).await.expect("a head") > head);
}

#[tokio::test]
async fn an_endpoint_that_never_shakes_hands_is_left() {
    let (silent, node) = (trouble::silent().await, node("second").await);
    let chain = chain(&[&silent, node.address()]);
    assert!(is_silent(chain.next_head(0)).await);
    assert!(is_silent(chain.registration()).await);
    chain.reconnect().await;
    assert_eq!(soon(chain.registration()).await, Ok(Some(7)));
    assert!(soon(chain.next_head(0)).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_is_announced_too_long_is_not_waited_for() {
    const LONGEST: u64 = 16 * 1024 * 1024;
    let (waited_for, too_long) = (trouble::announcing(LONGEST).await, trouble::announcing(LONGEST + 1).await);
    assert!(is_silent(chain(&[&waited_for]).registration()).await);
    let node = node("second").await;
    let chain = chain(&[&too_long, node.address()]);
    let answer = soon(chain.registration()).await;
    assert!(matches!(answer, Err(ChainError::Unreachable(_))), "{answer:?}");
    assert_eq!(soon(chain.registration()).await, Ok(Some(7)));
}

#[tokio::test]
async fn an_endpoint_that_falls_silent_is_left() {
    let (first, second) = (node("first").await, node("second").await);
    let chain = chain(&[first.address(), second.address()]);
    assert_eq!(soon(chain.registration()).await, Ok(Some(7)));
    mute(&first, "state_getStorage");
    assert!(is_silent(chain.registration()).await);
    chain.reconnect().await;
    assert_eq!(soon(chain.registration()).await, Ok(Some(7)));
    assert!(second.calls("state_getStorage") > 0);
}

#[tokio::test]
async fn so_is_one_that_nobody_reconnects() {
    let (first, second) = (node("first").await, node("second").await);
    let chain = chain(&[first.address(), second.address()]);
    mute(&first, "state_getStorage");
    let mut dropped = 0;
    while is_silent(chain.registration()).await {
        dropped += 1;
        assert!(dropped < 10, "dropped futures pile up");
    }
    assert!(second.calls("state_getStorage") > 0);
}

#[tokio::test]
async fn reconnecting_ends_pending_calls() {
    let node = node("reconnect").await;
    let chain = chain(&[node.address()]);
    mute(&node, "state_getStorage");
    let reconnect = async {
        grail_loopback::node::called(&node, "state_getStorage", 1).await;
        chain.reconnect().await;
    };
    let (answer, ()) = soon(async { tokio::join!(chain.registration(), reconnect) }).await;
    assert!(matches!(answer, Err(ChainError::Unreachable(_))), "{answer:?}");
}

#[tokio::test]
async fn rate_limits_differ_from_other_failures() {
    let node = node("limits").await;
    let limited = trouble::refusing("429 Too Many Requests").await;
    let closing = trouble::closing(1008).await;
    let chain = chain(&[&limited, &closing, node.address()]);
    assert_eq!(soon(chain.registration()).await, Err(ChainError::RateLimited));
    assert_eq!(soon(chain.registration()).await, Err(ChainError::RateLimited));
    assert_eq!(soon(chain.registration()).await, Ok(Some(7)));
    for code in [-32004, -32005] {
        node.state().errors.insert("state_getStorage".to_owned(), (code, "slow down".to_owned()));
        assert_eq!(soon(chain.commitment()).await, Err(ChainError::RateLimited));
    }
    node.state().errors.clear();
    assert_eq!(soon(chain.commitment()).await, Ok(None), "the connection is kept");
    let refusing = trouble::refusing("503 Service Unavailable").await;
    let answer = soon(self::chain(&[&refusing]).registration()).await;
    assert_eq!(answer, Err(ChainError::Unreachable(format!("{refusing}: HTTP status 503"))));
}

#[tokio::test]
async fn a_commitment_whose_connection_breaks_has_an_unknown_outcome() {
    let node = node("commit").await;
    let gate = Gate::before(node.address()).await;
    let chain = chain(&[&gate.address]);
    mute(&node, "included");
    let credentials = credentials(1);
    let cut = async {
        grail_loopback::node::called(&node, "included", 1).await;
        gate.cut();
    };
    let (outcome, ()) = soon(async { tokio::join!(chain.commit(&credentials), cut) }).await;
    assert!(matches!(outcome, Err(CommitError::Unknown(_))), "{outcome:?}");
    assert_eq!(soon(chain.commitment()).await, Ok(Some(credentials)), "reading it back tells");
    assert_eq!(node.calls("author_submitAndWatchExtrinsic"), 1, "it was sent once");
}

#[tokio::test]
async fn a_commitment_that_was_not_sent_is_not_made() {
    let (nobody, node) = (trouble::refusing("500 Internal Server Error").await, node("unsent").await);
    let chain = chain(&[&nobody, node.address()]);
    let outcome = soon(chain.commit(&credentials(1))).await;
    assert!(matches!(&outcome, Err(CommitError::Refused(why)) if why.contains("it was not sent")), "{outcome:?}");
    assert_eq!(soon(chain.commit(&credentials(1))).await, Ok(()));
}

#[test]
fn no_answer_makes_the_adapter_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (node, chain) = runtime.block_on(async {
        let node = node("nonsense").await;
        let chain = chain(&[node.address()]);
        (node, chain)
    });
    let text = prop_oneof!["0x[0-9a-f]{0,66}", Just(format!("0x{}", "ab".repeat(32))), ".{0,10}"];
    let leaf = prop_oneof![Just(Value::Null), any::<u32>().prop_map(Value::from), text.prop_map(Value::from)];
    let answers = leaf.prop_recursive(2, 8, 3, |inner| {
        let object = |inner: BoxedStrategy<Value>| {
            let name = prop_oneof!["number", "block", "specVersion", "transactionVersion", ".{0,3}"];
            prop::collection::btree_map(name, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
        };
        prop_oneof![prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from), object(inner.boxed())]
    });
    proptest!(ProptestConfig::with_cases(32), |(answer in answers)| {
        node.state().nonsense = Some(answer);
        runtime.block_on(async {
            let _ = soon(chain.block_hash(5)).await;
            let _ = soon(chain.registration()).await;
            let _ = soon(chain.commitment()).await;
            let _ = soon(chain.commit(&credentials(1))).await;
            let _ = is_silent(chain.next_head(u64::MAX - 1)).await;
        });
    });
}

/// Waits until a node has made this block.
async fn made(node: &Node, block: u64) {
    while node.state().head() < block {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn two_endpoints_that_contradict_each_other_give_no_hash() {
    let (honest, lying) = (node("honest").await, node("lying").await);
    let chain = chain(&[honest.address(), lying.address()]);
    soon(async { tokio::join!(made(&honest, 3), made(&lying, 3)) }).await;
    for _ in 0..2 {
        let Err(error @ ChainError::Disagreement { .. }) = soon(chain.block_hash(3)).await else {
            panic!("a hash that is not confirmed")
        };
        let reported = error.to_string();
        for node in [&honest, &lying] {
            let hash =
                soon(self::chain(&[node.address()]).block_hash(3)).await.expect("it answers").expect("it has it");
            assert!(reported.contains(&format!("{} says {hash}", node.address())), "{reported}");
        }
    }
    assert_eq!(soon(chain.registration()).await, Ok(Some(7)), "nothing else is held up");
}

#[tokio::test]
async fn the_second_opinion_is_never_that_of_the_endpoint_in_use() {
    let (gone, honest, lying) =
        (trouble::refusing("503 Service Unavailable").await, node("honest").await, node("lying").await);
    let chain = chain(&[&gone, honest.address(), lying.address()]);
    soon(async { tokio::join!(made(&honest, 3), made(&lying, 3)) }).await;
    assert!(soon(chain.block_hash(3)).await.is_err(), "the first is gone");
    let answer = soon(chain.block_hash(3)).await;
    assert!(matches!(answer, Err(ChainError::Disagreement { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_second_endpoint_that_agrees_lags_or_is_silent_holds_nothing_up() {
    let node = registered("one chain", 2).await;
    let doors: Vec<&str> = node.doors.iter().map(|door| door.address.as_str()).collect();
    soon(made(&node, 3)).await;
    let alone = soon(chain(&doors[..1]).block_hash(3)).await;
    assert!(matches!(alone, Ok(Some(_))), "{alone:?}");
    let asked = node.calls("chain_getBlockHash");
    assert_eq!(soon(chain(&doors).block_hash(3)).await, alone);
    // Each connection looks at the genesis, and both are asked for the block.
    assert_eq!(node.calls("chain_getBlockHash"), asked + 4);
    node.doors[1].freeze(true);
    let frozen_at = node.state().head();
    soon(made(&node, frozen_at + 3)).await;
    let young = soon(chain(&doors).block_hash(frozen_at + 2)).await;
    assert!(matches!(young, Ok(Some(_))), "{young:?}");
    let silent = trouble::silent().await;
    assert_eq!(soon(chain(&[doors[0], &silent]).block_hash(3)).await, alone);
}

/// Returns two doors of one node on which our hotkey is registered.
async fn two_doors(name: &str) -> Node {
    let node = registered(name, 2).await;
    soon(made(&node, LAG_BLOCKS_MAX + 10)).await;
    node
}

fn chain_of(node: &Node) -> SubtensorChain {
    let doors: Vec<&str> = node.doors.iter().map(|door| door.address.as_str()).collect();
    chain(&doors)
}

/// The answer once the adapter has found out which endpoint to ask.
async fn at_last<T>(mut ask: impl AsyncFnMut() -> Result<T, ChainError>) -> T {
    soon(async {
        loop {
            if let Ok(answer) = ask().await {
                return answer;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_false_head_is_announced_once_and_its_block_is_nowhere() {
    let node = two_doors("one false head").await;
    let chain = chain_of(&node);
    let Head { number: head } = soon(chain.next_head(0)).await.expect("a head");
    let (false_head, ()) = soon(async {
        tokio::join!(
            async {
                loop {
                    let after = node.state().head();
                    let Head { number } = chain.next_head(after).await.expect("a head");
                    if number > head + 900_000 {
                        return number;
                    }
                }
            },
            async { node.doors[0].announce_false_head(1_000_000) },
        )
    })
    .await;
    assert_eq!(soon(chain.block_hash(false_head)).await, Ok(None));
    // A miner that believes it gets the lower head with the next block.
    let Head { number } = soon(chain.next_head(false_head)).await.expect("a head");
    assert!((head..head + 10_000).contains(&number), "{number}");
}

#[tokio::test]
async fn a_head_beyond_32_bits_is_malformed() {
    let node = node("beyond").await;
    let chain = chain(&[node.address()]);
    let Head { number: head } = soon(chain.next_head(0)).await.expect("a head");
    let answer = async {
        loop {
            let shown = node.state().head();
            match chain.next_head(shown.max(head)).await {
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    };
    let (answer, ()) = soon(async { tokio::join!(answer, async { node.doors[0].announce_false_head(1 << 32) }) }).await;
    assert!(matches!(&answer, ChainError::Malformed(why) if why.contains("32 bits")), "{answer:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_behind_is_left_for_one_that_is_not() {
    let node = two_doors("behind").await;
    node.doors[0].set_syncing(true);
    let chain = chain_of(&node);
    let Err(ChainError::Unreachable(why)) = soon(chain.next_head(0)).await else { panic!("it is behind") };
    assert!(why.contains("it is still syncing"), "{why}");
    let Head { number } = soon(chain.next_head(0)).await.expect("the other is not");
    assert!(number > LAG_BLOCKS_MAX, "{number}");
    assert_eq!(soon(chain.registration()).await, Ok(Some(7)));
    // A single endpoint is asked anyway, but cannot prove that a uid is missing.
    let alone = self::chain(&[node.address()]);
    assert_eq!(soon(alone.next_head(0)).await, Ok(Head { number: 1 }));
    assert!(matches!(soon(alone.registration()).await, Err(ChainError::Unreachable(_))));
    assert_eq!(soon(alone.fitness()).await, Ok(Fitness::Behind("it is still syncing".to_owned())));
}

#[tokio::test]
async fn an_endpoint_that_falls_behind_does_not_take_the_chain_back() {
    let node = two_doors("falls behind").await;
    let chain = chain_of(&node);
    let Head { number: head } = soon(chain.next_head(0)).await.expect("a head");
    node.doors[0].set_syncing(true);
    // It shows an old head and no uid. The other endpoint has the block that is known, and shows the uid.
    let old = async { while chain.next_head(head + LAG_BLOCKS_MAX + 1_000).await != Ok(Head { number: 1 }) {} };
    soon(old).await;
    let answer = soon(chain.block_hash(head)).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(at_last(async || chain.block_hash(head).await).await, node.state().hash(head));
    assert_eq!(at_last(async || chain.registration().await).await, Some(7));
    assert!(at_last(async || chain.next_head(head).await).await > Head { number: head });
}

#[tokio::test]
async fn a_missing_uid_is_believed_only_if_no_endpoint_shows_one() {
    let node = two_doors("uid").await;
    let chain = chain_of(&node);
    assert_eq!(soon(chain.registration()).await, Ok(Some(7)));
    node.state().deregister(NETUID, hotkey().hotkey());
    assert_eq!(soon(chain.registration()).await, Ok(None), "both endpoints are up to date");
    let lying = grail_loopback::node::start(State::new("lying")).await;
    soon(made(&lying, 1)).await;
    let honest = self::node("honest").await;
    let chain = self::chain(&[lying.address(), honest.address()]);
    let answer = soon(chain.registration()).await;
    assert!(matches!(&answer, Err(ChainError::Malformed(why)) if why.contains("shows no uid")), "{answer:?}");
    assert_eq!(soon(chain.registration()).await, Ok(Some(7)), "the honest one is in use");
}

/// Makes the first of two doors lie.
fn lie(node: &Node, lie: impl Fn(&str, &[Value]) -> Option<Value> + Send + Sync + 'static) {
    node.doors[0].set_lie(Some(Arc::new(lie)));
}

/// Returns whether a method is asked for the hash of another block than the genesis.
fn asks_for_hash(method: &str, params: &[Value]) -> bool {
    method == "chain_getBlockHash" && params != [Value::from(0)]
}

#[tokio::test]
async fn an_endpoint_that_gives_false_hashes_is_refuted_by_its_own_headers() {
    let node = two_doors("false hashes").await;
    let hash = node.state().hash(5);
    lie(&node, |method, params| asks_for_hash(method, params).then(|| format!("0x{}", "ab".repeat(32)).into()));
    let doors: Vec<&str> = node.doors.iter().map(|door| door.address.as_str()).collect();
    for endpoints in [[doors[0], doors[1]], [doors[1], doors[0]]] {
        let chain = chain(&endpoints);
        assert_eq!(at_last(async || chain.block_hash(5).await).await, hash, "{endpoints:?}");
        assert_eq!(soon(chain.block_hash(5)).await, Ok(hash.clone()), "it stays so");
    }
}

#[tokio::test]
async fn an_endpoint_that_hides_hashes_or_fails_is_left() {
    let node = two_doors("no hashes").await;
    let hash = node.state().hash(5);
    for answer in [Value::Null, "no hash".into()] {
        let reported = answer.clone();
        lie(&node, move |method, params| asks_for_hash(method, params).then(|| reported.clone()));
        let chain = chain_of(&node);
        assert!(soon(chain.block_hash(5)).await.is_err(), "{answer}");
        assert_eq!(at_last(async || chain.block_hash(5).await).await, hash, "{answer}");
    }
}

#[tokio::test]
async fn a_commitment_goes_through_although_one_endpoint_lies_about_all_that_it_takes() {
    let node = two_doors("commitment").await;
    for (number, (method, answer)) in (1..).zip([
        ("state_getRuntimeVersion", json!({"specVersion": 9, "transactionVersion": 1})),
        ("state_call", json!("0x00")),
        ("system_accountNextIndex", json!(1_000_000)),
        ("chain_getHeader", Value::Null),
    ]) {
        lie(&node, move |asked, _| (asked == method).then(|| answer.clone()));
        let (chain, credentials) = (chain_of(&node), credentials(number));
        // As the driver does: a call that takes too long is given up.
        let attempt = || tokio::time::timeout(Duration::from_secs(1), chain.commit(&credentials));
        soon(async { while !matches!(attempt().await, Ok(Ok(()))) {} }).await;
        node.doors[0].set_lie(None);
        assert_eq!(at_last(async || chain.commitment().await).await, Some(credentials), "{method}");
    }
}

#[tokio::test]
async fn contradicting_endpoints_prove_no_commitment() {
    let node = two_doors("two commitments").await;
    let ours = credentials(1);
    soon(chain(&[node.address()]).commit(&ours)).await.expect("a registered hotkey may commit");
    // Of a chain on which another one was committed.
    let other = self::node("another commitment").await;
    soon(chain(&[other.address()]).commit(&credentials(2))).await.expect("a registered hotkey may commit");
    let chain = chain(&[node.address(), other.address()]);
    assert_eq!(soon(chain.commitment()).await, Ok(None), "it is to be made again");
    assert_eq!(soon(chain.commit(&ours)).await, Ok(()));
    let answer = at_last(async || match chain.commitment().await {
        Err(ChainError::Malformed(why)) => Ok(why),
        Ok(_) | Err(_) => Err(ChainError::RateLimited),
    });
    assert!(answer.await.contains("show different commitments"), "not again and again");
}
