//! `grail init`: asks for the values that mining needs, tests each answer, and writes a new `.env`.

mod answers;
mod ask;
mod wallets;

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use self::answers::{Answers, passes_test};
use self::ask::Questions;
use self::wallets::{Found, expanded, scan};
use crate::doctor::Part;
use clap::ValueEnum;
use grail_protocol::PROTOCOL;
use grail_terminal::{Exit, ExitError, output, printable};

/// First lines of a served world's file; `grail sim serve` adds the rest and keeps other lines.
const SERVED: &str = "\
# Written by `grail init`: a network on this machine alone, with made-up keys.
# `grail sim serve` fills in chain, beacon, bucket, wallet and model whenever it starts here.

# The network: one of your own.
BT_NETWORK=custom
# The model in the binary, which needs no GPU.
GRAIL_MODEL_NAME=toy
";

/// A network that a configuration is written for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum InitNetwork {
    /// The public chain.
    #[default]
    Finney,
    /// The public test chain.
    Test,
    /// A chain of your own.
    Custom,
    /// A world on this machine, which `grail sim serve` serves.
    Served,
}

/// Asks at the terminal for a network if none is given, then for a wallet below `wallets` and for keys, and writes the
/// file at `path`.
///
/// # Errors
/// If the file exists already or cannot be written, or if the input ends before the last answer.
pub fn init(path: &Path, network: Option<InitNetwork>, wallets: &str) -> anyhow::Result<()> {
    // Before the first question, so that no answer is lost.
    write(path, "")?;
    let _ = std::fs::remove_file(path);
    let Some(answers) = asked(wallets, network, &mut Questions::of_process())? else {
        if path.file_name() != Some(OsStr::new(".env")) {
            let problem = format!("a served world's file is named .env, not {}", path.display());
            return Err(
                ExitError::new(Exit::Usage, problem + "; name another folder with --env-file FOLDER/.env").into()
            );
        }
        write(path, SERVED)?;
        output::line(served_next(path));
        return Ok(());
    };
    write(path, &text(&answers))?;
    let file = printable(&path.display().to_string());
    let named = if file == ".env" { String::new() } else { format!(" --env-file {file}") };
    output::line(format!(
        "\n{file} is written, for you alone to read.\n\
         Next: `grail doctor{named}`, then `grail mine --try`, then `grail mine{named}`."
    ));
    Ok(())
}

/// Asks for everything, for the network too if none is given, and tests each answer as soon as it can be tested. A served
/// world needs no answers.
fn asked(wallets: &str, given: Option<InitNetwork>, questions: &mut Questions) -> anyhow::Result<Option<Answers>> {
    let (wallets, netuid) = (expanded(wallets), PROTOCOL.netuid.to_string());
    let mut answers = Answers { wallets, netuid, ..Answers::default() };
    let found = scan(&answers.wallets);
    loop {
        answers.network = given.map_or_else(|| questions.network(), Ok)?;
        if answers.network == InitNetwork::Served {
            return Ok(None);
        }
        let before = answers.endpoint.take();
        if answers.network == InitNetwork::Custom {
            let question = "Address of a node, such as ws://127.0.0.1:9944";
            answers.endpoint = Some(questions.text(question, before.as_deref())?);
            answers.netuid = questions.text("Number of the subnet", Some(&answers.netuid))?;
        }
        let Found { cold, hot } = questions.wallet(&answers.wallets, &found)?;
        (answers.cold, answers.hot) = (cold, hot);
        if passes_test(&answers, Part::Chain)? || questions.keeps("these answers")? {
            break;
        }
    }
    loop {
        let question = "Account id on the R2 dashboard; the bucket must have the same name";
        let before = Some(answers.account_id).filter(|before| !before.is_empty());
        answers.account_id = questions.text(question, before.as_deref())?;
        if answers.network == InitNetwork::Custom {
            let before = answers.store.take().unwrap_or_default();
            answers.store = Some(questions.text("Address of the S3 server, empty for R2", Some(&before))?);
        }
        let mut key = |(id, secret): &(SecretString, SecretString)| {
            Ok::<_, ExitError>((
                questions.secret("Its access key id", id)?,
                questions.secret("Its secret access key", secret)?,
            ))
        };
        output::line("The READ key is published on the chain: a token with the permission `Object Read only`.");
        answers.read = key(&answers.read)?;
        output::line("The WRITE key stays here: a token with the permission `Object Read & Write`.");
        answers.write = key(&answers.write)?;
        if passes_test(&answers, Part::Bucket)? || questions.keeps("these keys")? {
            return Ok(Some(answers));
        }
    }
}

