//! What a viewer is told by server-sent events, over real sockets.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, StatusCode, Url};

use crate::support::peer::{PATIENCE, Peer};
use crate::support::server::Server;

/// An event stream as a player reads it.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    /// Makes a stream of all events of the session at `url` and reads it.
    async fn of_session(url: &str) -> Self {
        let entry: Url = format!("{url}/events").parse().unwrap();
        let made = Client::new().post(entry.clone()).send().await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
        let place = made.headers()[LOCATION].to_str().unwrap();
        let response = reqwest::get(entry.join(place).unwrap()).await.unwrap();
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    /// Waits for an event with these lines; others are passed over.
    async fn expect(&mut self, wanted: &str) {
        let wait = async {
            while let Some(event) = self.next().await {
                if event == wanted {
                    return true;
                }
            }
            false
        };
        let came = tokio::time::timeout(PATIENCE, wait).await;
        assert!(came.unwrap_or(false), "{wanted:?} did not come");
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                return Some(event);
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_is_told_of_the_pause_and_of_the_end_of_the_server() {
    let server = Server::start(|settings| {
        settings.streams.reconnect_grace = Duration::from_secs(60);
    })
    .await;
    let mut publisher = Peer::publish(&server.whip("demo"), None).await;
    let viewer = Peer::subscribe(&server.whep("demo"), None).await;
    let mut events = Events::of_session(&viewer.session.url).await;
    events.expect("event: active\ndata: {}").await;
    let count = "event: viewercount\ndata: {\"viewercount\":1}";
    events.expect(count).await;

    assert_eq!(publisher.delete().await, StatusCode::OK);
    events.expect("event: inactive\ndata: {}").await;
    let _publisher = Peer::publish(&server.whip("demo"), None).await;
    events.expect("event: active\ndata: {}").await;

    let told = async {
        events.expect("event: reconnect\ndata: {}").await;
        // So that readers hold up nothing.
        assert_eq!(events.next().await, None);
    };
    let (stopped, ()) = tokio::join!(server.stop(), told);
    stopped.unwrap();
}
