//! What is fetched: HLS, the list of streams and the pages.

use super::*;

const ROWS: &[Row] = &[
    Row::new("a playlist", "GET", "/hls/live/index.m3u8", 200)
        .answers(&[
            ("content-type", "mpegurl"),
            ("cache-control", "public, max-age=1"),
            ("etag", "\"state\""),
            ("vary", "Accept-Encoding"),
        ])
        .holds(&["#EXTM3U"]),
    Row::new(
        "a playlist that the player has",
        "GET",
        "/hls/live/video.m3u8",
        304,
    )
    .with(&[("if-none-match", "W/\"state\"")]),
    Row::new(
        "a state of a playlist",
        "GET",
        "/hls/live/video.m3u8?_HLS_msn=7&_HLS_part=0",
        200,
    )
    .answers(&[("cache-control", "public, max-age=12")])
    .holds(&["#EXTM3U"]),
    Row::new(
        "a playlist with a segment that may be open",
        "GET",
        "/hls/live/video.m3u8?_HLS_msn=7",
        200,
    )
    .answers(&[("cache-control", "public, max-age=1")])
    .holds(&["#EXTM3U"]),
    Row::new("hours, compressed", "GET", "/hls/long/video.m3u8", 200)
        .with(&[("accept-encoding", "gzip")])
        .answers(&[("content-encoding", "gzip"), ("etag", "\"state-gz\"")])
        .holds(&["\u{1f}"]),
    Row::new(
        "a part of no segment",
        "GET",
        "/hls/live/video.m3u8?_HLS_part=0",
        400,
    )
    .answers(&[("cache-control", "no-store")])
    .holds(&["_HLS_part needs _HLS_msn"]),
    Row::new(
        "a segment that is no number",
        "GET",
        "/hls/live/video.m3u8?_HLS_msn=abc",
        400,
    ),
    Row::new(
        "a segment too far ahead",
        "GET",
        "/hls/live/video.m3u8?_HLS_msn=99",
        400,
    )
    .holds(&["too far in the future"]),
    Row::new("too many wait", "GET", "/hls/busy/video.m3u8", 503)
        .answers(&[("retry-after", "1")])
        .holds(&["hls.waiting_requests"]),
    Row::new("a part", "GET", "/hls/live/video-1.0.m4s", 200)
        .answers(&[("cache-control", "public, max-age=12")])
        .holds(&["0123"]),
    Row::new("no path of ours", "GET", "/hls/live/../x", 404),
    Row::new("a segment", "GET", "/hls/live/video-1.m4s", 200)
        .answers(&[
            ("content-type", "video/mp4"),
            ("cache-control", "public, max-age=3600"),
            ("accept-ranges", "bytes"),
        ])
        .holds(&["0123456789"]),
    Row::new("HEAD of a segment", "HEAD", "/hls/live/video-1.m4s", 200)
        .answers(&[("content-length", "10"), ("content-type", "video/mp4")]),
    Row::new("a range", "GET", "/hls/live/video-1.m4s", 206)
        .with(&[("range", "bytes=2-4")])
        .answers(&[("content-range", "bytes 2-4/10"), ("content-length", "3")])
        .holds(&["234"]),
    Row::new(
        "several ranges get the whole",
        "GET",
        "/hls/live/video-1.m4s",
        200,
    )
    .with(&[("range", "bytes=0-1,4-5")])
    .holds(&["0123456789"]),
    Row::new("a range after the end", "GET", "/hls/live/video-1.m4s", 416)
        .with(&[("range", "bytes=10-")])
        .answers(&[("content-range", "bytes */10")]),
    Row::new("a file that has gone", "GET", "/hls/live/video-0.m4s", 404)
        .answers(&[("cache-control", "no-store")]),
    Row::new(
        "before the first segment",
        "GET",
        "/hls/fresh/index.m3u8",
        503,
    )
    .answers(&[("retry-after", "1"), ("cache-control", "no-store")]),
    Row::new(
        "a codec that HLS has not",
        "GET",
        "/hls/vp8/index.m3u8",
        404,
    )
    .holds(&["VP8"]),
    Row::new("nobody publishes", "GET", "/hls/offline/index.m3u8", 404)
        .answers(&[("retry-after", "2")])
        .holds(&["nobody publishes offline"]),
    Row::new("a manifest", "GET", "/dash/live/manifest.mpd", 200).answers(&[
        ("content-type", "application/dash+xml"),
        ("cache-control", "public, max-age=1"),
    ])
    .holds(&["#EXTM3U"]),
    Row::new("a segment of DASH", "GET", "/dash/live/video-1.m4s", 206)
        .with(&[("range", "bytes=2-4")])
        .holds(&["234"]),
    Row::new("the time", "GET", "/dash/live/time", 200)
        .answers(&[("content-type", "text/plain"), ("cache-control", "no-store")])
        .holds(&["T", "Z"]),
    Row::new("no playlist of DASH", "GET", "/dash/live/index.m3u8", 404)
        .holds(&["manifest.mpd"]),
    Row::new("nobody publishes it", "GET", "/dash/offline/manifest.mpd", 404)
        .answers(&[("retry-after", "2")]),
    Row::new("nothing is put there", "PUT", "/hls/live/index.m3u8", 405)
        .answers(&[("allow", "GET,HEAD")]),
    Row::new("the list", "GET", "/streams", 200)
        .answers(&[
            ("content-type", "application/json"),
            ("cache-control", "no-store"),
        ])
        .holds(&[
            "[{\"name\":\"live\",\"tracks\":[{\"id\":0,\"kind\":\"audio\",\"codec\":\"opus\"},\
             {\"id\":1,\"kind\":\"video\",\"codec\":\"H264\"}],\"subscribers\":2,\"publishers\":[{\"priority\":100,\"state\":\"stalled\",\"on_air\":true,\"findings\":[\"b_frames\"]}]}",
        ]),
    Row::new("health", "GET", "/healthz", 200).holds(&["ok"]),
    Row::new("the first page", "GET", "/", 200)
        .answers(&[
            ("content-type", "text/html"),
            ("content-security-policy", "frame-ancestors 'self'"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ])
        .holds(&["<html"]),
    Row::new("the publisher's page", "GET", "/publish/live", 200)
        .answers(&[("content-security-policy", "frame-ancestors 'self'")])
        .holds(&["<html"]),
    Row::new("the viewer's page", "GET", "/watch/live/", 200).holds(&["<html"]),
    Row::new("a page of no stream", "GET", "/watch/a%20b", 400),
    Row::new("a script", "GET", "/assets/whip.js", 200)
        .answers(&[("content-type", "text/javascript"), ("etag", "\"")])
        .holds(&["class WhipClient"]),
    Row::new("the style", "GET", "/assets/style.css", 200)
        .answers(&[("content-type", "text/css")])
        .holds(&[":root"]),
    Row::new(
        "a file that is none of ours",
        "GET",
        "/assets/..%2Fmod.rs",
        404,
    ),
];

#[tokio::test]
async fn files_are_served() {
    check_all(&open_app(), ROWS).await;
}

#[tokio::test]
async fn a_playlist_is_compressed_for_who_takes_that() {
    let gzip = [("accept-encoding", "br, gzip")];
    let answer = send(&open_app(), "GET", "/hls/live/video.m3u8", &gzip, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-encoding"], "gzip");
    assert_eq!(answer.headers["etag"], "\"state-gz\"");
    let media = send(&open_app(), "GET", "/hls/live/video-1.m4s", &gzip, "").await;
    assert!(!media.headers.contains_key("content-encoding"));
}

/// A player takes a right in the path to all files, as they are named relative to the playlist.
#[tokio::test]
async fn a_right_may_stand_in_the_path() {
    let mut tokens = Tokens::default();
    tokens.play.every_stream = vec!["a/b=".parse().unwrap()];
    let settings = Settings {
        hls_secret: Some(crate::config::Secret::new("change-me")),
        allow_query_token: true,
        ..Settings::default()
    };
    let app = app(tokens.clone(), settings);
    // printf 'live:9999999999' | openssl dgst -sha256 -hmac change-me -binary | basenc --base64url
    let signed = "s~9999999999~1Yyn3RD2XyZxr70Hub191rDDePAgAbm3emkwXoZLqK4";
    let old = "s~1000000000~Tew-F9c1wY0KGGQSZQqMjQTLt15qamwGDg0yclTAw_M";
    for (path, status) in [
        (format!("/hls/live/{signed}/index.m3u8"), 200),
        (format!("/hls/live/{signed}/video-1.m4s"), 200),
        (format!("/hls/fresh/{signed}/index.m3u8"), 403),
        (format!("/hls/live/{old}/index.m3u8"), 403),
        ("/hls/live/t~a%2Fb=/video-1.m4s".to_owned(), 200),
        ("/hls/live/t~a/b=/video-1.m4s".to_owned(), 200),
        ("/hls/live/t~other/video-1.m4s".to_owned(), 401),
        ("/hls/live/index.m3u8".to_owned(), 401),
        ("/hls/live/index.m3u8?token=a/b=".to_owned(), 200),
    ] {
        let answer = send(&app, "GET", &path, &[], "").await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {answer:?}");
        // A signed URL is for a CDN to keep; it knows the right of each request by itself.
        let control = answer.headers["cache-control"].to_str().unwrap();
        let shared = status == 200 && path.contains("/s~");
        assert_eq!(control.starts_with("public"), shared, "{path}: {control}");
    }
    // Without the settings there are no such paths.
    let closed = self::app(tokens, Settings::default());
    for grant in [signed, "t~a%2Fb="] {
        let answer = send(
            &closed,
            "GET",
            &format!("/hls/live/{grant}/index.m3u8"),
            &[],
            "",
        )
        .await;
        assert_eq!(answer.status, 401, "{grant}");
    }
    // A signature that nobody has checked is none, whatever else shows the right.
    let path = format!("/hls/live/{signed}/video-1.m4s");
    let bearer = [("authorization", "Bearer a/b=")];
    let answer = send(&closed, "GET", &path, &bearer, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["cache-control"], "private, max-age=3600");
}

#[tokio::test]
async fn a_browser_that_has_the_file_is_not_sent_it_again() {
    let router = open_app();
    let first = send(&router, "GET", "/assets/style.css", &[], "").await;
    let etag = first.headers["etag"].to_str().unwrap();
    let again = send(
        &router,
        "GET",
        "/assets/style.css",
        &[("if-none-match", etag)],
        "",
    )
    .await;
    assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""));
    let other = send(
        &router,
        "GET",
        "/assets/whip.js",
        &[("if-none-match", etag)],
        "",
    )
    .await;
    assert_eq!(other.status, 200);
}

