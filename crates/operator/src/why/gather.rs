//! Gathers every finding independently.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use grail_miner::ports::{Bucket, Chain, ChainError, JournalRecord};
use grail_protocol::PROTOCOL;
use grail_protocol::constants::window_start;
use grail_protocol::generation::ModelLimits;
use grail_protocol::python_json::Value;
use grail_protocol::randomness::challenge_randomness;
use grail_protocol::signature::Hotkey;
use grail_protocol::window_file::{object_key, unpack_object};
use grail_verify::score::ROLLING_WINDOWS;
use grail_verify::{Report, Verdict, WindowFacts};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{
    Cause, Conclusion, Cost, Exclusion, Finding, Income, JournalFacts, ObjectFacts, Receipt, VerdictFacts, WeightFacts,
    Why, of_hotkey, receipts,
};
use crate::weights::{readings, unsigned};
use grail_journal::records_of;
use grail_live::chain::{SetWeights, SubtensorChain};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sources of the findings.
pub struct Sources<'a> {
    /// The miner's data folder.
    pub data_folder: &'a Path,
    /// Address of the hotkey; none if nothing in the data folder names one.
    pub hotkey: Option<&'a str>,
    /// The bucket and the chain, or why there are none.
    pub ports: anyhow::Result<(Rc<dyn Bucket>, SubtensorChain)>,
    /// Judges a window file before a validator's rules.
    pub judge: &'a JudgeFile<'a>,
    /// Returns a window's story, from its tape.
    pub story: &'a dyn Fn(u64) -> anyhow::Result<Vec<Cause>>,
}

/// Judges a window file; the second argument returns a validator's facts, given the model's limits.
pub type JudgeFile<'a> = dyn Fn(&Value, &FactsOf<'_>) -> anyhow::Result<Report> + 'a;
/// Returns a validator's facts about a window, given the model's limits.
pub type FactsOf<'a> = dyn Fn(ModelLimits) -> anyhow::Result<WindowFacts> + 'a;

/// Facts from the chain.
struct ChainFacts {
    head: Result<u64, ChainError>,
    block_hash: Result<Option<String>, ChainError>,
    weights: Result<Option<SetWeights>, ChainError>,
}

/// Finds out everything about a window.
pub async fn gather(window: u64, sources: &Sources<'_>) -> Why {
    let read = receipts(sources.data_folder).map(|all| of_hotkey(all, sources.hotkey));
    let income = Income::of(read.as_deref().unwrap_or_default(), window);
    let receipt: Finding<Receipt> = read.and_then(|all| last_receipt(all, sources.data_folder, window)).into();
    let hotkey: Finding<String> = hotkey(sources).into();
    let address = hotkey.value().map(String::as_str);
    let journal: Finding<JournalFacts> = journal(sources.data_folder, address, window).into();
    let (object, chain) = tokio::join!(
        object(sources, address, window),
        facts_of(sources.ports.as_ref().map(|(_, chain)| chain), address, window)
    );
    let verdict = match (&object, address) {
        (Ok(Some(bytes)), Some(address)) => {
            verdict(bytes, address, window, chain.as_ref().ok(), sources).map_err(|error| format!("{error:#}")).into()
        }
        (Ok(None), _) => Finding::unknown("there is no object to judge"),
        (Err(why), _) => Finding::unknown(format!("the object cannot be read: {why}")),
        (_, None) => Finding::unknown("it is not known whose window it is"),
    };
    let object =
        object.map(|bytes| object_facts(address.unwrap_or_default(), window, bytes.as_deref(), receipt.value()));
    let weight: Finding<WeightFacts> = match &chain {
        Ok(chain) => weight(chain).into(),
        Err(why) => Finding::unknown(why),
    };
    let exclusion = match (&verdict, &chain) {
        (Finding::Known { value }, Ok(ChainFacts { head: Ok(head), .. })) => {
            Finding::Known { value: exclusion(value.outcome == "rejected", window, *head) }
        }
        (Finding::Unknown { .. }, _) => Finding::unknown("it follows from the verdict, which is unknown"),
        (_, Ok(ChainFacts { head: Err(why), .. })) => Finding::unknown(why),
        (_, Err(why)) => Finding::unknown(why),
    };
    let object: Finding<ObjectFacts> = object.into();
    let conclusion = Conclusion::of(window, &receipt, &journal, &object, &verdict);
    let causes = (sources.story)(window).map_err(|error| format!("{error:#}")).into();
    let cost = Cost::of(conclusion.kind, window, &readings(sources.data_folder));
    let income = income.ok_or("no window of this machine had a clean group, or this one has no receipt").into();
    Why { window, hotkey, receipt, journal, object, verdict, weight, exclusion, causes, cost, income, conclusion }
}

