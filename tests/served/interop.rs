//! The reference's own validator and miner in a served world; skipped, with a notice, where Python has no reference of
//! this release or no GPU.
//!
//! The reference is driven by its command line alone, and its result is read from the chain or from our validator's
//! verdicts. Proofs of both sides must come from a GPU: a CPU has other bits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use grail_operator::verdicts::Verdicts;
use grail_protocol::PROTOCOL;
use grail_serve::{Member, ServeOptions, Served};
use grail_validator::Outcome;

use crate::network::Running;
use crate::world;

/// The release that this protocol is of.
const RELEASE: &str = "0.0.12";
/// A Python process that loads torch takes a minute, and the reference waits for a whole window.
const PATIENCE: Duration = Duration::from_secs(600);
/// Ends well where `grail` is the reference of the release that is given, not the unrelated package of that name, and
/// torch has a GPU.
const PROBE: &str = "\
import sys, grail, torch
from importlib.metadata import version
from grail.cli import main
found = getattr(grail, '__version__', None) or version('grail')
sys.exit(0 if found == sys.argv[1] and torch.cuda.is_available() else 1)
";
/// Arguments with which Python says whether it has the reference of this release.
const REFERENCE: [&str; 3] = ["-c", PROBE, RELEASE];
const START: &str = "from grail.cli import main; main()";

