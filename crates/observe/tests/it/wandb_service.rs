//! Weights & Biases on loopback, as far as its own client and ours ask it: runs with their histories.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use grail_loopback::http::{Answer, Request, Server};

/// The minimum length that the official client accepts.
pub(crate) const KEY: &str = "planted0planted0planted0planted0planted0";

/// The service's state of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) described: Value,
    pub(crate) history: Vec<Value>,
    pub(crate) summary: Value,
    pub(crate) is_over: bool,
}

/// How it misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Answers nothing but an error.
    Broken,
    /// Does what it is asked, and closes the connection instead of answering.
    LosesAnswers,
    /// Takes no key.
    RefusesKeys,
    /// Takes no rows.
    RefusesRows,
    /// Takes connections, and says nothing.
    Silent,
    /// Answers with far more than needed.
    Endless,
}

pub(crate) struct Service {
    pub(crate) server: Server,
    pub(crate) runs: Arc<Mutex<BTreeMap<String, Run>>>,
    mood: Arc<Mutex<Mood>>,
}

impl Service {
    pub(crate) fn start() -> Self {
        let runs: Arc<Mutex<BTreeMap<String, Run>>> = Arc::default();
        let mood = Arc::new(Mutex::new(Mood::Well));
        let (kept, present) = (runs.clone(), mood.clone());
        let server = Server::start(move |request| {
            let mood = *present.lock().unwrap();
            let answered = |runs: &mut BTreeMap<String, Run>| match answer(request, runs) {
                Some(answer) => Answer::With(200, answer.to_string()),
                None => Answer::With(404, "{}".to_owned()),
            };
            let runs = &mut *kept.lock().unwrap();
            match mood {
                Mood::Broken => Answer::With(503, "overloaded".to_owned()),
                Mood::Silent => Answer::Silence,
                Mood::Endless => Answer::With(200, json!({ "data": "a".repeat(2 << 20) }).to_string()),
                Mood::RefusesKeys => Answer::With(401, "{}".to_owned()),
                Mood::RefusesRows if request.path.ends_with("file_stream") => Answer::With(400, "{}".to_owned()),
                Mood::LosesAnswers => {
                    answered(runs);
                    Answer::Closed
                }
                _ => answered(runs),
            }
        });
        Self { server, runs, mood }
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn run(&self, id: &str) -> Run {
        self.runs.lock().unwrap().get(id).cloned().unwrap_or_default()
    }

    /// Returns the only run.
    pub(crate) fn only(&self) -> Run {
        let runs = self.runs.lock().unwrap();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.values().next().unwrap().clone()
    }
}

fn answer(request: &Request, runs: &mut BTreeMap<String, Run>) -> Option<Value> {
    let login = format!("Basic {}", STANDARD.encode(format!("api:{KEY}")));
    assert_eq!(request.headers.get("authorization"), Some(&login), "{request:?}");
    if request.path == "/graphql" {
        let asked = request.json();
        return Some(json!({ "data": data(asked["query"].as_str().unwrap(), &asked["variables"], runs) }));
    }
    let id = request.path.strip_prefix("/files/team/grail/")?.strip_suffix("/file_stream")?;
    let (run, sent) = (runs.get_mut(id)?, request.json());
    let history = &sent["files"]["wandb-history.jsonl"];
    if let Some(lines) = history["content"].as_array() {
        let offset = history["offset"].as_u64().unwrap() as usize;
        assert!(offset <= run.history.len(), "a hole before line {offset} of {}", run.history.len());
        let lines = lines.iter().map(|line| serde_json::from_str(line.as_str().unwrap()).unwrap());
        run.history.splice(offset.., lines);
    }
    if let Some(summary) = sent["files"]["wandb-summary.json"]["content"][0].as_str() {
        run.summary = serde_json::from_str(summary).unwrap();
    }
    run.is_over |= sent["complete"] == true;
    Some(json!({}))
}

fn data(query: &str, variables: &Value, runs: &mut BTreeMap<String, Run>) -> Value {
    let id = variables["name"].as_str().unwrap_or_default();
    if query.contains("UpsertBucket") {
        let is_new = !runs.contains_key(id);
        let run = runs.entry(id.to_owned()).or_default();
        if is_new {
            run.described = variables.clone();
        } else {
            let described = variables.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
            described.for_each(|(name, value)| run.described[name] = value.clone());
        }
        let project = json!({ "id": "p", "name": variables["project"], "entity": { "id": "e", "name": "team" } });
        let bucket = json!({
            "id": id, "name": id, "displayName": "x", "description": "", "config": "{}", "sweepName": null,
            "historyLineCount": run.history.len(), "project": project,
        });
        return json!({ "upsertBucket": { "bucket": bucket, "inserted": is_new } });
    }
    if query.contains("RunResumeStatus") {
        let bucket = runs.get(id).map(|run| {
            let tail: Vec<String> = run.history.last().into_iter().map(Value::to_string).collect();
            let (tail, count) = (json!(tail).to_string(), run.history.len());
            json!({
                "id": id, "name": id, "historyLineCount": count, "historyTail": tail, "eventsLineCount": 0,
                "logLineCount": 0, "eventsTail": "[]", "config": "{}", "summaryMetrics": "{}", "tags": [],
            })
        });
        return json!({ "model": { "id": "p", "name": "grail", "bucket": bucket } });
    }
    if query.contains("Viewer") {
        let viewer = json!({
            "id": "v", "entity": "team", "username": "u", "flags": "{}", "teams": { "edges": [] },
        });
        return json!({ "viewer": viewer });
    }
    if query.contains("CreateRunFiles") {
        return json!({ "createRunFiles": { "runID": "x", "uploadHeaders": [], "files": [] } });
    }
    if query.contains("ServerInfo") {
        return json!({ "serverInfo": { "cliVersionInfo": {}, "latestLocalVersionInfo": null, "features": [] } });
    }
    json!({})
}
