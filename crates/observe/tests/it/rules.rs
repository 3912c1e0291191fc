//! The watchtower's rules over random histories, against plain bookkeeping.

use std::collections::BTreeMap;

use grail_observe::{Alarm, Bounds, Facts, Notice, Tower};
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { block_ms: 12_000, disk_free_min: 2_000 };

fn facts() -> impl Strategy<Value = Facts> {
    let head_age = prop_oneof![Just(None), (0u64..240_000).prop_map(Some), Just(Some(120_000)), Just(Some(120_001))];
    let disk = prop_oneof![
        Just(None),
        (0u64..5_000).prop_map(Some),
        Just(Some(1_999)),
        Just(Some(2_000)),
        Just(Some(2_199)),
        Just(Some(2_200))
    ];
    (0u64..4, 0u64..40, head_age, any::<Option<bool>>(), disk, any::<Option<bool>>()).prop_map(
        |(windows_missed, uploads, head_age_ms, is_weighted, disk_free, is_registered)| Facts {
            windows_missed,
            uploads,
            head_age_ms,
            is_weighted,
            disk_free,
            is_registered,
        },
    )
}

/// Whether an alarm is on after this history, worked out from its beginning each time.
fn is_on(alarm: Alarm, history: &[Facts]) -> bool {
    let mut on = false;
    for (at, facts) in history.iter().enumerate() {
        let now = match alarm {
            Alarm::WindowsMissed => Some(facts.windows_missed > 1),
            Alarm::ChainStale => facts.head_age_ms.map(|age| age > 120_000),
            Alarm::Excluded => facts.is_weighted.map(|weighted| {
                let was = history[..=at].iter().any(|facts| facts.is_weighted == Some(true));
                !weighted && (was || facts.uploads >= 24)
            }),
            // Between the bounds it stays as it is.
            Alarm::DiskNearlyFull => match facts.disk_free {
                Some(free) if free < 2_000 => Some(true),
                Some(free) if free >= 2_200 => Some(false),
                _ => None,
            },
            Alarm::RegistrationLost => facts.is_registered.map(|registered| !registered),
        };
        on = now.unwrap_or(on);
    }
    on
}

proptest! {
    #[test]
    fn each_alarm_is_told_once_when_it_begins_and_once_when_it_is_over(history in prop::collection::vec(facts(), 1..40)) {
        let mut tower = Tower::new(BOUNDS);
        let mut began: BTreeMap<Alarm, u64> = BTreeMap::new();
        for (at, facts) in history.iter().enumerate() {
            let now_ms = 1_000 * at as u64;
            let notices = tower.look(now_ms, facts);
            for Notice { alarm, over_after_ms } in &notices {
                match over_after_ms {
                    None => prop_assert_eq!(began.insert(*alarm, now_ms), None, "told twice"),
                    Some(after) => prop_assert_eq!(began.remove(alarm).map(|since| now_ms - since), Some(*after)),
                }
            }
            for alarm in Alarm::ALL {
                prop_assert_eq!(began.contains_key(&alarm), is_on(alarm, &history[..=at]), "{:?} at {}", alarm, at);
            }
            prop_assert_eq!(tower.look(now_ms, facts), Vec::new(), "nothing is new in the same facts");
        }
    }
}

#[test]
fn what_is_told_says_what_to_do() {
    for alarm in Alarm::ALL {
        let began = Notice { alarm, over_after_ms: None }.to_string();
        let over = Notice { alarm, over_after_ms: Some(600_000) }.to_string();
        assert!(began.starts_with("ALERT: ") && began.contains(';') | began.contains(','), "{began}");
        assert!(over.starts_with("over: ") && over.ends_with("(after 10 min)"), "{over}");
    }
}
