//! `grail doctor` against real servers on loopback: a healthy world, and one planted problem at a time.

use std::os::unix::fs::PermissionsExt;

use crate::doctor_world::{PHRASE, World, codes};
use crate::process::{folder, grail as run};
use grail::exit::{self, Exit};
use grail_loopback::drand::{honest, json, randomness, signature};
use grail_loopback::node::{NETUID, trouble};
use grail_loopback::s3::{BUCKET, ReadKey, S3Server, WRITE};
use grail_loopback::scripted::{Answer, Server, dead_address, response};
use grail_miner::ports::{Chain, Signer};
use grail_operator::doctor::{CheckStatus, Examination, Hindrance, Limits, Obstacle, document, page};
use grail_serve::chain::State;

/// Returns the check of this code; there must be one.
fn check<'a>(examination: &'a Examination, code: &str) -> &'a grail_operator::doctor::Check {
    let found = examination.checks.iter().find(|check| check.code == code);
    found.unwrap_or_else(|| panic!("no {code} in\n{}", page(examination, false)))
}

/// Checks that this is the only failure, and whether it keeps the miner from starting. Returns its remedy.
fn assert_fails<'a>(examination: &'a Examination, code: &str, is_obstacle: bool) -> &'a str {
    let shown = page(examination, false);
    assert_eq!(codes(examination, CheckStatus::Failure), [code], "{shown}");
    assert_eq!(examination.obstacles().next().is_some(), is_obstacle, "{shown}");
    let remedy = check(examination, code).remedy.as_deref().filter(|remedy| !remedy.is_empty());
    remedy.unwrap_or_else(|| panic!("no remedy in\n{shown}"))
}

#[tokio::test]
async fn a_healthy_world_is_found_so() {
    let world = World::healthy("healthy").await;
    let examination = world.examined().await;
    insta::assert_snapshot!(world.redacted(&page(&examination, false)), @r"
    Configuration
      ok       config.values       network custom, subnet 81
      ok       config.permissions  [folder]/.env has mode 0600
    Wallet
      ok       wallet.hotkey       cold/hot is 5EHgWw2Af1pnoc7f1A8bfmM97W3DAYW8xr82RfhLL9oAabAe (plain)
      ok       wallet.permissions  file 0600, folder 0700
      ok       wallet.coldkey      absent, and not needed
    Chain
      ok       chain.endpoint      [node] answers
      ok       chain.head          block [N], [N] s old
      ok       chain.registration  uid 7 on subnet 81
      ok       chain.commitment    the chain holds our read key
    Beacon
      ok       beacon.relay        answers
      ok       beacon.signature    round [N] verifies
    Bucket
      ok       bucket.name         mine, like the account id
      ok       bucket.keys         the key that is published differs from the one that writes
      ok       bucket.write        the write key wrote an object that was not there
      ok       bucket.read         validators read what was written, at [store]/mine
      ok       bucket.conditions   the store keeps If-None-Match and If-Match, and names versions (ETag)
      ok       bucket.multipart    the store takes an object in parts
      ok       bucket.read_only    the store does not let the read key write
      ok       bucket.delete       the write key deleted it again
    This machine
      ok       gpu.device          the CPU, which is enough on a custom network
      ok       model.files         the toy model, in the binary
      ok       disk.folder         [folder] can be written to
      ok       disk.free           [N] MiB
    Clocks
      ok       clock.chain         our clock is not behind the newest block
      skipped  clock.beacon        needs beacon.relay
      ok       clock.bucket        our clock is right to a second

    25 ok, 0 warnings, 0 failures, 1 skipped
    ready to mine: yes
    ");
    assert_eq!(world.probes(), 0, "a probe was left");
    assert!(std::fs::read_to_string(world.hotkey_path()).unwrap().contains(PHRASE), "it must not be shown anywhere");
}

#[tokio::test]
async fn the_document_has_the_same_content() {
    let world = World::healthy("document").await;
    let examination = world.examined().await;
    let document = document(&examination);
    assert_eq!((&document["version"], &document["grail"]), (&1.into(), &env!("CARGO_PKG_VERSION").into()));
    let checks = document["checks"].as_array().unwrap();
    assert_eq!(checks.len(), examination.checks.len());
    for (object, check) in checks.iter().zip(&examination.checks) {
        let keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["code", "obstacle", "remedy", "status", "value"]);
        assert_eq!((&object["code"], &object["value"]), (&check.code.into(), &check.value.clone().into()));
        assert_eq!(object["status"], check.status.name());
    }
    let summary = &document["summary"];
    assert_eq!((&summary["failure"], &summary["may_mine"]), (&0.into(), &true.into()));
    let sum: u64 = ["ok", "warning", "failure", "skipped"].iter().map(|name| summary[name].as_u64().unwrap()).sum();
    assert_eq!(sum, checks.len() as u64);
}