/// Returns the file's content, with a comment for each line.
fn text(answers: &Answers) -> Zeroizing<String> {
    let mut text = Zeroizing::new("# Written by `grail init`; .env.example lists all settings.\n".to_owned());
    let mut line = |comment: &str, name: &str, value: &str| {
        let value = if value.contains([' ', '#', '\'', '"', '\\']) { quoted(value) } else { value.to_owned() };
        text.push_str(&format!("\n# {comment}\n{name}={value}\n"));
    };
    for (comment, name, value) in answers.plain() {
        line(comment, name, &value);
    }
    for (comment, name, value) in answers.secret() {
        line(comment, name, value.expose_secret());
    }
    text
}

/// Returns a value that holds white space or characters with a meaning.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}

/// Creates a file that only its owner may read; it must not exist yet.
fn write(path: &Path, text: &str) -> Result<(), ExitError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let path = path.display();
    opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => ExitError::new(
            Exit::Negative,
            format!(
                "{path} is there already, and is never overwritten; move it away, or name another file with --env-file"
            ),
        ),
        _ => {
            let text = format!("cannot write {path} ({error}); name another file with --env-file");
            ExitError::new(Exit::of_file(&error), text)
        }
    })
}

/// Returns the two commands that follow for a served world.
fn served_next(path: &Path) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (file, folder) = (printable(&path.display().to_string()), printable(&folder.display().to_string()));
    format!(
        "{file} is written. Next, each in a terminal of its own:\n  grail sim serve --dir {folder}\n  \
         grail mine --env-file {file} --device cpu --data-dir {folder}/data"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use grail_config::{Environment, MinerConfig};

    #[test]
    fn written_objects_are_read_back_with_their_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        let answers = Answers {
            wallets: "/a b/wallets".into(),
            cold: "it's".to_owned(),
            hot: "hot#1".to_owned(),
            account_id: "0123456789abcdef0123456789abcdef".to_owned(),
            read: ("r".repeat(32).into(), "s".repeat(64).into()),
            write: ("w".repeat(32).into(), "x".repeat(64).into()),
            netuid: PROTOCOL.netuid.to_string(),
            ..Answers::default()
        };
        write(&path, &text(&answers)).unwrap();
        let typed = grail_config::load(&Environment::new(), Some(&path)).unwrap();
        let config = MinerConfig::from_raw(&typed).unwrap();
        assert_eq!((config.wallet.cold.as_str(), config.wallet.hot.as_str()), ("it's", "hot#1"));
        assert_eq!(config.wallet.folder, Path::new("/a b/wallets"));
        assert_eq!(config.storage.read.secret.expose_secret(), "s".repeat(64));
        assert_eq!(config.storage.write.id.expose_secret(), "w".repeat(32));
        let file = std::fs::read_to_string(&path).unwrap();
        assert!(file.lines().filter(|line| line.contains('=')).count() >= 9, "{file}");
        let lines: Vec<&str> = file.lines().collect();
        let has_comment = |at: usize| lines[at - 1].starts_with("# ");
        assert!((0..lines.len()).filter(|at| lines[*at].contains('=')).all(has_comment), "a comment a line: {file}");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = write(&path, "").unwrap_err();
        assert!(refused.exit == Exit::Negative && refused.to_string().contains("never overwritten"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), file);
    }
}