/// Returns the weights that validators have set for a hotkey by now.
pub async fn weight_now(chain: &anyhow::Result<SubtensorChain>, hotkey: Option<&str>) -> Finding<WeightFacts> {
    facts_of(chain.as_ref(), hotkey, 0).await.and_then(|chain| weight(&chain)).into()
}

fn last_receipt(receipts: Vec<Receipt>, data_folder: &Path, window: u64) -> anyhow::Result<Receipt> {
    let last = receipts.into_iter().rfind(|receipt| receipt.window == window);
    last.ok_or_else(|| anyhow!("no receipt of window {window} in {}", data_folder.display()))
}

fn hotkey(sources: &Sources<'_>) -> anyhow::Result<String> {
    let missing = || anyhow!("no miner ran in {}; name the hotkey with --hotkey", sources.data_folder.display());
    let named = sources.hotkey.ok_or_else(missing)?;
    Hotkey::from_ss58(named).context("--hotkey")?;
    Ok(named.to_owned())
}

fn journal(folder: &Path, hotkey: Option<&str>, window: u64) -> anyhow::Result<JournalFacts> {
    let hotkey = hotkey.ok_or_else(|| anyhow!("it is not known whose"))?;
    let records = records_of(folder, hotkey, window)?;
    if records.is_empty() {
        return Err(anyhow!("it no longer holds that window; it keeps only the last ones"));
    }
    let mut facts = JournalFacts::default();
    for record in records {
        match record {
            // Groups of another hash are worthless.
            JournalRecord::Window(_) => facts.groups = 0,
            JournalRecord::Group { .. } => facts.groups += 1,
            JournalRecord::UploadStarted { digest, groups, .. } => facts.started.push((digest, groups)),
            JournalRecord::UploadDone { digest, .. } => facts.done.push(digest),
            JournalRecord::UploadAbandoned { digest, why, .. } => facts.abandoned.push((digest, why)),
            JournalRecord::WindowClosed { .. } => facts.closed = true,
        }
    }
    Ok(facts)
}

async fn object(sources: &Sources<'_>, hotkey: Option<&str>, window: u64) -> anyhow::Result<Option<Vec<u8>>> {
    let (bucket, _) = sources.ports.as_ref().map_err(|error| anyhow!("{error:#}"))?;
    let hotkey = hotkey.ok_or_else(|| anyhow!("it is not known whose"))?;
    let read = timeout(PATIENCE, bucket.get(&object_key(hotkey, window))).await;
    Ok(read.map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()))??.map(|(bytes, _)| bytes))
}

fn object_facts(hotkey: &str, window: u64, bytes: Option<&[u8]>, receipt: Option<&Receipt>) -> ObjectFacts {
    let sha256 = bytes.map(|bytes| hex::encode(Sha256::digest(bytes)));
    let stated = receipt.and_then(|receipt| receipt.sha256.as_deref());
    ObjectFacts {
        key: object_key(hotkey, window),
        exists: bytes.is_some(),
        bytes: bytes.map_or(0, <[u8]>::len),
        as_receipt: stated.map(|stated| sha256.as_deref() == Some(stated)),
        sha256,
    }
}

