//! The runtime of a block: its versions and its metadata.

use std::rc::Rc;

use subxt::client::{OfflineClient, OfflineClientAtBlock};
use subxt::config::substrate::{H256, SpecVersionForRange, SubstrateConfigBuilder};
use subxt::ext::codec::Decode;
use subxt::{ArcMetadata, Metadata, SubstrateConfig};

use super::connection::Connection;
use super::failure::Failure;
use super::json::{bytes_of, versions_of};

/// The metadata version to request; older nodes only have the default one.
const METADATA_VERSION: u32 = 15;

/// Longest description of a runtime; those of today have 0.4 MB, and each byte can take a hundred once decoded.
const METADATA_BYTES_MAX: usize = 4 << 20;

/// A runtime of one network.
#[derive(Debug, Clone)]
pub(super) struct Runtime {
    genesis: [u8; 32],
    spec_version: u32,
    transaction_version: u32,
    metadata: ArcMetadata,
}

impl Runtime {
    /// Returns the runtime with this description, SCALE as nodes send it.
    pub(super) fn new(
        genesis: [u8; 32],
        (spec_version, transaction_version): (u32, u32),
        metadata: &[u8],
    ) -> Result<Self, Failure> {
        if metadata.len() > METADATA_BYTES_MAX {
            let what = format!("metadata of {} bytes, and at most {METADATA_BYTES_MAX} are read", metadata.len());
            return Err(Failure::malformed(what));
        }
        // `Metadata::decode_from` recurses without end where the first bytes happen to be the length of the whole.
        let metadata = Metadata::decode(&mut &*metadata)
            .map_err(|error| Failure::malformed(format!("metadata of runtime {spec_version}: {error}")))?;
        Ok(Self { genesis, spec_version, transaction_version, metadata: metadata.arc() })
    }

    /// Returns the runtime as of `block`: `known`, unless it was upgraded since.
    pub(super) async fn at(connection: &Connection, block: &str, known: Option<Rc<Self>>) -> Result<Rc<Self>, Failure> {
        let versions = connection.ask("state_getRuntimeVersion", vec![block.into()], versions_of).await?;
        let is_current = |known: &Rc<Self>| {
            known.genesis == connection.genesis && (known.spec_version, known.transaction_version) == versions
        };
        if let Some(known) = known.filter(is_current) {
            return Ok(known);
        }
        let metadata = fetch_metadata(connection, block).await?;
        let runtime = Self::new(connection.genesis, versions, &metadata);
        runtime.map(Rc::new).map_err(|failure| connection.named(failure))
    }

    pub(super) fn metadata(&self) -> ArcMetadata {
        self.metadata.clone()
    }

    /// Returns the encoder and decoder for a block with this number.
    pub(super) fn at_number(&self, number: u64) -> Result<OfflineClientAtBlock<SubstrateConfig>, Failure> {
        let versions = SpecVersionForRange {
            block_range: 0..u64::MAX,
            spec_version: self.spec_version,
            transaction_version: self.transaction_version,
        };
        let config = SubstrateConfigBuilder::new()
            .set_genesis_hash(H256(self.genesis))
            .set_spec_version_for_block_ranges([versions])
            .set_metadata_for_spec_versions([(self.spec_version, self.metadata())])
            .build();
        OfflineClient::new_with_config(config).at_block(number).map_err(|error| Failure::malformed(error.to_string()))
    }
}

async fn fetch_metadata(connection: &Connection, block: &str) -> Result<Vec<u8>, Failure> {
    let version = format!("0x{}", hex::encode(METADATA_VERSION.to_le_bytes()));
    let params = vec!["Metadata_metadata_at_version".into(), version.into(), block.into()];
    match connection.call("state_call", params).await {
        Ok(answer) => {
            let encoded = bytes_of(&answer).map_err(|failure| connection.named(failure))?.unwrap_or_default();
            if let Ok(Some(metadata)) = <Option<Vec<u8>>>::decode(&mut &encoded[..]) {
                return Ok(metadata);
            }
        }
        // The runtime does not offer that call.
        Err(Failure::Answered { .. }) => {}
        Err(failure) => return Err(failure),
    }
    let metadata = connection.ask("state_getMetadata", vec![block.into()], bytes_of).await?;
    metadata.ok_or_else(|| connection.named(Failure::malformed("no metadata")))
}
