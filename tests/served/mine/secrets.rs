//! No secret is written anywhere: not to the most verbose log, not to the journal, not to a receipt.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD as BASE64, BASE64_URL_SAFE_NO_PAD as FOR_URLS};
use bip39::Mnemonic;
use grail_config::{EnvFile, KEYS, Kind};
use grail_protocol::signature::{Hotkey, Keypair};
use grail_serve::ServeFault;
use secrecy::ExposeSecret;

use super::scene::{Miner, Scene};
use grail_loopback::http::{Answer, Request, Server, wait};

/// Returns the secrets in a `.env`, by name.
pub(crate) fn typed(env_file: &Path) -> Vec<(String, Vec<u8>)> {
    let file = EnvFile::parse(env_file, &fs::read_to_string(env_file).unwrap()).unwrap();
    let is_secret = |name: &str| KEYS.iter().any(|key| key.name == name && key.kind == Kind::Secret);
    let typed = file.entries.iter().filter(|entry| is_secret(&entry.name));
    typed
        .map(|entry| (entry.name.clone(), entry.value.expose_secret().as_bytes().to_vec()))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// Returns every secret of a world: those in its `.env`, and the key in the wallet.
fn planted(scene: &Scene) -> Vec<(String, Vec<u8>)> {
    let mut secrets = typed(scene.served.env_file());
    let seed = &scene.served.world().miner_seed;
    secrets.push(("the wallet's seed".to_owned(), seed.to_vec()));
    let keypair = Keypair::from_seed(seed);
    assert_eq!(keypair.hotkey(), scene.served.world().miner);
    // As an address, and as the words that stand for it, if it has the length of a key.
    let keys: Vec<(String, [u8; 32])> =
        secrets.iter().filter_map(|(name, value)| Some((name.clone(), value.as_slice().try_into().ok()?))).collect();
    for (name, key) in &keys {
        secrets.push((format!("{name} as an address"), Hotkey::from_bytes(*key).to_ss58().into_bytes()));
        let words = Mnemonic::from_entropy(key).unwrap().to_string();
        secrets.push((format!("{name} in words"), words.into_bytes()));
    }
    assert!(keys.iter().any(|(name, _)| name == "the wallet's seed"));
    encoded(secrets)
}

/// Returns these secrets as they are, and in other forms.
pub(crate) fn encoded(mut secrets: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let in_hex = secrets.iter().map(|(name, value)| (format!("{name} in hex"), hex::encode(value).into_bytes()));
    let in_base64 =
        secrets.iter().map(|(name, value)| (format!("{name} in base64"), BASE64.encode(value).into_bytes()));
    let in_capitals =
        secrets.iter().map(|(name, value)| (format!("{name} in HEX"), hex::encode_upper(value).into_bytes()));
    let for_urls = secrets.iter().map(|(name, value)| (format!("{name} in URLs"), FOR_URLS.encode(value).into_bytes()));
    let encoded: Vec<_> = in_hex.chain(in_base64).chain(in_capitals).chain(for_urls).collect();
    secrets.extend(encoded);
    secrets
}

pub(crate) fn files_under(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match fs::metadata(&path).unwrap().file_type() {
            kind if kind.is_dir() => files_under(&path),
            kind if kind.is_file() => vec![(path.display().to_string(), fs::read(&path).unwrap())],
            // A killed process leaves its socket.
            _ => Vec::new(),
        })
        .collect()
}

