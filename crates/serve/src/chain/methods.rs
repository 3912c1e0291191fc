//! The JSON-RPC methods of a node that are answered at once.

use std::sync::Arc;

use grail_protocol::signature::Hotkey;
use jsonrpsee::RpcModule;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde_json::{Value, json};

use super::answers::{header_json, refusal, version_json};
use super::state::{Block, State};
use super::storage_keys::events_key;
use super::view::View;
use super::{decoded, hex_text, runtime_api, subscriptions};

pub(super) type Answer = Result<Value, ErrorObjectOwned>;

type Method = fn(&View, &mut State, &[Value]) -> Answer;

const METHODS: &[(&str, Method)] = &[
    ("account_nextIndex", next_index),
    ("author_pendingExtrinsics", pending_extrinsics),
    ("author_submitExtrinsic", submit),
    ("chain_getBlock", block),
    ("chain_getBlockHash", block_hash),
    ("chain_getFinalizedHead", |view, state, _| Ok(json!(state.hash(view.finalized(state))))),
    ("chain_getHead", |view, state, _| Ok(json!(state.hash(view.head(state))))),
    ("chain_getHeader", header),
    ("rpc_methods", names),
    ("state_call", call),
    ("state_getKeysPaged", keys_paged),
    ("state_getMetadata", metadata),
    ("state_getRuntimeVersion", |_, state, _| Ok(version_json(state))),
    ("state_getStorage", storage),
    ("state_getStorageAt", storage),
    ("state_queryStorageAt", query_storage),
    ("system_accountNextIndex", next_index),
    ("system_chain", |_, _, _| Ok("Served".into())),
    ("system_health", health),
    ("system_name", |_, _, _| Ok("grail sim serve".into())),
    ("system_properties", |_, _, _| Ok(json!({ "ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO" }))),
    ("system_version", |_, _, _| Ok(env!("CARGO_PKG_VERSION").into())),
];

/// Returns everything that a door answers.
pub(super) fn methods(view: Arc<View>) -> RpcModule<Arc<View>> {
    let mut module = RpcModule::new(view);
    for (name, method) in METHODS {
        let answer = move |params: Params<'static>, view: Arc<Arc<View>>, _| async move {
            view.admit(name).await?;
            let params: Vec<Value> = params.parse().unwrap_or_default();
            if let Some(lie) = view.lie(name, &params) {
                return Ok(lie);
            }
            let mut state = view.state();
            match &state.nonsense {
                Some(nonsense) if params != [json!(0)] => Ok(nonsense.clone()),
                _ => method(&view, &mut state, &params),
            }
        };
        module.register_async_method(name, answer).expect("each name is there once");
    }
    subscriptions::register(&mut module);
    module
}

fn block_hash(view: &View, state: &mut State, params: &[Value]) -> Answer {
    let head = view.head(state);
    let number = match params.first() {
        None | Some(Value::Null) => head,
        Some(number) => number.as_u64().unwrap_or(u64::MAX),
    };
    Ok((number <= head).then(|| state.hash(number)).flatten().map_or(Value::Null, Value::from))
}

fn header(view: &View, state: &mut State, params: &[Value]) -> Answer {
    Ok(found(view, state, params).map_or(Value::Null, |(number, block)| header_json(number, block)))
}

fn block(view: &View, state: &mut State, params: &[Value]) -> Answer {
    let Some((number, block)) = found(view, state, params) else { return Ok(Value::Null) };
    let extrinsics: Vec<String> = block.extrinsics.iter().map(|extrinsic| hex_text(extrinsic)).collect();
    let header = header_json(number, block);
    Ok(json!({ "block": { "header": header, "extrinsics": extrinsics }, "justifications": null }))
}

/// Returns the block that the first parameter names by its hash, or else the newest.
fn found<'a>(view: &View, state: &'a State, params: &[Value]) -> Option<(u64, &'a Block)> {
    match params.first().and_then(Value::as_str) {
        Some(hash) => state.block(hash),
        None => {
            let head = view.head(state);
            Some((head, state.blocks.get(head as usize)?))
        }
    }
}

