//! `grail verify`.

use std::path::Path;

use anyhow::{Context, bail};
use grail_protocol::generation::ModelLimits;
use grail_protocol::hexadecimal::randomness_bytes;
use grail_protocol::python_json::Value;
use grail_protocol::randomness::challenge_randomness;
use grail_protocol::signature::Hotkey;
use grail_protocol::window_file::{UNPACKED_BYTES_MAX, unpack};
use grail_verify::{Scope, Verdict, WindowFacts};
use serde_json::json;

use crate::args::VerifyArguments;
use crate::exit::{Exit, ExitError};
use grail_folder::bounded;
use grail_observe::contract::Schema;
use grail_operator::judge::{Judging, judge, render};
use grail_terminal::{output, printable_start};

/// `0x` and 64 digits, and a little more so that a longer text is visibly longer.
const HASH_CHARS: usize = 70;

pub(super) fn run(arguments: &VerifyArguments) -> anyhow::Result<Exit> {
    let document = read(&arguments.file)?;
    let scope = if arguments.all { Scope::Everything } else { Scope::Validator };
    let judging = Judging { device: arguments.device, model: &arguments.model, numerics: arguments.numerics };
    let report = judge(&judging.model()?, &document, scope, |limits| facts(arguments, &document, limits))?;
    let other_hash = render::other_hash(&report, &document);
    if arguments.json {
        let mut object = render::json(&report, scope);
        if let Some(in_file) = other_hash {
            object["block_hash"] = json!({ "in_file": in_file, "given": arguments.block_hash });
        }
        output::line(Schema::Verify.stamp(object));
    } else {
        render::lines(&report, &document, scope).iter().for_each(output::line);
        if let Some(in_file) = other_hash {
            let in_file = printable_start(&in_file, HASH_CHARS);
            output::line(format!(
                "block hash in the file: {in_file}\nblock hash given:       {}",
                arguments.block_hash
            ));
        }
    }
    Ok(match report.verdict {
        Verdict::Accepted { .. } => Exit::Success,
        Verdict::Rejected { .. } => Exit::Negative,
        Verdict::Ignored(_) | Verdict::GaveUp(_) => Exit::Usage,
    })
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let shown = path.display();
    let unreadable = |error| {
        ExitError::new(Exit::of_file(&error), format!("cannot read {shown} ({error}); give the path of a window file"))
    };
    let bytes = bounded::read(path, UNPACKED_BYTES_MAX).map_err(unreadable)?;
    unpack(&bytes).with_context(|| format!("{shown} is not a window file"))
}

fn facts(arguments: &VerifyArguments, document: &Value, limits: ModelLimits) -> anyhow::Result<WindowFacts> {
    let Value::Object(fields) = document else {
        bail!("the file holds {}; a window file is a JSON object with wallet and inferences", document.type_name());
    };
    let block_hash = arguments.block_hash.clone();
    let digits = block_hash.strip_prefix("0x").unwrap_or("");
    if digits.len() != 64 || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        bail!(
            "--block-hash {block_hash:?} is not a block hash; give 0x and 64 lower-case hex digits as the chain shows it"
        );
    }
    let (hotkey, origin) = match (&arguments.hotkey, fields.get("wallet").and_then(Value::as_text)) {
        (Some(given), _) => (given.clone(), "--hotkey"),
        (None, Some(wallet)) => (wallet.to_owned(), "the file's wallet"),
        (None, None) => bail!("the file names no wallet; say whose file it should be with --hotkey"),
    };
    let validator_hotkey = arguments.validator.clone().unwrap_or_else(|| hotkey.clone());
    for (address, origin) in [(&hotkey, origin), (&validator_hotkey, "--validator")] {
        Hotkey::from_ss58(address).with_context(|| origin.to_owned())?;
    }
    let randomness = arguments.randomness.clone().unwrap_or_else(|| challenge_randomness(&block_hash, None));
    randomness_bytes(&randomness).with_context(|| format!("--randomness {randomness:?}"))?;
    let window = fields.get("window_start").and_then(Value::as_integral).and_then(|start| u64::try_from(start).ok());
    let Some(window_start) = window else {
        bail!("the file's window_start is missing or no block number; write the window's first block");
    };
    let challenge_randomness = randomness;
    Ok(WindowFacts { hotkey, validator_hotkey, window_start, block_hash, challenge_randomness, limits })
}
