//! What the panes of both roles have in common.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Wrap};

use super::viewer::{Pane, Viewer};
use crate::tapes::age;
use grail_observe::control::{ProcessStatus, TroubleStatus};
use grail_terminal::{Palette, printable};

/// Marks the pane that has the focus.
pub(super) fn titled(viewer: &Viewer, pane: Pane, title: &str) -> String {
    if viewer.pane == pane { format!("▸ {title}") } else { title.to_owned() }
}

pub(super) fn pane(frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<Line<'_>>) {
    let block = Block::bordered().title(title.to_owned());
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

pub(super) fn health_lines<'a>(status: &ProcessStatus, palette: Palette) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    if status.health.ready {
        let well = if status.judging.is_some() { "verdicts are to be expected" } else { "an upload is to be expected" };
        lines.push(Line::styled(well, palette.style(Color::Green)));
    }
    let warned = |text: &String| Line::styled(format!("! {}", printable(text)), palette.style(Color::Red));
    lines.extend(status.health.reasons.iter().map(warned));
    let is_alike = |one: &TroubleStatus, other: &TroubleStatus| one.area == other.area && one.text == other.text;
    // The newest of several that are alike stands for them.
    for alike in status.troubles.chunk_by(is_alike) {
        let [trouble, ..] = alike else { continue };
        let (area, text) = (printable(&trouble.area), printable(&trouble.text));
        let times = if alike.len() > 1 { format!(" ({} times)", alike.len()) } else { String::new() };
        let area = if area.is_empty() { String::new() } else { format!(" {area}") };
        lines.push(Line::raw(format!("{} ago{area}: {text}{times}", duration(trouble.age_seconds))));
    }
    lines
}

pub(super) fn duration(seconds: f64) -> String {
    match seconds as u64 {
        0..120 => format!("{seconds:.0} s"),
        whole => age(whole),
    }
}
