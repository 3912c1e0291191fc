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
    terminal.shows(" left, ");
    terminal.resize(ROWS, 44);
    let receipt = |screen: &Screen| screen.contents().replace('\n', "").matches("read back").count();
    terminal.wait("a receipt in a narrow terminal", |screen| receipt(screen) >= 1 && bars(screen) == 1);
    terminal.resize(ROWS, 100);
    // The bar has the form that fits this width with the warnings of the moment, and its end says how the miner is.
    terminal.wait("a bar in a wide terminal", |screen| {
        let has_end = |line: &str| [", well", " warning", " warnings"].iter().any(|end| line.trim_end().ends_with(end));
        let contents = screen.contents();
        let mut bar = contents.lines().filter(|line| line.contains(['█', '░']) && line.contains(" left, "));
        receipt(screen) >= 1 && bars(screen) == 1 && bar.any(has_end)
    });
    terminal.type_in("\u{3}");
    assert_eq!(terminal.ends(), 0);
}
