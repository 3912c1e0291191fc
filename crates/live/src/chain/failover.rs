//! Which endpoint is used, and when the next one is tried.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;
use super::endpoint::ChainEndpoint;
use super::failure::Failure;
use super::settings::{ChainPatience, ChainSettings, ChainSettingsError};

/// The newest block of an endpoint that is up to date is at most this many block times old.
const FRESH_BLOCKS: u64 = 5;
/// Most doublings of the back-off; it reaches its maximum long before.
const DOUBLINGS_MAX: u32 = 16;

/// The endpoints, one of which may be connected.
///
/// A call makes one attempt at most, and any failure moves on to the next endpoint.
#[derive(Debug)]
pub(super) struct Failover {
    endpoints: Vec<Rc<ChainEndpoint>>,
    genesis: Option<[u8; 32]>,
    pub(super) patience: ChainPatience,
    /// Spreads the attempts of many miners apart.
    jitter_seed: [u8; 32],
    state: RefCell<State>,
    /// How often the endpoint changed; ends an attempt that is under way.
    changes: watch::Sender<u64>,
    opening: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    index: usize,
    /// Whether the present endpoint has been tried since it was chosen.
    is_tried: bool,
    connection: Option<Rc<Connection>>,
    /// Failures since the last answer.
    failures: u32,
    not_before: Option<Instant>,
}

