//! How far a server's clock is from ours, by the `Date` of its answers.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, header};

/// Dates are truncated to whole seconds, so half a second is missing on average.
const CUT_OFF_MS: i64 = 500;

/// The clock of one server: how far it is ahead of ours, once an answer had a date. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerClock(Arc<Mutex<Option<i64>>>);

impl ServerClock {
    /// Records an answer that came just now; one without a date changes nothing.
    pub(super) fn note(&self, headers: &HeaderMap) {
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let Some(date) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else { return };
        *self.0.lock().expect("no holder panicked") = Some(unix_ms(date) + CUT_OFF_MS - unix_ms(SystemTime::now()));
    }

    /// Returns how far it is ahead of ours, in milliseconds, to about half a second.
    pub(super) fn offset_ms(&self) -> Option<i64> {
        *self.0.lock().expect("no holder panicked")
    }
}

fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_date_gives_the_offset() {
        let clock = ServerClock::default();
        for date in [None, Some("yesterday")] {
            let date = date.map(|date| (header::DATE, date.parse().unwrap()));
            clock.note(&HeaderMap::from_iter(date));
            assert_eq!(clock.offset_ms(), None);
        }
        let ahead = SystemTime::now() + Duration::from_secs(3_600);
        clock.note(&HeaderMap::from_iter([(header::DATE, httpdate::fmt_http_date(ahead).parse().unwrap())]));
        let offset_ms = clock.clone().offset_ms().unwrap();
        assert!((3_598_000..=3_601_000).contains(&offset_ms), "{offset_ms}");
    }
}
