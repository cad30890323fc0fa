//! A small WHIP and WHEP client over real sockets: HTTP, ICE, DTLS and SRTP of one session, made of
//! `reqwest` and the parts of `rtc`, and of nothing of the server's.
//!
//! It does nothing by itself: time passes for it in [`Peer::recv`] only. A peer that is dropped
//! vanishes without a word.

#![allow(dead_code, reason = "each user needs a part of it")]

mod keys;
mod link;
mod sdp;
mod wire;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, ETAG, IF_MATCH, LOCATION};
use rtc::rtcp;

pub(crate) use link::{Check, Link};
pub(crate) use sdp::{Answer, MediaAnswer, Options, Setup};
pub(crate) use wire::frame;

/// Longer than anything that works takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One session, connected.
pub(crate) struct Peer {
    pub(crate) session: Session,
    pub(crate) link: Link,
    waiting: VecDeque<Received>,
}

/// What came for a [`Peer`].
#[derive(Debug)]
pub(crate) enum Received {
    /// A decrypted RTP packet.
    Rtp(Vec<u8>),
    /// One packet of a decrypted RTCP compound.
    Rtcp(Box<dyn rtcp::Packet>),
    /// The server said goodbye: a DTLS `close_notify`.
    Closed,
}

/// A session as HTTP knows it.
pub(crate) struct Session {
    http: reqwest::Client,
    token: Option<String>,
    /// The session URL.
    pub(crate) url: String,
    pub(crate) etag: String,
    pub(crate) answer: Answer,
}

/// What an endpoint answered instead of a session.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    /// The JSON of the problem details.
    pub(crate) body: String,
}

impl Peer {
    /// Publishes H264 with retransmissions and Opus at a WHIP endpoint.
    pub(crate) async fn publish(url: &str, token: Option<&str>) -> Self {
        Self::connect(url, token, &Options::publisher())
            .await
            .unwrap()
    }

    /// Takes H264 with retransmissions and Opus from a WHEP endpoint.
    pub(crate) async fn subscribe(url: &str, token: Option<&str>) -> Self {
        Self::connect(url, token, &Options::subscriber())
            .await
            .unwrap()
    }

    /// Makes a session and connects it.
    pub(crate) async fn connect(
        url: &str,
        token: Option<&str>,
        options: &Options,
    ) -> Result<Self, Refused> {
        let session = Session::create(url, token, options).await?;
        Ok(Self::finish(session, options).await)
    }

    /// Makes a session and connects it by TCP to `door`.
    pub(crate) async fn connect_by_tcp(url: &str, options: &Options, door: SocketAddr) -> Self {
        let session = Session::create(url, None, options).await.unwrap();
        let mut link = Link::new(&session.answer, options).await;
        link.go_by_tcp(door).await;
        Self::finish_link(session, link).await
    }

    /// Connects a session.
    pub(crate) async fn finish(session: Session, options: &Options) -> Self {
        let link = Link::new(&session.answer, options).await;
        Self::finish_link(session, link).await
    }

    async fn finish_link(session: Session, mut link: Link) -> Self {
        link.connect().await.unwrap();
        Self::of(session, link)
    }

    /// A session whose link is connected.
    pub(crate) fn of(session: Session, link: Link) -> Self {
        Self {
            session,
            link,
            waiting: VecDeque::new(),
        }
    }

    /// The first video section of the answer.
    pub(crate) fn video(&self) -> &MediaAnswer {
        self.session.answer.media("video")
    }

    /// The first audio section of the answer.
    pub(crate) fn audio(&self) -> &MediaAnswer {
        self.session.answer.media("audio")
    }

    pub(crate) async fn send_rtp(&mut self, packet: &[u8]) {
        self.link.send_rtp(packet).await;
    }

    pub(crate) async fn send_rtcp(&mut self, packets: &[Box<dyn rtcp::Packet>]) {
        self.link.send_rtcp(packets).await;
    }

    /// The next thing that comes. Cancelling it loses nothing.
    pub(crate) async fn recv(&mut self) -> Received {
        loop {
            if let Some(received) = self.waiting.pop_front() {
                return received;
            }
            self.link.turn(&mut self.waiting).await;
        }
    }