fn metadata(_: &View, state: &mut State, _: &[Value]) -> Answer {
    Ok(hex_text(state.runtime.metadata_in(14).unwrap_or_else(|| state.runtime.metadata())).into())
}

fn call(_: &View, state: &mut State, params: &[Value]) -> Answer {
    let (method, arguments) = (text(params, 0), decoded(text(params, 1)));
    let answer = runtime_api::answer(state, method, &arguments);
    let refused = || {
        let why = format!("Execution failed: Exported method {method} is not found");
        ErrorObjectOwned::owned(4003, "Client error", Some(why))
    };
    answer.map(|bytes| hex_text(&bytes).into()).ok_or_else(refused)
}

fn storage(view: &View, state: &mut State, params: &[Value]) -> Answer {
    Ok(stored(view, state, &decoded(text(params, 0)), text(params, 1)))
}

fn stored(view: &View, state: &State, key: &[u8], block: &str) -> Value {
    let value = match state.block(block).or_else(|| Some((state.head(), state.blocks.last()?))) {
        Some((_, block)) if key == events_key() => Some(block.events.clone()),
        _ => view.stored(state, key),
    };
    value.map_or(Value::Null, |value| hex_text(&value).into())
}

fn query_storage(view: &View, state: &mut State, params: &[Value]) -> Answer {
    let keys = params.first().and_then(Value::as_array).cloned().unwrap_or_default();
    let block = text(params, 1);
    let changes =
        keys.iter().filter_map(Value::as_str).map(|key| json!([key, stored(view, state, &decoded(key), block)]));
    let block = if block.is_empty() { state.hash(state.head()).unwrap_or_default() } else { block.to_owned() };
    Ok(json!([{ "block": block, "changes": changes.collect::<Vec<_>>() }]))
}

fn keys_paged(_: &View, state: &mut State, params: &[Value]) -> Answer {
    let prefix = decoded(text(params, 0));
    let count = params.get(1).and_then(Value::as_u64).unwrap_or(1000) as usize;
    let after = decoded(text(params, 2));
    let keys = state.storage.range(prefix.clone()..).map(|(key, _)| key);
    let keys = keys.take_while(|key| key.starts_with(&prefix)).filter(|key| after.is_empty() || **key > after);
    Ok(keys.take(count).map(|key| Value::from(hex_text(key))).collect())
}

fn next_index(_: &View, state: &mut State, params: &[Value]) -> Answer {
    let hotkey = Hotkey::from_ss58(text(params, 0))
        .map_err(|error| ErrorObjectOwned::owned(-32602, error.to_string(), None::<()>))?;
    Ok(state.nonce(hotkey.bytes()).into())
}

fn submit(_: &View, state: &mut State, params: &[Value]) -> Answer {
    let extrinsic = decoded(text(params, 0));
    state.submit(&extrinsic).map_err(refusal)?;
    Ok(hex_text(&sp_crypto_hashing::blake2_256(&extrinsic)).into())
}

fn pending_extrinsics(_: &View, state: &mut State, _: &[Value]) -> Answer {
    Ok(state.pool.iter().map(|extrinsic| Value::from(hex_text(extrinsic))).collect())
}

fn names(_: &View, _: &mut State, _: &[Value]) -> Answer {
    let answered = METHODS.iter().map(|(name, _)| *name);
    Ok(json!({ "methods": answered.chain(subscriptions::NAMES.iter().copied()).collect::<Vec<_>>() }))
}

fn health(view: &View, _: &mut State, _: &[Value]) -> Answer {
    Ok(json!({ "peers": 1, "isSyncing": view.is_syncing(), "shouldHavePeers": true }))
}

fn text(params: &[Value], index: usize) -> &str {
    params.get(index).and_then(Value::as_str).unwrap_or_default()
}
