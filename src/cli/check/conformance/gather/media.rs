//! A session with a real peer behind it: ICE, DTLS, packets, consent, the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, Url};

use super::super::client::Request;
use super::super::evidence::{Media, Probe};
use super::super::media::{Direction, Observed, Peer, Sending, connected};
use super::super::rule::Protocol;
use super::super::sdp::Description;
use super::{Run, ice};
use crate::cli::signalling::Endpoint;

/// How long the first packet, the first keyframe and the first report may take.
const FIRST: Duration = Duration::from_secs(10);
/// How long the connection is kept up, to see that consent is kept too (RFC 7675 has 30 s; servers that
/// drop who they think is gone mostly do within 5).
const KEEP: Duration = Duration::from_secs(6);
/// How long media is looked at after a broken restart.
const AFTER_RESTART: Duration = Duration::from_secs(2);
/// How long the `close_notify` may take after the DELETE was answered, and how often it is looked for.
const CLOSE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn gather(run: &mut Run<'_>) {
    let probes = [
        Probe::MediaCreate,
        Probe::MediaRestartBroken,
        Probe::MediaDelete,
    ];
    if !run.plan.media {
        run.evidence.skip(&probes, "--no-media");
        run.evidence.media = Err("--no-media".to_owned());
        return;
    }
    let outcome = connect(run).await;
    run.evidence.media = outcome;
}

async fn connect(run: &mut Run<'_>) -> Result<Media, String> {
    let endpoint = Endpoint::new(run.url.as_str(), None).map_err(|error| error.to_string())?;
    let direction = match run.evidence.protocol {
        Protocol::Whip => Direction::Send,
        Protocol::Whep => Direction::Receive,
    };
    let peer = Peer::new(direction, &endpoint.loopback().await).await;
    let mut peer = peer.map_err(|error| error.to_string())?;
    let offer = peer.offer().await.map_err(|error| error.to_string())?;
    let exchange = run.client.send(run.post("application/sdp", offer)).await;
    run.evidence.add(Probe::MediaCreate, exchange);
    let created = match run.evidence.find(Probe::MediaCreate) {
        Some(response) if response.status == 201 => response,
        Some(response) => {
            return Err(format!(
                "no session; the server answered {}",
                response.describe()
            ));
        }
        None => return Err("no session; the server did not answer".to_owned()),
    };
    let (answer, session) = (created.text(), created.location());
    let peer = Arc::new(peer);
    let start = Instant::now();
    let mut media = Media {
        video: accepts_video(&answer),
        ..Media::default()
    };
    match peer.accept(&answer).await {
        Ok(()) => watch(run, &peer, session.as_ref(), start, &mut media).await,
        Err(error) => media.unusable = Some(error.to_string()),
    }
    if let Some(session) = session {
        end(run, &peer, &session, &mut media).await;
    }
    peer.close().await;
    Ok(media)
}

/// From the answer to just before the end.
async fn watch(
    run: &mut Run<'_>,
    peer: &Arc<Peer>,
    session: Option<&Url>,
    start: Instant,
    media: &mut Media,
) {
    let mut observed = peer.observed();
    let since = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(start));
    let is_connected = connected(&mut observed, FIRST).await;
    let seen = *observed.borrow();
    media.ice = since(seen.ice);
    media.connected = since(seen.connected);
    if !is_connected {
        return;
    }
    let sending = match run.evidence.protocol {
        Protocol::Whip => Some(Sending::start(peer).await),
        Protocol::Whep => None,
    };
    let up = Instant::now();
    let wants_keyframe = media.video;
    let is_flowing = observed.wait_for(|observed| match &sending {
        Some(_) => observed.reports > 0,
        None => observed.packets > 0 && (!wants_keyframe || observed.first_keyframe.is_some()),
    });
    let _ = tokio::time::timeout(FIRST, is_flowing).await;
    tokio::time::sleep(KEEP.saturating_sub(Instant::now() - up)).await;
    let count = |seen: Observed| match &sending {
        Some(_) => seen.rtcp,
        None => seen.packets,
    };
    let before = *observed.borrow();
    if let Some(session) = session {
        let exchange = ice::break_restart(run, session).await;
        run.evidence.add(Probe::MediaRestartBroken, exchange);
        tokio::time::sleep(AFTER_RESTART).await;
        let after = *observed.borrow();
        media.after_restart = Some(count(after).saturating_sub(count(before)));
    }
    let seen = *observed.borrow();
    media.packets = seen.packets;
    media.first_packet = since(seen.first_packet);
    media.first_keyframe = since(seen.first_keyframe);
    media.reports = seen.reports;
    media.rtcp = seen.rtcp;
    media.keyframe_requests = seen.keyframe_requests;
    media.sent = sending.as_ref().map_or(0, Sending::sent);
    media.kept = Instant::now() - up;
    media.lost = seen.lost || peer.is_closed().await;
}

/// Ends the session, and looks for the goodbye on the media path.
async fn end(run: &mut Run<'_>, peer: &Peer, session: &Url, media: &mut Media) {
    let was_closed = peer.is_closed().await;
    let exchange = run.client.send(Request::new(Method::DELETE, session)).await;
    let is_deleted = matches!(&exchange, Ok(response) if response.is_success());
    run.evidence.add(Probe::MediaDelete, exchange);
    if was_closed || !is_deleted || media.connected.is_none() {
        return;
    }
    let deleted = Instant::now();
    while Instant::now() - deleted < CLOSE {
        if peer.is_closed().await {
            media.closed = Some(Instant::now() - deleted);
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn accepts_video(answer: &str) -> bool {
    Description::parse(answer).is_some_and(|answer| {
        answer
            .accepted()
            .any(|section| section.kind == "video" && answer.direction(section) != "inactive")
    })
}
