//! The extensions of WHEP: server-sent events and layer selection, rows X1 and X2.

use std::sync::Mutex;

use super::*;
use crate::gateway::Teller;
use crate::http::Rules;

const JSON: (&str, &str) = ("content-type", "application/json");

pub(super) const ROWS: &[Row] = &[
    Row::new("X1 X2: both are announced", "POST", "/whep/live", 201)
        .with(&[SDP])
        .body(OFFER)
        .answers(&[
            (
                "link",
                "<{session}/events>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; \
                 events=\"active,inactive,layers,reconnect,viewercount\"",
            ),
            (
                "link",
                "<{session}/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"",
            ),
        ])
        .holds(&["v=0"]),
    Row::new("X1: publishers have none", "POST", "/whip/live", 201)
        .with(&[SDP])
        .body(OFFER)
        .answers(&[("link", "")])
        .holds(&["v=0"]),
    Row::new(
        "X1: a stream of some events",
        "POST",
        "/whep{session}/events",
        201,
    )
    .with(&[JSON])
    .body("[\"active\",\"viewercount\"]")
    .answers(&[("location", "{session}/events/")]),
    Row::new("X1: a stream of all", "POST", "/whep{session}/events", 201)
        .answers(&[("location", "{session}/events/")]),
    Row::new("X1: an unknown event", "POST", "/whep{session}/events", 400)
        .with(&[JSON])
        .body("[\"active\",\"weather\"]")
        .holds(&["weather", "active,inactive,layers,reconnect,viewercount"]),
    Row::new("X1: no list", "POST", "/whep{session}/events", 400)
        .with(&[JSON])
        .body("{}"),
    Row::new("X1: another type", "POST", "/whep{session}/events", 415)
        .with(&[SDP])
        .body("[]")
        .answers(&[("accept-post", "application/json")]),
    Row::new(
        "X1: no session",
        "POST",
        "/whep/live/ffffffffffffffffffffffffffffffff/events",
        404,
    ),
    Row::new(
        "X1: a publisher's session",
        "POST",
        "/whip/live/000102030405060708090a0b0c0d0e0f/events",
        404,
    ),
    Row::new("X1: what is taken", "OPTIONS", "/whep{session}/events", 200)
        .answers(&[("accept-post", "application/json")]),
    Row::new(
        "X1: the entry is not the stream",
        "GET",
        "/whep{session}/events",
        405,
    )
    .answers(&[("allow", "POST")]),
    Row::new(
        "X1: a stream that is unknown",
        "GET",
        "/whep{session}/events/ffffffffffffffffffffffffffffffff",
        404,
    ),
    Row::new(
        "X1: the end of one",
        "DELETE",
        "/whep{session}/events/ffffffffffffffffffffffffffffffff",
        404,
    ),
    Row::new(
        "X1: whether there is one",
        "HEAD",
        "/whep{session}/events/ffffffffffffffffffffffffffffffff",
        404,
    ),
    Row::new("X1: no id", "GET", "/whep{session}/events/x", 404),
    Row::new(
        "X1 E5: a page may end it",
        "OPTIONS",
        "/whep{session}/events/x",
        204,
    )
    .with(&[
        ("origin", "https://page.test"),
        ("access-control-request-method", "DELETE"),
    ])
    .answers(&[("access-control-allow-methods", "DELETE")]),
    Row::new("X2: a layer", "POST", "/whep{session}/layer", 200)
        .with(&[JSON])
        .body("{\"mediaId\":\"0\",\"rid\":\"h\"}"),
    Row::new(
        "X2: the server's choice",
        "POST",
        "/whep{session}/layer",
        200,
    )
    .with(&[JSON])
    .body("{}"),
    Row::new(
        "X2: a layer that is not there",
        "POST",
        "/whep{session}/layer",
        400,
    )
    .with(&[JSON])
    .body("{\"rid\":\"x\"}")
    .holds(&["layers"]),
    Row::new("X2: no selection", "POST", "/whep{session}/layer", 400)
        .with(&[JSON])
        .body("{\"maxWidth\":\"wide\"}")
        .holds(&["maxWidth", "{\\\"rid\\\": \\\"h\\\"}"]),
    Row::new("X2: another type", "POST", "/whep{session}/layer", 415)
        .body("{}")
        .answers(&[("accept-post", "application/json")]),
    Row::new(
        "X2: no session",
        "POST",
        "/whep/live/ffffffffffffffffffffffffffffffff/layer",
        404,
    )
    .with(&[JSON])
    .body("{}"),
    Row::new("X2: GET", "GET", "/whep{session}/layer", 405).answers(&[("allow", "POST")]),
];

