//! The endpoint, for both protocols: rows E1 to E3, E5 to E7, E9, E12 and E18.

use axum::body::Body;

use super::*;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "E1 S3: an offer makes a session",
        "POST",
        "/{kind}/live",
        201,
    )
    .with(&[SDP])
    .body(OFFER)
    .answers(&[
        SDP,
        ("location", "{session}"),
        ("etag", "\"generation-1\""),
        ("accept-patch", "application/trickle-ice-sdpfrag"),
    ])
    .holds(&["v=0\r\n"]),
    Row::new("R: a slash at the end", "POST", "/{kind}/live/", 201)
        .with(&[SDP])
        .body(OFFER)
        .answers(&[("location", "{session}")])
        .holds(&["v=0\r\n"]),
    Row::new(
        "R: a type with parameters and in other case",
        "POST",
        "/{kind}/live",
        201,
    )
    .with(&[("content-type", "Application/SDP ; charset=utf-8")])
    .body(OFFER)
    .holds(&["v=0\r\n"]),
    Row::new("E2: no type", "POST", "/{kind}/live", 415)
        .body(OFFER)
        .answers(&[("accept-post", "application/sdp")])
        .holds(&["application/sdp"]),
    Row::new("E2: another type", "POST", "/{kind}/live", 415)
        .with(&[("content-type", "application/json")])
        .body(OFFER)
        .answers(&[("accept-post", "application/sdp")])
        .holds(&["the body must have the Content-Type application/sdp"]),
    Row::new("E2: a type that begins alike", "POST", "/{kind}/live", 415)
        .with(&[("content-type", "application/sdpx")])
        .body(OFFER),
    Row::new("E3: no body", "POST", "/whip/live", 400)
        .with(&[SDP])
        .holds(&["doesn't begin with v=0"]),
    Row::new("E3: no body and no type", "POST", "/whip/live", 415),
    Row::new("E3: no SDP", "POST", "/{kind}/live", 400)
        .with(&[SDP])
        .body("{\"sdp\": \"v=0\"}"),
    Row::new("E3: an offer of nothing", "POST", "/{kind}/live", 400)
        .with(&[SDP])
        .body("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n")
        .holds(&["add audio or video"]),
    Row::new("E3: no ICE", "POST", "/{kind}/live", 400)
        .with(&[SDP])
        .body(OFFER)
        .edit(&[("a=ice-ufrag:abcd\r\n", "")])
        .holds(&["a=ice-ufrag is missing"]),
    Row::new("E5: what is taken", "OPTIONS", "/{kind}/live", 200).answers(&[
        ("accept-post", "application/sdp"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "PATCH"),
    ]),
    Row::new("E5: with a slash", "OPTIONS", "/{kind}/live/", 200)
        .answers(&[("accept-post", "application/sdp")]),
    Row::new("E6: GET has no content", "GET", "/{kind}/live", 200),
    Row::new("E7: HEAD tells the type", "HEAD", "/{kind}/live", 200).answers(&[SDP]),
    Row::new("E9: all places are taken", "POST", "/{kind}/full", 503)
        .with(&[SDP])
        .body(OFFER)
        .answers(&[("retry-after", "10")])
        .holds(&["limits.sessions"]),
    Row::new(
        "E9: the address has too many",
        "POST",
        "/{kind}/crowded",
        429,
    )
    .with(&[SDP])
    .body(OFFER)
    .answers(&[("retry-after", "10")])
    .holds(&["limits.sessions_per_address", "4"]),
    Row::new("E9: the server ends", "POST", "/{kind}/closing", 503)
        .with(&[SDP])
        .body(OFFER)
        .answers(&[("retry-after", "10")]),
    Row::new("E12: nobody publishes", "POST", "/whep/offline", 409)
        .with(&[SDP])
        .body(OFFER)
        .answers(&[("retry-after", "2")])
        .holds(&["nobody publishes offline now"]),
    Row::new("E12: nor for a counter-offer", "POST", "/whep/offline", 409)
        .answers(&[("retry-after", "2")]),
    Row::new("somebody else publishes", "POST", "/whip/taken", 409)
        .with(&[SDP])
        .body(OFFER)
        .answers(&[("retry-after", "")]),
    Row::new("E18: PUT", "PUT", "/{kind}/live", 405)
        .body(OFFER)
        .answers(&[("allow", "GET,HEAD,POST,OPTIONS")]),
    Row::new("E18: PATCH without a session", "PATCH", "/{kind}/live", 405)
        .answers(&[("allow", "POST")]),
    Row::new(
        "E18: DELETE without a session",
        "DELETE",
        "/{kind}/live/",
        405,
    )
    .answers(&[("allow", "POST")]),
    Row::new("E18: an invented method", "BREW", "/{kind}/live", 405).answers(&[("allow", "POST")]),
    Row::new("E18: no host", "GET", "/{kind}/live", 400)
        .with(&[("host", "")])
        .holds(&["Host"]),
    Row::new("E18: a name that is none", "POST", "/{kind}/.hidden", 400)
        .with(&[SDP])
        .body(OFFER)
        .holds(&["begins with"]),
    Row::new("E18: an escaped slash", "GET", "/{kind}/a%2Fb", 400).holds(&["'/'"]),
    Row::new("E18: a name that is no text", "POST", "/{kind}/%ff", 400)
        .with(&[SDP])
        .holds(&["UTF-8"]),
    Row::new("E18: no name", "POST", "/{kind}/", 404).with(&[SDP]),
    Row::new("E18: no such route", "POST", "/nothing/here", 404).holds(&["/whip/{stream}"]),
];

#[tokio::test]
async fn the_endpoint_keeps_its_promises() {
    check_all(&open_app(), ROWS).await;
}

#[tokio::test]
async fn a_large_body_is_refused_whether_or_not_it_is_announced() {
    let router = open_app();
    for path in ["/whip/live", "/whep/live"] {
        let announced = Body::from(vec![b'a'; 10 * 1024 * 1024]);
        let chunk = || Ok::<_, std::io::Error>(vec![b'a'; 16 * 1024]);
        let chunks = Body::from_stream(tower_stream(std::iter::repeat_with(chunk).take(640)));
        let length = ("content-length", "10485760");
        for (body, headers) in [(announced, vec![SDP, length]), (chunks, vec![SDP])] {
            let answer = send(&router, "POST", path, &headers, body).await;
            assert_eq!(answer.status, 413);
            answer.assert_problem("a large body");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_refused() {
    let never = Body::new(NeverBody);
    let answer = send(&open_app(), "POST", "/whip/live", &[SDP], never).await;
    assert_eq!(answer.status, 408);
    answer.assert_problem("a slow body");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let broken = [Ok("v=0\r\n"), Err(std::io::Error::other("reset"))];
    let broken = Body::from_stream(tower_stream(broken.into_iter()));
    let answer = send(&open_app(), "POST", "/whip/live", &[SDP], broken).await;
    assert_eq!(answer.status, 400);
    answer.assert_problem("a broken body");
}

/// An iterator as a stream that is always ready.
fn tower_stream<I: Iterator + Unpin>(iterator: I) -> impl futures_util::Stream<Item = I::Item> {
    futures_util::stream::iter(iterator)
}

struct NeverBody;

impl axum::body::HttpBody for NeverBody {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}
