//! Trickle ICE and ICE restarts on the main session.

use reqwest::Method;
use reqwest::header::{ETAG, IF_MATCH};

use super::super::client::Request;
use super::super::evidence::{Exchange, Probe};
use super::super::offer::ice_text;
use super::super::sdp::Description;
use super::{Run, session};

/// The media type of fragments (RFC 8840, section 9).
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// A tag that no server gave.
const STALE: &str = "\"tidegate-check-stale\"";
/// An address for documentation: nobody is there.
const CANDIDATE: &str = "a=candidate:1 1 udp 2113937151 192.0.2.33 54321 typ host\r\n";
/// A name that can't be resolved, a transport that nobody has, and one that is good.
const UNUSABLE: &str = "a=candidate:2 1 udp 2113937151 0c0ffee0-1234-4abc-8def-00000c0ffee1.local 54322 typ host\r\n\
    a=candidate:3 1 dccp 2113937151 192.0.2.33 54323 typ host\r\n\
    a=candidate:4 1 udp 2113937150 192.0.2.33 54324 typ host\r\n";
const END: &str = "a=end-of-candidates\r\n";

/// A fragment of one media section (RFC 8840, section 9).
fn fragment(ufrag: &str, password: &str, lines: &str) -> String {
    format!(
        "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:{ufrag}\r\n\
         a=ice-pwd:{password}\r\n{lines}"
    )
}

/// A fragment without candidates.
pub(super) fn end_of_candidates(ufrag: &str, password: &str) -> String {
    fragment(ufrag, password, END)
}

/// A restart that can't work: its password is too short (RFC 8839, section 5.4).
pub(super) fn broken_restart() -> String {
    fragment(&ice_text(8), "short", CANDIDATE)
}

pub(super) async fn gather(run: &mut Run<'_>) {
    let Some(url) = session::url(run) else {
        return;
    };
    let etag = run
        .evidence
        .find(Probe::Create)
        .and_then(|created| created.header(ETAG))
        .map(str::to_owned);
    let (ufrag, password) = credentials(&run.evidence.offer);
    let trickle = |lines: &str| fragment(&ufrag, &password, lines);
    let patch = |tag: Option<&str>, kind: &str, body: String| {
        let request = Request::new(Method::PATCH, &url).body(kind, body);
        match tag {
            Some(tag) => request.header(IF_MATCH, tag),
            None => request,
        }
    };
    // A restart that should not have been one gives a new tag, too.
    let mut tag = etag.clone();
    type Build<'a> = dyn Fn(Option<&str>) -> Request + Sync + 'a;
    let steps: [(Probe, &Build<'_>); 10] = [
        (Probe::TrickleWithoutIfMatch, &|_| {
            patch(None, FRAGMENT, trickle(CANDIDATE))
        }),
        (Probe::TrickleStale, &|_| {
            patch(Some(STALE), FRAGMENT, trickle(CANDIDATE))
        }),
        (Probe::TrickleWrongType, &|tag| {
            patch(tag, "text/plain", trickle(CANDIDATE))
        }),
        (Probe::TrickleMalformed, &|tag| {
            patch(tag, FRAGMENT, "hello, this is no fragment".to_owned())
        }),
        (Probe::Trickle, &|tag| {
            patch(tag, FRAGMENT, trickle(CANDIDATE))
        }),
        (Probe::TrickleUnusable, &|tag| {
            patch(tag, FRAGMENT, trickle(UNUSABLE))
        }),
        (Probe::TrickleEnd, &|tag| patch(tag, FRAGMENT, trickle(END))),
        (Probe::RestartBroken, &|_| {
            patch(Some("*"), FRAGMENT, broken_restart())
        }),
        (Probe::GetAfterBroken, &|_| Request::new(Method::GET, &url)),
        (Probe::TrickleAfterBroken, &|tag| {
            patch(tag, FRAGMENT, trickle(CANDIDATE))
        }),
    ];
    for (probe, build) in steps {
        let exchange = run.client.send(build(tag.as_deref())).await;
        if probe == Probe::TrickleWithoutIfMatch {
            let new = exchange
                .as_ref()
                .ok()
                .and_then(|answer| answer.header(ETAG));
            tag = new.map(str::to_owned).or(tag);
        }
        run.evidence.add(probe, exchange);
    }
    let (ufrag, password) = (ice_text(8), ice_text(24));
    let restart = fragment(&ufrag, &password, CANDIDATE);
    let exchange = run.client.send(patch(Some("*"), FRAGMENT, restart)).await;
    let is_restarted = matches!(&exchange, Ok(response) if response.status == 200);
    run.evidence.add(Probe::Restart, exchange);
    if !is_restarted || etag.is_none() {
        let why = "there was no ICE restart, or no ETag before it";
        run.evidence
            .skip(&[Probe::TrickleBeforeRestart, Probe::RestartQuoted], why);
        return;
    }
    let late = fragment(&ufrag, &password, CANDIDATE);
    let exchange = run.client.send(patch(tag.as_deref(), FRAGMENT, late)).await;
    run.evidence.add(Probe::TrickleBeforeRestart, exchange);
    let again = fragment(&ice_text(8), &ice_text(24), CANDIDATE);
    let exchange = run.client.send(patch(Some("\"*\""), FRAGMENT, again)).await;
    run.evidence.add(Probe::RestartQuoted, exchange);
}

/// Tries a broken restart on another session.
pub(super) async fn break_restart(run: &Run<'_>, url: &reqwest::Url) -> Exchange {
    let request = Request::new(Method::PATCH, url)
        .header(IF_MATCH, "*")
        .body(FRAGMENT, broken_restart());
    run.client.send(request).await
}

/// The user name fragment and the password of an offer of ours.
fn credentials(offer: &str) -> (String, String) {
    let description = Description::parse(offer);
    let section = description.as_ref().and_then(|offer| offer.media.first());
    let find = |name| {
        let value = section.and_then(|section| section.attribute(name));
        value.unwrap_or_default().to_owned()
    };
    (find("ice-ufrag"), find("ice-pwd"))
}
