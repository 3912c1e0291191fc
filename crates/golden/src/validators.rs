//! Vectors of a validator's arithmetic: probability statistics, choice of groups, weights.

use grail_protocol::python_json::Value;
use grail_verify::score::{History, WindowRecord};
use grail_verify::{distribution, sampling, score};

use super::GoldenError;
use super::case::{Case, VectorFile, list, object};
use super::report::FileReport;

/// On processors with AVX-512 numpy's power is wrong in the last bit of one value in 40. The reference's vectors are
/// from such a processor, so results of powers are compared within a few units of the last place of 1.
const POWER_TOLERANCE: f64 = 1e-14;
const FROM_POWERS: [&str; 3] = ["skew", "kurtosis", "bc"];

pub(super) fn distribution_metrics(file: &VectorFile) -> Result<FileReport, GoldenError> {
    statistics(file, POWER_TOLERANCE)
}

/// Returns the same from a numpy that takes powers from the GNU C library: equal in every bit where we do so, too.
pub(super) fn numpy_metrics(file: &VectorFile) -> Result<FileReport, GoldenError> {
    statistics(file, if cfg!(target_env = "gnu") { 0.0 } else { POWER_TOLERANCE })
}

fn statistics(file: &VectorFile, tolerance: f64) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let metrics = distribution::metrics(&case.floats("probs")?);
        let got = object([
            ("n", metrics.n.into()),
            ("mean", metrics.mean.into()),
            ("median", metrics.median.into()),
            ("q10", metrics.q10.into()),
            ("low_frac", metrics.low_frac.into()),
            ("high_frac", metrics.high_frac.into()),
            ("mid_frac", metrics.mid_frac.into()),
            ("skew", metrics.skew.into()),
            ("kurtosis", metrics.kurtosis.into()),
            ("bc", metrics.bc.into()),
        ]);
        case.compare_except("metrics", got, &FROM_POWERS, tolerance)
    })
}

pub(super) fn group_sampling(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let inferences = case.list("inferences")?;
        let (wallet, validator) = (case.text("wallet")?, case.text("validator_hotkey")?);
        let chosen = sampling::select(inferences, wallet, case.text("window_randomness")?, validator);
        let chosen = chosen.map_or_else(|gave_up| (*gave_up.exception).into(), list);
        case.compare("checked", chosen)
    })
}

pub(super) fn weights(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let history = history(case)?;
        let uids: Vec<u16> = case.ints("uids")?;
        let hotkeys = case.texts("hotkeys")?;
        let miners: Vec<(&str, u16)> = hotkeys.into_iter().zip(uids).collect();
        let weights = score::weights(&history, &miners, case.int("target_window")?);
        case.compare("weights", list(weights))
    })
}

pub(super) fn sdk_weights(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let uids: Vec<u16> = case.ints("uids")?;
        let weights: Vec<(u16, f64)> = uids.into_iter().zip(case.floats("weights")?).collect();
        let emitted = score::emitted(&weights);
        case.compare("emitted", list(emitted.into_iter().map(|(uid, value)| list([u32::from(uid), u32::from(value)]))))
    })
}

fn history(case: &mut Case) -> Result<History, GoldenError> {
    let mut history = History::new();
    for entry in case.list("metrics")? {
        let (hotkey, window, record) = record(entry).ok_or_else(|| case.unreadable("metrics", "holds no record"))?;
        history.entry(hotkey.to_owned()).or_default().insert(window, record);
    }
    Ok(history)
}

fn record(entry: &Value) -> Option<(&str, u64, WindowRecord)> {
    let number = |field: &str| entry.get(field)?.as_integral()?.try_into().ok();
    let record = WindowRecord { unique: number("unique")?, had_failure: number("had_failure")? != 0 };
    Some((entry.get("hotkey")?.as_text()?, number("window")?, record))
}
