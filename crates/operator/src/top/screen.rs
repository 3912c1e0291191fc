//! The screen: the window with its progress, then panes; a validator's are in `judging.rs`.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Gauge, Paragraph, Wrap};

use super::judging;
use super::panes::{duration, health_lines, pane, titled};
use super::viewer::{Gone, Pane, Story, Viewer, sparkline};
use grail_observe::control::{EndpointStatus, GpuStatus, ProcessStatus, Rank, Stopping, WindowStatus};
use grail_terminal::{Palette, counted, printable};

/// A smaller terminal is unreadable.
const WIDTH_MIN: u16 = 60;
const HEIGHT_MIN: u16 = 16;

/// Draws a miner or validator. One that no longer answers is gray.
pub fn draw(frame: &mut Frame<'_>, viewer: &Viewer, palette: Palette) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let text = format!("The terminal is too small: make it at least {WIDTH_MIN} columns by {HEIGHT_MIN} lines.");
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let [head, window, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(6), Constraint::Fill(1), Constraint::Length(1)])
            .areas(area);
    frame.render_widget(foot_line(viewer, palette), foot);
    let Some(status) = &viewer.status else { return };
    frame.render_widget(title(status), head);
    if let Some(judging) = &status.judging {
        judging::draw_window(frame, window, judging, palette);
        judging::draw_panes(frame, body, viewer, status, judging, palette);
    } else {
        draw_window(frame, window, viewer, status, palette);
        draw_panes(frame, body, viewer, status, palette);
    }
    if viewer.gone.is_some() {
        let above = Rect { height: area.height - 1, ..area };
        frame.buffer_mut().set_style(above, palette.style(Color::DarkGray).add_modifier(Modifier::DIM));
    }
    if let Some(story) = &viewer.story {
        draw_story(frame, body, story);
    }
}

fn draw_panes(frame: &mut Frame<'_>, body: Rect, viewer: &Viewer, status: &ProcessStatus, palette: Palette) {
    let [left, right] = Layout::horizontal([Constraint::Percentage(55), Constraint::Fill(1)]).areas(body);
    let rows = |count: usize| u16::try_from(count).unwrap_or(u16::MAX).saturating_add(2);
    let endpoints = rows(status.endpoints.len());
    let gpus = if status.gpus.is_empty() { 0 } else { rows(status.gpus.len()) };
    let [health, cards, nodes] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(gpus), Constraint::Length(endpoints)]).areas(right);
    let titled = |pane, title| titled(viewer, pane, title);
    let chosen = (viewer.pane == Pane::Windows).then_some(viewer.chosen);
    pane(frame, left, &titled(Pane::Windows, "Windows, newest first"), uploads(status, chosen, palette));
    pane(frame, health, &titled(Pane::Health, "Health and troubles"), health_lines(status, palette));
    // One line each, cut at the border: the room is counted in lines.
    let mut cut = |area, title: String, lines: Vec<Line<'_>>| {
        frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
    };
    if gpus > 0 {
        cut(cards, titled(Pane::Gpus, "GPUs"), status.gpus.iter().map(gpu).collect());
    }
    let endpoints = status.endpoints.iter().map(|one| endpoint(one, palette));
    cut(nodes, titled(Pane::Endpoints, "Endpoints"), endpoints.collect());
}

fn title(status: &ProcessStatus) -> Paragraph<'static> {
    let head = status.head.map_or_else(
        || "no block yet".to_owned(),
        |head| format!("block {}, {} old", head.block, duration(head.age_seconds)),
    );
    let (wallet, network) = (printable(&status.wallet), printable(&status.network));
    let text = format!("{wallet} on {network}  {head}  up {}  {}", duration(status.uptime_seconds), status.program);
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::BOLD))
}

/// Draws a window's story over the panes.
fn draw_story(frame: &mut Frame<'_>, area: Rect, story: &Story) {
    let lines: Vec<Line<'_>> = story.lines.iter().skip(story.scroll).map(|line| Line::raw(printable(line))).collect();
    let title = format!("Story of window {}: arrows move, Esc closes", story.window);
    frame.render_widget(Clear, area);
    pane(frame, area, &title, lines);
}

fn draw_window(frame: &mut Frame<'_>, area: Rect, viewer: &Viewer, status: &ProcessStatus, palette: Palette) {
    let Some(window) = &status.window else {
        return pane(frame, area, "Window", vec![Line::raw("The first block is awaited; the window follows from it.")]);
    };
    let block = Block::bordered().title(format!("Window {}", window.start));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [bar, groups, speeds, lines] = Layout::vertical([Constraint::Length(1); 4]).areas(inner);
    let (share, label) = match (window.deadline_seconds, window.whole_seconds) {
        (Some(left), Some(whole)) if whole > 0.0 => {
            ((1.0 - left / whole).clamp(0.0, 1.0), format!("{} left to the upload", duration(left)))
        }
        _ => (1.0, "the upload is due".to_owned()),
    };
    let style = palette.style(Color::Green);
    frame.render_widget(Gauge::default().ratio(share).label(label).gauge_style(style), bar);
    frame.render_widget(Paragraph::new(groups_line(window)), groups);
    frame.render_widget(Paragraph::new(speeds_line(status, window)), speeds);
    frame.render_widget(Paragraph::new(sparklines(viewer, status, usize::from(inner.width))), lines);
}

