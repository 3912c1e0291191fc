//! The miner's claims about the bucket, compared with a validator's findings.

use grail::exit::Exit;
use grail_protocol::PROTOCOL;
use grail_protocol::window_file::object_key;
use grail_serve::ServeFault;
use serde_json::Value;

use super::aftermath::grail;
use super::scene::{Miner, Scene};

/// Returns the window that has a fault from before its first block until after its last, once one before it was
/// accepted.
fn window_under(scene: &Scene, miner: &Miner, fault: ServeFault) -> (u64, Value) {
    while !scene.verdict().is_accepted() {}
    scene.served.world().switch_on(fault);
    let struck = (scene.head() / PROTOCOL.window_blocks + 1) * PROTOCOL.window_blocks;
    scene.reach(struck + PROTOCOL.window_blocks);
    let receipt = miner.given_receipt(struck);
    scene.served.world().heal();
    (struck, receipt)
}

fn why(scene: &Scene, window: u64) -> String {
    String::from_utf8(grail(scene, &["why", &window.to_string(), "--device", "cpu"]).stdout).unwrap()
}

#[test]
fn a_bucket_that_is_down_for_a_window_is_what_its_receipt_blames() {
    let (scene, miner) = Scene::mining(800, &["--groups-max", "2"]);
    let (window, receipt) = window_under(&scene, &miner, ServeFault::UploadErrorBefore);
    assert_eq!(receipt["outcome"], "lost", "{receipt}");
    let reported = receipt["why"].as_str().unwrap();
    assert!(
        reported.contains("the bucket failed ") && reported.contains(" times") && reported.contains("503, SlowDown"),
        "{reported}"
    );
    assert!(!reported.contains("block hash"), "{reported}");
    assert_eq!((&receipt["read_back"], &receipt["address"]), (&false.into(), &Value::Null));
    let page = why(&scene, window);
    assert!(page.contains("503, SlowDown") && page.contains(" given up: ") && page.contains("grail doctor"), "{page}");
    assert!(!page.contains("nothing is to be done"), "{page}");
    // It is over, and so is the loss.
    while !scene.verdict().is_accepted() {}
    miner.stop();
}

#[test]
fn a_file_that_only_the_miner_could_find_is_not_called_uploaded() {
    let (scene, miner) = Scene::mining(801, &["--groups-max", "2"]);
    let (window, receipt) = window_under(&scene, &miner, ServeFault::WrongAddress);
    assert_eq!(receipt["outcome"], "lost", "{receipt}");
    let reported = receipt["why"].as_str().unwrap();
    assert!(reported.contains("where validators read"), "{reported}");
    assert!(scene.served.world().bucket.object(&object_key(&scene.served.world().miner.to_ss58(), window)).is_none());
    let uploaded = scene.served.world().bucket.account().account_id.clone();
    while !scene.verdict().is_accepted() {}
    let receipts = miner.receipts();
    let receipt = receipts.iter().rfind(|receipt| receipt["outcome"] == "uploaded").unwrap();
    let address = receipt["address"].as_str().unwrap();
    let start = format!("{}/{uploaded}/grail/windows/", scene.served.world().bucket_url());
    assert!(address.starts_with(&start) && address.ends_with(".json.gz"), "{address}");
    miner.stop();
}

#[test]
fn the_bucket_in_the_servers_address_costs_nothing() {
    let scene = Scene::new(802);
    let world = scene.served.world();
    let more = format!("R2_ENDPOINT_URL={}/{}", world.bucket_url(), world.bucket.account().account_id);
    let miner = scene.mine_with(&more, &["--groups-max", "2"]);
    miner.logged("holds the bucket's name");
    let verdict = scene.verdict();
    assert!(verdict.is_accepted(), "{}\n{}", verdict.line(), miner.log());
    miner.stop();
}

#[test]
fn a_store_without_conditional_writes_keeps_the_miner_from_starting() {
    let scene = Scene::new(803);
    scene.served.world().switch_on(ServeFault::NoConditions);
    let ended = scene.mine(&[]).end();
    let log = ended.stderr.join("\n");
    assert_eq!(ended.status.code(), Some(Exit::Configuration.code().into()), "{log}");
    assert!(log.contains("conditional writes") && log.contains("use another store"), "{log}");
    assert!(!log.contains("tries it again"), "{log}");
}

#[test]
fn a_web_page_in_the_stores_place_passes() {
    let scene = Scene::new(804);
    scene.served.world().switch_on(ServeFault::WebPage);
    let miner = scene.mine(&["--groups-max", "2"]);
    miner.logged("Sign in to the network");
    miner.logged("mining as");
    scene.served.world().heal();
    while !scene.verdict().is_accepted() {}
    assert!(!miner.log().contains("lacks permission"), "{}", miner.log());
    miner.stop();
}
