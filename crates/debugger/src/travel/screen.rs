//! The screen: events around the step, recorded and replayed actions, the state and its changes.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::condition::FIELDS;
use super::keys::{Pane, Travel};
use grail_tape::Line;
use grail_terminal::{Palette, printable};

/// A smaller terminal is unreadable.
const WIDTH_MIN: u16 = 60;
const HEIGHT_MIN: u16 = 16;

const KEYS: [(&str, &str); 11] = [
    ("right space n, left p", "one step forward, back"),
    ("PageDown, PageUp", "twenty steps"),
    ("Home, End", "the first, the last step"),
    ("g, w", "go to a step, to a window"),
    ("b, B", "stop on a condition (more than one: on any), on none"),
    ("c, C", "continue, go back until a condition holds"),
    ("d, D", "the next, the previous step that differs"),
    ("m", "compare the state with this step from now on; again: with the step before"),
    ("Tab, up, down", "choose a pane, scroll it"),
    ("?", "this help"),
    ("q, Esc, Ctrl-C", "end"),
];

const LANGUAGE: [&str; 3] = [
    "A condition compares a field or a line of the state by = != < <= > >= or ~ (contains);",
    "& | ! and ( ) combine, \"...\" quotes, and a name alone means that it is true:",
    "kind=group_failed & window=3000030    groups.clean>3    text~timeout | differs",
];

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, travel: &Travel, palette: Palette) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let text = format!("The terminal is too small: make it at least {WIDTH_MIN} columns by {HEIGHT_MIN} lines.");
        frame.render_widget(Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: true }), area);
        return;
    }
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)]).areas(area);
    let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Fill(1)]).areas(body);
    let [events, diff] = Layout::vertical([Constraint::Percentage(60), Constraint::Fill(1)]).areas(left);
    let [actions, state] = Layout::vertical([Constraint::Percentage(40), Constraint::Fill(1)]).areas(right);
    frame.render_widget(title(travel, palette), head);
    draw_events(frame, events, travel, palette);
    draw_pane(
        frame,
        actions,
        travel,
        Pane::Actions,
        "Event, actions (- recorded, + replayed)",
        action_lines(travel, palette),
    );
    draw_diff(frame, diff, travel);
    draw_pane(frame, state, travel, Pane::State, "State after the step", state_lines(travel));
    frame.render_widget(foot_line(travel), foot);
    if let Some(scrolled) = travel.help {
        draw_help(frame, area, scrolled);
    }
}

fn title(travel: &Travel, palette: Palette) -> Paragraph<'static> {
    let journey = &travel.journey;
    let last = journey.steps().len() - 1;
    let verdict = match journey.first_difference() {
        None => Span::styled("equal", palette.style(Color::Green)),
        Some(step) => Span::styled(format!("differs from step {step} on"), palette.style(Color::Red)),
    };
    let place = format!("{}  step {} of 0-{last}  ", printable(&travel.name), journey.number());
    Paragraph::new(Text::from(vec![Span::raw(place), verdict])).style(Style::new().add_modifier(Modifier::BOLD))
}

fn foot_line(travel: &Travel) -> Paragraph<'static> {
    let text = match &travel.question {
        Some((question, typed)) => format!("{}: {}_", question.text(), printable(typed)),
        None => {
            let conditions: Vec<String> = travel.journey.conditions.iter().map(ToString::to_string).collect();
            let stops = if conditions.is_empty() { String::new() } else { format!("[{}] ", conditions.join(", ")) };
            stops + &printable(&travel.message)
        }
    };
    Paragraph::new(text)
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, travel: &Travel, palette: Palette) {
    let journey = &travel.journey;
    let room = usize::from(area.height.saturating_sub(2));
    let count = journey.steps().len();
    // The step stays in the middle, but at the ends.
    let first = journey.number().saturating_sub(room / 2).min(count.saturating_sub(room));
    let lines = (first..count.min(first + room)).map(|number| {
        let step = &journey.steps()[number];
        let sign = match () {
            () if journey.missing_before(number) > 0 => '?',
            () if journey.differs(number) => '!',
            () => ' ',
        };
        let (event, ms) = (printable(&step.event.summary()), step.monotonic_ms);
        let style = match () {
            () if journey.differs(number) => palette.style(Color::Red),
            () if step.event.is_failure() => palette.style(Color::Yellow),
            () => Style::new(),
        };
        let (cursor, style) =
            if number == journey.number() { ('>', style.add_modifier(Modifier::REVERSED)) } else { (' ', style) };
        Text::styled(format!("{cursor}{sign}{number:>5} {ms:>8} {event}"), style)
    });
    let block = Block::bordered().title("Events (! differs, ? steps are missing before)");
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

fn action_lines(travel: &Travel, palette: Palette) -> Vec<Text<'static>> {
    let event = printable(&travel.journey.step().event.summary());
    let lines = travel.journey.actions();
    let shown = |line| match line {
        Line::Both(action) => Text::raw(format!("  {}", printable(&action))),
        Line::Recorded(action) => Text::styled(format!("- {}", printable(&action)), palette.style(Color::Red)),
        Line::Replayed(action) => Text::styled(format!("+ {}", printable(&action)), palette.style(Color::Green)),
    };
    let title = Text::styled(event, Style::new().add_modifier(Modifier::BOLD));
    let none = lines.is_empty().then(|| Text::raw("  nothing was asked for"));
    [title].into_iter().chain(lines.into_iter().map(shown)).chain(none).collect()
}

