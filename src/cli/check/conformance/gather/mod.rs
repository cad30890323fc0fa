//! Tries the server: the only part that waits, in the order in which a session lives.
//!
//! It judges nothing. What it could not try, it notes with the reason.

mod auth;
mod counter_offer;
mod endpoint;
mod extensions;
mod ice;
mod media;
mod offers;
mod session;

use std::collections::BTreeSet;

use reqwest::Url;

use super::client::Client;
use super::evidence::{Evidence, Probe, Response};
use super::media::Publication;
use super::offer::Case;
use super::rule::{Group, Protocol};

/// What is to be tried.
pub(super) struct Plan {
    /// The groups of rules that are asked for.
    pub(super) groups: BTreeSet<Group>,
    /// Whether media may flow.
    pub(super) media: bool,
    /// Where to publish for the WHEP URL, and who does.
    pub(super) publish_to: Option<(Url, Client)>,
}

/// Why there is nothing to judge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatherError {
    /// The server does not answer at all.
    #[error("the server can't be reached: {0}. Check the URL, and that the server runs")]
    Unreachable(String),
    /// It takes no offer, and no rule is to blame.
    #[error("{0}")]
    NoSession(String),
    /// The broadcast for the WHEP URL did not begin.
    #[error("can't publish to the --via-whip URL: {0}")]
    Publish(String),
}

/// One run.
pub(super) struct Run<'a> {
    pub(super) client: &'a Client,
    pub(super) plan: &'a Plan,
    pub(super) url: &'a Url,
    pub(super) evidence: Evidence,
}

impl Run<'_> {
    /// Tries everything. The evidence is whole as far as it goes when it ends with an error too.
    pub(super) async fn run(&mut self) -> Result<(), GatherError> {
        endpoint::gather(self).await?;
        let publication = self.publish().await?;
        let outcome = self.sessions().await;
        if let (Some(publication), Some((_, client))) = (publication, &self.plan.publish_to) {
            publication.stop(client).await;
        }
        self.evidence.redirects = self.client.redirects();
        self.evidence.sessions = self.client.sessions();
        outcome
    }

    /// Begins the broadcast that a WHEP URL needs.
    async fn publish(&mut self) -> Result<Option<Publication>, GatherError> {
        let Some((url, client)) = &self.plan.publish_to else {
            let why = "only with --via-whip it is known that nobody publishes yet";
            self.evidence.skip(&[Probe::Offline], why);
            return Ok(None);
        };
        let offer = Case::OtherSpelling.body(self.evidence.protocol);
        let request = self.post("application/sdp", offer);
        let exchange = self.client.send(request).await;
        self.end(exchange.as_ref().ok()).await;
        self.evidence.add(Probe::Offline, exchange);
        let publication = Publication::start(client, url).await;
        let publication = publication.map_err(|error| GatherError::Publish(error.to_string()))?;
        Ok(Some(publication))
    }

    async fn sessions(&mut self) -> Result<(), GatherError> {
        session::create(self).await;
        if let Some(why) = self.blocked() {
            self.evidence.skip_rest(&why);
            self.evidence.media = Err(why.clone());
            return match self.evidence.find(Probe::Create) {
                Some(response) if matches!(response.status, 401 | 403 | 409 | 429 | 503) => {
                    Err(GatherError::NoSession(why))
                }
                _ => Ok(()),
            };
        }
        session::gather(self).await;
        ice::gather(self).await;
        extensions::gather(self).await;
        auth::on_session(self).await;
        session::delete(self).await;
        session::create_from_page(self).await;
        if self.wants(Group::Offer) {
            offers::gather(self).await;
        }
        if self.wants(Group::Auth) {
            auth::gather(self).await;
        }
        if self.wants(Group::CounterOffer) && self.evidence.protocol == Protocol::Whep {
            counter_offer::gather(self).await;
        }
        if self.wants(Group::Media) {
            media::gather(self).await;
        }
        Ok(())
    }

    fn wants(&self, group: Group) -> bool {
        // The rules of HTTP look at all that was answered.
        self.plan.groups.contains(&group)
    }

    /// Why nothing can be tried on sessions: there is none.
    fn blocked(&self) -> Option<String> {
        let Some(response) = self.evidence.find(Probe::Create) else {
            return Some("the server did not answer a good offer".to_owned());
        };
        let said = response.describe();
        let advice = match response.status {
            201 => return None,
            401 if self.client.has_token() => "the token is not the right one",
            401 => "the server asks for a token: give it with --token",
            403 => "the token, if one was given, has no right to this URL",
            404 | 409 if self.evidence.protocol == Protocol::Whep => {
                "nobody publishes there now: publish, or let the check do it with --via-whip"
            }
            409 => "somebody publishes there now: give a URL that is free",
            429 | 503 => "the server is busy: try again later",
            _ => "nothing can be tried without a session",
        };
        Some(format!("{advice}; the server answered {said}"))
    }

    /// A POST to the endpoint.
    fn post(&self, content_type: &str, body: impl Into<Vec<u8>>) -> super::client::Request {
        super::client::Request::new(reqwest::Method::POST, self.url).body(content_type, body)
    }

    /// Ends what an answer made, so that the next offer finds the place free.
    async fn end(&self, response: Option<&Response>) {
        let made = response.filter(|response| matches!(response.status, 201 | 406));
        if let Some(url) = made.and_then(Response::location) {
            let request = super::client::Request::new(reqwest::Method::DELETE, &url);
            // What could not be ended is told by the clean-up.
            let _ = self.client.send(request).await;
        }
    }
}
