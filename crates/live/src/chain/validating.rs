//! The chain as a validator sees it: the subnet's hotkeys with their commitments, and weights.

use std::collections::BTreeMap;

use async_trait::async_trait;
use grail_miner::ports::{Chain as MinersChain, ChainError, CommitError, Head};
use grail_protocol::signature::Hotkey;
use grail_validator::ports::{Chain, Neuron, SubmitError, WeightsState};
use serde_json::Value;

use super::connection::Connection;
use super::extrinsic::set_weights;
use super::failure::Failure;
use super::{SubtensorChain, json, storage, stored, stored_as};

/// Keys in one answer; nodes refuse more than a thousand.
const KEYS_MAX: usize = 500;
/// More hotkeys than a subnet has.
const NEURONS_MAX: usize = 4_096;

/// The root subnet, whose stake counts in part in every subnet.
const ROOT: u16 = 0;
/// The part that counts where the chain stores none, of 2^64.
const TAO_WEIGHT: u64 = 971_718_665_099_567_868;

/// A uid's right to set weights that count, and the stake that decides. Stakes are in 1e-9 of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether it has a validator permit.
    pub permit: bool,
    /// Stake of our hotkey in the subnet, and the part of that on the root subnet that counts; without child keys.
    pub stake: u64,
    /// The chain refuses weights below this stake, and gives no permit.
    pub stake_min: u64,
    /// How many uids get a permit: those with the largest stake.
    pub permits: u16,
    /// The least stake with a permit; none while permits are left.
    pub least_permitted: Option<u64>,
}

/// Returns every entry below a prefix, by key, as of one block.
async fn entries(connection: &Connection, prefix: &[u8], block: &str) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Failure> {
    let hex = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
    let mut found = BTreeMap::new();
    let mut after = Value::Null;
    while found.len() < NEURONS_MAX {
        let params = vec![hex(prefix).into(), KEYS_MAX.into(), after, block.into()];
        let keys = connection.ask("state_getKeysPaged", params, json::list_of_bytes).await?;
        let keys: Vec<Vec<u8>> = keys.into_iter().filter(|key| key.starts_with(prefix)).collect();
        let Some(last) = keys.last() else { break };
        after = hex(last).into();
        let names: Vec<String> = keys.iter().map(|key| hex(key)).collect();
        let answer = connection.call("state_queryStorageAt", vec![names.into(), block.into()]).await?;
        let changes = answer.pointer("/0/changes").and_then(Value::as_array);
        let changes = changes.ok_or_else(|| connection.named(json::unexpected("changes of storage", &answer)))?;
        for change in changes {
            let part = |at: usize| json::bytes_of(change.get(at).unwrap_or(&Value::Null));
            if let (Some(key), Some(value)) = (part(0)?, part(1)?) {
                found.insert(key, value);
            }
        }
        if keys.len() < KEYS_MAX {
            break;
        }
    }
    Ok(found)
}

