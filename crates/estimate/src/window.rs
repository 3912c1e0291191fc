//! One window: how many groups are clean by when, and which file reaches the bucket in time.

use grail_miner::policy::{UploadPolicy, candidates};
use grail_protocol::PROTOCOL;
use grail_sim::stream::Stream;
use grail_verify::sampling::groups_checked;

use super::Estimate;

/// From a window's first block until its hash and its beacon's round are read.
const BEGIN_MS: u64 = 1_500;
/// A block comes this much early or late.
const JITTER_MS: u64 = 900;
/// The simulated bucket's throughput, in bytes per millisecond.
const BYTES_PER_MS: f64 = 5_000.0;
/// Bytes of a token in a gzipped file.
const BYTES_PER_TOKEN: f64 = 10.0;
/// In one window of this many the bucket refuses for a while, at any time of the window.
const OUTAGE_ONE_IN: u64 = 20;
const OUTAGE_MS: (u64, u64) = (5_000, 60_000);
/// A window's file is uploaded early as well, at most once in this time.
const EARLY_UPLOAD_MS: f64 = 60_000.0;

/// The miner's groups at the end of one window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MinedWindow {
    /// Clean groups when generation ended.
    pub(super) clean: usize,
    /// Groups in the file that counts; 0 if there is none.
    pub(super) uploaded: usize,
    /// Whether that is the file of everything that was clean.
    pub(super) last_file_arrived: bool,
    /// Distinct solutions of each group.
    pub(super) solutions: Vec<usize>,
}

impl MinedWindow {
    /// Simulates a window.
    pub(super) fn live(estimate: &Estimate, window: u64) -> Self {
        let Estimate { seed, gpu, safety_blocks, policy, .. } = estimate;
        let mut chance = Stream::new(*seed, "estimate/window", window);
        let window_ms = (PROTOCOL.window_blocks * PROTOCOL.block_ms) as f64;
        let end_ms = window_ms + chance.between(0, 2 * JITTER_MS) as f64 - JITTER_MS as f64;
        let outage = outage(&mut chance, window_ms);
        let latency_ms = chance.between(100, 600) as f64;

        let mut ready_ms = Vec::new();
        let mut solutions = Vec::new();
        let mut groups = Stream::new(*seed, "estimate/groups", window);
        let mut now_ms = BEGIN_MS as f64;
        while now_ms < window_ms {
            let batch: Vec<Group> = (0..gpu.batch_groups).map(|_| Group::draw(&mut groups, estimate)).collect();
            now_ms += batch.iter().map(|group| group.drawn_tokens).sum::<f64>() * 1000.0 / gpu.tokens_per_s;
            for group in batch {
                now_ms += group.proved_tokens * gpu.proof_ms;
                ready_ms.push(now_ms);
                solutions.push(group.distinct);
            }
        }
        let upload_ms = |groups: usize| {
            let tokens =
                groups as f64 * PROTOCOL.rollouts_per_group as f64 * (gpu.prompt_tokens + gpu.completion_tokens);
            latency_ms + 2.0 * tokens * BYTES_PER_TOKEN / BYTES_PER_MS
        };
        let by = |at_ms: f64| ready_ms.partition_point(|ready| *ready <= at_ms);
        let margin_ms = (*safety_blocks * PROTOCOL.block_ms) as f64;
        // The machine keeps twice the upload's expected time, and expects it to be as large as all that is clean.
        let stop_ms = window_ms - margin_ms - 2.0 * upload_ms(choose(*policy, &solutions[..by(window_ms)]));
        let clean = by(stop_ms);
        let confirmed_ms = |begin_ms: f64, groups: usize| {
            let took_ms = upload_ms(groups);
            match outage {
                Some((from, until)) if begin_ms + took_ms > from && begin_ms < until => until + took_ms,
                _ => begin_ms + took_ms,
            }
        };
        let arrives = |begin_ms: f64| {
            let groups = choose(*policy, &solutions[..by(begin_ms)]);
            Some(groups).filter(|groups| *groups > 0 && confirmed_ms(begin_ms, *groups) <= end_ms)
        };
        let last = arrives(stop_ms);
        let earlier = || arrives(stop_ms - EARLY_UPLOAD_MS).unwrap_or(0);
        Self { clean, uploaded: last.unwrap_or_else(earlier), last_file_arrived: last.is_some(), solutions }
    }

    /// Distinct solutions among the groups that a validator draws of our file.
    pub(super) fn counted(&self, draw: &mut Stream) -> u64 {
        let mut file: Vec<usize> = self.solutions[..self.uploaded].to_vec();
        let checked = groups_checked(file.len(), file.len() * PROTOCOL.rollouts_per_group);
        let drawn = (0..checked).map(|_| file.swap_remove(draw.below(file.len() as u64) as usize));
        drawn.sum::<usize>() as u64
    }
}

