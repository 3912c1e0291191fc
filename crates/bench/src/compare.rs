//! Two runs of the benchmark side by side.

use std::fmt;

use serde_json::Value;

use super::report::Measurement;

/// A number may be worse by this share before it counts: clocks and temperatures differ from run to run.
pub const TOLERANCE: f64 = 0.05;

/// One measurement of both runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The measured quantity.
    pub what: String,
    /// Its unit.
    pub unit: String,
    /// The older number.
    pub before: f64,
    /// The newer one.
    pub after: f64,
}

/// Measurements that two runs have in common.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// Measurements of both, in the newer run's order.
    pub changes: Vec<Change>,
    /// Measurements that only the older run has.
    pub gone: Vec<String>,
}

/// Why two runs cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// The file is not a run's JSON.
    #[error("no measurements in it; give --compare the last line that `grail bench --json` printed")]
    Malformed,
    /// Another GPU.
    #[error("the older run is from {before}, this one from {after}; compare runs on the same GPU")]
    Device {
        /// The older run's.
        before: String,
        /// Ours.
        after: String,
    },
}

impl Change {
    /// Share by which it is worse; negative if it is better. None if more is neither better nor worse.
    pub fn worse_by(&self) -> Option<f64> {
        let is_rate = self.unit.ends_with("/s") || self.unit == "rollouts";
        let is_time = self.unit == "ms";
        (self.before > 0.0 && (is_rate || is_time)).then(|| match is_rate {
            true => 1.0 - self.after / self.before,
            false => self.after / self.before - 1.0,
        })
    }

    /// Returns whether it is worse by more than the tolerance.
    pub fn is_regression(&self) -> bool {
        self.worse_by().is_some_and(|share| share > TOLERANCE)
    }
}

impl Comparison {
    /// Creates an older run's JSON next to a newer run of `device`.
    ///
    /// # Errors
    /// [`CompareError`].
    pub fn of(before: &Value, device: &str, after: &[Measurement]) -> Result<Self, CompareError> {
        let list = before["measurements"].as_array().ok_or(CompareError::Malformed)?;
        let named = before["device"].as_str().ok_or(CompareError::Malformed)?;
        if named != device {
            return Err(CompareError::Device { before: named.to_owned(), after: device.to_owned() });
        }
        let text = |one: &Value, name: &str| one[name].as_str().map(str::to_owned).ok_or(CompareError::Malformed);
        let mut comparison = Self::default();
        let mut older: Vec<(String, String, f64)> = Vec::new();
        for one in list {
            let value = one["value"].as_f64().ok_or(CompareError::Malformed)?;
            older.push((text(one, "what")?, text(one, "unit")?, value));
        }
        for Measurement { what, value, unit, .. } in after {
            let same = older.iter().position(|(name, of, _)| name == what && of == unit);
            if let Some(at) = same {
                // By order if a name appears more than once, as parts of a pass do for each length.
                let (what, unit, before) = older.remove(at);
                comparison.changes.push(Change { what, unit, before, after: *value });
            }
        }
        comparison.gone = older.into_iter().map(|(what, ..)| what).collect();
        Ok(comparison)
    }

    /// Returns the measurements that became worse.
    pub fn regressions(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.is_regression())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "next to the older run:")?;
        for change in &self.changes {
            let Change { what, unit, before, after } = change;
            let sign = if change.is_regression() { "WORSE" } else { "" };
            let share = change.worse_by().map_or_else(String::new, |share| format!("{:+.1} %", -share * 100.0));
            write!(f, "\n{what:<52} {before:>10.2} -> {after:>10.2} {unit:<10} {share:>8} {sign}")?;
        }
        for what in &self.gone {
            write!(f, "\n{what:<52} not measured this time")?;
        }
        Ok(())
    }
}

