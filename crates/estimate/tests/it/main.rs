//! The estimate against arithmetic, and what must follow from its rules.

use grail_estimate::{Estimate, Gpu, GpuError};
use grail_miner::policy::UploadPolicy;
use grail_sim::speeds::EngineSpeed;

fn estimate(gpu: &str) -> Estimate {
    let gpu = Gpu::parse(gpu).expect("a GPU");
    Estimate { seed: 1, windows: 60, rivals: 40, gpu, safety_blocks: 1, policy: UploadPolicy::Score }
}

#[test]
fn groups_are_as_many_as_fit_by_plain_division() {
    for preset in EngineSpeed::gpus() {
        let estimate = estimate(&format!("gpu={}", preset.name));
        let expected = (360_000.0 - 12_000.0 - 1_500.0) / estimate.gpu.group_ms();
        let mean = estimate.outcome().groups_mean();
        // Groups that are drawn and not proved when the window ends are lost.
        assert!((0.92..1.01).contains(&(mean / expected)), "{}: {mean} and {expected}", preset.name);
    }
}

#[test]
fn the_weights_of_all_miners_add_up_to_their_fifth() {
    let alone = Estimate { rivals: 0, ..estimate("h200") }.outcome();
    assert!((alone.weight_mean() - 0.2).abs() < 1e-9);
    assert_eq!(alone.place, 1);
}

#[test]
fn speed_is_worth_more_than_its_share() {
    let report = estimate("h100").report();
    let weight = |at: usize| report.speeds[at].outcome.weight_mean();
    // Score is the fourth power of what was counted; the field itself grows with us, so a little less than that.
    assert!(weight(4) / weight(0) > 3.0_f64.powi(3), "{} and {}", weight(4), weight(0));
    assert!(report.speeds.windows(2).all(|pair| pair[0].outcome.weight_mean() < pair[1].outcome.weight_mean()));
    assert_eq!(report.plain, report.speeds[2].outcome);
}

#[test]
fn below_sixty_groups_the_score_policy_is_worth_more_than_all() {
    let slow = estimate("tokens_per_s=800,proof_ms=5");
    let report = slow.report();
    let [score, all] = &report.policies[..] else { panic!("two policies") };
    // About twenty: two of them are checked if all are sent, and five if five are sent.
    assert!((15..30).contains(&score.outcome.groups_quantile(1.0)));
    assert!(score.outcome.weight_mean() > 10.0 * all.outcome.weight_mean());
}

#[test]
fn a_longer_margin_costs_groups_and_no_files() {
    let report = Estimate { windows: 400, rivals: 0, ..estimate("a100") }.report();
    let [first, .., last] = &report.safety[..] else { panic!("five margins") };
    assert!(first.outcome.groups_mean() > last.outcome.groups_mean());
    assert!(first.outcome.last_file_share <= last.outcome.last_file_share);
    assert!(first.outcome.clean_share > 0.95);
}

#[test]
fn one_seed_gives_one_report_and_another_seed_another() {
    let report = |seed| Estimate { seed, windows: 20, ..estimate("a100") }.report();
    assert_eq!(report(3), report(3));
    assert_ne!(report(3), report(4));
}

#[test]
fn gpus_are_read_and_mistakes_named() {
    let stated = Gpu::parse("gpu=a100,tokens_per_s=7000,solved=0.25").unwrap();
    assert_eq!((stated.tokens_per_s, stated.proof_ms, stated.solved), (7000.0, 0.642, 0.25));
    assert_eq!(Gpu::parse("gpu=b200"), Err(GpuError::Preset("b200".into())));
    assert_eq!(Gpu::parse("tokens_per_s=5"), Err(GpuError::Speeds));
    let wrong = Gpu::parse("gpu=a100,token_per_s=5").unwrap_err();
    assert!(wrong.to_string().contains("did you mean `tokens_per_s`?"));
    for bad in ["gpu=a100,solved=2", "gpu=a100,proof_ms=NaN", "gpu=a100,tokens_per_s=fast", "gpu=a100,proof_ms=0"] {
        assert!(matches!(Gpu::parse(bad), Err(GpuError::Value { .. })), "{bad}");
    }
}
