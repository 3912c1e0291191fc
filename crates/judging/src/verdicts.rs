//! A table of verdicts: each cheat's file is made and verified for real once, and an honest file's verdict is plain.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use grail_protocol::randomness::{challenge_randomness, window_randomness};
use grail_protocol::rollout::WindowContext;
use grail_protocol::signature::Keypair;
use grail_verify::{Metrics, Recomputed, Scope, Verdict, WindowFacts, verify_bytes};
use sha2::{Digest, Sha256};

use grail_sim::engine::Generator;
use grail_sim::rivals::{Bench, Cheat};

/// What a miner uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// With this many distinct solutions.
    Honest(usize),
    Cheat(Cheat),
}

/// Verdicts by what was uploaded.
pub struct Verdicts {
    generator: Rc<dyn Generator>,
    cheats: RefCell<BTreeMap<Cheat, Option<Verdict>>>,
}

impl Verdicts {
    /// Returns an empty table, which is filled as it is asked.
    pub fn new(generator: Rc<dyn Generator>) -> Self {
        Self { generator, cheats: RefCell::default() }
    }

    pub(crate) fn limits(&self) -> grail_protocol::generation::ModelLimits {
        self.generator.limits()
    }

    /// Returns the verdict on what was uploaded; none if it is no window file.
    pub(crate) fn of(&self, work: Work) -> Option<Verdict> {
        match work {
            Work::Honest(unique) => {
                let metrics =
                    Metrics { valid: 40, checked: 40, total: 40, estimated_valid: 40, successful: unique, unique };
                Some(Verdict::Accepted { metrics, soft_failures: 0 })
            }
            Work::Cheat(cheat) => {
                let known = self.cheats.borrow().get(&cheat).cloned();
                let verdict = known.unwrap_or_else(|| self.verify(cheat));
                self.cheats.borrow_mut().insert(cheat, verdict.clone());
                verdict
            }
        }
    }

    fn verify(&self, cheat: Cheat) -> Option<Verdict> {
        const WINDOW_START: u64 = 3_000;
        let keypair = Keypair::from_seed(&Sha256::digest("judging/cheat").into());
        let (block_hash, beacon) = (format!("0x{}", "1b".repeat(32)), "ab".repeat(32));
        let window = WindowContext {
            hotkey: keypair.hotkey(),
            window_start: WINDOW_START,
            block_hash: block_hash.clone(),
            randomness: window_randomness(&block_hash, Some(&beacon)),
            use_drand: true,
        };
        let generator = &*self.generator;
        let file = Bench { keypair: &keypair, window: &window, generator, seed: 1 }.cheat(cheat);
        let facts = WindowFacts {
            hotkey: keypair.hotkey().to_ss58(),
            validator_hotkey: "validator".to_owned(),
            window_start: WINDOW_START,
            challenge_randomness: challenge_randomness(&block_hash, Some(&beacon)),
            block_hash,
            limits: generator.limits(),
        };
        let recompute = Recomputed::new(self.generator.clone());
        verify_bytes(&file, &facts, generator.tokenizer(), &recompute, Scope::Validator).ok().map(|it| it.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grail_sim::synthetic::SyntheticModel;

    #[test]
    fn every_cheat_is_rejected_by_the_check_that_it_is_for() {
        let verdicts = Verdicts::new(Rc::new(SyntheticModel::default()));
        for cheat in Cheat::ALL {
            let verdict = verdicts.of(Work::Cheat(*cheat));
            let Some(Verdict::Rejected { failure, .. }) = &verdict else { panic!("{cheat:?}: {verdict:?}") };
            assert_eq!((failure.check, failure.reason), cheat.caught_by(), "{cheat:?}");
        }
    }
}