/// The policy forbids what is inline, so a page with it would be broken in browsers only.
#[tokio::test]
async fn no_page_has_anything_inline_and_all_it_names_exists() {
    let router = open_app();
    for path in ["/", "/publish/live", "/watch/live"] {
        let page = send(&router, "GET", path, &[], "").await.body;
        for inline in ["<script>", "<style", " style=\"", " onclick", "javascript:"] {
            assert!(!page.contains(inline), "{path} has {inline}");
        }
        let assets = page
            .match_indices("\"/assets/")
            .map(|(at, _)| &page[at + 1..]);
        let assets: Vec<_> = assets.map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(!assets.is_empty(), "{path}");
        for asset in assets {
            assert_eq!(
                send(&router, "GET", asset, &[], "").await.status,
                200,
                "{asset}"
            );
        }
    }
}

#[tokio::test]
async fn the_player_may_follow_where_the_server_sends_it() {
    let settings = Settings {
        drain_origin: Some("https://b.test".to_owned()),
        ..Settings::default()
    };
    let rows = [
        Row::new("the player", "GET", "/watch/live", 200)
            .answers(&[(
                "content-security-policy",
                "; connect-src 'self' https://b.test",
            )])
            .holds(&["<html"]),
        Row::new("no other page", "GET", "/publish/live", 200)
            .answers(&[("content-security-policy", "frame-ancestors 'self'")])
            .holds(&["<html"]),
        Row::new("no refusal", "GET", "/watch/a%20b", 400)
            .answers(&[("content-security-policy", "")]),
    ];
    check_all(&app(Tokens::default(), settings), &rows).await;
}
