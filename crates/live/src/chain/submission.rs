//! Sends a commitment or weights, and follows the outcome.

use std::cell::RefCell;
use std::rc::Rc;

use grail_miner::ports::{CommitError, Signer};
use jsonrpsee::core::client::Subscription;
use serde_json::Value;

use super::connection::Connection;
use super::extrinsic::{Anchor, CREDENTIALS_BYTES_MAX, Call, set_commitment, signed};
use super::failure::Failure;
use super::json::{Answer, bytes_of, extrinsics_of, hash_of, nonce_of, number_of, unexpected};
use super::outcome::{outcome, submission_error};
use super::runtime::Runtime;
use super::storage::events_key;

/// A call in flight. It is never sent twice.
pub(super) struct Submission<'a> {
    pub(super) connection: &'a Connection,
    pub(super) signer: &'a dyn Signer,
    pub(super) netuid: u16,
    /// The runtime of the last submission, as metadata is long.
    pub(super) known_runtime: &'a RefCell<Option<Rc<Runtime>>>,
}

impl Submission<'_> {
    /// Commits credentials.
    pub(super) async fn commit(&self, credentials: &[u8]) -> Result<(), CommitError> {
        if credentials.len() > CREDENTIALS_BYTES_MAX {
            let refused = format!("{} bytes do not fit, {CREDENTIALS_BYTES_MAX} do", credentials.len());
            return Err(CommitError::Refused(refused));
        }
        self.send(&set_commitment(self.netuid, credentials)).await
    }

    /// Sends, wait for a block, and reads its events.
    pub(super) async fn send(&self, call: &Call) -> Result<(), CommitError> {
        let (runtime, extrinsic) = self.prepared(call).await.map_err(Failure::before_sending)?;
        let params = vec![extrinsic.as_str().into()];
        let submitted =
            self.connection.subscribe("author_submitAndWatchExtrinsic", params, "author_unwatchExtrinsic").await;
        let updates = submitted.map_err(submission_error)?;
        let watched = self.connection.unless_given_up(self.included(updates)).await;
        let block = watched.map_err(Failure::after_sending)??;
        let (index, events) = self.executed(&block, &extrinsic).await.map_err(Failure::after_sending)?;
        outcome(&runtime, events, index, self.netuid)
    }

    async fn prepared(&self, call: &Call) -> Result<(Rc<Runtime>, String), Failure> {
        let (anchor, block) = self.anchor().await?;
        let known = self.known_runtime.borrow().clone();
        let runtime = Runtime::at(self.connection, &block, known).await?;
        self.known_runtime.replace(Some(runtime.clone()));
        let address = self.signer.hotkey().to_ss58();
        let nonce = self.connection.ask("system_accountNextIndex", vec![address.into()], nonce_of).await?;
        let extrinsic = self.read(signed(&runtime, anchor, nonce, call, self.signer))?;
        Ok((runtime, format!("0x{}", hex::encode(extrinsic))))
    }

    /// Returns the best block, and its hash in hex.
    async fn anchor(&self) -> Result<(Anchor, String), Failure> {
        let answer = self.connection.call("chain_getBlockHash", Vec::new()).await?;
        let hash = self.read(hash_of(&answer).and_then(|hash| hash.ok_or_else(|| unexpected("a hash", &answer))))?;
        let block = format!("0x{}", hex::encode(hash));
        let number = self.connection.ask("chain_getHeader", vec![block.as_str().into()], number_of).await?;
        Ok((Anchor { number, hash }, block))
    }

    /// Returns the hash of the block that includes it.
    async fn included(&self, mut updates: Subscription<Answer>) -> Result<String, CommitError> {
        while let Some(update) = updates.next().await {
            let Ok(Answer(update)) = update else {
                return Err(CommitError::Unknown("an update that is no JSON".to_owned()));
            };
            if let Some(settled) = settled(&update) {
                return settled;
            }
        }
        Err(CommitError::Unknown("the connection broke before the transaction was in a block".to_owned()))
    }

    /// Returns the extrinsic's place in its block, and the block's events.
    async fn executed(&self, block: &str, extrinsic: &str) -> Result<(u32, Vec<u8>), Failure> {
        let signed_block = self.connection.call("chain_getBlock", vec![block.into()]).await?;
        let extrinsics = self.read(extrinsics_of(&signed_block))?;
        let index = extrinsics.iter().position(|other| other.eq_ignore_ascii_case(extrinsic));
        let index = index.and_then(|index| u32::try_from(index).ok());
        let index = self.read(index.ok_or_else(|| Failure::malformed("its block does not hold the transaction")))?;
        let key = format!("0x{}", hex::encode(events_key()));
        let events = self.connection.ask("state_getStorage", vec![key.into(), block.into()], bytes_of).await?;
        Ok((index, events.unwrap_or_default()))
    }

    fn read<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|failure| self.connection.named(failure))
    }
}

/// Returns the block that includes a transaction, or why there is none, by its status; none while it waits.
fn settled(status: &Value) -> Option<Result<String, CommitError>> {
    let block = |name: &str| {
        let hash = status.get(name).and_then(|hash| hash_of(hash).ok()).flatten();
        hash.map(|hash| Ok(format!("0x{}", hex::encode(hash))))
    };
    let gone = |how: &str| Some(Err(CommitError::Unknown(format!("the transaction is {how}"))));
    let invalid = || CommitError::Refused("the transaction became invalid; it is made again".to_owned());
    block("inBlock").or_else(|| block("finalized")).or_else(|| match status.as_str() {
        Some("invalid") => Some(Err(invalid())),
        Some("dropped") => gone("dropped from the pool"),
        _ => status.get("usurped").and_then(|_| gone("replaced by another one")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statuses_are_distinguished() {
        let hash = format!("0x{}", "ab".repeat(32));
        assert_eq!(settled(&json!("ready")), None);
        assert_eq!(settled(&json!({"broadcast": ["peer"]})), None);
        assert_eq!(settled(&json!({"retracted": hash})), None);
        assert_eq!(settled(&json!({"inBlock": hash})), Some(Ok(hash.clone())));
        assert_eq!(settled(&json!({"finalized": hash})), Some(Ok(hash.clone())));
        assert_eq!(settled(&json!({"inBlock": "0xshort"})), None);
        assert!(matches!(settled(&json!("invalid")), Some(Err(CommitError::Refused(_)))));
        assert!(matches!(settled(&json!("dropped")), Some(Err(CommitError::Unknown(_)))));
        assert!(matches!(settled(&json!({"usurped": hash})), Some(Err(CommitError::Unknown(_)))));
    }
}
