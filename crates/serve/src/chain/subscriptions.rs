//! Subscriptions of a node: heads, the runtime's version, and the state of an extrinsic.

use std::sync::Arc;

use jsonrpsee::RpcModule;
use jsonrpsee::server::{PendingSubscriptionSink, SubscriptionSink};
use jsonrpsee::types::Params;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::FINALITY_BLOCKS;
use super::answers::{header_json, refusal, version_json};
use super::decoded;
use super::state::{Block, State};
use super::view::View;

const NEW_HEADS: &str = "chain_subscribeNewHeads";
/// The methods that start a subscription.
pub(super) const NAMES: [&str; 4] =
    ["author_submitAndWatchExtrinsic", "chain_subscribeFinalizedHeads", NEW_HEADS, "state_subscribeRuntimeVersion"];

type Module = RpcModule<Arc<View>>;
/// Returns the next notification for the chain's state, if there is one.
type Answer = fn(&View, &State) -> Option<Value>;

pub(super) fn register(module: &mut Module) {
    let heads = [NEW_HEADS, "chain_newHead", "chain_unsubscribeNewHeads"];
    follow(module, heads, |view, state| block_notification(state, view.head(state)));
    let finalized = ["chain_subscribeFinalizedHeads", "chain_finalizedHead", "chain_unsubscribeFinalizedHeads"];
    follow(module, finalized, |view, state| block_notification(state, view.finalized(state)));
    let versions = ["state_subscribeRuntimeVersion", "state_runtimeVersion", "state_unsubscribeRuntimeVersion"];
    follow(module, versions, |_, state| Some(version_json(state)));
    module
        .register_subscription(
            "author_submitAndWatchExtrinsic",
            "author_extrinsicUpdate",
            "author_unwatchExtrinsic",
            |params, pending, view, _| async move { submit(params, pending, &view).await },
        )
        .expect("a new name");
}

fn block_notification(state: &State, number: u64) -> Option<Value> {
    state.blocks.get(number as usize).map(|block| header_json(number, block))
}

/// Reports once at the start, and then after every change.
fn follow(module: &mut Module, [subscribe, notify, unsubscribe]: [&'static str; 3], answer: Answer) {
    let begin = move |_: Params<'static>, pending: PendingSubscriptionSink, view: Arc<Arc<View>>, _| async move {
        if let Err(error) = view.admit(subscribe).await {
            return pending.reject(error).await;
        }
        let Ok(sink) = pending.accept().await else { return };
        let mut changes = view.changes();
        changes.mark_changed();
        let mut last = None;
        let (mut lies, _) = view.false_heads();
        while changes.changed().await.is_ok() {
            changes.mark_unchanged();
            let (lies_now, false_head) = view.false_heads();
            if std::mem::replace(&mut lies, lies_now) != lies_now && subscribe == NEW_HEADS {
                let header = header_json(false_head, &Block::default());
                if !sent(&sink, &header).await {
                    return;
                }
            }
            let news = {
                let state = view.state();
                if state.is_mute { None } else { state.nonsense.clone().or_else(|| answer(&view, &state)) }
            };
            if news.is_none() || news == last {
                continue;
            }
            last.clone_from(&news);
            if !sent(&sink, &news.unwrap_or_default()).await {
                return;
            }
        }
    };
    module.register_subscription(subscribe, notify, unsubscribe, begin).expect("a new name");
}

async fn submit(params: Params<'static>, pending: PendingSubscriptionSink, view: &View) {
    if let Err(error) = view.admit("author_submitAndWatchExtrinsic").await {
        return pending.reject(error).await;
    }
    let extrinsic = decoded(&params.one::<String>().unwrap_or_default());
    let mut changes = view.changes();
    let submitted = view.state().submit(&extrinsic);
    if let Err(why) = submitted {
        return pending.reject(refusal(why)).await;
    }
    let Ok(sink) = pending.accept().await else { return };
    if !sent(&sink, &json!("ready")).await {
        return;
    }
    let mut is_included = false;
    while changes.changed().await.is_ok() {
        let Some((number, hash, head)) = place(view, &extrinsic) else { continue };
        if !is_included {
            is_included = true;
            // A node that is muted after it took the extrinsic says no more of it.
            if view.admit("included").await.is_err() || !sent(&sink, &json!({ "inBlock": hash })).await {
                return;
            }
        }
        if head >= number + FINALITY_BLOCKS {
            sent(&sink, &json!({ "finalized": hash })).await;
            return;
        }
    }
}

/// Returns the number and hash of the block that includes an extrinsic, and the newest block's number.
fn place(view: &View, extrinsic: &[u8]) -> Option<(u64, String, u64)> {
    let state = view.state();
    let (number, _) = state.newest_block(|block| block.extrinsics.iter().any(|other| other == extrinsic))?;
    Some((number, state.hash(number)?, state.head()))
}

async fn sent(sink: &SubscriptionSink, news: &Value) -> bool {
    let Ok(news) = to_raw_value(news) else { return false };
    sink.send(news).await.is_ok()
}
