//! A session at the gateway that runs on our ports: it answers questions to its media port only for those
//! who have one.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url, header};

use crate::config::{Secret, Settings};
use crate::sdp::IceCredentials;
use crate::stream::StreamName;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A session that sends nothing.
pub(super) struct Gateway {
    client: Client,
    session: Option<Url>,
    token: Option<Secret>,
    /// What its media port answers to.
    pub(super) ice: IceCredentials,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum GatewayError {
    /// It is none.
    #[error("something that is no gateway has the port")]
    Foreign,
    /// It refuses us.
    #[error("the gateway that runs here refuses a session: {0}")]
    Refused(StatusCode),
    /// There is no HTTP client.
    #[error("requests can't be made: {0}")]
    Client(reqwest::Error),
}

impl Gateway {
    /// Makes a session at the gateway on `http`, which is an address of this machine.
    pub(super) async fn ask(settings: &Settings, http: SocketAddr) -> Result<Self, GatewayError> {
        // What we send is no secret that its certificate could protect, as it is on this machine.
        let client = Client::builder()
            .timeout(PATIENCE)
            .danger_accept_invalid_certs(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(GatewayError::Client)?;
        let name = format!("tidegate-check-{:08x}", rand::random::<u32>());
        let token = name
            .parse::<StreamName>()
            .ok()
            .and_then(|name| settings.auth.publish_token(&name).cloned());
        let mut refused = None;
        for scheme in ["http", "https"] {
            let Ok(url) = Url::parse(&format!("{scheme}://{http}/whip/{name}")) else {
                continue;
            };
            let mut request = client
                .post(url.clone())
                .header(header::CONTENT_TYPE, "application/sdp")
                .body(offer());
            if let Some(token) = &token {
                request = request.bearer_auth(token.expose());
            }
            let Ok(response) = request.send().await else {
                continue;
            };
            let status = response.status();
            if status != StatusCode::CREATED {
                refused = Some(status);
                continue;
            }
            let location = response.headers().get(header::LOCATION);
            let session = location
                .and_then(|location| location.to_str().ok())
                .and_then(|location| url.join(location).ok());
            let answer = response.text().await.unwrap_or_default();
            let gateway = Self {
                client,
                session,
                token,
                ice: credentials(&answer),
            };
            if gateway.ice.ufrag.is_empty() {
                gateway.end().await;
                return Err(GatewayError::Foreign);
            }
            return Ok(gateway);
        }
        // A file server refuses the method, and knows nothing of SDP.
        match refused {
            Some(
                StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_IMPLEMENTED,
            )
            | None => Err(GatewayError::Foreign),
            Some(status) => Err(GatewayError::Refused(status)),
        }
    }

    /// Ends the session. If that fails the gateway ends it after its timeout.
    pub(super) async fn end(self) {
        let Some(session) = self.session else { return };
        let mut request = self.client.delete(session);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let _ = request.send().await;
    }
}

/// Opus from somebody who will never send any.
fn offer() -> String {
    let fingerprint: Vec<_> = (0..32)
        .map(|_| format!("{:02X}", rand::random::<u8>()))
        .collect();
    let (ufrag, pwd, id) = (
        rand::random::<u32>(),
        rand::random::<u128>(),
        rand::random::<u32>(),
    );
    format!(
        "v=0\r\no=- {id} 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\na=sendonly\r\n\
         a=ice-ufrag:{ufrag:08x}\r\na=ice-pwd:{pwd:032x}\r\n\
         a=fingerprint:sha-256 {}\r\na=setup:actpass\r\na=rtpmap:111 opus/48000/2\r\n",
        fingerprint.join(":")
    )
}

fn credentials(answer: &str) -> IceCredentials {
    let value = |name: &str| {
        let mut lines = answer.lines();
        let line = lines.find_map(|line| line.trim_end().strip_prefix(name));
        line.unwrap_or_default().to_owned()
    };
    IceCredentials {
        ufrag: value("a=ice-ufrag:"),
        pwd: value("a=ice-pwd:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::{Limits, Offer};

    #[test]
    fn the_offer_is_one() {
        Offer::parse(offer().as_bytes(), &Limits::default()).unwrap();
    }

    #[test]
    fn the_credentials_are_found_in_the_answer() {
        let ice = credentials("v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123\r\n");
        assert_eq!((ice.ufrag.as_str(), ice.pwd.as_str()), ("abcd", "0123"));
        assert_eq!(credentials("<html>").ufrag, "");
    }
}
