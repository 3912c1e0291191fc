//! The service's HTTP interface, as its own client speaks it: GraphQL for the run, and a stream of file lines for its rows.

use std::collections::BTreeSet;

use reqwest::{Client, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::run::Run;
use grail_config::EndpointUrl;
use grail_http::failure_text;

const RESUME_STATUS: &str = "query RunResumeStatus($project: String, $entity: String, $name: String!) { \
    model(name: $project, entityName: $entity) { bucket(name: $name, missingOk: true) { \
    id name historyLineCount historyTail } } }";
const UPSERT: &str = "mutation UpsertBucket($name: String, $project: String, $entity: String, $displayName: String, \
    $notes: String, $config: JSONString, $tags: [String!]) { upsertBucket(input: { name: $name, modelName: $project, \
    entityName: $entity, displayName: $displayName, notes: $notes, config: $config, tags: $tags }) { \
    bucket { id name project { name entity { name } } } inserted } }";

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why the service refused a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServiceError {
    /// Another attempt may succeed.
    #[error("{0}")]
    Later(String),
    /// Unknown key, or no right to write there.
    #[error("the service refuses the key ({0}): check WANDB_API_KEY, WANDB_ENTITY and WANDB_PROJECT")]
    Key(StatusCode),
    /// No attempt with these rows will succeed.
    #[error("the service refuses rows ({0})")]
    Rows(StatusCode),
}

/// The service's state of a run.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Known {
    /// Lines of its history.
    pub(super) lines: u64,
    /// Number and time of the last row.
    pub(super) last: Option<(i64, f64)>,
}

/// Destination of a run's rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    entity: String,
    project: String,
}

/// The service.
pub(super) struct Service {
    pub(super) client: Client,
    pub(super) base_url: EndpointUrl,
    pub(super) key: SecretString,
}

impl Service {
    /// Returns the service's state of a run; none if there is no run with its id.
    pub(super) async fn known(&self, run: &Run) -> Result<Option<Known>, ServiceError> {
        let variables = json!({ "project": run.project, "entity": run.entity, "name": run.id });
        let data = self.graphql("RunResumeStatus", RESUME_STATUS, variables).await?;
        let bucket = &data["model"]["bucket"];
        Ok((!bucket.is_null()).then(|| Known {
            lines: bucket["historyLineCount"].as_u64().unwrap_or_default(),
            last: last_row(&bucket["historyTail"]),
        }))
    }

    /// Starts the run, or describes it again.
    pub(super) async fn upsert(&self, run: &Run, names: &BTreeSet<String>) -> Result<Place, ServiceError> {
        let variables = json!({
            "name": run.id,
            "project": run.project,
            "entity": run.entity,
            "displayName": run.name,
            "notes": run.notes,
            "config": run.config_json(names).to_string(),
            "tags": run.tags,
        });
        let data = self.graphql("UpsertBucket", UPSERT, variables).await?;
        let project = &data["upsertBucket"]["bucket"]["project"];
        let name = |value: &Value| value.as_str().map(str::to_owned);
        let place = name(&project["entity"]["name"]).zip(name(&project["name"]));
        let place = place.ok_or_else(|| ServiceError::Later("its answer names no run".to_owned()))?;
        Ok(Place { entity: place.0, project: place.1 })
    }

    /// Sends lines of the history from `offset` on, with the newest values; or the end of the run; or, with neither, a
    /// heartbeat.
    pub(super) async fn stream(
        &self,
        place: &Place,
        run: &Run,
        history: Option<(u64, &[String])>,
        is_over: bool,
    ) -> Result<(), ServiceError> {
        let mut body = match is_over {
            true => json!({ "complete": true, "exitcode": 0 }),
            false => json!({}),
        };
        if let Some((offset, lines)) = history {
            let newest: Vec<&String> = lines.last().into_iter().collect();
            body["files"] = json!({
                "wandb-history.jsonl": { "offset": offset, "content": lines },
                "wandb-summary.json": { "offset": 0, "content": newest },
            });
        }
        let Place { entity, project } = place;
        let url = format!("{}/files/{entity}/{project}/{}/file_stream", self.base_url.expose(), run.id);
        self.send(self.client.post(url), &body).await.map(drop)
    }

    async fn graphql(&self, name: &str, query: &str, variables: Value) -> Result<Value, ServiceError> {
        let url = format!("{}/graphql", self.base_url.expose());
        let body = json!({ "operationName": name, "query": query, "variables": variables });
        let answer = match self.send(self.client.post(url), &body).await {
            Err(ServiceError::Rows(status)) => return Err(ServiceError::Later(status.to_string())),
            other => other?,
        };
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|_| ServiceError::Later("its answer is no JSON: is WANDB_BASE_URL a W&B server?".to_owned()))?;
        if let Some(error) = answer["errors"].get(0) {
            let text: String = error["message"].as_str().unwrap_or("an error without text").chars().take(200).collect();
            return Err(ServiceError::Later(text));
        }
        Ok(answer["data"].clone())
    }

    async fn send(&self, request: RequestBuilder, body: &Value) -> Result<Vec<u8>, ServiceError> {
        let request = request.basic_auth("api", Some(self.key.expose_secret()));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let later = |error: reqwest::Error| ServiceError::Later(failure_text(error));
        let mut response = request.send().await.map_err(later)?;
        match response.status() {
            status if status.is_success() => {
                let mut bytes = Vec::new();
                while let Some(chunk) = response.chunk().await.map_err(later)? {
                    bytes.extend_from_slice(&chunk);
                    if bytes.len() > ANSWER_BYTES_MAX {
                        return Err(ServiceError::Later("its answer has no end".to_owned()));
                    }
                }
                Ok(bytes)
            }
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(ServiceError::Key(status)),
            status @ (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT) => {
                Err(ServiceError::Later(status.to_string()))
            }
            status if status.is_client_error() => Err(ServiceError::Rows(status)),
            status => Err(ServiceError::Later(status.to_string())),
        }
    }
}

/// Returns the last row of a tail: a JSON list of JSON texts.
fn last_row(tail: &Value) -> Option<(i64, f64)> {
    let tail: Vec<String> = serde_json::from_str(tail.as_str()?).ok()?;
    let row: Value = serde_json::from_str(tail.last()?).ok()?;
    Some((row["_step"].as_i64()?, row["_timestamp"].as_f64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_of_a_tail_is_the_newest() {
        let tail = json!(r#"["{\"_step\":3,\"_timestamp\":1.5}","{\"_step\":4,\"_timestamp\":2.5}"]"#);
        assert_eq!(last_row(&tail), Some((4, 2.5)));
        for odd in [json!(null), json!("[]"), json!("x"), json!(r#"["{}"]"#)] {
            assert_eq!(last_row(&odd), None, "{odd}");
        }
    }
}
