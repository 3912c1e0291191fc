//! What pages of figures are made of: their style, and plots as inline SVG. No script, no network.

use std::fmt::Write;

/// The style of a page of figures.
pub(crate) const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;color:#1d2430;background:#fff;max-width:1000px;margin:2em auto;padding:0 1em}\
h1{font-size:1.5em;margin:0}h2{font-size:1.1em;margin:1.6em 0 .4em}.lead{color:#5a6474;margin:.2em 0 1.2em}\
.cards{display:flex;gap:1em;flex-wrap:wrap}.card{flex:1;min-width:9em;border:1px solid #d9dee6;border-radius:8px;padding:.7em .9em}\
.card b{display:block;font-size:1.6em}.card span{color:#5a6474;font-size:.9em}\
.plots{display:grid;grid-template-columns:1fr 1fr;gap:1em}figure{margin:0;border:1px solid #d9dee6;border-radius:8px;padding:.6em}\
figcaption{font-weight:600;font-size:.95em;margin-bottom:.3em}svg{width:100%;height:auto;display:block}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}td,th{text-align:right;padding:.25em .6em;border-bottom:1px solid #e8ebf0}\
td:first-child,th:first-child{text-align:left}tr.now td{background:#eef4ff}li{margin:.15em 0}";

/// Inner size of a plot, and the room for its labels.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 52.0;
const BOTTOM: f64 = 26.0;
const TOP: f64 = 12.0;

/// A line through values in order; where one is not known the line is broken, and a lone one is a dot. `ends` name the first and the last.
pub(crate) fn line_plot(title: &str, values: &[Option<f64>], ends: [&str; 2]) -> String {
    let most = ceiling(values.iter().flatten().copied().fold(0.0, f64::max));
    let step = WIDTH / values.len().saturating_sub(1).max(1) as f64;
    let mut body = String::new();
    for run in values.iter().enumerate().collect::<Vec<_>>().split(|(_, value)| value.is_none()) {
        let points: Vec<(f64, f64)> = run
            .iter()
            .filter_map(|(at, value)| Some((LEFT + *at as f64 * step, height((**value)?.max(0.0), most))))
            .collect();
        match points.as_slice() {
            [] => {}
            [(x, y)] => body += &format!("<circle cx={x:.1} cy={y:.1} r=2.5 fill=#2f6fde />"),
            several => {
                let several: Vec<String> = several.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
                body +=
                    &format!("<polyline fill=none stroke=#2f6fde stroke-width=1.5 points=\"{}\"/>", several.join(" "));
            }
        }
    }
    let ends = format!(
        "<text x={LEFT} y={y}>{first}</text><text x={right} y={y} text-anchor=end>{last}</text>",
        y = TOP + HEIGHT + 18.0,
        right = LEFT + WIDTH,
        first = escaped(ends[0]),
        last = escaped(ends[1]),
    );
    figure(title, most, &(body + &ends))
}

/// A bar for each name.
pub(crate) fn bars(title: &str, bars: &[(&str, f64)]) -> String {
    let most = ceiling(bars.iter().map(|(_, value)| *value).fold(0.0, f64::max));
    let step = WIDTH / bars.len().max(1) as f64;
    let mut body = String::new();
    for (at, (name, value)) in bars.iter().enumerate() {
        let (x, top) = (LEFT + at as f64 * step, height(*value, most));
        let middle = x + step / 2.0;
        write!(
            body,
            "<rect x={:.1} y={top:.1} width={:.1} height={:.1} rx=3 fill=#2f6fde />\
             <text x={middle:.1} y={:.1} text-anchor=middle>{}</text><text x={middle:.1} y={:.1} text-anchor=middle>{}</text>",
            x + step * 0.18,
            step * 0.64,
            TOP + HEIGHT - top,
            TOP + HEIGHT + 18.0,
            escaped(name),
            (top - 4.0).max(TOP + 8.0),
            short(*value),
        )
        .expect("writing to a String cannot fail");
    }
    figure(title, most, &body)
}

/// A frame with a scale of four steps around a plot's body.
fn figure(title: &str, most: f64, body: &str) -> String {
    let mut scale = String::new();
    for quarter in 0..=4 {
        let value = most * f64::from(quarter) / 4.0;
        let y = height(value, most);
        write!(
            scale,
            "<line x1={LEFT} x2={} y1={y:.1} y2={y:.1} stroke=#e3e7ee /><text x={} y={:.1} text-anchor=end>{}</text>",
            LEFT + WIDTH,
            LEFT - 6.0,
            y + 4.0,
            short(value),
        )
        .expect("writing to a String cannot fail");
    }
    format!(
        "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {} {}\" role=img aria-label=\"{}\" font-size=11 fill=#5a6474>{scale}{body}</svg></figure>",
        escaped(title),
        LEFT + WIDTH + 8.0,
        TOP + HEIGHT + BOTTOM,
        escaped(title),
    )
}

fn height(value: f64, most: f64) -> f64 {
    TOP + HEIGHT * (1.0 - value / most)
}

/// The next of 1, 2, 4, 5, 8 times a power of ten that is not below a value.
fn ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let step = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

/// A number in as many digits as mean something.
pub(crate) fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        // Two digits that mean something.
        value if value < 0.1 => format!("{value:.0$}", 1 + (-value.log10()).ceil() as usize),
        value if value < 10.0 => format!("{value:.2}"),
        value => format!("{value:.0}"),
    }
}

/// Text that is nothing but text in a page.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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
    fn what_is_not_known_breaks_the_line() {
        let values = [Some(1.0), Some(2.0), None, Some(3.0)];
        let plot = line_plot("score <b>", &values, ["first", "last"]);
        assert_eq!((plot.matches("<polyline").count(), plot.matches("<circle").count()), (1, 1), "{plot}");
        assert!(plot.contains("score &lt;b&gt;") && !plot.contains("NaN"));
        assert!(!line_plot("nothing", &[], ["", ""]).contains("NaN"));
    }
}
