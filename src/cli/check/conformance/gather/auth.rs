//! What happens without the token, and with another one. Only when a token was given.

use reqwest::Method;
use reqwest::header::IF_MATCH;

use super::super::client::Request;
use super::super::evidence::Probe;
use super::super::offer::Case;
use super::{Run, ice, session};

const PROBES: [Probe; 5] = [
    Probe::PatchAnonymous,
    Probe::DeleteAnonymous,
    Probe::GetAfterAnonymous,
    Probe::PostAnonymous,
    Probe::PostWrongToken,
];

/// On the main session, which has to live through it.
pub(super) async fn on_session(run: &mut Run<'_>) {
    if !run.client.has_token() {
        run.evidence.skip(&PROBES, "no token was given (--token)");
        return;
    }
    let Some(url) = session::url(run) else {
        return;
    };
    let patch = ice::end_of_candidates("abcdefgh", "abcdefghijklmnopqrstuvwx");
    let requests = [
        (
            Probe::PatchAnonymous,
            Request::new(Method::PATCH, &url)
                .anonymous()
                // A tag that does not match: whoever looks at it first still changes nothing.
                .header(IF_MATCH, "\"tidegate-check-no-such-tag\"")
                .body(ice::FRAGMENT, patch),
        ),
        (
            Probe::DeleteAnonymous,
            Request::new(Method::DELETE, &url).anonymous(),
        ),
        (Probe::GetAfterAnonymous, Request::new(Method::GET, &url)),
    ];
    for (probe, request) in requests {
        let exchange = run.client.send(request).await;
        run.evidence.add(probe, exchange);
    }
}

/// On the endpoint.
pub(super) async fn gather(run: &mut Run<'_>) {
    if !run.client.has_token() {
        return;
    }
    let post = || {
        run.post(
            "application/sdp",
            Case::WrongType.body(run.evidence.protocol),
        )
    };
    let requests = [
        (Probe::PostAnonymous, post().anonymous()),
        (Probe::PostWrongToken, post().wrong_token()),
    ];
    for (probe, request) in requests {
        let exchange = run.client.send(request).await;
        run.end(exchange.as_ref().ok()).await;
        run.evidence.add(probe, exchange);
    }
}
