//! One connection to one node, which notices when it is dead.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use grail_miner::ports::OtherNetwork;
use jsonrpsee::core::client::async_client::PingConfig;
use jsonrpsee::core::client::{Client, ClientBuilder, ClientT, Error, Subscription, SubscriptionClientT};
use serde_json::Value;
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, timeout};

use super::endpoint::ChainEndpoint;
use super::failure::Failure;
use super::json::{Answer, hash_of};
use super::kept::{Fitness, HeadSource};
use super::settings::ChainPatience;
use super::socket;

/// After this many canceled calls in a row the connection counts as dead.
const UNANSWERED_MAX: u32 = 6;
/// A silent socket is found out within a few of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PONG_LIMIT: Duration = Duration::from_secs(25);
/// Requests that wait for the socket; further ones wait for a place.
const WAITING_REQUESTS_MAX: usize = 64;
/// Notifications that wait for us; more end the subscription.
const NOTIFICATIONS_MAX: usize = 64;

/// An open connection. Dropping a call's future at any time is safe.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    pub(super) endpoint: Rc<ChainEndpoint>,
    /// The hash of the network's block 0.
    pub(super) genesis: [u8; 32],
    pub(super) patience: ChainPatience,
    /// The source of heads; empty until the first request for one.
    pub(super) heads: OnceCell<HeadSource>,
    /// How up to date the endpoint was at the last measurement.
    pub(super) fitness: RefCell<Option<(Instant, Fitness)>>,
    unanswered: Cell<u32>,
    given_up: watch::Sender<bool>,
}

impl Connection {
    /// Connects, and checks that the node is on the intended network.
    pub(super) async fn open(
        endpoint: Rc<ChainEndpoint>,
        genesis: Option<[u8; 32]>,
        patience: ChainPatience,
    ) -> Result<Self, Failure> {
        let (name, route) = (endpoint.name(), endpoint.route());
        endpoint.pace.turn().await;
        let limit = Duration::from_millis(patience.connect_ms);
        let greeted = timeout(limit, Self::greeted(endpoint, genesis, patience)).await;
        greeted.unwrap_or_else(|_| Err(Failure::Broken(format!("no connection in time{route}")).at(&name)))
    }

    async fn greeted(
        endpoint: Rc<ChainEndpoint>,
        genesis: Option<[u8; 32]>,
        patience: ChainPatience,
    ) -> Result<Self, Failure> {
        let (sender, receiver) = socket::open(&endpoint).await.map_err(|failure| {
            endpoint.heed(&failure);
            failure.at(&endpoint.name())
        })?;
        let client = ClientBuilder::new()
            .request_timeout(Duration::from_millis(patience.request_ms))
            .max_concurrent_requests(WAITING_REQUESTS_MAX)
            .max_buffer_capacity_per_subscription(NOTIFICATIONS_MAX)
            .enable_ws_ping(PingConfig::new().ping_interval(PING_INTERVAL).inactive_limit(PONG_LIMIT))
            .build_with_tokio(sender, receiver);
        let mut connection = Self {
            client,
            endpoint,
            genesis: [0; 32],
            patience,
            heads: OnceCell::new(),
            fitness: RefCell::default(),
            unanswered: Cell::new(0),
            given_up: watch::Sender::new(false),
        };
        connection.genesis = connection.checked_genesis(genesis).await?;
        Ok(connection)
    }

    async fn checked_genesis(&self, wanted: Option<[u8; 32]>) -> Result<[u8; 32], Failure> {
        let found = self.ask("chain_getBlockHash", vec![0.into()], hash_of).await?;
        let found = found.ok_or_else(|| self.named(Failure::malformed("it has no genesis block")))?;
        match wanted {
            Some(wanted) if wanted != found => {
                let [found, wanted] = [found, wanted].map(|hash| format!("0x{}", hex::encode(hash)));
                Err(Failure::OtherNetwork(OtherNetwork { endpoint: self.endpoint.name(), found, wanted }))
            }
            _ => Ok(found),
        }
    }

    /// Returns whether it is worth another call.
    pub(super) fn is_usable(&self) -> bool {
        self.client.is_connected() && !*self.given_up.borrow() && self.unanswered.get() < UNANSWERED_MAX
    }

    /// Returns whether both lead to the same endpoint.
    pub(super) fn is_to_the_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.endpoint, &other.endpoint)
    }

    /// Returns the endpoint's name, without secrets.
    pub(super) fn name(&self) -> String {
        self.endpoint.name()
    }

    /// Ends all calls that are under way, and allow no new ones.
    pub(super) fn give_up(&self) {
        self.given_up.send_replace(true);
    }

    /// Calls a method.
    pub(super) async fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, Failure> {
        let Answer(answer) = self.guarded(self.client.request(method, params)).await?;
        Ok(answer)
    }

    /// Calls a method, and reads its answer.
    pub(super) async fn ask<T>(
        &self,
        method: &str,
        params: Vec<Value>,
        read: impl FnOnce(&Value) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        read(&self.call(method, params).await?).map_err(|failure| self.named(failure))
    }

    /// Calls a method that answers with a stream of notifications.
    pub(super) async fn subscribe(
        &self,
        method: &str,
        params: Vec<Value>,
        unsubscribe: &str,
    ) -> Result<Subscription<Answer>, Failure> {
        self.guarded(self.client.subscribe(method, params, unsubscribe)).await
    }

    /// Returns the node's answer, unless the connection is given up meanwhile.
    pub(super) async fn unless_given_up<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let mut given_up = self.given_up.subscribe();
        tokio::select! {
            biased;
            _ = given_up.wait_for(|given_up| *given_up) => {
                Err(self.named(Failure::Broken("the connection was given up".to_owned())))
            }
            done = work => Ok(done),
        }
    }

    /// Returns the failure, with our endpoint's name.
    pub(super) fn named(&self, failure: Failure) -> Failure {
        failure.at(&self.endpoint.name())
    }

    async fn guarded<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        let paced = async {
            self.endpoint.pace.turn().await;
            let unanswered = Unanswered { count: &self.unanswered };
            let answer = request.await;
            if !matches!(answer, Err(Error::RequestTimeout)) {
                unanswered.answered();
            }
            answer
        };
        let answer = self.unless_given_up(paced).await?;
        answer.map_err(|error| {
            if matches!(error, Error::RequestTimeout) {
                self.give_up();
            }
            let failure = Failure::of(&error, |text| self.endpoint.presentable(text));
            self.endpoint.heed(&failure);
            self.named(failure)
        })
    }
}

/// Counts a request whose future is dropped before the answer.
struct Unanswered<'a> {
    count: &'a Cell<u32>,
}

impl Unanswered<'_> {
    fn answered(self) {
        self.count.set(0);
        std::mem::forget(self);
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.count.set(self.count.get().saturating_add(1));
    }
}