fn groups_line(window: &WindowStatus) -> String {
    let WindowStatus { groups_done, groups_in_flight, clean_prefix, .. } = window;
    let megabytes = |bytes: f64| format!(" {:.1} MB", bytes / 1e6);
    let size = window.upload_bytes.map_or_else(String::new, |bytes| megabytes(bytes as f64));
    let sent = window.upload_sent_bytes.map_or_else(String::new, |bytes| format!(",{} sent", megabytes(bytes as f64)));
    let upload = match window.upload.as_str() {
        "uploading" => format!("uploading{size}{sent}"),
        "reading_back" => format!("reading back{size}"),
        "confirmed" => format!("uploaded and read back{size}"),
        _ => "nothing uploaded yet".to_owned(),
    };
    let done = counted(groups_done, "group");
    format!("{done} done, {groups_in_flight} in flight, {clean_prefix} ready in a row; {upload}")
}

fn speeds_line(status: &ProcessStatus, window: &WindowStatus) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    let solved = status.speeds.solved_share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let randomness = match window.with_beacon {
        None => "randomness is awaited",
        Some(true) => "with beacon",
        Some(false) => "block hash alone",
    };
    let speeds = status.speeds;
    format!(
        "{} tokens/s, {} groups/min, {solved} solved; {randomness}",
        number(speeds.tokens_per_second),
        number(speeds.groups_per_minute)
    )
}

/// Returns tokens a second, slack and weight as rows of blocks, and the rank.
fn sparklines(viewer: &Viewer, status: &ProcessStatus, width: usize) -> String {
    let each = (width.saturating_sub(70) / 2).clamp(5, 40);
    let speeds = sparkline(viewer.tokens_per_second.iter().copied(), each);
    let slack = viewer.slack();
    let shortest =
        slack.iter().copied().reduce(f64::min).map_or_else(String::new, |least| format!(" ({least:.0} s at least)"));
    let slack = sparkline(slack.into_iter(), each);
    let weight = status.weight.map_or_else(|| "unknown".to_owned(), |weight| format!("{:.3} %", weight * 100.0));
    let weights = sparkline(viewer.weights.iter().copied(), each.min(12));
    let rank = status.rank.map_or_else(String::new, |Rank { place, of }| format!(", rank {place} of {of}"));
    format!("tokens/s {speeds}  slack {slack}{shortest}  weight {weights} {weight}{rank}")
}

fn uploads<'a>(status: &ProcessStatus, chosen: Option<usize>, palette: Palette) -> Vec<Line<'a>> {
    let lines = status.uploads.iter().enumerate().map(|(number, upload)| {
        let is_uploaded = upload.outcome == "uploaded";
        let color = if is_uploaded { Color::Green } else { Color::Red };
        let sign = if is_uploaded { "+ " } else { "! " };
        let score = upload.expected_score.map_or_else(String::new, |score| format!(", score {score:.1} expected"));
        let why = if is_uploaded { String::new() } else { format!("; grail why {}", upload.window) };
        let line = format!("{}{score}{why}", printable(&upload.line));
        let line = Line::from(vec![Span::styled(sign, palette.style(color)), Span::raw(line)]);
        if chosen == Some(number) { line.style(Style::new().add_modifier(Modifier::REVERSED)) } else { line }
    });
    let lines: Vec<Line<'_>> = lines.collect();
    if lines.is_empty() { vec![Line::raw("No window is over yet.")] } else { lines }
}

fn endpoint<'a>(endpoint: &EndpointStatus, palette: Palette) -> Line<'a> {
    let color = match endpoint.state.as_str() {
        "connected" | "ok" => Color::Green,
        "failing" => Color::Red,
        _ => Color::Reset,
    };
    let state = Span::styled(format!("{:<10}", printable(&endpoint.state)), palette.style(color));
    let text = format!("{} {} {}", printable(&endpoint.kind), printable(&endpoint.name), printable(&endpoint.detail));
    Line::from(vec![state, Span::raw(text)])
}

fn gpu<'a>(gpu: &GpuStatus) -> Line<'a> {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let figure =
        |value: Option<u32>, unit: &str| value.map_or_else(|| "-".to_owned(), |value| format!("{value}{unit}"));
    Line::raw(format!(
        "{}  {}  {} busy  {:.1} proofs/s  {:.0}/{:.0} GiB",
        gpu.device,
        figure(gpu.temperature_celsius, " °C"),
        figure(gpu.busy_percent, " %"),
        gpu.proofs_per_second,
        gib(gpu.memory_used_bytes),
        gib(gpu.memory_bytes),
    ))
}

fn foot_line(viewer: &Viewer, palette: Palette) -> Paragraph<'static> {
    if let Some(Gone { since, why }) = &viewer.gone {
        let text = format!("gone since {since} UTC: {}", printable(why));
        return Paragraph::new(text).style(palette.style(Color::Red).add_modifier(Modifier::BOLD));
    }
    let is_validator = viewer.status.as_ref().is_some_and(|status| status.judging.is_some());
    let who = if is_validator { "validator" } else { "miner" };
    let stopping = match viewer.status.as_ref().map_or(Stopping::No, |status| status.stopping) {
        Stopping::No => "",
        Stopping::AfterWindow => "ending after this window's upload   ",
        Stopping::Now if is_validator => "ending   ",
        Stopping::Now => "ending: what is clean is uploaded   ",
    };
    Paragraph::new(format!(
        "{stopping}q ends this view; the {who} continues   Tab pane, arrows window, Enter its story"
    ))
}