#[tokio::test]
async fn the_extensions_keep_their_promises() {
    check_all(&open_app(), ROWS).await;
}

/// An event stream as a player reads it.
struct Player {
    body: Body,
    text: String,
}

impl Player {
    /// Opens the stream at `url` without any token.
    async fn open(router: &Router, url: &str) -> Self {
        let headers = [("last-event-id", "7"), ("accept", "text/event-stream")];
        let response = respond(router, "GET", url, &headers, "").await;
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("cache-control"), "no-cache");
        assert_eq!(header("access-control-allow-origin"), "*");
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// The next event or comment, with `|` for line ends; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.replace('\n', "|");
                self.text = rest.to_owned();
                return Some(event);
            }
            let frame = self.body.frame().await?.unwrap();
            self.text += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
        }
    }
}

struct Stage {
    router: Router,
    /// What the session's events tell; none when it has ended.
    teller: Arc<Mutex<Option<Teller>>>,
}

impl Stage {
    fn new(active: bool) -> Self {
        let teller = Arc::new(Mutex::new(Some(Teller::new(active, 3))));
        let tokens = Tokens {
            play: Rules {
                every_stream: vec!["all".parse().unwrap()],
                ..Rules::default()
            },
            ..Tokens::default()
        };
        let gateway = double::telling(Arc::clone(&teller));
        let router = app_of(gateway, tokens, Settings::default());
        Self { router, teller }
    }

    fn tell(&self, tell: impl FnOnce(&Teller)) {
        tell(self.teller.lock().unwrap().as_ref().unwrap());
    }

    async fn ask(&self, method: &str, path: &str, body: &'static str) -> Answer {
        let headers = [JSON, ("authorization", "Bearer all")];
        send(&self.router, method, path, &headers, body).await
    }

    /// Makes an event stream and returns its URL.
    async fn make(&self, names: &'static str) -> String {
        let path = format!("{}/events", double::WHEP_SESSION);
        let answer = self.ask("POST", &path, names).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.headers["location"].to_str().unwrap().to_owned()
    }