/// One group as it was drawn.
struct Group {
    drawn_tokens: f64,
    proved_tokens: f64,
    distinct: usize,
}

impl Group {
    fn draw(stream: &mut Stream, estimate: &Estimate) -> Self {
        let gpu = &estimate.gpu;
        let mut group = Self { drawn_tokens: 0.0, proved_tokens: gpu.prompt_tokens, distinct: 0 };
        let mut left = PROTOCOL.rollouts_per_group;
        while left > 0 {
            // From half to one and a half times the mean.
            let tokens = (gpu.completion_tokens * (0.5 + unit(stream))).min(PROTOCOL.new_tokens_max as f64);
            group.drawn_tokens += tokens;
            group.proved_tokens += tokens;
            if unit(stream) < gpu.refused {
                group.proved_tokens += gpu.prompt_tokens;
                continue;
            }
            left -= 1;
            group.distinct += usize::from(unit(stream) < gpu.solved);
        }
        group
    }
}

fn outage(chance: &mut Stream, window_ms: f64) -> Option<(f64, f64)> {
    let (happens, share) = (chance.one_in(OUTAGE_ONE_IN), unit(chance));
    let lasts_ms = chance.between(OUTAGE_MS.0, OUTAGE_MS.1) as f64;
    happens.then_some((share * window_ms, share * window_ms + lasts_ms))
}

fn unit(stream: &mut Stream) -> f64 {
    stream.below(1 << 32) as f64 / (1u64 << 32) as f64
}

/// Returns how many groups the policy uploads; solutions of different groups count as different.
fn choose(policy: UploadPolicy, solutions: &[usize]) -> usize {
    if policy == UploadPolicy::All {
        return solutions.len();
    }
    let mut best = (0, -1.0);
    for groups in candidates(solutions.len(), PROTOCOL.rollouts_per_group) {
        let checked = groups_checked(groups, groups * PROTOCOL.rollouts_per_group);
        let expected = (solutions[..groups].iter().sum::<usize>() * checked) as f64 / groups as f64;
        if expected > best.1 + 1e-9 {
            best = (groups, expected);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::super::Gpu;
    use super::*;

    fn estimate(gpu: Gpu) -> Estimate {
        Estimate { seed: 1, windows: 1, rivals: 0, gpu, safety_blocks: 1, policy: UploadPolicy::Score }
    }

    /// NOTES.md of the CUDA engine: 3,160 to 3,170 rollouts of 330 + 400 tokens in 330 s, at the pace of whole batches. A
    /// window's end costs a part of one, which is 256 rollouts.
    #[test]
    fn the_measured_gpu_makes_what_was_measured() {
        let gpu = Gpu { refused: 0.0, ..Gpu::parse("gpu=h200").unwrap() };
        let mined = MinedWindow::live(&estimate(gpu), 0);
        let worked_ms = (PROTOCOL.window_blocks * PROTOCOL.block_ms - PROTOCOL.block_ms - BEGIN_MS) as f64;
        let rollouts = (mined.clean * PROTOCOL.rollouts_per_group) as f64 * 330_000.0 / worked_ms;
        assert!((3_160.0 - 256.0..3_170.0).contains(&rollouts), "{rollouts}");
    }

    #[test]
    fn the_choice_is_the_miners_own() {
        let mut stream = Stream::new(1, "test/choice", 0);
        for length in [0usize, 1, 4, 5, 6, 19, 30, 59, 60, 61, 75, 140] {
            let counts: Vec<usize> = (0..length).map(|_| stream.below(5) as usize).collect();
            let mut next = 0u32;
            let groups: Vec<Vec<Vec<bool>>> = counts
                .iter()
                .map(|count| {
                    let solutions = (0..*count).map(|_| {
                        next += 1;
                        (0..16).map(|bit| next >> bit & 1 == 1).collect()
                    });
                    solutions.collect()
                })
                .collect();
            let borrowed: Vec<Vec<&[bool]>> = groups.iter().map(|g| g.iter().map(Vec::as_slice).collect()).collect();
            let expected = UploadPolicy::Score.choose(&borrowed, PROTOCOL.rollouts_per_group);
            assert_eq!(choose(UploadPolicy::Score, &counts), expected, "{counts:?}");
        }
    }

    #[test]
    fn an_outage_at_the_end_costs_the_last_file_and_a_margin_saves_it() {
        let lost = |safety_blocks| {
            let varied = Estimate { safety_blocks, ..estimate(Gpu::of(8_400.0, 0.63)) };
            (0..2_000).filter(|window| !MinedWindow::live(&varied, *window).last_file_arrived).count()
        };
        let lost: Vec<usize> = (1..=5).map(lost).collect();
        assert!(lost[0] > lost[4] && lost[0] < 40, "{lost:?}");
    }
}