/// Returns the neurons in the entries of `Keys` and `CommitmentOf`.
fn neurons(
    keys: &BTreeMap<Vec<u8>, Vec<u8>>,
    commitments: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<Vec<Neuron>, Failure> {
    let committed: BTreeMap<&[u8], &[u8]> =
        commitments.iter().filter_map(|(key, value)| Some((&key[key.len().checked_sub(32)?..], &value[..]))).collect();
    let mut neurons = Vec::new();
    for (key, account) in keys {
        let uid = key.last_chunk::<2>().map(|bytes| u16::from_le_bytes(*bytes));
        let account: Option<[u8; 32]> = account.as_slice().try_into().ok();
        let (Some(uid), Some(account)) = (uid, account) else {
            return Err(Failure::malformed("a uid without its hotkey"));
        };
        let committed = committed.get(&account[..]).map(|stored| storage::committed_bytes(stored)).transpose();
        // A malformed commitment of one miner must not hide those of the others.
        let committed = committed.ok().flatten().flatten();
        neurons.push(Neuron { uid, hotkey: Hotkey::from_bytes(account).to_ss58(), committed });
    }
    neurons.sort_by_key(|neuron| neuron.uid);
    Ok(neurons)
}

impl SubtensorChain {
    /// Returns permit and stake of our uid; none without a uid.
    ///
    /// # Errors
    /// As every read of [`Chain`].
    pub async fn standing(&self) -> Result<Option<Standing>, ChainError> {
        let question = async |connection: &Connection| {
            let Some(uid) = self.uid_at(connection).await? else { return Ok(None) };
            let permits = |stored: &[u8]| storage::list_of::<bool>(stored, "permits");
            let permits = self.of_subnet(connection, "ValidatorPermit", permits).await?;
            let permitted = (0u16..).zip(permits.iter().copied()).filter(|(_, permit)| *permit).map(|(uid, _)| uid);
            let permits_max = self.of_subnet(connection, "MaxAllowedValidators", storage::little_endian).await? as u16;
            let is_full = permits_max > 0 && permitted.clone().count() >= usize::from(permits_max);
            // Each uid's share of the stake, largest 65,535.
            let weights = |stored: &[u8]| storage::list_of::<u16>(stored, "stake weights");
            let weights = self.of_subnet(connection, "StakeWeight", weights).await?;
            let last = permitted.min_by_key(|uid| weights.get(usize::from(*uid)).copied().unwrap_or_default());
            let least_permitted = match last.filter(|_| is_full) {
                None => None,
                Some(last) => {
                    let key = [storage::keys_prefix(self.netuid), last.to_le_bytes().to_vec()].concat();
                    let hotkey = stored(connection, &key).await?.unwrap_or_default();
                    Some(self.stake_at(connection, &hotkey).await?)
                }
            };
            let stake_min =
                stored_as(connection, &storage::shared_key("StakeThreshold"), storage::little_endian).await?;
            Ok(Some(Standing {
                permit: permits.get(usize::from(uid)).copied().unwrap_or_default(),
                stake: self.stake_at(connection, self.signer.hotkey().bytes()).await?,
                stake_min: stake_min.unwrap_or_default(),
                permits: permits_max,
                least_permitted,
            }))
        };
        self.read(question).await
    }

    /// Returns an entry of our subnet, as `read` reads it; the default if nothing is stored.
    async fn of_subnet<T: Default>(
        &self,
        connection: &Connection,
        name: &str,
        read: impl FnOnce(&[u8]) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        Ok(stored_as(connection, &storage::subnet_key(name, self.netuid), read).await?.unwrap_or_default())
    }

    /// Returns the stake of a hotkey by which permits are given, without child keys.
    async fn stake_at(&self, connection: &Connection, hotkey: &[u8]) -> Result<u64, Failure> {
        let number = async |key: Vec<u8>| stored_as(connection, &key, storage::little_endian).await;
        let own = number(storage::stake_key(self.netuid, hotkey)).await?.unwrap_or_default();
        let root = number(storage::stake_key(ROOT, hotkey)).await?.unwrap_or_default();
        let counted = number(storage::shared_key("TaoWeight")).await?.unwrap_or(TAO_WEIGHT);
        Ok(own.saturating_add(((u128::from(root) * u128::from(counted)) >> 64) as u64))
    }
}

#[async_trait(?Send)]
impl Chain for SubtensorChain {
    async fn next_head(&self, after: u64) -> Result<Head, ChainError> {
        MinersChain::next_head(self, after).await
    }

    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError> {
        MinersChain::block_hash(self, block).await
    }

    async fn metagraph(&self) -> Result<Vec<Neuron>, ChainError> {
        let (keys, commitments) = (storage::keys_prefix(self.netuid), storage::commitments_prefix(self.netuid));
        let question = async |connection: &Connection| {
            let answer = connection.call("chain_getBlockHash", Vec::new()).await?;
            let block = answer.as_str().ok_or_else(|| connection.named(json::unexpected("a hash", &answer)))?;
            let keys = entries(connection, &keys, block).await?;
            let commitments = entries(connection, &commitments, block).await?;
            neurons(&keys, &commitments).map_err(|failure| connection.named(failure))
        };
        self.read(question).await
    }

    async fn weights(&self) -> Result<WeightsState, ChainError> {
        let question = async |connection: &Connection| {
            let number = async |name: &str| self.of_subnet(connection, name, storage::little_endian).await;
            let uid = self.uid_at(connection).await?;
            let mut state = WeightsState {
                uid,
                rate_limit: number("WeightsSetRateLimit").await?,
                commit_reveal: number("CommitRevealWeightsEnabled").await? != 0,
                ..WeightsState::default()
            };
            if let Some(uid) = uid {
                let updates = |stored: &[u8]| storage::list_of::<u64>(stored, "updates");
                let updates = self.of_subnet(connection, "LastUpdate", updates).await?;
                state.last_update = updates.get(usize::from(uid)).copied().unwrap_or_default();
                let key = [storage::weights_prefix(self.netuid), uid.to_le_bytes().to_vec()].concat();
                state.weights = stored_as(connection, &key, storage::weights_of).await?.unwrap_or_default();
            }
            Ok(state)
        };
        self.read(question).await
    }

    async fn set_weights(&self, weights: &[(u16, u16)]) -> Result<(), SubmitError> {
        let port_error = |error| match error {
            CommitError::Refused(why) => SubmitError::Refused(why),
            CommitError::Unknown(why) => SubmitError::Unknown(why),
        };
        let call = set_weights(self.netuid, weights);
        let sent = self.submitted(async |submission| submission.send(&call).await).await;
        sent.map(drop).map_err(port_error)
    }

    async fn reconnect(&self) {
        MinersChain::reconnect(self).await;
    }
}
