//! The bar of a miner in a terminal: one line, whatever the terminal's width, and receipts stay.

use grail_loopback::terminal::{InTerminal, ROWS, Screen};

use crate::world::ServedWorld;

/// Lines of the screen on which a bar is.
fn bars(screen: &Screen) -> usize {
    screen.contents().lines().filter(|line| line.contains(['█', '░'])).count()
}

#[test]
fn the_bar_stays_one_line_in_a_terminal_that_changes_its_width_and_receipts_stay() {
    let world = ServedWorld::start(250);
    let (env_file, data) = (world.served.env_file().display().to_string(), tempfile::tempdir().unwrap());
    let data = data.path().display().to_string();
    let arguments = ["mine", "--env-file", &env_file, "--device", "cpu", "--data-dir", &data, "--groups-max", "2"];
    let mut terminal = InTerminal::start(env!("CARGO_BIN_EXE_grail"), &arguments, &[("HOME", &data)]);
    terminal.shows(" groups done, ");
    // One line at every width, with the time that is left and the health.
    for columns in [40, 80, 200] {
        terminal.resize(ROWS, columns);
        terminal.wait("a bar at this width", |screen| {
            let contents = screen.contents();
            let shown: Vec<&str> = contents.lines().filter(|line| line.contains(['█', '░'])).collect();
            let [line] = shown.as_slice() else { return false };
            let has_health = [", well", " warning", " warnings"].iter().any(|end| line.trim_end().ends_with(end));
            line.chars().count() <= usize::from(columns) && line.contains(" left, ") && has_health
        });
    }
    terminal.resize(ROWS, 44);
    let receipt = |screen: &Screen| screen.contents().replace('\n', "").matches("read back").count();
    terminal.wait("a receipt in a narrow terminal", |screen| receipt(screen) >= 1 && bars(screen) == 1);
    terminal.resize(ROWS, 100);
    terminal.wait("a bar in a wide terminal", |screen| {
        receipt(screen) >= 1 && screen.contents().contains(" groups done, ")
    });
    assert_eq!(bars(terminal.screen.screen()), 1, "{}", terminal.screen.screen().contents());
    terminal.type_in("\u{3}");
    assert_eq!(terminal.ends(), 0);
}
