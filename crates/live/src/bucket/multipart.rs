//! Large objects, in equal parts.

use bytes::Bytes;
use futures_util::stream::{StreamExt, TryStreamExt};
use grail_miner::ports::{BucketError, Etag, PutCondition};
use http::{HeaderValue, header};
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartId, PutMultipartOptions, PutPayload};

use super::failure::Operation;
use super::transport::NoVersion;
use super::{S3Bucket, Write, Writer, store};

const PARTS_IN_FLIGHT_MAX: usize = 3;

impl S3Bucket {
    /// Writes an object in parts; removes the parts if that fails or is canceled.
    ///
    /// The last request, which joins the parts into an object, carries the condition. Stores that ignore it there (it
    /// is newer than conditions on plain writes) overwrite the object; the read-back then still finds our own bytes.
    pub(super) async fn put_in_parts(&self, writer: &Writer, write: &Write<'_>) -> Result<Etag, BucketError> {
        let store = self.store_under(writer, write.condition)?;
        let classify = |error| self.failures.classify(Operation::Part, &error);
        let options = PutMultipartOptions { attributes: write.attributes(), ..PutMultipartOptions::default() };
        let id = store.create_multipart_opts(&write.path, options).await.map_err(classify)?;
        let mut unfinished = Unfinished { store: store.clone(), path: write.path.clone(), id: Some(id.clone()) };
        let result = match self.parts(&store, &write.path, &id, write.bytes).await {
            Ok(parts) => {
                store.complete_multipart(&write.path, &id, parts).await.map_err(|error| (Operation::Put, error))
            }
            Err(error) => Err((Operation::Part, error)),
        };
        unfinished.id = None;
        match result {
            Ok(result) => result.e_tag.map(Etag).ok_or_else(|| BucketError::Unknown(NoVersion.to_string())),
            Err((operation, error)) => {
                // Reports the first failure; the store removes parts that stay within days.
                let _ = store.abort_multipart(&write.path, &id).await;
                Err(self.failures.classify(operation, &error))
            }
        }
    }

    async fn parts(
        &self,
        store: &AmazonS3,
        path: &Path,
        id: &MultipartId,
        bytes: &[u8],
    ) -> object_store::Result<Vec<PartId>> {
        let puts = bytes.chunks(self.config.part_bytes).enumerate().map(|(index, part)| async move {
            let payload = PutPayload::from_bytes(Bytes::copy_from_slice(part));
            store.put_part(path, id, index, payload).await
        });
        futures_util::stream::iter(puts).buffered(PARTS_IN_FLIGHT_MAX).try_collect().await
    }

    fn store_under(&self, writer: &Writer, condition: &PutCondition) -> Result<AmazonS3, BucketError> {
        let (name, value) = match condition {
            PutCondition::Absent => (header::IF_NONE_MATCH, Ok(HeaderValue::from_static("*"))),
            PutCondition::Matches(Etag(tag)) => (header::IF_MATCH, HeaderValue::from_str(tag)),
        };
        // A version that cannot be sent is none that a store has given.
        let value = value.map_err(|_| BucketError::ConditionFailed)?;
        let transport = writer.transport.completing_under(name, value);
        store(&self.config, &self.endpoint, &self.config.write_key, transport)
            .map_err(|error| BucketError::Refused(error.to_string()))
    }
}

/// Parts to remove if the upload is canceled.
struct Unfinished {
    store: AmazonS3,
    path: Path,
    /// None once they have become an object or are being removed.
    id: Option<MultipartId>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) else { return };
        let (store, path) = (self.store.clone(), self.path.clone());
        runtime.spawn(async move { store.abort_multipart(&path, &id).await });
    }
}
