//! Resources of the miner's process and folder, from `/proc`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// How much more than before the last quarter may take.
const RESIDENT_SLACK_BYTES: f64 = 4.0 * 1024.0 * 1024.0;
const OTHER_FILES_SLACK_BYTES: f64 = 1024.0 * 1024.0;

/// One sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    seconds: f64,
    resident_bytes: f64,
    descriptors: f64,
    threads: f64,
    /// Tapes and receipts grow with events, up to their own limits.
    record_bytes: f64,
    /// Journal, ledger and everything else.
    other_bytes: f64,
}

impl Sample {
    /// Returns the process and its data folder now.
    ///
    /// # Errors
    /// If `/proc` has no figures, as on systems other than Linux.
    pub(super) fn take(elapsed: Duration, process: u32, data: &Path) -> anyhow::Result<Self> {
        let proc = Path::new("/proc").join(process.to_string());
        let status = fs::read_to_string(proc.join("status")).context("this is measured on Linux, by /proc")?;
        let reported = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        let (records, other) = bytes_in(data);
        Ok(Self {
            seconds: elapsed.as_secs_f64(),
            resident_bytes: 1024.0 * reported("VmRSS:").context("/proc tells no resident memory")?,
            descriptors: fs::read_dir(proc.join("fd"))?.count() as f64,
            threads: reported("Threads:").context("/proc shows no threads")?,
            record_bytes: records as f64,
            other_bytes: other as f64,
        })
    }
}

/// Returns bytes of tapes and receipts, and of everything else.
fn bytes_in(folder: &Path) -> (u64, u64) {
    let mut sums = (0, 0);
    // A file may go while the folder is read.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let name = entry.file_name();
        if metadata.is_dir() {
            let (records, other) = bytes_in(&entry.path());
            let is_record = name == "tapes";
            sums.0 += records + if is_record { other } else { 0 };
            sums.1 += if is_record { 0 } else { other };
        } else if name.to_string_lossy().contains("receipts") {
            sums.0 += metadata.len();
        } else {
            sums.1 += metadata.len();
        }
    }
    sums
}

/// Returns how long the threads of a process were ready to run and had no processor, since they started, in seconds.
pub(super) fn waited_seconds(process: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let waited = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<f64>().ok()
    });
    waited.sum::<f64>() / 1e9
}

/// Returns the middle one; not a number if there is none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One figure of a sample.
type Figure = fn(&Sample) -> f64;

/// All samples, in order.
#[derive(Default)]
pub(super) struct Samples(pub(super) Vec<Sample>);

impl Samples {
    /// Returns the median of a quarter, 0 to 3.
    fn quarter(&self, number: usize, of: Figure) -> f64 {
        let (from, until) = (self.0.len() * number / 4, self.0.len() * (number + 1) / 4);
        median(self.0[from..until].iter().map(of))
    }

    /// Returns whether the last quarter takes more than the second; in the first, caches fill.
    pub(super) fn has_grown(&self) -> bool {
        let more = |of: Figure, slack: f64| self.quarter(3, of) > self.quarter(1, of) * 1.05 + slack;
        more(|sample| sample.resident_bytes, RESIDENT_SLACK_BYTES)
            || more(|sample| sample.descriptors, 1.0)
            || more(|sample| sample.threads, 1.0)
            || more(|sample| sample.other_bytes, OTHER_FILES_SLACK_BYTES)
    }

    pub(super) fn csv(&self) -> String {
        let mut text = "seconds,resident_bytes,descriptors,threads,tapes_and_receipts_bytes,other_bytes\n".to_owned();
        for Sample { seconds, resident_bytes, descriptors, threads, record_bytes, other_bytes } in &self.0 {
            let _ =
                writeln!(text, "{seconds:.1},{resident_bytes},{descriptors},{threads},{record_bytes},{other_bytes}");
        }
        text
    }

    pub(super) fn summary(&self) -> String {
        let mut text = "median of each quarter of the run, and the most:\n".to_owned();
        let rows: [(&str, Figure); 5] = [
            ("resident MB", |sample| sample.resident_bytes / 1e6),
            ("open descriptors", |sample| sample.descriptors),
            ("threads", |sample| sample.threads),
            ("tapes and receipts MB", |sample| sample.record_bytes / 1e6),
            ("other files MB", |sample| sample.other_bytes / 1e6),
        ];
        for (name, of) in rows {
            let quarters: Vec<_> = (0..4).map(|number| format!("{:8.2}", self.quarter(number, of))).collect();
            let most = self.0.iter().map(of).fold(f64::NAN, f64::max);
            let _ = writeln!(text, "{name:<22}{} {most:8.2}", quarters.join(" "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(resident: impl Fn(f64) -> f64, descriptors: impl Fn(f64) -> f64) -> Samples {
        let sample = |number: u32| {
            let part = f64::from(number) / 100.0;
            Sample {
                seconds: part,
                resident_bytes: resident(part),
                descriptors: descriptors(part),
                threads: 5.0,
                record_bytes: 1e9 * part,
                other_bytes: 1e5,
            }
        };
        Samples((0..100).map(sample).collect())
    }

    #[test]
    fn growth_is_what_lasts_after_the_first_quarter() {
        let warm = |part: f64| if part < 0.2 { 1e7 } else { 1e8 };
        assert!(!samples(warm, |_| 30.0).has_grown());
        assert!(samples(|part| 1e8 + 5e7 * part, |_| 30.0).has_grown());
        assert!(samples(warm, |part| 30.0 + 20.0 * part).has_grown());
    }

    #[test]
    fn this_process_is_measured() {
        let folder = std::env::temp_dir().join(format!("xtask-endurance-{}", std::process::id()));
        fs::create_dir_all(folder.join("tapes")).unwrap();
        fs::write(folder.join("tapes/a.tape"), [0; 70]).unwrap();
        fs::write(folder.join("receipts.jsonl"), [0; 7]).unwrap();
        fs::write(folder.join("journal"), [0; 3]).unwrap();
        let held: Vec<u8> = vec![1; 64 << 20];
        let sample = Sample::take(Duration::ZERO, std::process::id(), &folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!((sample.record_bytes, sample.other_bytes), (77.0, 3.0));
        assert!(sample.resident_bytes > held.len() as f64 && sample.descriptors >= 3.0 && sample.threads >= 1.0);
    }
}
