//! Commands that can be typed while the world runs.

use std::str::FromStr;
use std::time::Duration;

use super::faults::{ServeFault, UnknownServeFault};

/// A line on standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleCommand {
    /// `fault NAME [for SECONDS|until off]`.
    Fault(ServeFault, Option<Duration>),
    /// `heal [NAME]`.
    Heal(Option<ServeFault>),
    /// `list`.
    List,
}

/// An unknown command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsoleError {
    /// Not a fault.
    #[error(transparent)]
    Fault(#[from] UnknownServeFault),
    /// Not a time.
    #[error("{0:?} is not a number of seconds; type for example: fault socket-cut for 2.5")]
    Seconds(String),
    /// Not a command.
    #[error("type one of: fault NAME [for SECONDS|until off], heal [NAME], list")]
    Unknown,
}

impl FromStr for ConsoleCommand {
    type Err = ConsoleError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["fault", name] | ["fault", name, "until", "off"] => Ok(Self::Fault(name.parse()?, None)),
            ["fault", name, "for", seconds] => {
                let duration = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let wrong = || ConsoleError::Seconds((*seconds).to_owned());
                Ok(Self::Fault(name.parse()?, Some(duration.ok_or_else(wrong)?)))
            }
            ["heal"] => Ok(Self::Heal(None)),
            ["heal", name] => Ok(Self::Heal(Some(name.parse()?))),
            ["list"] => Ok(Self::List),
            _ => Err(ConsoleError::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let read = |line: &str| line.parse::<ConsoleCommand>();
        let cut = ServeFault::SocketCut;
        assert_eq!(read("fault socket-cut"), Ok(ConsoleCommand::Fault(cut, None)));
        assert_eq!(read(" fault  socket-cut until off "), Ok(ConsoleCommand::Fault(cut, None)));
        let two = Some(Duration::from_millis(2500));
        assert_eq!(read("fault socket-cut for 2.5"), Ok(ConsoleCommand::Fault(cut, two)));
        assert_eq!(read("heal"), Ok(ConsoleCommand::Heal(None)));
        assert_eq!(read("heal socket-cut"), Ok(ConsoleCommand::Heal(Some(cut))));
        assert_eq!(read("list"), Ok(ConsoleCommand::List));
        for seconds in ["-1", "soon", "inf", "NaN"] {
            assert_eq!(
                read(&format!("fault socket-cut for {seconds}")),
                Err(ConsoleError::Seconds(seconds.to_owned()))
            );
        }
        assert_eq!(read("fault fire"), Err(UnknownServeFault("fire".to_owned()).into()));
        assert_eq!(read("quit"), Err(ConsoleError::Unknown));
    }
}
