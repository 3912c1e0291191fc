//! The JSON-RPC methods of a node.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use grail_protocol::signature::Hotkey;
use jsonrpsee::server::{PendingSubscriptionSink, RpcModule, ServerBuilder, ServerHandle};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use subxt::ext::codec::Encode;
use tokio::sync::watch;

use super::BLOCK_MS;
use super::state::{PoolRefusal, State, events_key, hex_text};

/// A node that makes blocks while it is held.
pub(crate) struct Node {
    pub(crate) address: String,
    shared: Arc<Shared>,
    _server: ServerHandle,
}

struct Shared {
    state: Mutex<State>,
    head: watch::Sender<u64>,
}

impl Node {
    /// Start one on a free port.
    pub(crate) async fn start(state: State) -> Self {
        let shared = Arc::new(Shared { state: Mutex::new(state), head: watch::Sender::new(0) });
        let server = ServerBuilder::default().build("127.0.0.1:0").await.expect("a free port");
        let address = format!("ws://{}", server.local_addr().expect("an address"));
        let server = server.start(methods(shared.clone()));
        tokio::spawn(make_blocks(shared.clone()));
        Self { address, shared, _server: server }
    }

    /// Look at the state, or change it.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// How often a method was called.
    pub(crate) fn calls(&self, method: &str) -> u32 {
        self.state().calls.get(method).copied().unwrap_or_default()
    }

    /// Wait until a method was called this often.
    pub(crate) async fn called(&self, method: &str, times: u32) {
        while self.calls(method) < times {
            tokio::task::yield_now().await;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panicked")
    }

    /// Count the call, and wait for ever or fail if that is the method's part.
    async fn admit(&self, method: &str) -> Result<(), ErrorObjectOwned> {
        let (is_mute, error) = {
            let mut state = self.state();
            *state.calls.entry(method.to_owned()).or_default() += 1;
            (state.mute.contains(method), state.errors.get(method).cloned())
        };
        if is_mute {
            std::future::pending::<()>().await;
        }
        error.map_or(Ok(()), |(code, text)| Err(ErrorObjectOwned::owned(code, text, None::<()>)))
    }
}

async fn make_blocks(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(BLOCK_MS));
    loop {
        ticks.tick().await;
        let head = {
            let mut state = shared.state();
            if state.stands_still {
                continue;
            }
            state.make_block();
            state.head()
        };
        shared.head.send_replace(head);
    }
}

type Answer = Result<Value, ErrorObjectOwned>;

fn methods(shared: Arc<Shared>) -> RpcModule<Arc<Shared>> {
    let mut module = RpcModule::new(shared);
    for (name, method) in [
        ("chain_getBlockHash", block_hash as fn(&State, &[Value]) -> Answer),
        ("chain_getHeader", header),
        ("chain_getBlock", block),
        ("state_getRuntimeVersion", runtime_version),
        ("state_getMetadata", metadata),
        ("state_call", call),
        ("state_getStorage", storage),
        ("system_accountNextIndex", next_index),
    ] {
        let answer = move |params: Params<'static>, shared: Arc<Arc<Shared>>, _| async move {
            shared.admit(name).await?;
            let params: Vec<Value> = params.parse().unwrap_or_default();
            let state = shared.state();
            match &state.nonsense {
                Some(nonsense) if params != [json!(0)] => Ok(nonsense.clone()),
                _ => method(&state, &params),
            }
        };
        module.register_async_method(name, answer).expect("a new name");
    }
    module
        .register_subscription(
            "chain_subscribeNewHeads",
            "chain_newHead",
            "chain_unsubscribeNewHeads",
            |_, pending, shared, _| async move { new_heads(pending, &shared).await },
        )
        .expect("a new name");
    module
        .register_subscription(
            "author_submitAndWatchExtrinsic",
            "author_extrinsicUpdate",
            "author_unwatchExtrinsic",
            |params, pending, shared, _| async move { submit(params, pending, &shared).await },
        )
        .expect("a new name");
    module
}

async fn new_heads(pending: PendingSubscriptionSink, shared: &Shared) {
    if let Err(error) = shared.admit("chain_subscribeNewHeads").await {
        return pending.reject(error).await;
    }
    let Ok(sink) = pending.accept().await else { return };
    let mut head = shared.head.subscribe();
    head.mark_changed();
    while head.changed().await.is_ok() {
        let number = *head.borrow_and_update();
        let nonsense = shared.state().nonsense.clone();
        let header = nonsense.unwrap_or_else(|| json!({ "number": format!("{number:#x}") }));
        if sink.send(to_raw_value(&header).expect("it is JSON")).await.is_err() {
            return;
        }
    }
}

