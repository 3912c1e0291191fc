//! Shrinking: makes a failing world as small as possible while it still fails.

use crate::case::{Case, Speed};
use crate::config::Knobs;
use crate::faults::{Fault, FaultKind};

/// Returns the key of a failure's kind: the first violation without its numbers and digests.
pub fn failure_key(violation: &str) -> String {
    const LENGTH_MAX: usize = 72;
    let changes = |word: &str| word.bytes().any(|byte| byte.is_ascii_digit());
    let words = violation.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric());
    let key = words.map(|word| {
        let text = word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
        if changes(text) { format!("#{}", &word[text.len()..]) } else { word.to_owned() }
    });
    key.collect::<String>().chars().take(LENGTH_MAX).collect()
}

/// A world that can be made smaller.
pub trait Shrinkable: Clone + PartialEq + 'static {
    /// Each makes one setting plain.
    const SIMPLER: &'static [fn(&mut Self)];

    /// What goes wrong in it.
    fn faults(&mut self) -> &mut Vec<Fault>;
}

impl Shrinkable for Case {
    const SIMPLER: &'static [fn(&mut Self)] = &[
        |case| case.knobs.crash_at_step = None,
        |case| case.knobs.validators = Knobs::default().validators,
        |case| case.knobs.clock = Knobs::default().clock,
        |case| case.knobs.safety_blocks = Knobs::default().safety_blocks,
        |case| case.knobs.early_upload_ms = Knobs::default().early_upload_ms,
        |case| case.knobs.reorganisation_blocks_max = Knobs::default().reorganisation_blocks_max,
        |case| case.groups_max = 1,
        |case| case.policy = Default::default(),
        |case| case.use_drand = true,
        |case| case.windows = (case.windows - 1).max(1),
        |case| case.speed = Speed { groups_in_flight: 1, tokens_per_s: 400, proof_us_per_token: 100 },
    ];

    fn faults(&mut self) -> &mut Vec<Fault> {
        &mut self.faults
    }
}

/// Returns the smallest case that still `fails`, after at most `tries_max` tries.
pub fn shrink<W: Shrinkable>(case: &W, tries_max: usize, fails: &mut dyn FnMut(&W) -> bool) -> W {
    let mut shrinker = Shrinker { best: case.clone(), tries_left: tries_max, fails };
    loop {
        let before = shrinker.best.clone();
        shrinker.drop_faults();
        shrinker.simplify_settings();
        shrinker.soften_faults();
        if shrinker.best == before || shrinker.tries_left == 0 {
            return shrinker.best;
        }
    }
}

struct Shrinker<'a, W> {
    best: W,
    tries_left: usize,
    fails: &'a mut dyn FnMut(&W) -> bool,
}

impl<W: Shrinkable> Shrinker<'_, W> {
    /// Takes a simpler case if it still fails.
    fn offer(&mut self, case: W) -> bool {
        if case == self.best || self.tries_left == 0 {
            return false;
        }
        self.tries_left -= 1;
        let fails = (self.fails)(&case);
        if fails {
            self.best = case;
        }
        fails
    }

    /// Leaves out runs of faults, long ones first.
    fn drop_faults(&mut self) {
        let mut length = self.best.faults().len();
        while length > 0 {
            let mut at = 0;
            while at < self.best.faults().len() {
                let mut case = self.best.clone();
                let end = (at + length).min(case.faults().len());
                case.faults().drain(at..end);
                if !self.offer(case) {
                    at += length;
                }
            }
            length /= 2;
        }
    }

    fn simplify_settings(&mut self) {
        for simplify in W::SIMPLER {
            let mut case = self.best.clone();
            simplify(&mut case);
            self.offer(case);
        }
    }

    /// Shorter and weaker faults.
    fn soften_faults(&mut self) {
        let softer: [fn(&mut Fault); 2] = [
            |fault| fault.until_ms = fault.from_ms + (fault.until_ms - fault.from_ms) / 2,
            |fault| fault.strength = (fault.strength / 2).max(1),
        ];
        for at in 0..self.best.faults().len() {
            for soften in softer {
                let mut case = self.best.clone();
                let fault = &mut case.faults()[at];
                soften(fault);
                // A fault without duration is none, unless it strikes with a block.
                if fault.until_ms > fault.from_ms || fault.kind == FaultKind::Reorganisation {
                    self.offer(case);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_removes_irrelevant_faults_and_keeps_relevant_ones() {
        let case =
            (0..).map(|seed| Case::drawn(seed, 3)).find(|case| case.faults.len() > 5).expect("some seed has six");
        let needed = case.faults[3].kind;
        let mut fails = |case: &Case| case.faults.iter().any(|fault| fault.kind == needed) && case.groups_max > 0;
        let shrunk = shrink(&case, 500, &mut fails);
        assert!(shrunk.faults.iter().all(|fault| fault.kind == needed) && shrunk.faults.len() == 1, "{shrunk:?}");
        assert_eq!((shrunk.knobs, shrunk.windows, shrunk.groups_max), (Knobs::default(), 1, 1));
    }

    #[test]
    fn it_stops_after_its_tries() {
        let mut tries = 0;
        let mut fails = |_: &Case| {
            tries += 1;
            false
        };
        shrink(&Case::drawn(1, 3), 7, &mut fails);
        assert!(tries <= 7);
    }

    #[test]
    fn a_key_has_no_numbers() {
        assert_eq!(failure_key("safety: 12 of 345 (at 6 ms)"), failure_key("safety: 9 of 1 (at 77777 ms)"));
        assert_ne!(failure_key("safety: a"), failure_key("liveness: a"));
    }
}
