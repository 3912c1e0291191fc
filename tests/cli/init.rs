//! `grail init`: from answers to a `.env` that passes the doctor.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::doctor_world::World;
use crate::process::{command, folder, grail};
use grail_loopback::node::NETUID;
use grail_loopback::s3::{BUCKET, READ, WRITE};
use grail_loopback::terminal::InTerminal;

/// Runs the command in the world's folder, with these lines as its input.
async fn init(world: &World, answers: &[&str]) -> Output {
    let folder = world.folder.path().to_owned();
    let answers = answers.join("\n") + "\n";
    let run = move || {
        let wallets = folder.join("wallets").display().to_string();
        let arguments = ["init", "--network", "custom", "--env-file", "new.env", "--wallets", &wallets];
        let mut command = command(&folder, &arguments);
        command.env_clear().env("HOME", "/nowhere");
        // From a file: a command that ends without reading breaks no pipe.
        let file = folder.join("answers");
        std::fs::write(&file, answers).unwrap();
        command.stdin(File::open(file).unwrap()).output().unwrap()
    };
    // The node answers on this thread meanwhile.
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn each_answer_is_tested_and_the_written_file_passes_the_doctor() {
    let world = World::healthy("init").await;
    let (node, netuid) = (world.node.address().to_owned(), NETUID.to_string());
    let store = format!("http://{}", world.s3.address);
    let keys = [READ.0, READ.1, WRITE.0, WRITE.1];
    // A read key that can write is refused when it was typed, and asked for again; what was right is kept.
    let mistaken = [WRITE.0, WRITE.1, WRITE.0, WRITE.1];
    let before = [&node[..], &netuid, "1", BUCKET, &store];
    let again = ["no", "", ""];
    let keys_again = [READ.0, READ.1, "", ""];
    // A wrong address of the node is asked for again, too; what was right is offered again.
    let wrong = ["ws://127.0.0.1:9", &netuid, "1", "no"];
    let answers = [&wrong, &before[..], &mistaken, &again, &keys_again].concat();
    let output = init(&world, &answers).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let questions = String::from_utf8(output.stderr).unwrap();
    let offered = "Address of a node, such as ws://127.0.0.1:9944 [ws://127.0.0.1:9]: ";
    assert!(questions.contains(offered) && text.contains("failure  chain.endpoint  ws://127.0.0.1:9: "), "{text}");
    assert!(text.contains("Next: `grail doctor --env-file new.env`, then `grail mine --try`"), "{text}");
    // Each of several problems is on a line of its own.
    let equal = |line: &&str| line.starts_with("  failure  R2_READ") && line.matches(" equals ").count() == 1;
    assert_eq!(text.lines().filter(equal).count(), 2, "{text}");
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
    assert!(at("cold/hot is 5EHgWw2Af1pnoc7f1A8bfmM97W3DAYW8xr82RfhLL9oAabAe") < at("uid 7 on subnet 81"), "{text}");
    assert!(
        at("uid 7 on subnet 81") < at("failure  R2_") && at("failure  R2_") < at("does not let the read key write"),
        "{text}"
    );
    for secret in keys {
        assert!(!text.contains(secret), "{secret} is shown: {text}");
    }
    let path = world.folder.path().join("new.env");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let examined = world.run(&["--env-file", "new.env"]).await;
    let page = String::from_utf8(examined.stdout).unwrap();
    assert!(page.contains(" 0 failures") && page.contains("ready to mine: yes"), "{page}");
    let written = std::fs::read_to_string(&path).unwrap();
    let again = init(&world, &answers).await;
    let refusal = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.code() == Some(1) && refusal.contains("new.env is there already"), "{refusal}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
}

#[tokio::test]
async fn keys_that_are_pasted_at_a_terminal_are_not_shown() {
    let world = World::healthy("init-terminal").await;
    let (node, store) = (world.node.address().to_owned(), format!("http://{}", world.s3.address));
    let folder = world.folder.path().to_owned();
    // The node answers on this thread meanwhile.
    let typing = move || {
        let [file, wallets] = ["typed.env", "wallets"].map(|name| folder.join(name).display().to_string());
        let arguments = ["init", "--network", "custom", "--env-file", &file, "--wallets", &wallets];
        let mut terminal = InTerminal::start(env!("CARGO_BIN_EXE_grail"), &arguments, &[("HOME", &wallets)]);
        let mut seen = String::new();
        let shown = [
            ("Address of a node", node.as_str()),
            ("Number of the subnet", ""),
            ("Hotkey: its number", "1"),
            ("Account id", BUCKET),
            ("Address of the S3 server", store.as_str()),
        ];
        for (question, answer) in shown {
            terminal.shows(question);
            terminal.type_in(&format!("{answer}\r"));
        }
        for (number, key) in [READ.0, READ.1, WRITE.0, WRITE.1].into_iter().enumerate() {
            terminal.wait("a question", |screen| screen.contents().matches("(not shown): ").count() > number);
            terminal.type_in(&format!("{key}\r"));
            seen += &terminal.screen.screen().contents();
        }
        terminal.shows("Next: `grail doctor");
        seen += &terminal.screen.screen().contents();
        assert_eq!(terminal.ends(), 0);
        (seen, std::fs::read_to_string(file).unwrap())
    };
    let (seen, written) = tokio::task::spawn_blocking(typing).await.unwrap();
    for key in [READ.0, READ.1, WRITE.0, WRITE.1] {
        assert!(!seen.contains(key) && written.contains(&format!("={key}\n")), "{key}: {seen}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_first_question() {
    let folder = folder("init-nowhere");
    let finished = grail(&folder, &["init", "--network", "finney", "--env-file", "none/.env"]);
    assert!(
        finished.stderr.starts_with("grail: cannot write none/.env (") && finished.stdout.is_empty(),
        "{finished:?}"
    );
    let finished = grail(&folder, &["init", "--network", "served", "--env-file", "my.env"]);
    assert!(finished.code == Some(2) && finished.stderr.contains("is named .env, not my.env"), "{finished:?}");
    assert!(!folder.join("my.env").exists());
}

#[test]
fn an_input_that_ends_early_writes_nothing() {
    let folder = folder("init-early");
    let finished = grail(&folder, &["init", "--network", "finney", "--wallets", "none"]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.stderr.contains("no hotkey is in none") && finished.stderr.contains("nothing is written"));
    assert!(!folder.join(".env").exists());
}

#[test]
fn without_a_configuration_the_miner_says_so_first_and_one_problem_a_line() {
    let folder = folder("no-env");
    let mut command = command(&folder, &["mine"]);
    let finished = crate::process::finish(command.env_clear().env("HOME", "/nowhere"));
    assert_eq!(finished.code, Some(78), "{finished:?}");
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert!(
        lines[0].starts_with("grail: there is no .env in this folder; run `grail init`, or `cp .env.example .env`")
    );
    assert!(lines.len() >= 6 && lines[1..].iter().all(|line| line.matches(" is not set").count() == 1), "{finished:?}");
}

#[test]
fn a_name_much_like_a_missing_one_is_named_with_it() {
    let folder = folder("misspelled");
    std::fs::write(folder.join(".env"), "R2_ACOUNT_ID=x\n").unwrap();
    let mut command = command(&folder, &["mine"]);
    let finished = crate::process::finish(command.env_clear().env("HOME", "/nowhere"));
    let line = "grail: R2_ACCOUNT_ID is not set, and R2_ACOUNT_ID (.env:1) is not known: write R2_ACCOUNT_ID there\n";
    assert!(finished.code == Some(78) && finished.stderr.contains(line), "{finished:?}");
}

#[test]
fn a_machine_tries_itself_without_wallet_or_registration() {
    let folder = folder("try");
    let finished = grail(&folder, &["mine", "--try", "--device", "cpu"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let line = finished.stdout.trim_end();
    assert!(line.starts_with("1 window, 20 rollouts, 20/20 valid, ") && line.ends_with("; ready"), "{finished:?}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is kept");
    let missing = grail(&folder, &["mine", "--try", "--device", "cuda:63"]);
    assert_eq!(missing.code, Some(78), "{missing:?}");
}