async fn submit(params: Params<'static>, pending: PendingSubscriptionSink, shared: &Shared) {
    if let Err(error) = shared.admit("author_submitAndWatchExtrinsic").await {
        return pending.reject(error).await;
    }
    let extrinsic = decoded(&params.one::<String>().unwrap_or_default());
    let submitted = {
        let mut state = shared.state();
        state.submit(&extrinsic).map(|()| state.head())
    };
    let before = match submitted {
        Ok(before) => before,
        Err(PoolRefusal(why)) => {
            return pending.reject(ErrorObjectOwned::owned(1010, "Invalid Transaction", Some(why))).await;
        }
    };
    let Ok(sink) = pending.accept().await else { return };
    if sink.send(to_raw_value("ready").expect("it is JSON")).await.is_err() {
        return;
    }
    let mut head = shared.head.subscribe();
    let _ = head.wait_for(|head| *head > before).await;
    // A node that is muted after it took the extrinsic says no more of it.
    if shared.admit("included").await.is_err() {
        return;
    }
    let hash = {
        let state = shared.state();
        let mut blocks = state.blocks.iter();
        blocks.find(|block| block.extrinsics.contains(&extrinsic)).map(|block| hex_text(&block.hash))
    };
    let _ = sink.send(to_raw_value(&json!({ "inBlock": hash })).expect("it is JSON")).await;
}

fn block_hash(state: &State, params: &[Value]) -> Answer {
    let number = params.first().and_then(Value::as_u64).unwrap_or_else(|| state.head());
    Ok(state.blocks.get(number as usize).map_or(Value::Null, |block| hex_text(&block.hash).into()))
}

fn header(state: &State, params: &[Value]) -> Answer {
    let number = match params.first().and_then(Value::as_str) {
        Some(hash) => state.block(hash).map(|(number, _)| number),
        None => Some(state.head()),
    };
    Ok(number.map_or(Value::Null, |number| json!({ "number": format!("{number:#x}") })))
}

fn block(state: &State, params: &[Value]) -> Answer {
    let block = params.first().and_then(Value::as_str).and_then(|hash| state.block(hash));
    let extrinsics = |(_, block): (u64, &super::state::Block)| -> Vec<String> {
        block.extrinsics.iter().map(|extrinsic| hex_text(extrinsic)).collect()
    };
    Ok(block.map_or(Value::Null, |block| json!({ "block": { "extrinsics": extrinsics(block) } })))
}

fn runtime_version(state: &State, _: &[Value]) -> Answer {
    Ok(json!({ "specName": "node-subtensor", "specVersion": state.spec_version, "transactionVersion": 1 }))
}

fn metadata(state: &State, _: &[Value]) -> Answer {
    Ok(hex_text(&state.metadata().0).into())
}

fn call(state: &State, params: &[Value]) -> Answer {
    let (metadata, by_version) = state.metadata();
    let is_asked = params.first() == Some(&json!("Metadata_metadata_at_version"));
    let wanted = params.get(1) == Some(&json!("0x0f000000"));
    let found: Option<Vec<u8>> = (is_asked && wanted && by_version).then_some(metadata);
    Ok(hex_text(&found.encode()).into())
}

fn storage(state: &State, params: &[Value]) -> Answer {
    let text = |index: usize| params.get(index).and_then(Value::as_str).unwrap_or_default();
    let key = decoded(text(0));
    let value = match state.block(text(1)) {
        Some((_, block)) if key == events_key() => Some(&block.events),
        _ => state.storage.get(&key),
    };
    Ok(value.map_or(Value::Null, |value| hex_text(value).into()))
}

fn next_index(state: &State, params: &[Value]) -> Answer {
    let address = params.first().and_then(Value::as_str).unwrap_or_default();
    let hotkey =
        Hotkey::from_ss58(address).map_err(|error| ErrorObjectOwned::owned(-32602, error.to_string(), None::<()>))?;
    Ok(state.nonce(hotkey.bytes()).into())
}

fn decoded(text: &str) -> Vec<u8> {
    hex::decode(text.trim_start_matches("0x")).unwrap_or_default()
}
