//! The watchtower's rules over random histories, against plain bookkeeping.

use std::collections::BTreeMap;

use grail_observe::health::{HealthIssue, HealthSnapshot};
use grail_observe::{Alarm, AlertRules, Notice};
use proptest::prelude::*;

const DISK_FREE_MIN: u64 = 2_000;

/// Health, and the free space on the disk.
type HealthFacts = (HealthSnapshot, Option<u64>);

fn facts() -> impl Strategy<Value = HealthFacts> {
    let issues = prop::sample::subsequence(HealthIssue::ALL.to_vec(), 0..=3);
    let disk = prop_oneof![
        Just(None),
        (0u64..5_000).prop_map(Some),
        Just(Some(1_999)),
        Just(Some(2_000)),
        Just(Some(2_199)),
        Just(Some(2_200))
    ];
    (issues, 0u64..40, any::<Option<bool>>(), disk, any::<Option<bool>>()).prop_map(
        |(issues, uploads, is_weighted, disk_free, is_registered)| {
            (HealthSnapshot { issues, uploads, is_weighted, is_registered, ..HealthSnapshot::default() }, disk_free)
        },
    )
}

/// Returns whether an alarm is on after this history, worked out from its beginning each time.
fn is_on(alarm: Alarm, history: &[HealthFacts]) -> bool {
    let mut on = false;
    for (at, (health, disk_free)) in history.iter().enumerate() {
        let now = match alarm {
            Alarm::WindowsMissed => Some(health.issues.contains(&HealthIssue::Upload)),
            Alarm::ChainStale => Some(health.issues.contains(&HealthIssue::Chain)),
            Alarm::Excluded => health.is_weighted.map(|weighted| {
                let was = history[..=at].iter().any(|(health, _)| health.is_weighted == Some(true));
                !weighted && (was || health.uploads >= 24)
            }),
            // Between the bounds it stays as it is.
            Alarm::DiskNearlyFull => match disk_free {
                Some(free) if *free < 2_000 => Some(true),
                Some(free) if *free >= 2_200 => Some(false),
                _ => None,
            },
            Alarm::RegistrationLost => health.is_registered.map(|registered| !registered),
        };
        on = now.unwrap_or(on);
    }
    on
}

proptest! {
    #[test]
    fn each_alarm_sends_one_notice_at_its_start_and_one_at_its_end(history in prop::collection::vec(facts(), 1..40)) {
        let mut rules = AlertRules::new(DISK_FREE_MIN);
        let mut began: BTreeMap<Alarm, u64> = BTreeMap::new();
        for (at, (health, disk_free)) in history.iter().enumerate() {
            let now_ms = 1_000 * at as u64;
            let notices = rules.look(now_ms, health, *disk_free);
            for Notice { alarm, over_after_ms } in &notices {
                match over_after_ms {
                    None => prop_assert_eq!(began.insert(*alarm, now_ms), None, "reported twice"),
                    Some(after) => prop_assert_eq!(began.remove(alarm).map(|since| now_ms - since), Some(*after)),
                }
            }
            for alarm in Alarm::ALL {
                prop_assert_eq!(began.contains_key(&alarm), is_on(alarm, &history[..=at]), "{:?} at {}", alarm, at);
            }
            prop_assert_eq!(rules.look(now_ms, health, *disk_free), Vec::new(), "nothing is new in the same facts");
        }
    }
}

#[test]
fn every_notice_has_a_remedy() {
    for alarm in Alarm::ALL {
        let began = Notice { alarm, over_after_ms: None }.to_string();
        let over = Notice { alarm, over_after_ms: Some(600_000) }.to_string();
        assert!(began.starts_with("ALERT: ") && began.contains(';') | began.contains(','), "{began}");
        assert!(over.starts_with("over: ") && over.ends_with("(after 10 min)"), "{over}");
    }
}