/// Returns the Python in which this probe succeeds, if there is one; `modules` come before Python's own.
pub(crate) fn python(probe: &[&str], modules: Option<&Path>) -> Option<String> {
    let python = std::env::var("GRAIL_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(&python);
    command.args(probe).envs(modules.map(|modules| ("PYTHONPATH", modules)));
    command.output().is_ok_and(|output| output.status.success()).then_some(python)
}

/// A served world whose processes compute on a GPU with the toy model, as a folder that either side can load.
struct Scene {
    served: Served,
    folder: tempfile::TempDir,
    python: String,
}

impl Scene {
    /// None, with a notice, without the reference.
    fn start() -> Option<Self> {
        let Some(python) = python(&REFERENCE, None) else {
            eprintln!("skipped: no Python with grail {RELEASE} and a GPU; name one in GRAIL_TEST_PYTHON");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        write_model(&folder.path().join("model"));
        let options = ServeOptions {
            block_ms: 1_000,
            miners: 2,
            validators: 1,
            device: "cuda",
            ..ServeOptions::new(folder.path().join("world"))
        };
        Some(Self { served: Served::start(&options).unwrap(), folder, python })
    }

    fn world_folder(&self) -> &Path {
        self.served.env_file().parent().unwrap()
    }

    /// Writes the configuration of a member where both sides read it; a validator of the reference needs a bucket, and
    /// gets that of `bucket_of`. Returns the folder.
    fn configure(&self, member: &Member, bucket_of: &Member) -> PathBuf {
        let of =
            |member: &Member| fs::read_to_string(self.world_folder().join(format!("{}.env", member.name))).unwrap();
        let endpoint = &self.served.world().chain_endpoints()[0];
        let model = self.folder.path().join("model");
        let own = of(member);
        let lines = own.lines().map(|line| match line.split_once('=').map_or("", |(name, _)| name) {
            "GRAIL_MODEL_NAME" => format!("GRAIL_MODEL_NAME={}", model.display()),
            // The reference knows one endpoint.
            "BT_CHAIN_ENDPOINT" => format!("BT_CHAIN_ENDPOINT={endpoint}"),
            _ => line.to_owned(),
        });
        let bucket = of(bucket_of);
        let is_missing = |line: &&str| line.starts_with("R2_") && !own.contains(*line);
        let lines: Vec<String> = lines.chain(bucket.lines().filter(is_missing).map(str::to_owned)).collect();
        let folder = self.folder.path().join(&member.name);
        fs::create_dir_all(folder.join(".bittensor")).unwrap();
        fs::write(folder.join(".env"), lines.join("\n") + "\n").unwrap();
        std::os::unix::fs::symlink(self.world_folder().join("wallets"), folder.join(".bittensor/wallets")).unwrap();
        folder
    }

    /// Starts a role of the reference in a folder with its configuration.
    fn reference(&self, role: &str, folder: &Path) -> Running {
        let mut command = Command::new(&self.python);
        command.args(["-c", START, role, "--no-drand"]).env("HOME", folder);
        running(command, folder)
    }

    fn ours(&self, role: &str, arguments: &[&str], folder: &Path) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
        command.args([role, "--no-drand", "--device", "cuda", "--data-dir", "data"]).args(arguments);
        running(command, folder)
    }
}

/// Starts a process in a folder, which gets its log.
fn running(mut command: Command, folder: &Path) -> Running {
    let log = fs::File::create(folder.join("log")).unwrap();
    let command = command.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Running(command.spawn().unwrap())
}

fn write_model(folder: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/model");
    fs::create_dir(folder).unwrap();
    for name in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    let packed = fs::read(source.join("model.safetensors.zst")).unwrap();
    fs::write(folder.join("model.safetensors"), zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
}

/// Waits, and shows both logs if it was in vain.
fn wait(what: &str, folders: [&Path; 2], is_reached: impl Fn() -> bool) {
    let logs = || folders.map(|folder| fs::read_to_string(folder.join("log")).unwrap_or_default()).join("\n\n");
    world::wait(200, PATIENCE, || is_reached().then_some(()), || format!("{what}\n{}", logs()));
}

#[test]
fn the_references_validator_gives_our_miner_weight() {
    let Some(scene) = Scene::start() else { return };
    let [miner, other, validator] = &scene.served.world().members[..] else { panic!("three members were asked for") };
    let (mines, judges) = (scene.configure(miner, miner), scene.configure(validator, other));
    let _miner = scene.ours("mine", &["--groups-max", "2"], &mines);
    let _validator = scene.reference("validate", &judges);
    let state = || scene.served.world().chain.state();
    wait("the reference gives our miner no weight", [&mines, &judges], || {
        let weights = state().weights(PROTOCOL.netuid, validator.uid).unwrap_or_default();
        weights.iter().any(|(uid, weight)| *uid == miner.uid && *weight > 0)
    });
}

#[test]
fn our_validator_accepts_the_references_miner() {
    let Some(scene) = Scene::start() else { return };
    let [miner, _, validator] = &scene.served.world().members[..] else { panic!("three members were asked for") };
    let (mines, judges) = (scene.configure(miner, miner), scene.configure(validator, validator));
    let _miner = scene.reference("mine", &mines);
    let _validator = scene.ours("validate", &["--weights-blocks", "30"], &judges);
    let hotkey = miner.hotkey().to_ss58();
    wait("our validator judges no file of the reference", [&mines, &judges], || {
        let verdicts = Verdicts::read(&judges.join("data")).unwrap();
        let receipts = verdicts.receipts.values().filter(|receipt| receipt.hotkey == hotkey);
        receipts.clone().for_each(|receipt| assert_ne!(receipt.outcome, Outcome::Rejected, "{receipt:?}"));
        receipts.clone().any(|receipt| receipt.outcome == Outcome::Accepted)
    });
}

#[test]
fn only_the_reference_of_this_release_with_a_gpu_is_taken() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no python3");
        return;
    }
    let (release, older) = (format!("__version__ = '{RELEASE}'"), "__version__ = '0.0.11'");
    let main = "def main(): pass";
    for (module, cli, has_gpu, is_taken) in [
        (&*release, main, true, true),
        (older, main, true, false),
        (&*release, main, false, false),
        // As the unrelated package that has the name on the package index.
        ("", "", true, false),
    ] {
        let modules = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(modules.path().join(name), text).unwrap();
        fs::create_dir(modules.path().join("grail")).unwrap();
        write("grail/__init__.py", module);
        write("grail/cli.py", cli);
        let answer = if has_gpu { "True" } else { "False" };
        write("torch.py", &format!("class cuda:\n    is_available = staticmethod(lambda: {answer})\n"));
        assert_eq!(python(&REFERENCE, Some(modules.path())).is_some(), is_taken, "{module} {has_gpu}");
    }
}
