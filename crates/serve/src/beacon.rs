//! A drand relay with its own network: BLS signatures by a key of the seed, over HTTP.

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::{Arc, Mutex};

use bls12_381::hash_to_curve::{ExpandMsgXmd, HashToCurve};
use bls12_381::{G1Affine, G1Projective, G2Affine, G2Projective, Scalar};
use bytes::Bytes;
use grail_miner::ports::BeaconSchedule;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

use super::http_server::HttpServer;
use super::unix_ms;

const SCHEME: &str = "bls-unchained-g1-rfc9380";
const DOMAIN: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
/// A network that has been running for a while.
const AGE_S: u64 = 1_000;

/// The network: it signs rounds.
pub struct BeaconNetwork {
    secret: Scalar,
    /// Its public key on G2, in hex.
    pub public_key: String,
    /// Its identifying hash, in hex.
    pub chain_hash: String,
    /// When its rounds are due.
    pub schedule: BeaconSchedule,
}

/// Fault of the relay's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BeaconTrouble {
    /// Nothing.
    #[default]
    None,
    /// Rounds are signed with another key.
    WrongSignature,
    /// Rounds come this many seconds late.
    Late(u64),
    /// No round is ever available.
    Missing,
}

/// A relay that serves the network.
pub struct BeaconServer {
    /// The served network.
    pub network: Arc<BeaconNetwork>,
    trouble: Arc<Mutex<BeaconTrouble>>,
    pub(super) server: HttpServer,
}

impl BeaconNetwork {
    /// Returns the network of this seed, with a round every `period_s`. Anyone who knows the seed can sign its rounds.
    pub fn new(seed: impl Display, period_s: u64) -> Self {
        let secret = Scalar::from_bytes_wide(&Sha512::digest(format!("{seed}/serve/beacon")).into());
        let public_key = G2Affine::from(G2Projective::generator() * secret).to_compressed();
        let schedule = BeaconSchedule { genesis_s: unix_ms() / 1000 - AGE_S, period_s };
        let chain_hash = Sha256::new()
            .chain_update((period_s as u32).to_be_bytes())
            .chain_update(schedule.genesis_s.to_be_bytes())
            .chain_update(public_key)
            .finalize();
        Self { secret, public_key: hex::encode(public_key), chain_hash: hex::encode(chain_hash), schedule }
    }

    /// Returns the newest round that is due.
    pub fn newest_round(&self) -> u64 {
        self.schedule.round_at(unix_ms())
    }

    /// Returns the randomness of a round.
    pub fn randomness(&self, round: u64) -> String {
        hex::encode(Sha256::digest(signed(round, self.secret)))
    }

    fn info(&self) -> Value {
        json!({
            "public_key": self.public_key, "period": self.schedule.period_s, "genesis_time": self.schedule.genesis_s,
            "hash": self.chain_hash, "groupHash": self.chain_hash, "schemeID": SCHEME,
            "metadata": { "beaconID": "served" },
        })
    }

    fn round(&self, round: u64, trouble: BeaconTrouble) -> Value {
        let signature = match trouble {
            BeaconTrouble::WrongSignature => signed(round, self.secret + Scalar::one()),
            _ => signed(round, self.secret),
        };
        let randomness = hex::encode(Sha256::digest(signature));
        json!({ "round": round, "randomness": randomness, "signature": hex::encode(signature) })
    }

    fn answer(&self, path: &str, trouble: BeaconTrouble) -> Result<Value, StatusCode> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let newest = match trouble {
            BeaconTrouble::Missing => 0,
            BeaconTrouble::Late(seconds) => self.schedule.round_at(unix_ms().saturating_sub(1000 * seconds)),
            BeaconTrouble::None | BeaconTrouble::WrongSignature => self.newest_round(),
        };
        let is_ours = |hash: &str| hash.eq_ignore_ascii_case(&self.chain_hash);
        match parts.as_slice() {
            ["chains"] => Ok(json!([self.chain_hash])),
            ["info"] => Ok(self.info()),
            [hash, "info"] if is_ours(hash) => Ok(self.info()),
            [hash, "public", round] if is_ours(hash) => match round.parse() {
                _ if *round == "latest" && newest > 0 => Ok(self.round(newest, trouble)),
                Ok(round) if (1..=newest).contains(&round) => Ok(self.round(round, trouble)),
                Ok(round) if round > newest => Err(StatusCode::TOO_EARLY),
                _ => Err(StatusCode::NOT_FOUND),
            },
            _ => Err(StatusCode::NOT_FOUND),
        }
    }
}

impl BeaconServer {
    /// Serves a network on a free port of loopback.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(network: BeaconNetwork) -> std::io::Result<Self> {
        let (network, trouble) = (Arc::new(network), Arc::new(Mutex::new(BeaconTrouble::None)));
        let (signer, wrong) = (network.clone(), trouble.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (signer, trouble) = (signer.clone(), *wrong.lock().expect("no holder panicked"));
            async move { Ok::<_, Infallible>(response(signer.answer(request.uri().path(), trouble))) }
        });
        Ok(Self { network, trouble, server: HttpServer::start(service).await? })
    }

    /// Answers in this way from now on.
    pub fn set_trouble(&self, trouble: BeaconTrouble) {
        *self.trouble.lock().expect("no holder panicked") = trouble;
    }
}

fn response(answer: Result<Value, StatusCode>) -> Response<Full<Bytes>> {
    let (status, body) = match answer {
        Ok(answer) => (StatusCode::OK, answer),
        Err(status) => (status, json!({ "error": status.canonical_reason() })),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn signed(round: u64, secret: Scalar) -> [u8; 48] {
    let message = Sha256::digest(round.to_be_bytes());
    let point = <G1Projective as HashToCurve<ExpandMsgXmd<sha2_09::Sha256>>>::hash_to_curve(message, DOMAIN);
    G1Affine::from(point * secret).to_compressed()
}