fn state_lines(travel: &Travel) -> Vec<Text<'static>> {
    travel.journey.state().lines().map(|(name, value)| Text::raw(format!("{name} = {}", printable(value)))).collect()
}

fn draw_diff(frame: &mut Frame<'_>, area: Rect, travel: &Travel) {
    let journey = &travel.journey;
    let (number, before) = journey.reference();
    let title = match number {
        Some(number) => format!("State: step {number} -> {}", journey.number()),
        None => format!("State: beginning -> {}", journey.number()),
    };
    let changes = before.changes(&journey.state());
    let mut lines: Vec<Text<'_>> = changes.iter().map(|change| Text::raw(printable(&change.to_string()))).collect();
    if lines.is_empty() {
        lines.push(Text::raw("  no change"));
    }
    draw_pane(frame, area, travel, Pane::Diff, &title, lines);
}

fn draw_pane(frame: &mut Frame<'_>, area: Rect, travel: &Travel, pane: Pane, title: &str, lines: Vec<Text<'static>>) {
    let room = area.height.saturating_sub(2);
    let lines: Vec<Text<'_>> = lines.into_iter().flat_map(|line| wrapped(line, area.width.saturating_sub(2))).collect();
    let count = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let scrolled = travel.scrolled[pane as usize].min(count.saturating_sub(room));
    let is_chosen = travel.pane == pane;
    let style = if is_chosen { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
    let more = if count > room { format!(" ({}-{} of {count})", scrolled + 1, scrolled + room) } else { String::new() };
    let sign = if is_chosen { "*" } else { "" };
    let block = Block::bordered().title(format!("{sign}{title}{more}")).border_style(style);
    frame.render_widget(Paragraph::new(lines).scroll((scrolled, 0)).block(block), area);
}

/// Returns a line as several that fit, the later ones indented.
fn wrapped(line: Text<'static>, width: u16) -> Vec<Text<'static>> {
    const INDENT: &str = "    ";
    let width = usize::from(width);
    let characters: Vec<char> = line.spans.iter().flat_map(|span| span.content.chars()).collect();
    if characters.len() <= width || width <= INDENT.len() {
        return vec![line];
    }
    let (first, rest) = characters.split_at(width);
    let styled = |text: String| Text::styled(text, line.style);
    let later = rest.chunks(width - INDENT.len()).map(|chunk| styled(INDENT.to_owned() + &String::from_iter(chunk)));
    [styled(String::from_iter(first))].into_iter().chain(later).collect()
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, scrolled: u16) {
    let entry = |(name, what): &(&str, &str)| Text::raw(format!(" {name:<22} {what}"));
    let lines: Vec<Text<'_>> = KEYS
        .iter()
        .map(entry)
        .chain([Text::raw("")])
        .chain(LANGUAGE.map(|line| Text::raw(format!(" {line}"))))
        .chain([Text::raw("")])
        .chain(FIELDS.iter().map(entry))
        .collect();
    let block = Block::bordered().title("Help (up and down scroll it, any other key closes it)");
    frame.render_widget(Clear, area);
    let hidden = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(area.height.saturating_sub(2));
    frame.render_widget(Paragraph::new(lines).scroll((scrolled.min(hidden), 0)).block(block), area);
}
