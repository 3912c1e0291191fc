//! One test suite per port, for every implementation of it: fakes and real ones alike.
//!
//! Each function panics with what was violated. This crate is for tests alone, and uses nothing but the ports. The implementations must be healthy and fresh while they are examined.

use futures_util::future::{Either, join, ready, select};
use grail_protocol::generation::GeneratedRollout;

use grail_miner::ports::{
    Beacon, Bucket, BucketError, Chain, Clock, Engine, Etag, GenerateRequest, Journal, JournalRecord, PutCondition,
    Signer,
};

/// How long a healthy bucket may take to write a few bytes.
const PUT_MS_MAX: u64 = 20_000;

/// Examines a clock.
pub async fn clock(clock: &dyn Clock) {
    let before = clock.now();
    // The machine may set a timer to a time that has passed by the time the driver sets it.
    clock.sleep_until(before.monotonic_ms.saturating_sub(1)).await;
    let wanted = clock.now().monotonic_ms + 20;
    clock.sleep_until(wanted).await;
    assert!(clock.now().monotonic_ms >= wanted, "a sleep returned before its time");
    assert!(clock.now().monotonic_ms >= before.monotonic_ms, "the monotonic clock went back");
}

/// Examines a chain on which our hotkey is registered; commits `credentials`.
pub async fn chain(chain: &dyn Chain, credentials: &[u8]) {
    let head = chain.next_head(0).await.expect("a healthy chain has a head");
    let next = chain.next_head(head.number).await.expect("a healthy chain moves");
    assert!(next > head, "next_head returned a head that is not newer");
    let hash = chain.block_hash(head.number).await.expect("a healthy chain tells hashes").expect("the head has a hash");
    let digits = hash.strip_prefix("0x").expect("a hash starts with 0x");
    let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    assert!(digits.len() == 64 && digits.bytes().all(lower_hex), "{hash} is not 0x and 64 lower-case hex digits");
    let future = chain.block_hash(next.number + 1_000_000).await.expect("a healthy chain answers");
    assert_eq!(future, None, "a block that is not there yet has no hash");
    assert!(chain.registration().await.expect("a healthy chain answers").is_some(), "our hotkey is registered");
    chain.commit(credentials).await.expect("a registered hotkey may commit");
    let committed = chain.commitment().await.expect("a healthy chain answers");
    assert_eq!(committed.as_deref(), Some(credentials), "what was committed is not what is read");
    chain.reconnect().await;
    assert!(chain.next_head(0).await.expect("a new connection works") >= next, "the head went back");
}

/// Examines a beacon for which round `due` has been and rounds `not_due` has not.
pub async fn beacon(beacon: &dyn Beacon, due: u64, not_due: u64) {
    let round = beacon.round(due).await.expect("a healthy beacon gives a round that is due");
    assert_eq!(round.round, due, "another round than the one asked for");
    let is_hex = round.randomness.len() == 64 && round.randomness.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(is_hex, "the randomness is not 64 hex digits");
    assert_eq!(beacon.round(due).await, Ok(round), "a round changed");
    assert!(beacon.round(not_due).await.is_err(), "a round that is not due was given");
}

/// Examines a bucket in which nothing is under `key`; leaves nothing there.
pub async fn bucket(bucket: &dyn Bucket, key: &str) {
    let read = async || bucket.get(key).await.expect("a healthy bucket can be read");
    let put = async |bytes: &[u8], condition: &PutCondition| bucket.put(key, bytes, condition, PUT_MS_MAX).await;
    assert_eq!(read().await, None, "the object is there before it was written");
    bucket.delete(key).await.expect("deleting what is not there succeeds");
    // Stores without conditional writes, such as Backblaze B2, fail here or at the next two writes.
    let stale = PutCondition::Matches(Etag("no such version".to_owned()));
    assert_eq!(put(b"zero", &stale).await, Err(BucketError::ConditionFailed), "a missing object matched");
    let first = put(b"one", &PutCondition::Absent).await.expect("an absent object can be created");
    assert_eq!(read().await, Some((b"one".to_vec(), first.clone())), "what was written is not what is read");
    // A second miner with the same hotkey must not overwrite the file of the first one.
    let again = put(b"two", &PutCondition::Absent).await;
    assert_eq!(again, Err(BucketError::ConditionFailed), "an object was created twice");
    let second = put(b"three", &PutCondition::Matches(first.clone())).await.expect("our version matches");
    assert_ne!(first, second, "a new content has the old version");
    let old = put(b"four", &PutCondition::Matches(first)).await;
    assert_eq!(old, Err(BucketError::ConditionFailed), "an outdated version matched");
    assert_eq!(read().await, Some((b"three".to_vec(), second)), "a refused write left a trace");
    bucket.delete(key).await.expect("an object can be deleted");
    assert_eq!(read().await, None, "a deleted object is still there");
}

