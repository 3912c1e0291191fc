//! What a connection keeps of its node: the source of heads, and how up to date the node was.

use tokio::sync::watch;

use super::failure::Failure;

/// The announced head: none yet, its number, or an invalid announcement.
pub(super) type Announced = Option<Result<u64, Failure>>;

/// Source of heads.
#[derive(Debug)]
pub(super) enum HeadSource {
    /// Announcements, kept up to date by a task that ends with the connection.
    Announced(watch::Receiver<Announced>),
    /// The node takes no subscriptions.
    Asked,
}

/// State of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fitness {
    /// Its newest block is young, and it does not say that it is syncing.
    UpToDate,
    /// It is syncing, or its newest block is old.
    Behind(String),
    /// Unknown, because it does not say.
    Unknown(String),
}