impl Failover {
    pub(super) fn new(settings: &ChainSettings, hotkey: [u8; 32]) -> Result<Self, ChainSettingsError> {
        let interval = Duration::from_millis(settings.patience.public_interval_ms);
        let numbered = (1..).zip(&settings.endpoints);
        let endpoints =
            numbered.map(|(position, address)| ChainEndpoint::new(address, position, interval).map(Rc::new));
        let endpoints: Vec<Rc<ChainEndpoint>> = endpoints.collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(ChainSettingsError::NoEndpoint);
        }
        Ok(Self {
            endpoints,
            genesis: settings.genesis,
            patience: ChainPatience {
                fresh_ms: settings.patience.fresh_ms.max(FRESH_BLOCKS * settings.block_ms),
                ..settings.patience
            },
            jitter_seed: hotkey,
            state: RefCell::default(),
            changes: watch::Sender::new(0),
            opening: Mutex::new(()),
        })
    }

    /// Returns the same endpoints with another first one; none if there is only one.
    pub(super) fn beginning_with_the_second(&self) -> Option<Self> {
        let Self { ref endpoints, genesis, patience, jitter_seed, .. } = *self;
        (endpoints.len() > 1).then(|| Self {
            endpoints: endpoints.clone(),
            genesis,
            patience,
            jitter_seed,
            state: RefCell::new(State { index: 1, ..State::default() }),
            changes: watch::Sender::new(0),
            opening: Mutex::new(()),
        })
    }

    /// Returns how many endpoints there are.
    pub(super) fn count(&self) -> usize {
        self.endpoints.len()
    }

    /// Returns the connection, made now if there is none.
    pub(super) async fn connection(&self) -> Result<Rc<Connection>, Failure> {
        if let Some(present) = self.present() {
            return Ok(present);
        }
        let _opening = self.opening.lock().await;
        if let Some(present) = self.present() {
            return Ok(present);
        }
        let mut changes = self.changes.subscribe();
        let opened = tokio::select! {
            biased;
            _ = changes.changed() => return Err(Failure::Broken("another endpoint was asked for meanwhile".to_owned())),
            opened = self.open() => opened,
        };
        match opened {
            Ok(connection) => {
                let connection = Rc::new(connection);
                self.state.borrow_mut().connection = Some(connection.clone());
                Ok(connection)
            }
            Err(failure) => {
                let index = self.state.borrow().index;
                self.endpoints[index].set_poor(true);
                self.advance();
                Err(failure)
            }
        }
    }

    /// Takes note of how a call over `connection` ended.
    pub(super) fn settle<T>(&self, connection: &Rc<Connection>, result: Result<T, Failure>) -> Result<T, Failure> {
        let is_present = self.state.borrow().connection.as_ref().is_some_and(|present| Rc::ptr_eq(present, connection));
        if is_present && !connection.is_usable() {
            self.advance();
        } else if is_present && result.is_ok() {
            self.state.borrow_mut().failures = 0;
        }
        result
    }

    /// Uses another endpoint from now on, if there is one, and if `connection` is the one in use.
    pub(super) fn leave(&self, connection: &Rc<Connection>) {
        let is_present = self.state.borrow().connection.as_ref().is_some_and(|present| Rc::ptr_eq(present, connection));
        if is_present && self.endpoints.len() > 1 {
            self.advance();
        }
    }

    /// Returns whether there may be a better endpoint than the one of `connection`.
    pub(super) fn has_better(&self, connection: &Connection) -> bool {
        let is_other = |endpoint: &&Rc<ChainEndpoint>| !Rc::ptr_eq(endpoint, &connection.endpoint);
        self.endpoints.iter().filter(is_other).any(|endpoint| !endpoint.is_poor())
    }

    /// Gives up the connection or the attempt at one; an endpoint that was never tried stays chosen.
    pub(super) fn reconnect(&self) {
        if self.state.borrow().is_tried {
            self.advance();
        }
    }

    /// Returns each endpoint's name, and whether it is the one in use: connected, or being tried.
    pub(super) fn standing(&self) -> Vec<(String, Option<bool>)> {
        let state = self.state.borrow();
        let is_connected = state.connection.as_ref().is_some_and(|connection| connection.is_usable());
        let standing = |at: usize| (at == state.index).then_some(is_connected);
        self.endpoints.iter().enumerate().map(|(at, endpoint)| (endpoint.name(), standing(at))).collect()
    }

    fn present(&self) -> Option<Rc<Connection>> {
        let present = self.state.borrow().connection.clone()?;
        if present.is_usable() {
            return Some(present);
        }
        self.advance();
        None
    }

    async fn open(&self) -> Result<Connection, Failure> {
        let not_before = self.state.borrow().not_before;
        if let Some(not_before) = not_before {
            sleep_until(not_before).await;
        }
        let endpoint = {
            let mut state = self.state.borrow_mut();
            state.is_tried = true;
            self.endpoints[state.index].clone()
        };
        Connection::open(endpoint, self.genesis, self.patience).await
    }

    fn advance(&self) {
        let mut state = self.state.borrow_mut();
        if let Some(connection) = state.connection.take() {
            connection.give_up();
        }
        state.index = (state.index + 1) % self.endpoints.len();
        state.is_tried = false;
        state.failures = state.failures.saturating_add(1);
        let change = *self.changes.borrow() + 1;
        state.not_before = Some(Instant::now() + self.backoff(state.failures, change));
        self.changes.send_replace(change);
    }

    /// Random pause between half and all of a time that doubles after each failed round of endpoints.
    fn backoff(&self, failures: u32, change: u64) -> Duration {
        let rounds = failures.saturating_sub(1) / self.endpoints.len() as u32;
        let doubled = self.patience.backoff_ms_min.saturating_mul(1 << rounds.min(DOUBLINGS_MAX));
        let full = doubled.min(self.patience.backoff_ms_max);
        let digest = Sha256::new().chain_update(self.jitter_seed).chain_update(change.to_le_bytes()).finalize();
        let draw = u64::from(u16::from_le_bytes([digest[0], digest[1]]));
        Duration::from_millis(full / 2 + (full - full / 2) * draw / u64::from(u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failover(hotkey: u8) -> Failover {
        let settings = ChainSettings::custom(["ws://127.0.0.1:1", "ws://127.0.0.1:2"], 81);
        Failover::new(&settings, [hotkey; 32]).expect("the settings are valid")
    }

    #[test]
    fn the_backoff_grows_by_rounds_and_is_jittered_by_hotkey() {
        let failover = failover(1);
        for (failures, full) in [(1, 250), (2, 250), (3, 500), (5, 1000), (40, 8000), (u32::MAX, 8000)] {
            for change in 0..50 {
                let backoff = failover.backoff(failures, change).as_millis();
                assert!((full / 2..=full).contains(&backoff), "{failures} failures: {backoff} ms");
            }
        }
        assert_eq!(failover.backoff(9, 1), failover.backoff(9, 1));
        assert_ne!(failover.backoff(9, 1), failover.backoff(9, 2));
        assert_ne!(failover.backoff(9, 1), self::failover(2).backoff(9, 1));
    }

    #[test]
    fn an_endpoint_that_was_not_tried_is_not_passed_over() {
        let failover = failover(1);
        failover.reconnect();
        assert_eq!(failover.state.borrow().index, 0);
        failover.state.borrow_mut().is_tried = true;
        failover.reconnect();
        failover.reconnect();
        assert_eq!(failover.state.borrow().index, 1);
    }

    #[test]
    fn a_list_of_endpoints_must_hold_some() {
        let none = ChainSettings::custom(Vec::<String>::new(), 81);
        assert_eq!(Failover::new(&none, [0; 32]).err(), Some(ChainSettingsError::NoEndpoint));
    }
}