/// Returns the command that estimates what this GPU earns among rivals, with the best measured speeds. None if decoding
/// or a proof was not measured.
pub fn configuration(measurements: &[Measurement]) -> Option<String> {
    let best = |prefix: &'static str, unit: &'static str| {
        measurements.iter().filter(move |one| one.what.starts_with(prefix) && one.unit == unit)
    };
    let tokens_per_s = best("decode, ", "tokens/s").map(|one| one.value).reduce(f64::max)?;
    // The number of tokens is in the name: `proof, 1400 tokens: with self-check`.
    let per_token = best("proof, ", "ms").filter_map(|one| {
        let length: f64 = one.what.strip_prefix("proof, ")?.split_once(" tokens: with self-check")?.0.parse().ok()?;
        Some(one.value / length)
    });
    let proof_ms = per_token.reduce(f64::min)?;
    Some(format!(
        "grail estimate --gpu tokens_per_s={tokens_per_s:.0},proof_ms={proof_ms:.4} --windows 240 --rivals 40"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn measured(what: &str, value: f64, unit: &'static str) -> Measurement {
        Measurement { what: what.to_owned(), value, unit, limit: None, remark: String::new() }
    }

    fn before(measurements: &[(&str, f64, &str)]) -> Value {
        let list: Vec<Value> = measurements
            .iter()
            .map(|(what, value, unit)| json!({"what": what, "value": value, "unit": unit}))
            .collect();
        json!({ "device": "GPU", "cublas": 1, "measurements": list })
    }

    #[test]
    fn a_slower_rate_and_a_longer_time_are_regressions_and_noise_is_none() {
        let older = before(&[
            ("decode", 100.0, "tokens/s"),
            ("pass", 10.0, "ms"),
            ("noise", 100.0, "tokens/s"),
            ("faster", 10.0, "ms"),
            ("growth", 1.0, "MiB"),
            ("left out", 1.0, "ms"),
        ]);
        let newer = [
            measured("decode", 94.0, "tokens/s"),
            measured("pass", 10.6, "ms"),
            measured("noise", 95.5, "tokens/s"),
            measured("faster", 5.0, "ms"),
            measured("growth", 9.0, "MiB"),
            measured("new", 1.0, "ms"),
        ];
        let comparison = Comparison::of(&older, "GPU", &newer).unwrap();
        let worse: Vec<&str> = comparison.regressions().map(|change| change.what.as_str()).collect();
        assert_eq!(worse, ["decode", "pass"]);
        assert_eq!((comparison.changes.len(), comparison.gone.as_slice()), (5, &["left out".to_owned()][..]));
        let text = comparison.to_string();
        assert!(text.contains("-6.0 % WORSE") && text.contains("+50.0 %") && text.contains("not measured"), "{text}");
    }

    #[test]
    fn parts_of_the_same_name_are_matched_by_order() {
        let older = before(&[("  of it, head", 1.0, "ms"), ("  of it, head", 8.0, "ms")]);
        let newer = [measured("  of it, head", 1.0, "ms"), measured("  of it, head", 9.0, "ms")];
        let comparison = Comparison::of(&older, "GPU", &newer).unwrap();
        let pairs: Vec<(f64, f64)> = comparison.changes.iter().map(|change| (change.before, change.after)).collect();
        assert_eq!(pairs, [(1.0, 1.0), (8.0, 9.0)]);
    }

    #[test]
    fn another_gpu_and_another_file_are_refused() {
        let of = |value: &Value| Comparison::of(value, "other", &[]).unwrap_err();
        assert!(of(&before(&[])).to_string().contains("the older run is from GPU, this one from other"));
        assert_eq!(of(&json!({ "device": "other" })), CompareError::Malformed);
        assert_eq!(of(&json!([1])), CompareError::Malformed);
        let broken = json!({ "device": "other", "measurements": [{ "what": "x", "unit": "ms" }] });
        assert_eq!(of(&broken), CompareError::Malformed);
    }

    #[test]
    fn the_configuration_holds_the_best_speed_and_the_cost_of_a_proof() {
        let measurements = [
            measured("decode, 64 rollouts", 4_000.0, "tokens/s"),
            measured("decode, 512 rollouts", 30_000.0, "tokens/s"),
            measured("proof, 1000 tokens: with self-check", 50.0, "ms"),
            measured("proof, 2000 tokens: with self-check", 80.0, "ms"),
            measured("proof, 2000 tokens: hidden states", 1.0, "ms"),
        ];
        let command = configuration(&measurements).unwrap();
        assert_eq!(command, "grail estimate --gpu tokens_per_s=30000,proof_ms=0.0400 --windows 240 --rivals 40");
        // `grail estimate` reads what is printed.
        let gpu = command.split_whitespace().nth(3).unwrap();
        let gpu = grail_estimate::Gpu::parse(gpu).unwrap();
        assert!((gpu.tokens_per_s - 30_000.0).abs() < 1e-9 && (gpu.proof_ms - 0.04).abs() < 1e-9);
        assert_eq!(configuration(&measurements[..2]), None);
    }
}