    async fn status(&self, url: &str) -> u16 {
        let response = respond(&self.router, "GET", url, &[], "").await;
        response.status().as_u16()
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_is_told_what_is_and_then_what_changes() {
    let stage = Stage::new(true);
    let url = stage.make("").await;
    let mut player = Player::open(&stage.router, &url).await;
    let told = async |player: &mut Player, expected: &str| {
        assert_eq!(player.next().await.as_deref(), Some(expected));
    };
    told(&mut player, "event: active|data: {}").await;
    told(&mut player, "event: viewercount|data: {\"viewercount\":3}").await;
    told(&mut player, ": still here").await;
    stage.tell(|teller| teller.set(false, 2));
    told(&mut player, "event: inactive|data: {}").await;
    told(&mut player, "event: viewercount|data: {\"viewercount\":2}").await;
    stage.tell(|teller| teller.send_away("https://b.test/whep/live"));
    let reconnect = "event: reconnect|data: {\"url\":\"https://b.test/whep/live\"}";
    told(&mut player, reconnect).await;
    // The end of the session is the end of its events.
    stage.teller.lock().unwrap().take();
    assert_eq!(player.next().await, None);
    assert_eq!(stage.status(&url).await, 404);
}

#[tokio::test(start_paused = true)]
async fn only_what_was_asked_for_is_told() {
    let stage = Stage::new(true);
    let url = stage.make("[\"inactive\"]").await;
    let mut player = Player::open(&stage.router, &url).await;
    assert_eq!(player.next().await.as_deref(), Some(": still here"));
    stage.tell(|teller| teller.set(false, 9));
    let event = player.next().await;
    assert_eq!(event.as_deref(), Some("event: inactive|data: {}"));
    assert_eq!(player.next().await.as_deref(), Some(": still here"));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_publisher_is_told_so_and_when_it_comes() {
    let stage = Stage::new(false);
    let url = stage.make("[\"active\",\"inactive\"]").await;
    let mut player = Player::open(&stage.router, &url).await;
    // The present state comes first, to everybody.
    assert_eq!(
        player.next().await.as_deref(),
        Some("event: inactive|data: {}")
    );
    assert_eq!(player.next().await.as_deref(), Some(": still here"));
    stage.tell(|teller| teller.set(true, 1));
    assert_eq!(
        player.next().await.as_deref(),
        Some("event: active|data: {}")
    );
    stage.tell(|teller| teller.set(false, 1));
    assert_eq!(
        player.next().await.as_deref(),
        Some("event: inactive|data: {}")
    );
    // Who lost the connection in the pause learns that it is one.
    let mut again = Player::open(&stage.router, &url).await;
    assert_eq!(
        again.next().await.as_deref(),
        Some("event: inactive|data: {}")
    );
    assert_eq!(player.next().await, None, "the newer reader took its place");
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_delete() {
    let stage = Stage::new(true);
    let url = stage.make("[\"active\"]").await;
    let mut player = Player::open(&stage.router, &url).await;
    assert_eq!(
        player.next().await.as_deref(),
        Some("event: active|data: {}")
    );
    let answer = send(&stage.router, "DELETE", &url, &[], "").await;
    assert_eq!(answer.status, 401, "reading needs no token, ending does");
    assert_eq!(stage.ask("DELETE", &url, "").await.status, 200);
    assert_eq!(player.next().await, None);
    assert_eq!(stage.status(&url).await, 404);
    assert_eq!(stage.ask("DELETE", &url, "").await.status, 404);
}

#[tokio::test]
async fn who_only_asks_for_the_head_takes_nobodys_place() {
    let stage = Stage::new(true);
    let url = stage.make("[\"active\",\"inactive\"]").await;
    let mut player = Player::open(&stage.router, &url).await;
    let event = player.next().await;
    assert_eq!(event.as_deref(), Some("event: active|data: {}"));
    let answer = send(&stage.router, "HEAD", &url, &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    stage.tell(|teller| teller.set(false, 3));
    let event = player.next().await;
    assert_eq!(event.as_deref(), Some("event: inactive|data: {}"));
}

#[tokio::test]
async fn the_end_of_the_session_is_the_end_of_its_event_streams() {
    let stage = Stage::new(true);
    let url = stage.make("[\"active\"]").await;
    let mut player = Player::open(&stage.router, &url).await;
    player.next().await.unwrap();
    let answer = stage.ask("DELETE", double::WHEP_SESSION, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(player.next().await, None);
    assert_eq!(stage.status(&url).await, 404);
}

#[tokio::test]
async fn a_session_has_a_few_event_streams_at_most() {
    let stage = Stage::new(true);
    let mut players = Vec::new();
    for _ in 0..4 {
        let url = stage.make("").await;
        players.push(Player::open(&stage.router, &url).await);
    }
    let path = format!("{}/events", double::WHEP_SESSION);
    let answer = stage.ask("POST", &path, "").await;
    assert_eq!(answer.status, 429);
    answer.assert_problem("too many event streams");
    assert_eq!(answer.headers["retry-after"], "1");
    players.pop();
    tokio::task::yield_now().await;
    stage.make("").await;
}