/// Checks what every engine keeps, with a request of at least two streams; returns the request's rollouts.
pub async fn engine(engine: &dyn Engine, request: &GenerateRequest) -> Vec<GeneratedRollout> {
    assert!(engine.groups_in_flight_max() > 0, "an engine works on at least one group");
    // The first poll hands the request over; `select` then drops the call.
    let dropped = select(engine.generate(request), ready(())).await;
    assert!(matches!(dropped, Either::Right(_)), "an engine does not work while it is polled");
    drop(dropped);
    let rollouts = engine.generate(request).await.expect("a healthy engine generates");
    assert_eq!(rollouts.len(), request.streams.len(), "one rollout per stream");
    for rollout in &rollouts {
        let tokens = rollout.tokens.len();
        assert!(rollout.tokens.starts_with(&request.prompt), "a rollout starts with the prompt");
        assert_eq!(rollout.prompt_length, request.prompt.len(), "the prompt's length");
        assert!((1..=request.new_tokens_max).contains(&(tokens - rollout.prompt_length)), "the completion's length");
        assert_eq!(rollout.token_logprobs.len(), tokens, "one logprob per token");
        assert_eq!(rollout.pass.s_vals.len(), tokens, "one sketch value per token");
        assert_eq!(rollout.pass.probabilities.len(), tokens - 1, "one probability per token but the first");
        assert!(
            rollout.tokens.iter().all(|token| *token < engine.limits().vocabulary),
            "a token outside the vocabulary"
        );
    }
    rollouts
}

/// Checks an engine whose rollouts follow from the request alone, as [`engine`] and by repeating the request.
pub async fn deterministic_engine(engine: &dyn Engine, request: &GenerateRequest) {
    let rollouts = self::engine(engine, request).await;
    // A retry asks for a part of a group. Its rollouts must not depend on who else is in the batch: batches of another
    // shape can sum in another order.
    let last = GenerateRequest { streams: request.streams[1..].to_vec(), ..request.clone() };
    let again = engine.generate(request).await.expect("a healthy engine generates");
    assert_eq!(again, rollouts, "the same request gave other rollouts");
    let alone = engine.generate(&last).await.expect("a healthy engine generates");
    assert_eq!(alone, rollouts[1..], "a rollout depends on the other rollouts of its group");
    let (again, last) = join(engine.generate(request), engine.generate(&last)).await;
    assert_eq!(again.as_ref(), Ok(&rollouts), "a rollout depends on the other groups in flight");
    assert_eq!(last.as_deref(), Ok(&rollouts[1..]), "a rollout depends on the other groups in flight");
}

/// Examines an empty journal with records of one window; leaves them there.
pub async fn journal(journal: &dyn Journal, records: &[JournalRecord]) {
    assert_eq!(journal.load().await, Ok(Vec::new()), "the journal is not empty");
    for (count, record) in records.iter().enumerate() {
        journal.append(record).await.expect("a healthy journal appends");
        assert_eq!(journal.load().await.as_deref(), Ok(&records[..=count]), "what was appended is not what is loaded");
    }
}

/// Examines a signer.
pub fn signer(signer: &dyn Signer) {
    let signature = signer.sign(b"message");
    assert_eq!(signer.sign(b"message"), signature, "the same message gave another signature");
    assert!(signer.hotkey().verifies(b"message", &signature), "the signature does not verify");
    assert!(!signer.hotkey().verifies(b"another", &signature), "the signature verifies for another message");
}
