//! The subnet in the chain's storage: uids, commitments and weights.

use grail_protocol::signature::Hotkey;
use subxt::ext::codec::{Compact, Decode, Encode};

use super::extrinsic::{Call, Extrinsic};
use super::state::State;
use super::storage_keys::{commitment_key, hotkey_key, neuron_key, shared_key, subnet_key, uid_key};

/// Entries by hotkey and subnet.
const MEMBER: &str = "IsNetworkMember";
const STAKE: &str = "TotalHotkeyAlpha";

/// A pallet's number and one of its errors.
type DispatchError = (u8, u8);

const ACCOUNT_NOT_ALLOWED_COMMIT: DispatchError = (0x12, 1);
const HOTKEY_NOT_REGISTERED: DispatchError = (7, 4);
const WEIGHTS_NOT_EQUAL_SIZE: DispatchError = (7, 16);
const DUPLICATE_UIDS: DispatchError = (7, 17);
const INVALID_UID: DispatchError = (7, 18);

/// Commitment of a hotkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// The block that it was written in.
    pub block: u64,
    /// Its field's bytes.
    pub bytes: Vec<u8>,
}

impl State {
    /// Gives a hotkey a uid; the first one creates the subnet.
    pub fn register(&mut self, netuid: u16, hotkey: Hotkey, uid: u16) {
        let neurons = self.neurons(netuid).max(uid + 1);
        let entries = [
            (uid_key(netuid, hotkey.bytes()), uid.encode()),
            (neuron_key("Keys", netuid, uid), hotkey.bytes().to_vec()),
            (neuron_key("BlockAtRegistration", netuid, uid), self.head().encode()),
            (hotkey_key(MEMBER, netuid, hotkey.bytes()), true.encode()),
            (subnet_key("NetworksAdded", netuid), true.encode()),
            (subnet_key("SubnetworkN", netuid), neurons.encode()),
            (subnet_key("ValidatorPermit", netuid), vec![true; usize::from(neurons)].encode()),
            (subnet_key("Active", netuid), vec![true; usize::from(neurons)].encode()),
            // Weights are set in the open, as often as a validator likes.
            (subnet_key("CommitRevealWeightsEnabled", netuid), false.encode()),
            (subnet_key("WeightsSetRateLimit", netuid), 0u64.encode()),
            (shared_key("TotalNetworks"), 1u16.encode()),
        ];
        self.storage.extend(entries);
        let mut updates = self.last_updates(netuid);
        updates.resize(usize::from(neurons), 0);
        self.storage.insert(subnet_key("LastUpdate", netuid), updates.encode());
    }

    /// Takes a hotkey's uid away.
    pub fn deregister(&mut self, netuid: u16, hotkey: Hotkey) {
        self.storage.remove(&hotkey_key(MEMBER, netuid, hotkey.bytes()));
        if let Some(uid) = self.uid(netuid, hotkey) {
            self.storage.remove(&uid_key(netuid, hotkey.bytes()));
            self.storage.remove(&neuron_key("Keys", netuid, uid));
        }
    }

    /// Sets what is staked on a hotkey in a subnet, in 1e-9 of a token; subnet 0 is the root.
    pub fn stake(&mut self, netuid: u16, hotkey: Hotkey, stake: u64) {
        self.storage.insert(hotkey_key(STAKE, netuid, hotkey.bytes()), stake.encode());
    }

    /// Gives permits as an epoch does: to the largest stakes in the subnet from `stake_min` on, at most `permits` of them.
    /// Of the root subnet nothing counts here.
    pub fn give_permits(&mut self, netuid: u16, permits: u16, stake_min: u64) {
        let uids: Vec<u16> = (0..self.neurons(netuid)).collect();
        let stake = |uid: &u16| {
            let stake: Option<u64> = self.read(&hotkey_key(STAKE, netuid, self.hotkey(netuid, *uid)?.bytes()));
            stake.filter(|stake| *stake >= stake_min)
        };
        let stakes: Vec<u64> = uids.iter().map(|uid| stake(uid).unwrap_or_default()).collect();
        let mut largest: Vec<usize> = (0..stakes.len()).filter(|at| stakes[*at] > 0).collect();
        largest.sort_by_key(|at| std::cmp::Reverse(stakes[*at]));
        largest.truncate(permits.into());
        let permitted: Vec<bool> = (0..stakes.len()).map(|at| largest.contains(&at)).collect();
        let sum: u128 = stakes.iter().map(|stake| u128::from(*stake)).sum();
        let weight = |stake: &u64| (u128::from(*stake) * 65_535 / sum.max(1)) as u16;
        let weights: Vec<u16> = stakes.iter().map(weight).collect();
        self.storage.extend([
            (subnet_key("ValidatorPermit", netuid), permitted.encode()),
            (subnet_key("StakeWeight", netuid), weights.encode()),
            (subnet_key("MaxAllowedValidators", netuid), permits.encode()),
            (shared_key("StakeThreshold"), stake_min.encode()),
        ]);
    }

