//! No secret is written anywhere: not to a log at its most talkative, not to the journal, not to a receipt.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use grail::config::{EnvFile, KEYS, Kind};
use grail::serve::ServeFault;
use grail_protocol::signature::Keypair;
use secrecy::ExposeSecret;

use crate::scene::Scene;

/// Every secret of a world: what its `.env` holds, and the key in the wallet.
fn planted(scene: &Scene) -> Vec<(String, Vec<u8>)> {
    let path = scene.served.env_file();
    let file = EnvFile::parse(path, &fs::read_to_string(path).unwrap()).unwrap();
    let is_secret = |name: &str| KEYS.iter().any(|key| key.name == name && key.kind == Kind::Secret);
    let typed = file.entries.iter().filter(|entry| is_secret(&entry.name));
    let mut secrets: Vec<(String, Vec<u8>)> = typed
        .map(|entry| (entry.name.clone(), entry.value.expose_secret().as_bytes().to_vec()))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let seed = scene.served.world().miner_seed();
    secrets.push(("the wallet's seed".to_owned(), seed.to_vec()));
    let keypair = Keypair::from_seed(seed);
    assert_eq!(keypair.hotkey(), scene.served.world().miner());
    let in_hex = secrets.iter().map(|(name, value)| (format!("{name} in hex"), hex::encode(value).into_bytes()));
    let in_base64 =
        secrets.iter().map(|(name, value)| (format!("{name} in base64"), BASE64.encode(value).into_bytes()));
    let encoded: Vec<_> = in_hex.chain(in_base64).collect();
    secrets.extend(encoded);
    secrets
}

pub(crate) fn files_under(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files_under(&path),
            false => vec![(path.display().to_string(), fs::read(&path).unwrap())],
        })
        .collect()
}

#[test]
fn secrets_are_in_no_output() {
    let scene = Scene::new(300);
    let miner = scene.mine(&["-vv", "--groups-max", "2"]);
    scene.verdict();
    // Refusals quote requests, and requests are signed with secrets.
    for fault in [ServeFault::ExpiredWriteKey, ServeFault::BucketRateLimit, ServeFault::ChainRateLimit] {
        scene.served.world().switch_on(fault);
        let head = scene.head();
        scene.reach(head + 12);
        scene.served.world().heal();
    }
    scene.verdict();
    let ended = miner.stop();
    let secrets = planted(&scene);
    assert!(secrets.len() >= 6, "{} secrets were planted", secrets.len());
    let mut outputs = files_under(scene.data.path());
    assert!(outputs.iter().any(|(name, _)| name.contains("receipts")), "{} files", outputs.len());
    outputs.push(("standard output".to_owned(), ended.stdout.join("\n").into_bytes()));
    outputs.push(("standard error".to_owned(), ended.stderr.join("\n").into_bytes()));
    // Tapes are compressed; shown, they must not tell anything either.
    outputs.extend(scene.tapes().iter().map(|tape| ("the tape".to_owned(), format!("{tape:?}").into_bytes())));
    for (output, bytes) in &outputs {
        for (secret, value) in &secrets {
            let shown = format!("{value:?}").trim_matches(['[', ']']).to_owned().into_bytes();
            for form in [value, &shown] {
                let is_there = bytes.windows(form.len()).any(|window| window == form);
                assert!(!is_there, "{secret} is in {output}");
            }
        }
    }
    assert!(ended.stderr.len() > 100, "-vv tells everything, here {} lines", ended.stderr.len());
}
