//! Distance of our clock from the relevant clocks: it chooses the beacon's rounds and signs requests.

use super::check::Check;

/// Starts the codes of these checks.
pub(super) const PREFIX: &str = "clock.";
/// Network and rounding account for this much.
const OFFSET_MS_MAX: i64 = 2_000;
/// From here on rounds of the beacon are missed, and before long signatures are refused.
const OFFSET_MS_FAILURE: i64 = 30_000;
pub(super) const REMEDY: &str = "set the host's clock by NTP, for example with `timedatectl set-ntp true`";

/// Judges by how much another clock is ahead of ours.
pub(super) fn check(code: &'static str, offset_ms: i64) -> Check {
    let value = format!("our clock is {}", worded(offset_ms));
    match offset_ms.abs() {
        apart if apart <= OFFSET_MS_MAX => Check::ok(code, value),
        apart if apart <= OFFSET_MS_FAILURE => Check::warning(code, value, REMEDY),
        _ => Check::failure(code, value, REMEDY),
    }
}

/// Judges by the newest block, which is `age_ms` old by our clock. Blocks come when they come, so only one from our
/// future proves our clock wrong.
pub(super) fn check_by_block(code: &'static str, age_ms: i64) -> Check {
    match age_ms < 0 {
        true => check(code, -age_ms),
        false => Check::ok(code, "our clock is not behind the newest block"),
    }
}

fn worded(offset_ms: i64) -> String {
    let seconds = offset_ms.unsigned_abs() as f64 / 1000.0;
    match offset_ms {
        ..=-1_000 => format!("{seconds:.1} s ahead"),
        1_000.. => format!("{seconds:.1} s behind"),
        _ => "right to a second".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckStatus;
    use super::*;

    #[test]
    fn both_directions_are_judged_alike() {
        for (offset_ms, status, value) in [
            (0, CheckStatus::Ok, "right to a second"),
            (-1_500, CheckStatus::Ok, "1.5 s ahead"),
            (2_001, CheckStatus::Warning, "2.0 s behind"),
            (-30_000, CheckStatus::Warning, "30.0 s ahead"),
            (3_600_000, CheckStatus::Failure, "3600.0 s behind"),
            (i64::MIN + 1, CheckStatus::Failure, "s ahead"),
        ] {
            let check = check("clock.x", offset_ms);
            assert_eq!(check.status, status, "{offset_ms}");
            assert!(check.value.ends_with(value), "{offset_ms}: {}", check.value);
            assert_eq!(check.remedy.is_some(), status != CheckStatus::Ok);
        }
    }

    #[test]
    fn an_old_block_says_nothing_of_the_clock() {
        assert_eq!(check_by_block("clock.chain", 500_000).status, CheckStatus::Ok);
        assert_eq!(check_by_block("clock.chain", -5_000).status, CheckStatus::Warning);
    }
}