    /// What comes until `wanted` finds something in it.
    pub(crate) async fn recv_until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(Received) -> Option<T>,
    ) -> T {
        let search = async {
            loop {
                if let Some(found) = wanted(self.recv().await) {
                    return found;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(found) => found,
            Err(_) => panic!("{what} did not come in time"),
        }
    }

    /// The next RTP packet.
    pub(crate) async fn recv_rtp(&mut self) -> Vec<u8> {
        self.recv_until("RTP", |received| match received {
            Received::Rtp(packet) => Some(packet),
            Received::Closed => panic!("the server closed the session"),
            Received::Rtcp(_) => None,
        })
        .await
    }

    /// The next RTCP packet of type `T`.
    pub(crate) async fn recv_rtcp<T: Clone + 'static>(&mut self) -> T {
        self.recv_until(std::any::type_name::<T>(), |received| match received {
            Received::Rtcp(packet) => packet.as_any().downcast_ref::<T>().cloned(),
            _ => None,
        })
        .await
    }

    /// Waits for the server's `close_notify`.
    pub(crate) async fn recv_closed(&mut self) {
        self.recv_until("close_notify", |received| {
            matches!(received, Received::Closed).then_some(())
        })
        .await;
    }

    /// Ends the session over HTTP.
    pub(crate) async fn delete(&mut self) -> StatusCode {
        self.session.delete().await
    }
}

impl Session {
    /// Makes a session, which is not connected yet.
    pub(crate) async fn create(
        url: &str,
        token: Option<&str>,
        options: &Options,
    ) -> Result<Self, Refused> {
        let http = reqwest::Client::new();
        let mut request = http
            .post(url)
            .header(CONTENT_TYPE, "application/sdp")
            .body(options.offer(keys::fingerprint()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        let header = |name| {
            let value = response.headers().get(name);
            value
                .map(|value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned())
                .unwrap_or_default()
        };
        if response.status() != StatusCode::CREATED {
            return Err(Refused {
                status: response.status(),
                content_type: header(CONTENT_TYPE),
                body: response.text().await.unwrap(),
            });
        }
        let location = response.url().join(&header(LOCATION)).unwrap();
        let etag = header(ETAG);
        Ok(Self {
            http,
            token: token.map(str::to_owned),
            url: location.into(),
            etag,
            answer: Answer::parse(&response.text().await.unwrap()),
        })
    }

    /// Makes a session by an offer of the server, which is answered.
    pub(crate) async fn accept_offer(url: &str, options: &Options) -> Self {
        let http = reqwest::Client::new();
        let request = http.post(url).header(CONTENT_TYPE, "application/sdp");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);
        let header = |name| response.headers()[name].to_str().unwrap().to_owned();
        assert!(header(CONTENT_TYPE).starts_with("application/sdp; valid-until="));
        let location = response.url().join(&header(LOCATION)).unwrap();
        let etag = header(ETAG);
        let offer = response.text().await.unwrap();
        let request = http
            .patch(location.clone())
            .header(CONTENT_TYPE, "application/sdp")
            .header(IF_MATCH, &etag)
            .body(options.answer(&offer, keys::fingerprint()));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        Self {
            http,
            token: None,
            url: location.into(),
            etag,
            answer: Answer::parse(&offer),
        }
    }

    /// Reads the events of the session from now on.
    pub(crate) async fn events(&self) -> reqwest::Response {
        let request = self.http.post(format!("{}/events", self.url));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        let location = response.headers()[LOCATION].to_str().unwrap();
        let location = response.url().join(location).unwrap();
        self.http.get(location).send().await.unwrap()
    }

    /// Ends it.
    pub(crate) async fn delete(&self) -> StatusCode {
        let request = self.authorized(self.http.delete(&self.url));
        request.send().await.unwrap().status()
    }

    /// Whether the server still knows it.
    pub(crate) async fn exists(&self) -> bool {
        let request = self.authorized(self.http.get(&self.url));
        request.send().await.unwrap().status().is_success()
    }

    /// Restarts ICE: the server's new user name fragment and password.
    pub(crate) async fn restart_ice(&mut self) -> (String, String) {
        // New ones each time: the same again would be no restart.
        let generation: u32 = rand::random();
        let fragment =
            format!("a=ice-ufrag:again{generation}\r\na=ice-pwd:another-password-of-a-peer\r\n");
        let request = self
            .authorized(self.http.patch(&self.url))
            .header(CONTENT_TYPE, "application/trickle-ice-sdpfrag")
            .header(IF_MATCH, "*")
            .body(fragment);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let fragment = response.text().await.unwrap();
        sdp::credentials(&fragment)
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}
