//! `grail verify` on the files that `grail sim` wrote, honest and altered.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use grail_protocol::python_json::Value;
use grail_protocol::window_file::unpack;

use crate::process::{Finished, folder, grail};
use crate::sim::TOY;

const ANOTHER_ADDRESS: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";

/// The command that is next to the first window's file, without `grail verify` and the file's name.
struct Uploaded {
    file: String,
    options: Vec<String>,
}

impl Uploaded {
    fn read(folder: &Path) -> Self {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut commands: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "verify")).collect();
        commands.sort();
        let command = std::fs::read_to_string(&commands[0]).unwrap();
        let mut words = command.split_whitespace().map(str::to_owned);
        assert_eq!((words.next().as_deref(), words.next().as_deref()), (Some("grail"), Some("verify")));
        Self { file: words.next().unwrap(), options: words.collect() }
    }

    /// Runs the command on a file, with options after its own.
    fn verify(&self, folder: &Path, file: &str, more: &[&str]) -> Finished {
        let options = self.options.iter().map(String::as_str);
        grail(folder, &["verify", file].into_iter().chain(options).chain(more.iter().copied()).collect::<Vec<_>>())
    }
}

#[test]
fn the_command_beside_an_uploaded_file_accepts_it() {
    let (folder, _) = &*TOY;
    let uploaded = Uploaded::read(folder);
    let finished = uploaded.verify(folder, &uploaded.file, &[]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{}", finished.stdout);
    insta::assert_snapshot!(finished.stdout, @r#"
    rollout    0  group 0  nonce 0  valid
    rollout    1  group 0  nonce 1  valid
    rollout    2  group 0  nonce 2  valid
    rollout    3  group 0  nonce 3  valid
    rollout    4  group 1  nonce 10  valid
    rollout    5  group 1  nonce 11  valid
    rollout    6  group 1  nonce 12  valid
    rollout    7  group 1  nonce 13  valid
    rollout    8  group 2  nonce 20  valid
    rollout    9  group 2  nonce 21  valid
    rollout   10  group 2  nonce 22  valid
    rollout   11  group 2  nonce 23  valid
    rollout   12  group 3  nonce 30  valid
    rollout   13  group 3  nonce 31  valid
    rollout   14  group 3  nonce 32  valid
    rollout   15  group 3  nonce 33  valid
    rollout   16  group 4  nonce 40  valid
    rollout   17  group 4  nonce 41  valid
    rollout   18  group 4  nonce 42  valid
    rollout   19  group 4  nonce 43  valid
    accepted: 20 of 20 checked rollouts valid (20 in the file), 14 solved, 13 distinct, 0 soft failures
    "#);
    let json = uploaded.verify(folder, &uploaded.file, &["--json"]);
    assert_eq!(json.code, Some(0));
    let report = json.json();
    assert_eq!(report["outcome"], "accepted");
    assert_eq!(report["metrics"]["valid"], report["metrics"]["checked"]);
    assert_eq!(report["rollouts"].as_array().map(Vec::len), report["metrics"]["checked"].as_u64().map(|n| n as usize));
}

#[test]
fn an_altered_token_is_rejected_with_check_reason_and_remedy() {
    let (source, _) = &*TOY;
    let uploaded = Uploaded::read(source);
    let folder = folder("altered-token");
    write_altered(&source.join(&uploaded.file), &folder.join("altered.json.gz"));
    let finished = uploaded.verify(&folder, "altered.json.gz", &[]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(1), ""), "{}", finished.stdout);
    insta::assert_snapshot!(finished.stdout, @r#"
    rollout    0  group 0  nonce 0  valid
    rollout    1  group 0  nonce 1  valid
    rollout    2  group 0  nonce 2  FAILED proof_valid (commit_signature_invalid)
    rejected: rollout 2 fails proof_valid (commit_signature_invalid); 3 of 20 rollouts checked
    remedy: sign the commit binding of exactly these tokens, sketch, model and beacon
    "#);
    let everything = uploaded.verify(&folder, "altered.json.gz", &["--all"]);
    assert_eq!(everything.code, Some(1));
    assert!(everything.stdout.lines().count() > finished.stdout.lines().count(), "{}", everything.stdout);
    let counted = "a validator stops after 3 of 20 rollouts; of all, 19 valid, 1 failed, 0 skipped, 0 soft failures";
    assert!(everything.stdout.contains(counted), "{}", everything.stdout);
    let looked_at = &uploaded.verify(&folder, "altered.json.gz", &["--all", "--json"]).json()["looked_at"];
    assert_eq!(
        (&looked_at["rollouts"], &looked_at["valid"], &looked_at["failed"]),
        (&20.into(), &19.into(), &1.into())
    );
    let json = uploaded.verify(&folder, "altered.json.gz", &["--json"]);
    assert_eq!(json.code, Some(1));
    let failure = &json.json()["failure"];
    assert_eq!(failure["check"], "proof_valid");
    assert_eq!(failure["reason"], "commit_signature_invalid");
    assert_eq!(failure["rollout"], ALTERED);
}

#[test]
fn a_file_of_another_hotkey_is_ignored() {
    let (folder, _) = &*TOY;
    let uploaded = Uploaded::read(folder);
    let finished = uploaded.verify(folder, &uploaded.file, &["--hotkey", ANOTHER_ADDRESS]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(2), ""));
    insta::assert_snapshot!(finished.stdout, @r#"
    ignored: wallet_mismatch
    remedy: upload under the hotkey that the file's `wallet` names, or check it with --hotkey
    "#);
    let json = uploaded.verify(folder, &uploaded.file, &["--hotkey", ANOTHER_ADDRESS, "--json"]);
    assert_eq!((json.code, json.json()["outcome"].as_str()), (Some(2), Some("ignored")));
}

#[test]
fn a_file_checked_for_another_block_is_rejected() {
    let (folder, _) = &*TOY;
    let uploaded = Uploaded::read(folder);
    let another = format!("0x{}", "00".repeat(32));
    let finished = grail(folder, &["verify", &uploaded.file, "--block-hash", &another]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stdout.contains("rollout (block_hash_mismatch)"), "{}", finished.stdout);
    let document = unpack(&std::fs::read(folder.join(&uploaded.file)).unwrap()).unwrap();
    let rollouts = document.get("inferences").and_then(Value::as_list).unwrap();
    let in_file = rollouts[0].get("block_hash").and_then(Value::as_text).unwrap();
    let both = format!("block hash in the file: {in_file}\nblock hash given:       {another}\n");
    assert!(finished.stdout.contains(&both), "{}", finished.stdout);
    let json = grail(folder, &["verify", &uploaded.file, "--block-hash", &another, "--json"]).json();
    assert_eq!(json["block_hash"], serde_json::json!({ "in_file": in_file, "given": another }));
}

#[test]
fn a_plain_copy_is_judged_as_the_gzipped_file() {
    let (source, _) = &*TOY;
    let uploaded = Uploaded::read(source);
    let folder = folder("plain-copy");
    let document = unpack(&std::fs::read(source.join(&uploaded.file)).unwrap()).unwrap();
    std::fs::write(folder.join("plain.json"), document.canonical_text()).unwrap();
    let [plain, gzipped] = [(&folder, "plain.json"), (source, uploaded.file.as_str())]
        .map(|(folder, file)| uploaded.verify(folder, file, &[]));
    assert_eq!((plain.code, plain.stdout), (gzipped.code, gzipped.stdout));
}

/// Position of the rollout that `write_altered` alters.
const ALTERED: usize = 2;

/// The file with one bit of one completion token flipped.
fn write_altered(from: &Path, to: &Path) {
    let mut document = unpack(&std::fs::read(from).unwrap()).unwrap();
    let rollout = &mut items(field(&mut document, "inferences"))[ALTERED];
    let token = items(field(field(rollout, "commit"), "tokens")).last_mut().unwrap();
    let Value::Int(id) = token else { panic!("a token is an integer") };
    *id ^= 1;
    let mut gzip = GzEncoder::new(std::fs::File::create(to).unwrap(), Compression::new(1));
    gzip.write_all(document.canonical_text().as_bytes()).unwrap();
    gzip.finish().unwrap();
}

fn field<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    let Value::Object(fields) = value else { panic!("{name} is in no object") };
    fields.get_mut(name).unwrap()
}

fn items(value: &mut Value) -> &mut [Value] {
    let Value::List(items) = value else { panic!("no list") };
    items
}