#[test]
fn secrets_are_in_no_output() {
    let (scene, miner) = Scene::mining(300, &["-vv", "--groups-max", "2"]);
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
    // Tapes are compressed, so their shown form must not hold a secret either.
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

/// Everything that is sent elsewhere, and everything that commands print or write of a configuration in which each value
/// that can be secret is one: addresses with keys in them, tokens, passwords, a proxy's login.
#[test]
fn nothing_that_is_sent_packed_or_printed_holds_a_secret() {
    let scene = Scene::new(302);
    // Refusals quote what was sent.
    let refuse = |request: &Request| match request.path.contains("refused") {
        true => Answer::With(
            403,
            format!("{} {:?} {}", request.path, request.headers, String::from_utf8_lossy(&request.body)),
        ),
        false => super::telemetry::answer(request),
    };
    let server = Server::start(refuse);
    let url = server.url("");
    let typed = tempfile::tempdir().unwrap();
    let env_file = typed.path().join("all.env");
    let endpoints = scene.env_value("BT_CHAIN_ENDPOINT");
    let planted = |node: &str| node.replace("ws://", "ws://user:planted0chain@") + "/planted0node?key=planted0query";
    let nodes: Vec<String> = endpoints.split(',').map(planted).collect();
    let more = format!(
        "BT_CHAIN_ENDPOINT={nodes}\nGRAIL_MONITORING_BACKEND=wandb\nWANDB_API_KEY=planted0wandb\nWANDB_BASE_URL={url}\n\
         GRAIL_OBS_LOKI_URL={url}/loki/planted0loki,{url}/refused/planted0push\nGRAIL_OBS_LOKI_USERNAME=user\n\
         GRAIL_OBS_LOKI_PASSWORD='planted0 password'\nGRAIL_ALERT_SLACK_URL={url}/refused/planted0slack\n\
         GRAIL_ALERT_DISCORD_URL={url}/planted0discord\nGRAIL_ALERT_TELEGRAM_TOKEN=1:planted0telegram\n\
         GRAIL_ALERT_TELEGRAM_CHAT=1\nGRAIL_ALERT_TELEGRAM_API={url}/refused\nGRAIL_ALERT_PING_URL={url}/planted0ping\n\
         GRAIL_ALERT_PING_INTERVAL_S=0.2\nR2_SECRET_KEY=planted0misnamed\nBT_PW_A=planted0coded\n",
        nodes = nodes.join(",")
    );
    fs::write(&env_file, format!("{}\n{more}", scene.env_text())).unwrap();
    let variables = [("HTTPS_PROXY", "http://user:planted0proxy@127.0.0.1:1"), ("HF_TOKEN", "planted0hub")];
    let command = |first: &str| {
        let mut command = Command::new("/usr/bin/env");
        command.arg("-i").args(variables.map(|(name, value)| format!("{name}={value}")));
        command.arg(format!("HOME={}", scene.data.path().display())).arg(first);
        command
    };
    let grail = env!("CARGO_BIN_EXE_grail");
    let miner = Miner::start_with(command(grail), &env_file, scene.data.path(), &["-vv", "--groups-max", "2"]);
    let verdict = scene.verdict();
    assert!(verdict.is_accepted(), "{}", verdict.line());
    let window = verdict.judgment.window_start;
    miner.given_receipt(window);
    scene.served.world().switch_on(ServeFault::Deregistration);
    wait("the alarm", || server.requests().iter().any(|request| request.path.contains("planted0slack")));
    let run = |arguments: &[&str]| {
        let output = command(grail).args(arguments).current_dir(typed.path()).output().unwrap();
        (arguments.join(" "), [output.stdout, output.stderr].concat())
    };
    let (data, typed_in) = (scene.data.path().to_str().unwrap(), env_file.to_str().unwrap());
    let both = ["--data-dir", data, "--env-file", typed_in];
    let mut outputs = vec![run(&["top", "--json", "--data-dir", data])];
    outputs.push(run(&[&["doctor", "--device", "cpu"], &both[..]].concat()));
    outputs.push(run(&[&["doctor", "--device", "cpu", "--json"], &both[..]].concat()));
    scene.served.world().heal();
    let ended = miner.stop();
    let log = typed.path().join("miner.log");
    fs::write(&log, ended.stderr.join("\n")).unwrap();
    let (log, number) = (log.to_str().unwrap(), window.to_string());
    for arguments in [
        &["config", "show", "--origin", "--env-file", typed_in][..],
        &["config", "show", "--json", "--env-file", typed_in],
        &[&["why", &number, "--device", "cpu"], &both[..]].concat(),
        &[&["why", &number, "--device", "cpu", "--json"], &both[..]].concat(),
        &[&["report", "--out", "report.html"], &both[..]].concat(),
        &[&["bundle", &number, "--log", log, "--out", "bundle.tar.gz"], &both[..]].concat(),
    ] {
        outputs.push(run(arguments));
    }
    outputs.push(("the report".to_owned(), fs::read(typed.path().join("report.html")).unwrap()));
    outputs.extend(super::aftermath::unpacked(&typed.path().join("bundle.tar.gz")));
    outputs.extend(scene.tapes().iter().map(|tape| ("a tape".to_owned(), format!("{tape:?}").into_bytes())));
    outputs.extend(files_under(scene.data.path()));
    outputs.push(("the log".to_owned(), ended.stderr.join("\n").into_bytes()));
    outputs.push(("the receipts".to_owned(), ended.stdout.join("\n").into_bytes()));
    outputs.extend(server.requests().into_iter().map(|request| (format!("what {} got", request.path), request.body)));
    assert!(
        ended.stderr.iter().any(|line| line.contains("403 Forbidden")),
        "no sink refused:\n{}",
        ended.stderr.join("\n")
    );
    for form in ["planted0".to_owned(), hex::encode("planted0"), BASE64.encode("planted0")[..10].to_owned()] {
        for (output, bytes) in &outputs {
            let is_there = bytes.windows(form.len()).any(|window| window == form.as_bytes());
            assert!(!is_there, "{form} is in {output}: {}", String::from_utf8_lossy(bytes));
        }
    }
    assert!(outputs.len() > 30, "{} outputs", outputs.len());
}

/// A miner that aborts, though its surroundings allow cores of any size: none is written, and its keys are not swapped.
#[cfg(target_os = "linux")]
#[test]
fn an_abort_leaves_no_core() {
    use std::os::unix::process::ExitStatusExt;

    let folder = tempfile::tempdir().unwrap();
    let control = "ulimit -c unlimited && kill -ABRT $$";
    let control = Command::new("sh").args(["-c", control]).current_dir(folder.path()).status().unwrap();
    // If the system writes no core dumps, there is nothing to check.
    let cores_are_kept = control.core_dumped();
    files_under(folder.path()).iter().for_each(|(core, _)| fs::remove_file(core).unwrap());

    let scene = Scene::new(301);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_grail")]);
    command.current_dir(folder.path());
    let miner = scene.mine_by(command, &[]);
    miner.logged("mining as");
    let limits = miner.proc_file("limits");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max core file size")[..2], ["0", "0"], "neither now nor by a later change");
    let status = miner.proc_file("status");
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap().trim();
    assert!(locked != "0 kB" || limit("Max locked memory")[0] == "0", "no memory is locked");
    miner.signal("ABRT");
    let ended = miner.end();
    assert_eq!(ended.status.signal(), Some(6), "{}", ended.stderr.join("\n"));
    assert!(!ended.status.core_dumped(), "cores are kept here: {cores_are_kept}");
    assert_eq!(files_under(folder.path()).len(), 0, "a core file");
}
