//! The two text formats of a scrape, and which one a scraper asks for.

use std::collections::BTreeMap;

/// A format in which metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Prometheus,
}

impl TextFormat {
    /// Returns the format that an `Accept` header prefers; a scraper that accepts anything gets OpenMetrics.
    pub fn accepted(accept: Option<&str>) -> Self {
        let (mut open_metrics, mut prometheus): (Option<f64>, Option<f64>) = (None, None);
        for range in accept.unwrap_or("*/*").split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
            let kind = match media_type.as_str() {
                "application/openmetrics-text" | "*/*" => &mut open_metrics,
                "text/plain" | "text/*" => &mut prometheus,
                _ => continue,
            };
            *kind = Some(kind.map_or(quality, |best: f64| best.max(quality)));
        }
        match (open_metrics, prometheus) {
            (open_metrics, Some(plain)) if open_metrics.is_none_or(|open_metrics| plain > open_metrics) => {
                Self::Prometheus
            }
            _ => Self::OpenMetrics,
        }
    }

    /// Returns OpenMetrics text in this format.
    pub fn of(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Prometheus => as_prometheus(&open_metrics),
        }
    }

    /// Returns the media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Converts OpenMetrics text to Prometheus's own format, in which a counter's family has the name of its samples, an `info`
/// is a gauge, and there are no lines for units and the end.
fn as_prometheus(open_metrics: &str) -> String {
    let types: BTreeMap<&str, &str> =
        open_metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let renamed = |family: &str| match types.get(family) {
        Some(&"counter") => format!("{family}_total"),
        Some(&"info") => format!("{family}_info"),
        _ => family.to_owned(),
    };
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match [words.next(), words.next(), words.next()] {
            [Some("#"), Some(keyword @ ("HELP" | "TYPE")), Some(family)] => {
                let rest = match (keyword, words.next().unwrap_or_default()) {
                    ("TYPE", "info") => "gauge",
                    ("TYPE", "unknown") => "untyped",
                    (_, rest) => rest,
                };
                text.push_str(&format!("# {keyword} {} {rest}\n", renamed(family)));
            }
            [Some("#"), ..] => {}
            _ => text.extend([line, "\n"]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scraper_gets_what_it_prefers() {
        use TextFormat::{OpenMetrics, Prometheus};
        // As current releases of Prometheus, Grafana's agents, Datadog's check, older scrapers and curl ask.
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let asked = [
            (Some(prometheus), OpenMetrics),
            (Some("text/plain;version=0.0.4;q=1,*/*;q=0.1"), Prometheus),
            (Some("text/plain"), Prometheus),
            (Some("Text/Plain; q=0.5, application/json"), Prometheus),
            (Some("text/plain; q=0.5, application/openmetrics-text; q=0.2"), Prometheus),
            (Some("application/openmetrics-text, text/plain"), OpenMetrics),
            (Some("*/*"), OpenMetrics),
            (Some("application/json"), OpenMetrics),
            (Some(""), OpenMetrics),
            (None, OpenMetrics),
        ];
        for (accept, format) in asked {
            assert_eq!(TextFormat::accepted(accept), format, "{accept:?}");
        }
    }

    #[test]
    fn families_have_the_names_of_their_samples() {
        let open_metrics = "# HELP a_build This program.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
                            # HELP a_sent_bytes Sent.\n# TYPE a_sent_bytes counter\n# UNIT a_sent_bytes bytes\n\
                            a_sent_bytes_total{to=\"# x\"} 7\n# HELP a_wait W.\n# TYPE a_wait histogram\n\
                            a_wait_sum 0.5\na_wait_count 1\na_wait_bucket{le=\"+Inf\"} 1\n# EOF\n";
        let expected = "# HELP a_build_info This program.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
                        # HELP a_sent_bytes_total Sent.\n# TYPE a_sent_bytes_total counter\n\
                        a_sent_bytes_total{to=\"# x\"} 7\n# HELP a_wait W.\n# TYPE a_wait histogram\n\
                        a_wait_sum 0.5\na_wait_count 1\na_wait_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(as_prometheus(open_metrics), expected);
    }
}
