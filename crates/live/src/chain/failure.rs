//! Failures between us and a node, by their consequence.

use grail_miner::ports::{ChainError, CommitError, OtherNetwork};
use jsonrpsee::client_transport::ws::{WsError, WsHandshakeError};
use jsonrpsee::core::client::Error;

/// Codes of rate limits of nodes and their proxies.
const RATE_LIMIT_CODES: [i32; 3] = [-32004, -32005, 429];
/// "Method not found" and "invalid params": asking the same node again cannot help.
const NOT_SERVED_CODES: [i32; 2] = [-32601, -32602];
const TOO_MANY_REQUESTS: u16 = 429;
/// The close code "policy violation".
const POLICY_VIOLATION: u16 = 1008;

/// Why a node gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It limits our rate.
    RateLimited,
    /// The connection could not be made, or broke.
    Broken(String),
    /// It answered with an error.
    Answered {
        /// The code of the JSON-RPC error.
        code: i32,
        /// Its text, as far as it may be shown.
        text: String,
    },
    /// It answered another question.
    Malformed(String),
    /// It serves another network.
    OtherNetwork(OtherNetwork),
}

impl Failure {
    pub(super) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }

    /// Converts the client's error; `presentable` removes secrets.
    pub(super) fn of(error: &Error, presentable: impl Fn(&str) -> String) -> Self {
        match error {
            Error::Call(object) if RATE_LIMIT_CODES.contains(&object.code()) => Self::RateLimited,
            Error::Call(object) => {
                let data = object.data().map(|data| format!(" {}", data.get())).unwrap_or_default();
                let text = presentable(&format!("{}{data}", object.message()));
                Self::Answered { code: object.code(), text }
            }
            Error::ParseError(error) => Self::malformed(presentable(&error.to_string())),
            Error::InvalidSubscriptionId => Self::malformed("no usable subscription id"),
            Error::InvalidRequestId(_) => Self::malformed("an answer to no request of ours"),
            Error::RestartNeeded(cause) => match Self::of(cause, presentable) {
                // The connection is closed because of this, so it is more than a malformed answer.
                Self::Malformed(why) => Self::Broken(why),
                failure => failure,
            },
            Error::RequestTimeout => Self::Broken("no answer in time".to_owned()),
            Error::Transport(cause) => match cause.downcast_ref::<WsError>() {
                Some(WsError::Closed(reason)) if reason.code == POLICY_VIOLATION => Self::RateLimited,
                Some(WsError::Closed(reason)) => {
                    Self::Broken(format!("it closed the connection, code {}", reason.code))
                }
                _ => Self::Broken(presentable(&cause.to_string())),
            },
            other => Self::Broken(presentable(&other.to_string())),
        }
    }

    /// From a failed handshake.
    pub(super) fn of_handshake(error: &WsHandshakeError, presentable: impl Fn(&str) -> String) -> Self {
        match error {
            WsHandshakeError::Rejected { status_code: TOO_MANY_REQUESTS } => Self::RateLimited,
            WsHandshakeError::Rejected { status_code } => Self::Broken(format!("HTTP status {status_code}")),
            WsHandshakeError::Redirected { status_code, .. } => {
                Self::Broken(format!("HTTP status {status_code}: it redirects elsewhere"))
            }
            WsHandshakeError::Transport(cause) => Self::Broken(presentable(&cause.to_string())),
            other => Self::Broken(presentable(&other.to_string())),
        }
    }

    /// Returns the same, with the endpoint's name.
    pub(super) fn at(self, endpoint: &str) -> Self {
        match self {
            Self::RateLimited => Self::RateLimited,
            Self::Broken(why) => Self::Broken(format!("{endpoint}: {why}")),
            Self::Answered { code, text } => Self::Answered { code, text: format!("{endpoint}: {text}") },
            Self::Malformed(why) => Self::Malformed(format!("{endpoint}: {why}")),
            Self::OtherNetwork(what) => Self::OtherNetwork(OtherNetwork { endpoint: endpoint.to_owned(), ..what }),
        }
    }

    /// Returns the same, with how the endpoint is reached.
    pub(super) fn along(self, route: &str) -> Self {
        match self {
            Self::Broken(why) => Self::Broken(why + route),
            other => other,
        }
    }

    /// Converts the failure of a commitment that was not sent, so that it is certainly not on the chain.
    pub(super) fn before_sending(self) -> CommitError {
        CommitError::Refused(format!("it was not sent, since {}; it is retried", ChainError::from(self)))
    }

    /// Converts the failure of a commitment that was sent.
    pub(super) fn after_sending(self) -> CommitError {
        CommitError::Unknown(match self {
            Self::RateLimited => "the endpoint limits our rate".to_owned(),
            Self::Broken(why) | Self::Malformed(why) => why,
            Self::Answered { code, text } => format!("error {code}: {text}"),
            Self::OtherNetwork(what) => what.to_string(),
        })
    }
}

impl From<Failure> for ChainError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::RateLimited => Self::RateLimited,
            Failure::Broken(why) => Self::Unreachable(why),
            Failure::Malformed(what) => Self::Malformed(what),
            Failure::OtherNetwork(what) => Self::OtherNetwork(what),
            Failure::Answered { code, text } => {
                let text = format!("error {code}: {text}");
                if NOT_SERVED_CODES.contains(&code) { Self::Malformed(text) } else { Self::Unreachable(text) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jsonrpsee::types::ErrorObject;

    use super::*;

    fn of(error: Error) -> Failure {
        Failure::of(&error, str::to_owned)
    }

    #[test]
    fn rate_limits_are_recognized() {
        for code in [-32004, -32005, 429] {
            let error = Error::Call(ErrorObject::owned(code, "limit", None::<()>));
            assert_eq!(of(error), Failure::RateLimited);
        }
        let rejected = WsHandshakeError::Rejected { status_code: 429 };
        assert_eq!(Failure::of_handshake(&rejected, str::to_owned), Failure::RateLimited);
    }

    #[test]
    fn a_broken_connection_keeps_its_cause() {
        let cause = Error::Transport("reset by peer".into());
        assert_eq!(of(Error::RestartNeeded(Arc::new(cause))), Failure::Broken("reset by peer".to_owned()));
        let invalid = Error::RestartNeeded(Arc::new(Error::InvalidSubscriptionId));
        assert!(matches!(of(invalid), Failure::Broken(_)));
    }

    #[test]
    fn an_unserved_method_asks_for_another_endpoint() {
        let failure = of(Error::Call(ErrorObject::owned(-32601, "Method not found", None::<()>)));
        let error = ChainError::from(failure.at("ws://node:1"));
        assert_eq!(error, ChainError::Malformed("error -32601: ws://node:1: Method not found".to_owned()));
    }
}
