//! `grail sim serve`.

use std::io::BufRead;
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context, anyhow};

use crate::args::{RuntimeChoice, ServeArguments};
use crate::exit::Exit;
use grail_live::device::DeviceChoice;
use grail_observe::contract::Schema;
use grail_operator::signals::stop_signal;
use grail_serve::chain::Runtime;
use grail_serve::{ConsoleCommand, ServeEvent, ServeFault, ServeOptions, Served, WindowVerdict, parse_list};
use grail_terminal::{counted, output};

pub(super) fn run(arguments: &ServeArguments) -> anyhow::Result<Exit> {
    if arguments.list_faults {
        let faults = ServeFault::ALL.iter().map(|fault| (fault.name(), fault.meaning()));
        return super::list_faults(faults, arguments.json);
    }
    let served = match arguments.device {
        DeviceChoice::Cpu => Served::start(&options(arguments)?)?,
        DeviceChoice::Cuda(_) => served_on_gpu(arguments)?,
    };
    listen_for_signals(served.sender.clone())?;
    introduce(arguments, &served);
    read_lines(served.sender.clone())?;
    Ok(follow(arguments, &served))
}

/// Returns the world with a validator whose model is on a GPU. A device that cannot be used is an error before anything is
/// served.
fn served_on_gpu(arguments: &ServeArguments) -> anyhow::Result<Served> {
    let (device, numerics) = (arguments.device, arguments.numerics);
    let model = move || grail_operator::prover::proof_model(device, "toy", numerics);
    model()?;
    Ok(Served::start_with(&options(arguments)?, move || model().expect("it was loaded a moment ago"))?)
}

/// Returns the configuration of the served world.
fn options(arguments: &ServeArguments) -> anyhow::Result<ServeOptions> {
    let folder = arguments.dir.clone().ok_or_else(|| anyhow!("give --dir a folder for .env, wallet and objects"))?;
    // A value that is no number of milliseconds is refused as out of range.
    let block_ms = (arguments.block_time * 1000.0).round() as u64;
    let runtime = match arguments.metadata {
        RuntimeChoice::Spec365 => Runtime::Spec365,
        RuntimeChoice::Spec461 => Runtime::Spec461,
    };
    let device = if arguments.device == DeviceChoice::Cpu { "cpu" } else { "cuda" };
    let faults = parse_list(&arguments.faults)?;
    Ok(ServeOptions { block_ms, seed: arguments.seed, runtime, faults, device, ..ServeOptions::new(folder) })
}

fn introduce(arguments: &ServeArguments, served: &Served) {
    let world = served.world();
    notice(
        arguments,
        format!(
            "Serving on loopback: chain {}, beacon {}, bucket {}.\nMiner: {}, registered and without a commitment yet.\n\
             Start it with: grail mine --env-file {env} --device {device} --data-dir {data}",
            world.chain_endpoints().join(" and "),
            world.beacon_url(),
            world.bucket_url(),
            world.miner.to_ss58(),
            device = world.device,
            env = quoted(served.env_file()),
            data = quoted(&served.env_file().with_file_name("data")),
        ),
    );
}

/// Returns a path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// Shows events until the world ends.
fn follow(arguments: &ServeArguments, served: &Served) -> Exit {
    let (mut judged, mut accepted) = (0, 0);
    while let Some(event) = served.next_event(None) {
        match event {
            ServeEvent::Judged(verdict) => {
                show(arguments, &verdict);
                judged += 1;
                accepted += u64::from(verdict.is_accepted());
                if arguments.windows == Some(judged) {
                    break;
                }
            }
            ServeEvent::Typed(line) => notice(arguments, carry_out(served, &line)),
            ServeEvent::Interrupted => break,
        }
    }
    notice(arguments, format!("{accepted} of {} accepted", counted(judged, "judged window")));
    notice(arguments, resumption(served.env_file()));
    let is_short = arguments.windows.is_some_and(|windows| judged < windows);
    if accepted < judged || is_short { Exit::Negative } else { Exit::Success }
}

/// Returns a text about the files that stay, and how to continue.
fn resumption(env_file: &Path) -> String {
    let folder = env_file.parent().unwrap_or(env_file);
    format!(
        "{folder} keeps .env, the wallet, the objects and the miner's data; `grail sim serve --dir {folder}` starts another \
         world there, with new keys and with the lines that you added to .env",
        folder = quoted(folder)
    )
}

fn show(arguments: &ServeArguments, verdict: &WindowVerdict) {
    if arguments.json { output::line(Schema::ServeWindow.stamp(verdict.json())) } else { output::line(verdict.line()) }
}

/// Something for people: next to the output if that is for programs.
fn notice(arguments: &ServeArguments, text: String) {
    if arguments.json { output::aside(text) } else { output::line(text) }
}

/// Carries out a typed command. Returns the new state as text.
fn carry_out(served: &Served, line: &str) -> String {
    match line.parse::<ConsoleCommand>() {
        Ok(ConsoleCommand::Fault(fault, Some(duration))) => served.fault_for(fault, duration),
        Ok(ConsoleCommand::Fault(fault, None)) => drop(served.world().switch_on(fault)),
        Ok(ConsoleCommand::Heal(Some(fault))) => served.world().switch_off(fault),
        Ok(ConsoleCommand::Heal(None)) => served.world().heal(),
        Ok(ConsoleCommand::List) => {}
        Err(error) => return format!("not understood: {error}"),
    }
    let active: Vec<_> = served.world().active_faults().into_iter().map(ServeFault::name).collect();
    if active.is_empty() { "no fault is on".to_owned() } else { format!("on: {}", active.join(", ")) }
}

fn read_lines(sender: mpsc::Sender<ServeEvent>) -> anyhow::Result<()> {
    let read = move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(ServeEvent::Typed(line)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("input".to_owned()).spawn(read).context("cannot start a thread")?;
    Ok(())
}

/// SIGINT and SIGTERM are caught from here on, not only once the thread that waits for them runs.
pub(super) fn listen_for_signals(sender: mpsc::Sender<ServeEvent>) -> anyhow::Result<()> {
    let runtime = grail_operator::runtime()?;
    let signal = {
        let _within = runtime.enter();
        stop_signal()?
    };
    let listen = move || {
        runtime.block_on(signal);
        // A receiver that no longer listens is ending already.
        let _ = sender.send(ServeEvent::Interrupted);
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).context("cannot start a thread")?;
    Ok(())
}
