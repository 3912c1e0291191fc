//! A validator on the screen: the window that is judged, then miners, windows and problems.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Gauge, Paragraph};

use super::panes::{health_lines, pane, titled};
use super::viewer::{Pane, Viewer, sparkline};
use grail_observe::control::{JudgedMiner, JudgedWindow, JudgingStatus, ProcessStatus};
use grail_terminal::{Palette, counted, printable};

/// Characters of an address that are shown.
const HOTKEY_CHARS: usize = 8;

pub(super) fn draw_window(frame: &mut Frame<'_>, area: Rect, judging: &JudgingStatus, palette: Palette) {
    let Some(newest) = judging.windows.first() else {
        return pane(frame, area, "Window", vec![Line::raw("No window is judged yet: one is when it is over.")]);
    };
    let block = Block::bordered().title(format!("Window {}", newest.start));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [bar, outcomes, weights, lines] = Layout::vertical([Constraint::Length(1); 4]).areas(inner);
    let (share, label) = match newest {
        JudgedWindow { is_done: true, .. } => (1.0, "judged; the next window is awaited".to_owned()),
        JudgedWindow { selected: 0, .. } => (0.0, "buckets are asked".to_owned()),
        JudgedWindow { judged, selected, .. } => {
            ((*judged as f64 / *selected as f64).min(1.0), format!("{judged} of {selected} judged"))
        }
    };
    let style = palette.style(Color::Green);
    frame.render_widget(Gauge::default().ratio(share).label(label).gauge_style(style), bar);
    frame.render_widget(Paragraph::new(format!("{}; {}", found(newest), speed(newest))), outcomes);
    frame.render_widget(Paragraph::new(weights_line(judging, palette)), weights);
    frame.render_widget(Paragraph::new(sparklines(judging, usize::from(inner.width))), lines);
}

pub(super) fn draw_panes(
    frame: &mut Frame<'_>,
    body: Rect,
    viewer: &Viewer,
    status: &ProcessStatus,
    judging: &JudgingStatus,
    palette: Palette,
) {
    let [left, right] = Layout::horizontal([Constraint::Percentage(55), Constraint::Fill(1)]).areas(body);
    let [windows, health] = Layout::vertical([Constraint::Fill(1); 2]).areas(right);
    let miners: Vec<Line<'_>> = judging.miners.iter().skip(viewer.scrolled).map(|one| miner(one, palette)).collect();
    pane(frame, left, &titled(viewer, Pane::Miners, "Miners, largest weight first"), miners);
    let chosen = (viewer.pane == Pane::Windows).then_some(viewer.chosen);
    let lines = judging.windows.iter().enumerate().map(|(number, window)| {
        let line = Line::raw(format!("{}: {}", window.start, found(window)));
        if chosen == Some(number) { line.style(Style::new().add_modifier(Modifier::REVERSED)) } else { line }
    });
    pane(frame, windows, &titled(viewer, Pane::Windows, "Windows, newest first"), lines.collect());
    pane(frame, health, &titled(viewer, Pane::Health, "Health and troubles"), health_lines(status, palette));
}

/// Returns how many miners had which outcome.
fn found(window: &JudgedWindow) -> String {
    if let Some(why) = &window.missed {
        return format!("nobody was judged; {}", printable(why));
    }
    let shown = window.outcomes.iter().filter(|(outcome, _)| *outcome != "not_committed");
    let counts: Vec<String> =
        shown.map(|(outcome, count)| format!("{count} {}", printable(&outcome.replace('_', " ")))).collect();
    if counts.is_empty() { "no verdict".to_owned() } else { counts.join(", ") }
}

fn speed(window: &JudgedWindow) -> String {
    match window.files {
        0 => "no file was judged".to_owned(),
        files => {
            let each = window.seconds / files as f64;
            format!("{} in {:.1} s, {each:.2} s each", counted(files as usize, "file"), window.seconds)
        }
    }
}

fn weights_line<'a>(judging: &JudgingStatus, palette: Palette) -> Line<'a> {
    match &judging.weights {
        None => Line::raw("no weights were set since the start"),
        Some(weights) => {
            let color = if weights.is_set { Color::Green } else { Color::Red };
            Line::styled(printable(&weights.line), palette.style(color))
        }
    }
}

/// Returns seconds per file and accepted miners of the last windows as rows of blocks.
fn sparklines(judging: &JudgingStatus, width: usize) -> String {
    let each = (width.saturating_sub(40) / 2).clamp(5, 40);
    let row = |value: &dyn Fn(&JudgedWindow) -> f64| sparkline(judging.windows.iter().rev().map(value), each);
    let accepted = row(&|window| window.outcomes.get("accepted").copied().unwrap_or(0) as f64);
    let seconds = row(&|window| window.seconds / (window.files as f64).max(1.0));
    format!("accepted {accepted}  seconds a file {seconds}")
}

fn miner<'a>(miner: &JudgedMiner, palette: Palette) -> Line<'a> {
    let color = match miner.outcome.as_str() {
        "accepted" => Color::Green,
        "rejected" => Color::Red,
        _ => Color::Reset,
    };
    let hotkey: String = printable(&miner.hotkey).chars().take(HOTKEY_CHARS).collect();
    let outcome = Span::styled(printable(&miner.outcome.replace('_', " ")), palette.style(color));
    let reason = miner.reason.as_ref().map_or_else(String::new, |reason| format!("; {}", printable(reason)));
    let place = format!("uid {} {hotkey} {:.2} % ", miner.uid, miner.weight * 100.0);
    Line::from(vec![Span::raw(place), outcome, Span::raw(reason)])
}
