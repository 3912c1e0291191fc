//! Parts of pages with figures: their style, and plots as inline SVG. No script, no network.

/// The style of a page of figures, light and dark. The swarm's page has it too.
pub(crate) const STYLE: &str = include_str!("figures.css");

/// Inner size of a plot, and the room for its labels. On a screen of 400 pixels it is drawn at nine tenths.
const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 58.0;
const BOTTOM: f64 = 26.0;
const TOP: f64 = 12.0;
/// Height of a bar with the name above it.
const ROW: f64 = 36.0;

/// Returns a line through values in order; if one is not known the line is broken, and a lone one is a dot. `unit` says
/// what is drawn upward, `ends` name the first and the last.
pub(crate) fn line_plot(title: &str, unit: &str, values: &[Option<f64>], ends: [&str; 2]) -> String {
    let most = ceiling(values.iter().flatten().copied().fold(0.0, f64::max));
    let step = WIDTH / values.len().saturating_sub(1).max(1) as f64;
    let mut body = scale(most);
    for run in values.iter().enumerate().collect::<Vec<_>>().split(|(_, value)| value.is_none()) {
        let points: Vec<(f64, f64)> = run
            .iter()
            .filter_map(|(at, value)| Some((LEFT + *at as f64 * step, height((**value)?.max(0.0), most))))
            .collect();
        match points.as_slice() {
            [] => {}
            [(x, y)] => body += &format!("<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"),
            several => {
                let several: Vec<String> = several.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
                body += &format!("<polyline class=\"line\" points=\"{}\"/>", several.join(" "));
            }
        }
    }
    body += &format!(
        "<text x=\"{LEFT}\" y=\"{y}\">{first}</text><text x=\"{right}\" y=\"{y}\" text-anchor=\"end\">{last}</text>",
        y = TOP + HEIGHT + 18.0,
        right = LEFT + WIDTH,
        first = escaped(ends[0]),
        last = escaped(ends[1]),
    );
    figure(title, unit, TOP + HEIGHT + BOTTOM, &body)
}

/// Returns a bar for each name, one below the other, so that names of any length can be read.
pub(crate) fn bars(title: &str, unit: &str, bars: &[(&str, f64)]) -> String {
    let most = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let most = if most > 0.0 { most } else { 1.0 };
    let all = LEFT + WIDTH;
    let mut body = String::new();
    for (at, (name, value)) in bars.iter().enumerate() {
        let y = at as f64 * ROW;
        body += &format!(
            "<text x=\"0\" y=\"{:.1}\">{}</text><text x=\"{all}\" y=\"{0:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"bar\" x=\"0\" y=\"{:.1}\" width=\"{:.1}\" height=\"10\" rx=\"3\"/>",
            y + 14.0,
            escaped(name),
            short(*value),
            y + 19.0,
            (value.max(0.0) / most * all).max(1.0),
        );
    }
    if bars.is_empty() {
        body += "<text x=\"0\" y=\"14\">none</text>";
    }
    figure(title, unit, (bars.len().max(1) as f64 * ROW).max(ROW), &body)
}

/// Lines at four steps from 0 to the most.
fn scale(most: f64) -> String {
    let mut scale = String::new();
    // All with the digits that a quarter of the scale needs.
    let decimals = (0..8).find(|decimals| is_whole(most / 4.0 * 10f64.powi(*decimals as i32))).unwrap_or(8);
    for quarter in 0..=4 {
        let value = most * f64::from(quarter) / 4.0;
        let y = height(value, most);
        scale += &format!(
            "<line class=\"scale\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT + WIDTH,
            LEFT - 6.0,
            y + 4.0,
            format_args!("{value:.decimals$}"),
        );
    }
    scale
}

fn figure(title: &str, unit: &str, height: f64, body: &str) -> String {
    let (title, unit) = (escaped(title), escaped(unit));
    format!(
        "<figure><figcaption>{title} <span>{unit}</span></figcaption>\
         <svg viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"{title}, {unit}\">{body}</svg></figure>",
        LEFT + WIDTH + 8.0,
    )
}

fn height(value: f64, most: f64) -> f64 {
    TOP + HEIGHT * (1.0 - value / most)
}

/// Returns the next of 1, 2, 4, 5, 8 times a power of ten that is not below a value.
fn ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let step = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

/// Returns whether a number is whole, but for the rounding of a few operations.
fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6
}

/// Returns a number with its significant digits.
pub(crate) fn short(value: f64) -> String {
    match value {
        value if is_whole(value) => format!("{value:.0}"),
        // Two significant digits.
        value if value < 0.1 => format!("{value:.0$}", 1 + (-value.log10()).ceil() as usize),
        value if value < 10.0 => format!("{value:.2}"),
        value => format!("{value:.0}"),
    }
}

/// Escapes text for a page.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Seconds since 1970 as a date and time in UTC, to the minute.
pub(crate) fn date(seconds: f64) -> String {
    let minutes = (seconds / 60.0).max(0.0) as u64;
    let (days, minute) = (minutes / 1_440, minutes % 1_440);
    let (year, month, day) = civil(days);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", minute / 60, minute % 60)
}

/// Days since 1970-01-01 as year, month and day, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let length = |year: u64, month: u64| match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let (mut year, mut month, mut left) = (1970, 1, days);
    while left >= length(year, month) {
        left -= length(year, month);
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers_that_hold_every_value() {
        for (value, expected) in [(0.0, 1.0), (0.031, 0.04), (170.0, 200.0), (1.0, 1.0), (9.1, 10.0)] {
            assert!((ceiling(value) - expected).abs() < 1e-12, "{value}");
        }
    }

    #[test]
    fn the_steps_of_a_scale_have_as_many_digits_as_the_smallest_needs() {
        let labels = |most| -> Vec<String> {
            let scale = scale(most);
            scale.split("</text>").filter_map(|part| Some(part.rsplit_once('>')?.1.to_owned())).take(5).collect()
        };
        assert_eq!(labels(10.0), ["0.0", "2.5", "5.0", "7.5", "10.0"]);
        assert_eq!(labels(800.0), ["0", "200", "400", "600", "800"]);
        assert_eq!(labels(0.05), ["0.0000", "0.0125", "0.0250", "0.0375", "0.0500"]);
    }

    #[test]
    fn an_unknown_value_breaks_the_line() {
        let values = [Some(1.0), Some(2.0), None, Some(3.0)];
        let plot = line_plot("score <b>", "solutions", &values, ["first", "last"]);
        assert_eq!((plot.matches("<polyline").count(), plot.matches("<circle").count()), (1, 1), "{plot}");
        assert!(plot.contains("score &lt;b&gt; <span>solutions</span>") && !plot.contains("NaN"));
        assert!(!line_plot("nothing", "", &[], ["", ""]).contains("NaN"));
        assert!(bars("nothing", "", &[]).contains(">none<"));
    }

    #[test]
    fn numbers_have_the_digits_that_say_something() {
        let shown = [0.0, 7.0, 8.714, 0.0234, 0.5, 131.6].map(short);
        assert_eq!(shown, ["0", "7", "8.71", "0.023", "0.50", "132"]);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0.0, "1970-01-01 00:00"),
            (951_782_400.0, "2000-02-29 00:00"),
            (1_700_000_030.0, "2023-11-14 22:13"),
            (4_107_542_399.0, "2100-02-28 23:59"),
            (4_107_542_400.0, "2100-03-01 00:00"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