async fn facts_of(
    chain: Result<&SubtensorChain, &anyhow::Error>,
    hotkey: Option<&str>,
    window: u64,
) -> anyhow::Result<ChainFacts> {
    let chain = chain.map_err(|error| anyhow!("{error:#}"))?;
    let hotkey = Hotkey::from_ss58(hotkey.ok_or_else(|| anyhow!("it is not known whose"))?)?;
    let late = || ChainError::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()));
    let head = timeout(PATIENCE, chain.next_head(0)).await.unwrap_or_else(|_| Err(late()));
    let block_hash = timeout(PATIENCE, chain.block_hash(window)).await.unwrap_or_else(|_| Err(late()));
    let weights = timeout(PATIENCE, chain.weights_for(hotkey)).await.unwrap_or_else(|_| Err(late()));
    Ok(ChainFacts { head: head.map(|head| head.number), block_hash, weights })
}

fn verdict(
    bytes: &[u8],
    hotkey: &str,
    window: u64,
    chain: Option<&ChainFacts>,
    sources: &Sources<'_>,
) -> anyhow::Result<VerdictFacts> {
    let chain = chain.ok_or_else(|| anyhow!("the hash of the window's first block is not known"))?;
    let block_hash = chain.block_hash.clone()?;
    let block_hash = block_hash.ok_or_else(|| anyhow!("the chain does not know block {window}"))?;
    let document = unpack_object(bytes).context("the object is not a window file")?;
    let facts = |limits| {
        anyhow::Ok(WindowFacts {
            hotkey: hotkey.to_owned(),
            validator_hotkey: hotkey.to_owned(),
            window_start: window,
            challenge_randomness: challenge_randomness(&block_hash, None),
            block_hash: block_hash.clone(),
            limits,
        })
    };
    Ok(verdict_facts(&(sources.judge)(&document, &facts)?))
}

fn verdict_facts(report: &Report) -> VerdictFacts {
    let failure = match &report.verdict {
        Verdict::Rejected { failure, .. } => {
            let place = failure.rollout.map_or_else(|| "the file".to_owned(), |at| format!("rollout {at}"));
            Some(format!("{place} fails {} ({})", failure.check, failure.reason))
        }
        Verdict::Ignored(reason) => Some(reason.to_string()),
        Verdict::GaveUp(give_up) => Some(format!("a validator gives up: {}", give_up.why)),
        Verdict::Accepted { .. } => None,
    };
    VerdictFacts {
        outcome: report.verdict.outcome().to_owned(),
        rollouts: report.rollouts.len(),
        failure,
        remedy: report.verdict.remedy().map(str::to_owned),
    }
}

fn weight(chain: &ChainFacts) -> anyhow::Result<WeightFacts> {
    match chain.weights.clone()? {
        Some(SetWeights { uid, shares, rank: _ }) => Ok(WeightFacts { uid, validators: unsigned(shares) }),
        None => Err(anyhow!("the hotkey has no uid, so there is nothing to set")),
    }
}

/// Returns for how long a rejection counts: in the sums of its window and of the eleven after it.
fn exclusion(excludes: bool, window: u64, head: u64) -> Exclusion {
    let until_block = window + ROLLING_WINDOWS * PROTOCOL.window_blocks;
    let left = until_block.saturating_sub(window_start(head)) / PROTOCOL.window_blocks;
    Exclusion { excludes, windows_left: if excludes { left } else { 0 }, until_block }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_costs_twelve_windows_and_then_nothing() {
        let left = |head| exclusion(true, 3_000_000, head).windows_left;
        assert_eq!(left(3_000_010), 12);
        assert_eq!(left(3_000_030), 11);
        assert_eq!(left(3_000_359), 1);
        assert_eq!(left(3_000_360), 0);
        assert_eq!(left(4_000_000), 0);
        assert_eq!(exclusion(false, 3_000_000, 3_000_010).windows_left, 0);
    }
}
