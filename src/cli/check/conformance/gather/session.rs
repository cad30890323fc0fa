//! A session from its offer to its end.

use reqwest::Method;
use reqwest::Url;
use reqwest::header::{IF_MATCH, ORIGIN};

use super::super::client::{self, Request};
use super::super::evidence::{Probe, Response};
use super::super::offer::Offer;
use super::{Run, endpoint, ice};

/// Sends the good offer.
pub(super) async fn create(run: &mut Run<'_>) {
    let offer = Offer::new(run.evidence.protocol).text();
    let request = run.post("application/sdp", offer.clone());
    let exchange = run.client.send(request).await;
    run.evidence.offer = offer;
    run.evidence.add(Probe::Create, exchange);
}

/// Sends a good offer as a web page of another origin would.
pub(super) async fn create_from_page(run: &mut Run<'_>) {
    let offer = Offer::new(run.evidence.protocol).text();
    let request = run.post("application/sdp", offer);
    let request = request.header(ORIGIN, client::ORIGIN);
    let exchange = run.client.send(request).await;
    run.end(exchange.as_ref().ok()).await;
    run.evidence.add(Probe::CreateFromPage, exchange);
}

/// Where the session is.
pub(super) fn url(run: &Run<'_>) -> Option<Url> {
    run.evidence
        .find(Probe::Create)
        .filter(|response| response.status == 201)
        .and_then(Response::location)
}

/// Asks for the session, and for one that is not there.
pub(super) async fn gather(run: &mut Run<'_>) {
    let Some(url) = url(run) else {
        run.evidence
            .skip_rest("the server did not say where the session is");
        return;
    };
    let preflight = endpoint::preflight(&url, "PATCH", "authorization, content-type, if-match");
    let unknown = unknown(&url);
    let requests = [
        (Probe::SessionPreflight, preflight),
        (Probe::SessionGet, Request::new(Method::GET, &url)),
        (Probe::UnknownDelete, Request::new(Method::DELETE, &unknown)),
        (
            Probe::UnknownPatch,
            Request::new(Method::PATCH, &unknown)
                .header(IF_MATCH, "*")
                .body(
                    ice::FRAGMENT,
                    ice::end_of_candidates("abcdefgh", "abcdefghijklmnopqrstuvwx"),
                ),
        ),
    ];
    for (probe, request) in requests {
        let exchange = run.client.send(request).await;
        run.evidence.add(probe, exchange);
    }
}

/// Ends the session, twice.
pub(super) async fn delete(run: &mut Run<'_>) {
    let Some(url) = url(run) else {
        return;
    };
    let delete = || Request::new(Method::DELETE, &url);
    let requests = [
        (
            Probe::Delete,
            delete().header(IF_MATCH, "\"tidegate-check-no-such-tag\""),
        ),
        (Probe::DeleteAgain, delete()),
        (Probe::GetDeleted, Request::new(Method::GET, &url)),
    ];
    for (probe, request) in requests {
        let exchange = run.client.send(request).await;
        run.evidence.add(probe, exchange);
    }
}

/// A session URL beside the real one: other letters and digits at the end of the path, or of the query
/// if the session is told there.
fn unknown(url: &Url) -> Url {
    let change = |text: &str| -> String {
        let mut left = 12;
        let changed: String = text
            .chars()
            .rev()
            .map(|c| match c {
                'a'..='e' | 'A'..='E' | '0'..='8' if left > 0 => {
                    left -= 1;
                    char::from_u32(u32::from(c) + 1).unwrap_or(c)
                }
                'f' | '9' if left > 0 => {
                    left -= 1;
                    '0'
                }
                c => c,
            })
            .collect();
        changed.chars().rev().collect()
    };
    let mut unknown = url.clone();
    let path = url.path();
    let (head, tail) = path
        .trim_end_matches('/')
        .rsplit_once('/')
        .unwrap_or(("", path));
    unknown.set_path(&format!("{head}/{}", change(tail)));
    if let Some(query) = url.query() {
        unknown.set_query(Some(&change(query)));
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_session_looks_like_a_known_one() {
        let url = Url::parse("http://a/whip/demo/0f9ae4c1-77d0").unwrap();
        let other = unknown(&url);
        assert!(other.path().starts_with("/whip/demo/"));
        assert_eq!(other.path().len(), url.path().len());
        assert_ne!(other, url);
    }
}
