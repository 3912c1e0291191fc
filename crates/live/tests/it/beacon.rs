//! Drand relays on loopback, with their own network key: the contract, every way to fail, and hedging.

use std::time::{Duration, Instant};

use grail_contract as contract;
use grail_live::beacon::{DrandNetwork, DrandRelays, RelayFailure, RelayPatience, RelaysError};
use grail_loopback::drand::{CHAIN_HASH, NEWEST, honest, json, public_key, randomness, signature};
use grail_loopback::s3::block_on;
use grail_loopback::scripted::{Answer, Server, dead_address, response};
use grail_miner::ports::{Beacon, BeaconError, BeaconRound, BeaconSchedule};

/// Whether a failure is the one that a case is about.
type Expected = fn(&RelayFailure) -> bool;

fn network() -> DrandNetwork {
    DrandNetwork::new(CHAIN_HASH, &public_key(), BeaconSchedule::QUICKNET).unwrap()
}

fn relays(urls: &[String], hedge_ms: u64) -> DrandRelays {
    DrandRelays::new(network(), urls, RelayPatience { hedge_ms, request_ms: 3_000 }).unwrap()
}

fn expected(round: u64) -> BeaconRound {
    BeaconRound { round, randomness: randomness(&signature(round)) }
}

#[test]
fn the_contract_holds() {
    let server = Server::start(honest);
    block_on(contract::beacon(&relays(&[server.url() + "/"], 1_000), 7, NEWEST + 1));
}

#[test]
fn every_failure_is_named_with_its_relay() {
    let (good, other) = (signature(5), signature(6));
    let oversized = [b"{\"round\":5,\"x\":\"".to_vec(), vec![b'a'; 1 << 20]].concat();
    let cases: Vec<(Answer, Expected, bool)> = vec![
        (response("500 Oops", "", b""), |f| *f == RelayFailure::Status(500), false),
        (response("302 Found", "Location: http://127.0.0.1:1/\r\n", b""), |f| *f == RelayFailure::Status(302), false),
        (Answer::Reset, |f| matches!(f, RelayFailure::Unreachable(_)), false),
        (response("200 OK", "", b"<html>"), |f| matches!(f, RelayFailure::Malformed(_)), true),
        (response("200 OK", "", b"{\"round\":5}"), |f| matches!(f, RelayFailure::Malformed(_)), true),
        (response("200 OK", "", &oversized), |f| *f == RelayFailure::TooLarge, true),
        (
            json(6, &randomness(&other), &hex::encode(&other)),
            |f| *f == RelayFailure::Round { asked: 5, found: 6 },
            true,
        ),
        (json(5, &randomness(&other), &hex::encode(&other)), |f| *f == RelayFailure::Signature, true),
        (json(5, &randomness(&good), "zz"), |f| *f == RelayFailure::Signature, true),
        (json(5, &randomness(&good), &hex::encode(&good[..40])), |f| *f == RelayFailure::Signature, true),
        (json(5, &randomness(&other), &hex::encode(&good)), |f| *f == RelayFailure::Randomness, true),
    ];
    for (answer, is_expected, dishonest) in cases {
        let server = Server::always(answer);
        let relays = relays(&[server.url()], 1_000);
        let failures = block_on(relays.fetch(5)).unwrap_err();
        let [(relay, failure)] = failures.0.as_slice() else { panic!("{failures}") };
        assert_eq!(*relay, server.address.to_string());
        assert!(is_expected(failure), "{failure:?}");
        let error = block_on(relays.round(5)).unwrap_err();
        assert_eq!(matches!(error, BeaconError::Invalid(_)), dishonest, "{error}");
        assert!(error.to_string().contains(relay), "{error}");
    }
}

#[test]
fn one_good_relay_suffices() {
    let liar = Server::always(json(5, &"00".repeat(32), &hex::encode(signature(6))));
    let good = Server::start(honest);
    let relays = relays(&[format!("http://{}", dead_address()), liar.url(), good.url()], 60_000);
    let start = Instant::now();
    assert_eq!(block_on(relays.round(5)), Ok(expected(5)));
    assert!(start.elapsed() < Duration::from_secs(20), "a failure must not wait for the hedge");
}

#[test]
fn a_silent_relay_is_hedged() {
    let silent = Server::always(Answer::Silence);
    let good = Server::start(honest);
    assert_eq!(block_on(relays(&[silent.url(), good.url()], 20).round(5)), Ok(expected(5)));
    assert_eq!(silent.requests().len(), 1);
}

#[test]
fn nobody_else_is_asked_while_the_first_answers_in_time() {
    let (first, second) = (Server::start(honest), Server::start(honest));
    assert_eq!(block_on(relays(&[first.url(), second.url()], 60_000).round(5)), Ok(expected(5)));
    assert_eq!((first.requests().len(), second.requests().len()), (1, 0));
}

#[test]
fn silence_ends() {
    let silent = Server::always(Answer::Silence);
    let patience = RelayPatience { hedge_ms: 10, request_ms: 100 };
    let relays = DrandRelays::new(network(), &[silent.url(), silent.url()], patience).unwrap();
    let failures = block_on(relays.fetch(5)).unwrap_err();
    let said: Vec<&RelayFailure> = failures.0.iter().map(|(_, failure)| failure).collect();
    assert_eq!(said, [&RelayFailure::Silent, &RelayFailure::Silent]);
    assert!(matches!(block_on(relays.round(5)), Err(BeaconError::Unreachable(_))));
}

#[test]
fn a_real_round_of_quicknet_passes_the_whole_way() {
    let signature = "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92";
    let randomness = randomness(&hex::decode(signature).unwrap());
    let server = Server::always(json(123, &randomness, signature));
    let relays = DrandRelays::new(DrandNetwork::quicknet(), &[server.url()], RelayPatience::default()).unwrap();
    assert_eq!(block_on(relays.round(123)), Ok(BeaconRound { round: 123, randomness }));
    let path = "GET /52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971/public/123 ";
    assert!(server.requests()[0].starts_with(path));
}

#[test]
fn addresses_that_cannot_be_right_are_refused() {
    let made = |urls: &[&str]| {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        DrandRelays::new(network(), &urls, RelayPatience::default()).unwrap_err()
    };
    assert!(matches!(made(&[]), RelaysError::None));
    for address in ["api.drand.sh", "ftp://api.drand.sh", ""] {
        assert!(matches!(made(&["https://api.drand.sh", address]), RelaysError::Address(_)), "{address}");
    }
}