    /// Returns a hotkey's uid.
    pub fn uid(&self, netuid: u16, hotkey: Hotkey) -> Option<u16> {
        self.read(&uid_key(netuid, hotkey.bytes()))
    }

    /// Returns the hotkey with this uid.
    pub fn hotkey(&self, netuid: u16, uid: u16) -> Option<Hotkey> {
        self.read(&neuron_key("Keys", netuid, uid)).map(Hotkey::from_bytes)
    }

    /// Returns how many uids the subnet has given.
    pub fn neurons(&self, netuid: u16) -> u16 {
        self.read(&subnet_key("SubnetworkN", netuid)).unwrap_or_default()
    }

    /// Returns a hotkey's commitment.
    pub fn commitment(&self, netuid: u16, hotkey: Hotkey) -> Option<Commitment> {
        let mut input = self.storage.get(&commitment_key(netuid, hotkey.bytes()))?.as_slice();
        let (_, block, Compact(1), _) = <(u64, u32, Compact<u32>, u8)>::decode(&mut input).ok()? else { return None };
        Some(Commitment { block: block.into(), bytes: input.to_vec() })
    }

    /// Sets a hotkey's commitment, of at most 128 bytes.
    pub fn commit(&mut self, netuid: u16, hotkey: Hotkey, field: &[u8]) {
        let (number, tag) = (self.head() as u32, field.len() as u8 + 1);
        let value = [&[0; 8][..], &number.to_le_bytes(), &[4, tag], field].concat();
        self.storage.insert(commitment_key(netuid, hotkey.bytes()), value);
    }

    /// Returns the weights that a uid has set, as pairs of uid and weight.
    pub fn weights(&self, netuid: u16, uid: u16) -> Option<Vec<(u16, u16)>> {
        self.read(&neuron_key("Weights", netuid, uid))
    }

    /// Returns the block in which a uid last set weights; 0 if it never did.
    pub fn last_update(&self, netuid: u16, uid: u16) -> u64 {
        self.last_updates(netuid).get(usize::from(uid)).copied().unwrap_or_default()
    }

    pub(super) fn last_updates(&self, netuid: u16) -> Vec<u64> {
        self.read(&subnet_key("LastUpdate", netuid)).unwrap_or_default()
    }

    pub(super) fn execute(&mut self, number: u64, extrinsic: &Extrinsic) -> Result<(), DispatchError> {
        let signer = extrinsic.signer;
        *self.nonces.entry(*signer.bytes()).or_default() += 1;
        match &extrinsic.call {
            Call::SetCommitment { netuid, field } => {
                self.uid(*netuid, signer).ok_or(ACCOUNT_NOT_ALLOWED_COMMIT)?;
                let tag = field.len() as u8 + 1;
                let value = [&[0; 8][..], &(number as u32).to_le_bytes(), &[4, tag], field].concat();
                self.storage.insert(commitment_key(*netuid, signer.bytes()), value);
            }
            Call::SetWeights { netuid, uids, weights } => {
                let uid = self.uid(*netuid, signer).ok_or(HOTKEY_NOT_REGISTERED)?;
                if uids.len() != weights.len() {
                    return Err(WEIGHTS_NOT_EQUAL_SIZE);
                }
                if (1..uids.len()).any(|at| uids[..at].contains(&uids[at])) {
                    return Err(DUPLICATE_UIDS);
                }
                if uids.iter().any(|uid| *uid >= self.neurons(*netuid)) {
                    return Err(INVALID_UID);
                }
                let pairs: Vec<(u16, u16)> = uids.iter().copied().zip(weights.iter().copied()).collect();
                self.storage.insert(neuron_key("Weights", *netuid, uid), pairs.encode());
                let mut updates = self.last_updates(*netuid);
                updates[usize::from(uid)] = number;
                self.storage.insert(subnet_key("LastUpdate", *netuid), updates.encode());
            }
        }
        Ok(())
    }

    fn read<T: Decode>(&self, key: &[u8]) -> Option<T> {
        T::decode(&mut self.storage.get(key)?.as_slice()).ok()
    }
}
