//! Results from wherever they lie: a folder, or an object store.

use std::path::Path;

use anyhow::{Context, anyhow};
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};

use super::record::ShardFile;
use super::summary::Summary;
use grail_http::{Connector, http_client};

/// What all shards in a folder or below an `s3://` address came to.
pub fn merge(from: &str) -> anyhow::Result<Summary> {
    Summary::of(&if from.starts_with("s3://") { read_store(from)? } else { read_folder(Path::new(from))? })
}

/// Every shard's file in a folder.
pub fn read_folder(dir: &Path) -> anyhow::Result<Vec<ShardFile>> {
    let unreadable = || format!("{} cannot be read; name the folder that --dir named", dir.display());
    let mut shards = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let text = std::fs::read_to_string(&path).with_context(unreadable)?;
            shards.push(ShardFile::parse(&text, &path.display().to_string())?);
        }
    }
    shards.sort_by_key(|shard| (shard.manifest.shards, shard.manifest.shard));
    Ok(shards)
}

/// Every shard's file below an address; keys, region and endpoint come from the AWS variables of the environment.
fn read_store(address: &str) -> anyhow::Result<Vec<ShardFile>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let unreadable = || format!("{address} cannot be read; check its name and the AWS_* variables");
    runtime.block_on(async {
        let store = AmazonS3Builder::from_env()
            .with_url(address)
            .with_http_connector(Connector(http_client(10_000, 60_000)?))
            .build()
            .with_context(unreadable)?;
        let prefix = address.trim_start_matches("s3://").split_once('/').map_or("", |(_, path)| path);
        let prefix = ObjectPath::parse(prefix.trim_matches('/')).map_err(|error| anyhow!("{address}: {error}"))?;
        let objects: Vec<_> = store.list(Some(&prefix)).try_collect().await.with_context(unreadable)?;
        let mut shards = Vec::new();
        for object in objects.iter().filter(|object| object.location.as_ref().ends_with(".jsonl")) {
            let bytes = store.get(&object.location).await.with_context(unreadable)?.bytes().await?;
            shards.push(ShardFile::parse(&String::from_utf8_lossy(&bytes), object.location.as_ref())?);
        }
        shards.sort_by_key(|shard| (shard.manifest.shards, shard.manifest.shard));
        Ok(shards)
    })
}
