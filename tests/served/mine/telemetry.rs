//! Everything that a real miner sends elsewhere, to one server on loopback.

use grail_serve::ServeFault;
use serde_json::{Value, json};

use super::scene::Scene;
use grail_loopback::http::{Answer, Request, Server, wait};

pub(crate) fn answer(request: &Request) -> Answer {
    let project = json!({ "name": "grail", "entity": { "name": "team" } });
    match request.path.as_str() {
        // The run is not there yet, and then it is.
        "/graphql" => Answer::With(
            200,
            json!({ "data": { "model": null, "upsertBucket": { "bucket": { "project": project } } } }).to_string(),
        ),
        _ => Answer::With(200, "{}".to_owned()),
    }
}

/// Returns the rows that a run was sent.
fn rows(server: &Server) -> Vec<Value> {
    let pushes: Vec<Value> =
        server.requests().iter().filter(|request| request.path.ends_with("file_stream")).map(Request::json).collect();
    let lines = pushes.iter().filter_map(|push| push["files"]["wandb-history.jsonl"]["content"].as_array());
    lines.flatten().map(|line| serde_json::from_str(line.as_str().unwrap()).unwrap()).collect()
}

#[test]
fn rows_lines_and_notices_arrive_and_secrets_do_not() {
    let scene = Scene::new(620);
    let server = Server::start(answer);
    let more = format!(
        "GRAIL_MONITORING_BACKEND=wandb,prometheus\nWANDB_API_KEY=planted0wandb\nWANDB_BASE_URL={url}\nWANDB_RUN_ID=mine\n\
         GRAIL_LOG_FORMAT=json\nGRAIL_OBS_LOKI_URL={url}/loki/api/v1/push\nGRAIL_OBS_LOKI_LABELS=env=test\n\
         GRAIL_OBS_LOKI_USERNAME=user\nGRAIL_OBS_LOKI_PASSWORD=planted0loki\nGRAIL_ALERT_SLACK_URL={url}/planted0slack\n\
         GRAIL_ALERT_PING_URL={url}/planted0ping\nGRAIL_ALERT_PING_INTERVAL_S=0.2\n",
        url = server.url("")
    );
    let miner = scene.mine_with(&more, &["-v", "--groups-max", "2", "--metrics-listen", "127.0.0.1:0"]);
    let verdict = scene.verdict();
    assert!(verdict.is_accepted(), "{}", verdict.line());
    miner.given_receipt(verdict.judgment.window_start);
    let posts = || -> Vec<String> {
        let all = server.requests().into_iter().filter(|request| request.path == "/planted0slack");
        all.map(|request| request.json()["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(posts(), [] as [&str; 0]);
    scene.served.world().switch_on(ServeFault::Deregistration);
    wait("the alarm", || posts().iter().any(|text| text.contains("ALERT: the hotkey lost its uid")));
    assert!(posts()[0].starts_with(&format!("grail {}: ", scene.served.world().miner.to_ss58())));
    scene.served.world().heal();
    wait("its end", || posts().iter().any(|text| text.contains("over: the hotkey has a uid again")));
    let ended = miner.stop();
    assert!(ended.status.success(), "{}", ended.stderr.join("\n"));

    // Each receipt is a row, and counters count them.
    let receipts = super::scene::receipts(&ended.stdout);
    let rows = rows(&server);
    let windows =
        |list: &[Value], name: &str| -> Vec<u64> { list.iter().map(|one| one[name].as_u64().unwrap()).collect() };
    assert_eq!(windows(&rows, "window_number"), windows(&receipts, "window"));
    assert_eq!(rows.last().unwrap()["mining.windows_completed"], receipts.len());
    let uploaded = |list: &[Value], name: &str| list.iter().map(|one| one[name].as_f64().unwrap()).sum::<f64>();
    assert_eq!(uploaded(&rows, "mining.uploaded_rollouts"), uploaded(&receipts, "rollouts_uploaded"));

    // The log is JSON here. Loki also gets the receipts, which are not on standard error.
    let entries: Vec<Value> = ended.stderr.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(entries.iter().any(|entry| entry["message"].as_str().unwrap().starts_with("mining as")), "{entries:?}");
    assert!(entries.iter().all(|entry| entry["outcome"].is_null()));
    let pushes: Vec<Value> =
        server.requests().iter().filter(|request| request.path.ends_with("push")).map(Request::json).collect();
    let streams = pushes.iter().flat_map(|push| push["streams"].as_array().unwrap());
    let values = streams.flat_map(|stream| stream["values"].as_array().unwrap());
    let lines: Vec<Value> = values.map(|value| serde_json::from_str(value[1].as_str().unwrap()).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line["outcome"].is_string()).count(), receipts.len());

    assert!(server.requests().iter().filter(|request| request.path == "/planted0ping").count() > 2);
    // Secrets are where they belong, and nowhere else: not in a line here, at Loki, in a row, or in a file.
    let bodies = server.requests().into_iter().map(|request| String::from_utf8(request.body).unwrap());
    for text in bodies.chain(ended.stderr).chain(ended.stdout) {
        assert!(!text.contains("planted0"), "{text}");
    }
    for (path, bytes) in super::secrets::files_under(scene.data.path()) {
        assert!(!bytes.windows(8).any(|window| window == b"planted0"), "{path}");
    }
}