#[tokio::test]
async fn a_hotkey_that_others_can_read_is_refused() {
    let world = World::healthy("mode").await;
    std::fs::set_permissions(world.hotkey_path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let examination = world.examined().await;
    assert!(assert_fails(&examination, "wallet.permissions", true).contains("chmod 600"));
    assert_eq!(check(&examination, "chain.registration").value, "needs wallet.hotkey");
    assert_eq!(check(&examination, "chain.endpoint").status, CheckStatus::Ok, "nodes need no hotkey of ours");
}

#[tokio::test]
async fn an_unregistered_hotkey_is_reported_and_keeps_the_miner_from_starting() {
    let world = World::unregistered("unregistered").await;
    let examination = world.examined().await;
    assert!(assert_fails(&examination, "chain.registration", true).contains("btcli subnet register"));
    assert_eq!(check(&examination, "chain.commitment").status, CheckStatus::Warning, "there is none yet");
}

#[tokio::test]
async fn a_node_that_is_behind_is_no_witness_of_a_missing_uid() {
    let world = World::unregistered("behind").await;
    world.node.doors[0].set_syncing(true);
    let examination = world.examined().await;
    let shown = page(&examination, false);
    assert_eq!(check(&examination, "chain.registration").hindrance, Some(Hindrance::Passing), "{shown}");
    assert_eq!((examination.obstacles().count(), examination.may_mine()), (0, false), "{shown}");
    assert_eq!(exit::of_examination(&examination), Some(Exit::Retry));
    // A good node decides, wherever it is in the list.
    let good = grail_loopback::node::start(State::new("good")).await;
    good.state().register(NETUID, world.wallet().hotkey(), 7);
    let both = format!("{},{}", world.node.address(), good.address());
    let world = world.with("BT_CHAIN_ENDPOINT", &both);
    let examination = world.examined().await;
    assert_eq!(check(&examination, "chain.registration").value, "uid 7 on subnet 81");
    assert!(examination.may_mine());
    good.state().deregister(NETUID, world.wallet().hotkey());
    let examination = world.examined().await;
    assert_eq!(exit::of_examination(&examination), Some(Exit::NotRegistered), "{}", page(&examination, false));
}

#[tokio::test]
async fn a_clock_that_is_off_is_a_matter_of_waiting() {
    let skewed = b"<Error><Code>RequestTimeTooSkewed</Code><Message>too large</Message></Error>";
    let store = Server::always(response("403 Forbidden", "Content-Type: application/xml\r\n", skewed));
    let world = World::healthy("skewed").await.with("R2_ENDPOINT_URL", &store.url());
    let examination = world.examined().await;
    let shown = page(&examination, false);
    assert_eq!(codes(&examination, CheckStatus::Failure), ["bucket.write", "bucket.read"], "{shown}");
    assert!(check(&examination, "bucket.write").remedy.as_ref().unwrap().contains("NTP"), "{shown}");
    assert_eq!(exit::of_examination(&examination), Some(Exit::Retry), "{shown}");
    assert!(!examination.may_mine());
}

#[tokio::test]
async fn a_store_that_keeps_nothing_is_not_said_to_write_over_objects() {
    let store = Server::always(response("200 OK", "ETag: \"a\"\r\n", b""));
    let world = World::healthy("keeps nothing").await.with("R2_ENDPOINT_URL", &store.url());
    let examination = world.examined().await;
    assert_eq!(check(&examination, "bucket.conditions").status, CheckStatus::Skipped, "{}", page(&examination, false));
    assert_eq!(check(&examination, "bucket.read").status, CheckStatus::Failure);
}

#[tokio::test]
async fn another_commitment_is_reported_and_a_published_write_key_refused() {
    let world = World::healthy("commitment").await;
    let chain = world.chain();
    chain.commit(&grail_loopback::node::credentials(1)).await.unwrap();
    let examination = world.examined().await;
    assert_eq!(codes(&examination, CheckStatus::Warning), ["chain.commitment"]);
    let published = format!("{:<32}{:<32}{:<64}", BUCKET, WRITE.0, WRITE.1);
    chain.commit(published.as_bytes()).await.unwrap();
    assert_fails(&world.examined().await, "chain.commitment", true);
}

#[tokio::test]
async fn a_read_key_that_can_write_is_refused() {
    let world = World::healthy("read key").await.with_s3(S3Server::start_with(ReadKey::Writes));
    assert_fails(&world.examined().await, "bucket.read_only", true);
    assert_eq!(world.probes(), 0, "a probe was left");
}

#[tokio::test]
async fn wrong_keys_are_distinguished() {
    let write = World::healthy("write secret").await.with("R2_WRITE_SECRET_ACCESS_KEY", "planted-other-secret");
    let examination = write.examined().await;
    assert_fails(&examination, "bucket.write", true);
    assert!(check(&examination, "bucket.write").value.contains("SignatureDoesNotMatch"));
    assert_eq!(exit::of_examination(&examination), Some(Exit::Credentials));
    let read = World::healthy("read secret").await.with("R2_READ_SECRET_ACCESS_KEY", "planted-other-secret");
    assert_fails(&read.examined().await, "bucket.read", true);
    let same = World::healthy("same").await.with("R2_READ_ACCESS_KEY_ID", WRITE.0);
    let examination = same.examined().await;
    assert_fails(&examination, "bucket.keys", true);
    assert_eq!(check(&examination, "config.values").value, "needs bucket.keys");
    assert_eq!(check(&examination, "bucket.write").value, "needs config.values");
    let uid = check(&examination, "chain.registration");
    assert_eq!(uid.value, "uid 7 on subnet 81", "the chain does not depend on the bucket's keys");
}

#[tokio::test]
async fn an_endpoint_without_room_for_the_bucket_is_reported() {
    let world = World::healthy("path style").await.with("R2_FORCE_PATH_STYLE", "false");
    assert!(assert_fails(&world.examined().await, "bucket.write", true).contains("R2_FORCE_PATH_STYLE=true"));
}

#[tokio::test]
async fn a_missing_feature_of_a_store_is_a_named_obstacle() {
    let error = |code: &str| format!("<Error><Code>{code}</Code></Error>");
    let content = b"`grail doctor` wrote this to see whether it can; it may be deleted";
    let written = |content: &[u8]| response("200 OK", "ETag: \"1\"\r\n", content);
    let without_conditions = response("501 Not Implemented", "", error("NotImplemented").as_bytes());
    let versionless = |head: &str| match head.split(' ').next() {
        Some("PUT") => response("200 OK", "", b""),
        Some("GET") => response("200 OK", "", content),
        Some("HEAD") => Answer::Bytes(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n".to_vec()),
        _ => response("204 No Content", "", b""),
    };
    let only_plainly = |head: &str| match head.to_ascii_lowercase().contains("if-none-match") {
        true => response("400 Bad Request", "", b"<Error><Code>InvalidArgument</Code></Error>"),
        false => response("200 OK", "ETag: \"1\"\r\n", b""),
    };
    let stores: [(Server, &str, &str, &str); 4] = [
        (Server::start(only_plainly), "bucket.write", "not under the condition If-None-Match", "another store"),
        (Server::always(without_conditions), "bucket.write", "NotImplemented", "conditional writes"),
        (Server::start(versionless), "bucket.write", "ETag", "another store"),
        (
            Server::start(move |head| written(if head.starts_with("GET") { content } else { b"" })),
            "bucket.conditions",
            "does not keep If-None-Match",
            "another store",
        ),
    ];
    for (store, code, value, remedy) in stores {
        let world = World::healthy("lacking").await.with("R2_ENDPOINT_URL", &store.url());
        let examination = world.examined().await;
        let check = check(&examination, code);
        let shown = page(&examination, false);
        assert!(check.obstacle() == Some(Obstacle::Configuration) && check.value.contains(value), "{code}: {shown}");
        assert!(check.remedy.as_ref().unwrap().contains(remedy), "{code}: {shown}");
        assert_eq!(exit::of_examination(&examination), Some(Exit::Configuration), "another store is needed: {shown}");
    }
}

#[tokio::test]
async fn a_web_page_in_the_stores_place_says_nothing_about_keys() {
    let page_of_a_portal =
        response("403 Forbidden", "Content-Type: text/html\r\nServer: portal\r\n", b"<p>Sign in</p>");
    let store = Server::always(page_of_a_portal);
    let world = World::healthy("portal").await.with("R2_ENDPOINT_URL", &store.url());
    let examination = world.examined().await;
    let shown = page(&examination, false);
    assert_eq!(codes(&examination, CheckStatus::Failure), ["bucket.write", "bucket.read"], "{shown}");
    assert!(examination.obstacles().next().is_none(), "it may pass: {shown}");
    let value = &check(&examination, "bucket.write").value;
    assert!(value.contains("portal") && value.contains("Sign in") && !shown.contains("lacks permission"), "{shown}");
}

#[tokio::test]
async fn the_bucket_in_the_servers_address_is_reported_and_harmless() {
    let world = World::healthy("bucket in path").await;
    let url = format!("http://{}/{BUCKET}", world.s3.address);
    let world = world.with("R2_ENDPOINT_URL", &url);
    let examination = world.examined().await;
    let shown = page(&examination, false);
    assert_eq!(codes(&examination, CheckStatus::Failure), [""; 0], "{shown}");
    assert_eq!(codes(&examination, CheckStatus::Warning), ["config.notice"], "{shown}");
    assert!(check(&examination, "config.notice").value.contains("holds the bucket's name"), "{shown}");
    assert!(check(&examination, "bucket.read").value.ends_with(&format!("http://{}/{BUCKET}", world.s3.address)));
    let world = world.with("R2_ENDPOINT_URL", &format!("{url}/further"));
    assert_fails(&world.examined().await, "config.values", true);
}

#[tokio::test]
async fn a_missing_bucket_is_reported() {
    let world = World::healthy("bucket").await.with("R2_ACCOUNT_ID", "elsewhere");
    let examination = world.examined().await;
    assert_eq!(codes(&examination, CheckStatus::Failure), ["bucket.write", "bucket.read"]);
    assert!(check(&examination, "bucket.write").remedy.as_ref().unwrap().contains("create it"));
    assert_eq!(exit::of_examination(&examination), Some(Exit::Configuration));
    let named = World::healthy("named").await.with("R2_BUCKET_ID", "elsewhere");
    assert_fails(&named.examined().await, "bucket.name", true);
}

#[tokio::test]
async fn clocks_that_differ_are_reported() {
    let dated = "Date: Mon, 01 Jan 2001 00:00:00 GMT\r\n";
    let store = Server::always(response("403 Forbidden", dated, b"<Error><Code>AccessDenied</Code></Error>"));
    let relay = Server::start(move |head| match honest(head) {
        Answer::Bytes(bytes) => {
            let text = String::from_utf8(bytes).unwrap();
            Answer::Bytes(text.replacen("\r\n", &format!("\r\n{dated}"), 1).into_bytes())
        }
        other => other,
    });
    let world = World::healthy("clocks").await.with("R2_ENDPOINT_URL", &store.url()).with_relay(relay);
    world.set_chain_clock(3_600_000).await;
    let examination = world.examined().await;
    for code in ["clock.chain", "clock.beacon", "clock.bucket"] {
        assert_eq!(check(&examination, code).status, CheckStatus::Failure, "{}", page(&examination, false));
    }
    assert!(check(&examination, "clock.chain").value.ends_with(" s behind"));
    assert!(check(&examination, "clock.bucket").value.ends_with(" s ahead"));
    world.set_chain_clock(-3_600_000).await;
    let examination = world.examined().await;
    assert_eq!(check(&examination, "chain.head").status, CheckStatus::Failure);
    assert_eq!(check(&examination, "clock.chain").status, CheckStatus::Ok);
}

#[test]
fn a_beacon_that_cannot_be_is_one_check_of_the_page() {
    let folder = folder("doctor-beacon");
    let beacon = [("URLS", "http://127.0.0.1:9"), ("GENESIS", "1692803367"), ("PERIOD", "3")];
    let zeros = [("CHAIN_HASH", "0".repeat(64)), ("PUBLIC_KEY", "0".repeat(192))];
    let beacon = beacon.map(|(name, value)| (name, value.to_owned())).into_iter().chain(zeros);
    let lines: String = beacon.map(|(name, value)| format!("GRAIL_DRAND_{name}={value}\n")).collect();
    let text = format!("BT_NETWORK=custom\nBT_CHAIN_ENDPOINT=ws://127.0.0.1:9\n{lines}");
    std::fs::write(folder.join(".env"), text).unwrap();
    let finished = run(&folder, &["doctor", "--device", "cpu", "--model", "toy", "--data-dir", "."]);
    let line = finished.stdout.lines().find(|line| line.contains("beacon.relay")).unwrap_or_default();
    assert!(line.contains("failure") && line.contains("192 hex digits of a point on G2"), "{finished:?}");
    assert!(finished.stdout.contains("ready to mine: no, "), "{finished:?}");
}

#[tokio::test]
async fn a_lying_beacon_differs_from_a_silent_one() {
    let other = signature(1);
    let liar = Server::start(move |head| {
        let round = head.split("/public/").nth(1).and_then(|rest| rest.split(' ').next());
        json(round.unwrap().parse().unwrap(), &randomness(&other), &hex::encode(&other))
    });
    let world = World::healthy("liar").await.with_relay(liar);
    assert_fails(&world.examined().await, "beacon.signature", false);
    let world = World::healthy("silent").await.with_relay(Server::always(Answer::Silence));
    let examination = world.examined_within(Limits { call_ms: 600, ..Limits::default() }).await;
    assert_eq!(codes(&examination, CheckStatus::Warning), ["beacon.relay"]);
}

#[tokio::test]
async fn endpoints_that_do_not_answer_end_nothing() {
    let limits = Limits { call_ms: 600, ..Limits::default() };
    let dead = format!("ws://{}", dead_address());
    let silent = trouble::silent().await;
    let world = World::healthy("endpoints").await;
    let good = world.node.address().to_owned();
    for endpoint in [&dead, &silent] {
        let world = World::healthy("endpoint").await.with("BT_CHAIN_ENDPOINT", endpoint);
        let examination = world.examined_within(limits).await;
        assert_fails(&examination, "chain.endpoint", false);
        assert_eq!(check(&examination, "chain.commitment").value, "needs chain.endpoint");
    }
    let world = world.with("BT_CHAIN_ENDPOINT", &format!("{dead},{silent},{good}"));
    let examination = world.examined_within(limits).await;
    assert_eq!(codes(&examination, CheckStatus::Warning), ["chain.endpoint", "chain.endpoint"]);
    assert_eq!(check(&examination, "chain.registration").status, CheckStatus::Ok, "{}", page(&examination, false));
    let store = Server::always(Answer::Silence);
    let world = World::healthy("store").await.with("R2_ENDPOINT_URL", &store.url());
    let examination = world.examined_within(limits).await;
    assert_eq!(codes(&examination, CheckStatus::Failure), ["bucket.write", "bucket.read", "bucket.delete"]);
    assert!(examination.obstacles().next().is_none(), "a silent store may heal");
}

#[tokio::test]
async fn full_missing_and_wrong_folders_are_reported() {
    let world = World::healthy("disk").await;
    let full = world.examined_within(Limits { disk_bytes_min: u64::MAX, ..Limits::default() }).await;
    assert_fails(&full, "disk.free", false);
    let absent = world.folder.path().join("not/yet/there");
    let examination = world.examined_in(&absent).await;
    assert!(check(&examination, "disk.folder").value.ends_with("not/yet/there will be made"));
    let open = world.folder.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    assert!(assert_fails(&world.examined_in(&open).await, "disk.folder", true).contains("chmod 700"));
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", open.join("receipts.jsonl")).unwrap();
    assert_fails(&world.examined_in(&open).await, "disk.folder", true);
    assert!(!absent.exists(), "looking made it");
    let below_a_file = world.folder.path().join(".env/journal");
    assert_fails(&world.examined_in(&below_a_file).await, "disk.folder", true);
}

#[tokio::test]
async fn public_networks_want_the_gpu_and_the_model() {
    let dead = format!("http://{}", dead_address());
    let world = World::healthy("public").await.with("BT_NETWORK", "test").with("R2_ENDPOINT_URL", &dead);
    let examination = world.examined().await;
    let obstacles: Vec<&str> = examination.obstacles().map(|check| check.code).collect();
    assert_eq!(obstacles, ["gpu.device", "model.files"]);
    let world = World::healthy("model").await;
    let missing = world.examination(world.folder.path(), "no/such-model", Limits::default()).await;
    assert_fails(&missing, "model.files", true);
}

#[tokio::test]
async fn the_command_says_so_and_exits_accordingly() {
    let world = World::healthy("command").await;
    let output = world.run(&[]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("ok       chain.registration  uid 7 on subnet 81\n"), "{text}");
    assert!(text.contains(" 0 failures") && text.trim_end().ends_with("\nready to mine: yes"), "{text}");
    assert!(!text.contains('\u{1b}'), "color where nobody sees it");
    let unregistered = World::unregistered("command unregistered").await;
    let output = unregistered.run(&["--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["summary"]["failure"], &document["summary"]["may_mine"]), (&1.into(), &false.into()));
    let text = String::from_utf8(unregistered.run(&[]).await.stdout).unwrap();
    assert!(text.trim_end().ends_with("\nready to mine: no, 1 obstacle"), "{text}");
    std::fs::write(unregistered.folder.path().join(".env"), "no value\n").unwrap();
    let output = unregistered.run(&[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("failure  config.file"));
    // Who can read a file does not depend on its content, and is fixed.
    let env_file = unregistered.folder.path().join(".env");
    std::fs::set_permissions(&env_file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let fixed = String::from_utf8(unregistered.run(&["--fix"]).await.stderr).unwrap();
    assert!(fixed.contains("fixed: chmod 600 "), "{fixed}");
    assert_eq!(std::fs::metadata(&env_file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn safe_fixes_are_applied_and_then_examined_again() {
    let world = World::healthy("fix").await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let env_file = world.folder.path().join(".env");
    let folder = world.hotkey_path().parent().unwrap().to_owned();
    for (path, open) in [(&env_file, 0o644), (&world.hotkey_path(), 0o644), (&folder, 0o777)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(open)).unwrap();
    }
    let shown = String::from_utf8(world.run(&[]).await.stdout).unwrap();
    assert!(
        shown.contains("failure  wallet.permissions") && mode(&env_file) == 0o644,
        "nothing is fixed unasked: {shown}"
    );
    let output = world.run(&["--fix"]).await;
    let (text, fixed) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(fixed.matches("fixed: chmod 600 ").count(), 2, "{fixed}");
    assert_eq!((mode(&env_file), mode(&world.hotkey_path())), (0o600, 0o600), "{text}");
    // The folder is checked only if the key itself is fine.
    world.run(&["--fix"]).await;
    assert_eq!(mode(&folder), 0o700);
    let text = String::from_utf8(world.run(&[]).await.stdout).unwrap();
    assert!(text.contains(" 0 warnings, 0 failures"), "{text}");
}

#[tokio::test]
async fn without_a_file_that_is_said_first_and_what_does_not_depend_on_it_is_examined() {
    let world = World::healthy("no file").await;
    std::fs::remove_file(world.folder.path().join(".env")).unwrap();
    // The variables name this machine's node, so that no public one is asked.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_grail"));
    command.args(["doctor", "--device", "cpu", "--model", "toy", "--no-drand", "--data-dir", "."]);
    command.current_dir(world.folder.path()).env_clear().env("HOME", "/nowhere");
    command.envs([("BT_NETWORK", "custom"), ("BT_CHAIN_ENDPOINT", world.node.address())]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert!(lines[0] == "Configuration" && lines[1].contains("there is no .env in this folder"), "{text}");
    assert!(lines[2].contains("run `grail init`, or `cp .env.example .env`"), "{text}");
    for examined in ["gpu.device", "model.files", "disk.folder", "wallet.hotkey", "chain.head"] {
        assert!(lines.iter().any(|line| line.contains(examined) && !line.starts_with("skipped")), "{examined}: {text}");
    }
    assert!(lines.iter().any(|line| line.starts_with("skipped") && line.contains("bucket.write")), "{text}");
    let world = World::healthy("a notice next to an error").await.with("R2_ACOUNT_ID", "x").with("R2_ACCOUNT_ID", "");
    let shown = page(&world.examined().await, false);
    assert!(shown.contains("R2_ACCOUNT_ID is not set") && shown.contains("did you mean R2_ACCOUNT_ID?"), "{shown}");
    // The network is known without its nodes, and decides whether a CPU is enough.
    let world = World::healthy("no node").await.with("BT_CHAIN_ENDPOINT", "");
    let shown = page(&world.examined().await, false);
    assert!(shown.contains("ok       gpu.device") && shown.contains("ok       model.files"), "{shown}");
}
