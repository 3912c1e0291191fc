//! The watchtower's notices at services on loopback.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use grail_config::{AlertsConfig, EndpointUrl, TelegramConfig};
use grail_miner::driver::Observer;
use grail_miner::machine::Event;
use grail_miner::ports::Now;
use grail_observe::{Dropped, SinkWorker, StateObserver, start_watchtower};
use secrecy::SecretString;

use grail_loopback::http::{Answer, Server, wait};

fn config(server: &Server) -> AlertsConfig {
    let url = |path: &str| EndpointUrl::parse(&server.url(path), &["http"]);
    AlertsConfig {
        slack: url("/slack/planted"),
        discord: url("/discord/planted"),
        telegram: Some(TelegramConfig {
            api: url("").unwrap(),
            token: SecretString::from("1:planted"),
            chat: "-100".to_owned(),
        }),
        ping: url("/ping/planted"),
        ping_interval: Duration::from_millis(20),
        disk_free_min: 0,
    }
}

fn registration(observer: &mut StateObserver, uid: Option<u16>) {
    observer.event(Now::default(), &Event::RegistrationRead(Ok(uid)));
}

#[test]
fn every_service_gets_one_notice_and_one_of_the_end() {
    let server = Server::start(|_| Answer::With(200, "ok".to_owned()));
    let mut observer = StateObserver::new(100, Box::new(|| false));
    let (dropped, folder) = (Dropped::default(), tempfile::tempdir().unwrap());
    let workers =
        start_watchtower(&config(&server), "5Miner", 100, observer.state(), folder.path().to_owned(), &dropped)
            .unwrap();
    let posts = |server: &Server| -> Vec<_> {
        server.requests().into_iter().filter(|request| request.method == "POST").collect()
    };
    server.wait("pings", |requests| requests.iter().filter(|request| request.path == "/ping/planted").count() > 2);
    assert!(posts(&server).is_empty(), "nothing is wrong yet");
    registration(&mut observer, None);
    wait("the alarm", || posts(&server).len() == 3);
    // Many checks give one notice.
    let pings = server.requests().len();
    server.wait("more pings", |requests| requests.len() > pings + 30);
    assert_eq!(posts(&server).len(), 3);
    registration(&mut observer, Some(7));
    wait("the end", || posts(&server).len() == 6);
    SinkWorker::finish_all(workers);
    for (path, field) in
        [("/slack/planted", "text"), ("/discord/planted", "content"), ("/bot1:planted/sendMessage", "text")]
    {
        let all = posts(&server);
        let reported: Vec<_> = all.iter().filter(|request| request.path == path).collect();
        assert_eq!(reported.len(), 2, "{path}");
        let texts: Vec<String> = reported.iter().map(|post| post.json()[field].as_str().unwrap().to_owned()).collect();
        assert!(texts[0].starts_with("grail 5Miner: ALERT: the hotkey lost its uid"), "{texts:?}");
        assert!(texts[1].starts_with("grail 5Miner: over: the hotkey has a uid again"), "{texts:?}");
        if path.starts_with("/bot") {
            assert_eq!(reported[0].json()["chat_id"], "-100");
        }
    }
    assert_eq!(dropped.of("watchtower").get(), 0);
}

#[test]
fn a_service_that_is_down_gets_it_later_and_one_that_refuses_is_counted() {
    let failures = AtomicU32::new(2);
    let server = Server::start(move |request| match request.path.as_str() {
        "/slack/planted" if failures.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() => Answer::Closed,
        "/discord/planted" => Answer::With(404, "{}".to_owned()),
        _ => Answer::With(200, "{}".to_owned()),
    });
    let mut observer = StateObserver::new(100, Box::new(|| false));
    let (dropped, folder) = (Dropped::default(), tempfile::tempdir().unwrap());
    let workers =
        start_watchtower(&config(&server), "5Miner", 100, observer.state(), folder.path().to_owned(), &dropped)
            .unwrap();
    registration(&mut observer, None);
    server.wait("three attempts at Slack", |requests| {
        requests.iter().filter(|request| request.path == "/slack/planted").count() == 3
    });
    wait("the refusal", || dropped.of("watchtower").get() == 1);
    registration(&mut observer, Some(7));
    server.wait("the end at Slack", |requests| {
        requests.iter().filter(|request| request.path == "/slack/planted").count() == 4
    });
    SinkWorker::finish_all(workers);
}
