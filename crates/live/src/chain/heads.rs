//! The best head: from the node's announcements, or by polling if it sends none.

use std::time::Duration;

use grail_miner::ports::LAG_BLOCKS_MAX;
use jsonrpsee::core::client::Subscription;
use tokio::sync::watch;

use super::connection::Connection;
use super::failure::Failure;
use super::json::{Answer, number_of};
use super::kept::{Announced, HeadSource};

/// Returns the number of the best head once it exceeds `after`, or is so far below that `after` may never have existed.
pub(super) async fn next_number(connection: &Connection, after: u64) -> Result<u64, Failure> {
    let source = connection.heads.get_or_try_init(|| source(connection)).await?;
    match source {
        HeadSource::Announced(receiver) => announced(connection, receiver.clone(), after).await,
        HeadSource::Asked => connection.unless_given_up(asked(connection, after)).await?,
    }
}

async fn source(connection: &Connection) -> Result<HeadSource, Failure> {
    let subscription = connection.subscribe("chain_subscribeNewHeads", Vec::new(), "chain_unsubscribeNewHeads").await;
    match subscription {
        Ok(subscription) => {
            let (sender, receiver) = watch::channel(None);
            tokio::spawn(follow(subscription, sender));
            Ok(HeadSource::Announced(receiver))
        }
        Err(Failure::Answered { .. }) => Ok(HeadSource::Asked),
        Err(failure) => Err(failure),
    }
}

const fn is_news(number: u64, after: u64) -> bool {
    number > after || number.saturating_add(LAG_BLOCKS_MAX) < after
}

async fn follow(mut subscription: Subscription<Answer>, sender: watch::Sender<Announced>) {
    while let Some(header) = subscription.next().await {
        let number = match header {
            Ok(Answer(header)) => number_of(&header),
            Err(_) => Err(Failure::malformed("an announcement that is no JSON")),
        };
        if sender.send(Some(number)).is_err() {
            return;
        }
    }
}

async fn announced(
    connection: &Connection,
    mut receiver: watch::Receiver<Announced>,
    after: u64,
) -> Result<u64, Failure> {
    let news = |head: &Announced| match head {
        None => false,
        Some(Ok(number)) => is_news(*number, after),
        Some(Err(_)) => true,
    };
    let head = connection.unless_given_up(receiver.wait_for(news)).await?;
    match head.as_deref() {
        Ok(Some(Ok(number))) => Ok(*number),
        Ok(Some(Err(failure))) => {
            // Otherwise later announcements would hide the failure.
            connection.give_up();
            Err(connection.named(failure.clone()))
        }
        _ => {
            connection.give_up();
            Err(connection.named(Failure::Broken("the announcement of heads ended".to_owned())))
        }
    }
}

async fn asked(connection: &Connection, after: u64) -> Result<u64, Failure> {
    loop {
        let number = connection.ask("chain_getHeader", Vec::new(), number_of).await?;
        if is_news(number, after) {
            return Ok(number);
        }
        tokio::time::sleep(Duration::from_millis(connection.patience.poll_ms)).await;
    }
}
