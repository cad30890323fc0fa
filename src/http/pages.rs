//! The pages and their scripts, embedded in the binary. They hold no secret and name no stream: the
//! scripts read the stream from the URL and the token from its fragment, which browsers keep to
//! themselves.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::problem::Problem;
use super::{AppState, etag, path};

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Scripts, styles and connections of this origin only; nothing inline.
const POLICY: &str = "default-src 'self'; media-src 'self' blob:; \
    object-src 'none'; base-uri 'none'; form-action 'self'";

/// The same for pages that lead to the camera: no other site may lay itself over them. Players may
/// be embedded anywhere.
const POLICY_WITHOUT_FRAMES: &str = "default-src 'self'; media-src 'self' blob:; \
    object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

/// Devices are for the page itself, not for what it might embed.
const PERMISSIONS: &str = "camera=(self), microphone=(self), display-capture=(self)";

struct Page {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
    policy: &'static str,
}

const INDEX: Page = page("index.html", HTML, include_str!("../web/index.html")).without_frames();
const PUBLISH: Page =
    page("publish.html", HTML, include_str!("../web/publish.html")).without_frames();
const WATCH: Page = page("watch.html", HTML, include_str!("../web/watch.html"));

const ASSETS: &[Page] = &[
    page("favicon.svg", SVG, include_str!("../web/favicon.svg")),
    page(
        "hls-player.js",
        SCRIPT,
        include_str!("../web/hls-player.js"),
    ),
    page("index.js", SCRIPT, include_str!("../web/index.js")),
    page("links.js", SCRIPT, include_str!("../web/links.js")),
    page("page.js", SCRIPT, include_str!("../web/page.js")),
    page("publish.js", SCRIPT, include_str!("../web/publish.js")),
    page("session.js", SCRIPT, include_str!("../web/session.js")),
    page("style.css", STYLE, include_str!("../web/style.css")),
    page(
        "test-picture.js",
        SCRIPT,
        include_str!("../web/test-picture.js"),
    ),
    page("watch.js", SCRIPT, include_str!("../web/watch.js")),
    page("whep.js", SCRIPT, include_str!("../web/whep.js")),
    page("whip.js", SCRIPT, include_str!("../web/whip.js")),
];

/// The routes of the pages.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| INDEX.answer(&headers)))
        .route("/publish/{stream}", get(publish))
        .route("/publish/{stream}/", get(publish))
        .route("/watch/{stream}", get(watch))
        .route("/watch/{stream}/", get(watch))
        .route("/assets/{file}", get(asset))
}

async fn publish(request: Request) -> Response {
    of_stream(&PUBLISH, request).await
}

/// The player's page may also connect to where viewers are sent at the end of this server.
async fn watch(State(state): State<AppState>, request: Request) -> Response {
    let mut response = of_stream(&WATCH, request).await;
    if let Some(origin) = &state.settings.drain_origin {
        let policy = format!("{POLICY}; connect-src 'self' {origin}");
        let headers = response.headers_mut();
        if let (Ok(policy), true) = (
            HeaderValue::from_str(&policy),
            headers.contains_key(header::CONTENT_SECURITY_POLICY),
        ) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
    }
    response
}

async fn of_stream(page: &Page, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match path::stream(&mut parts).await {
        Ok(_) => page.answer(&parts.headers),
        Err(problem) => problem.into_response(),
    }
}

async fn asset(request: Request) -> Response {
    let name = request.uri().path().trim_start_matches("/assets/");
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => asset.answer(request.headers()),
        None => Problem::NoAsset.into_response(),
    }
}

impl Page {
    const fn without_frames(mut self) -> Self {
        self.policy = POLICY_WITHOUT_FRAMES;
        self
    }

    /// The content, or 304 when the browser has it.
    fn answer(&self, request: &HeaderMap) -> Response {
        let tag = format!("\"{:016x}\"", fingerprint(self.content.as_bytes()));
        let headers = [
            (header::ETAG, tag.as_str()),
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_SECURITY_POLICY, self.policy),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (
                header::HeaderName::from_static("permissions-policy"),
                PERMISSIONS,
            ),
        ];
        if etag::is_known(request, &tag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, self.content_type)];
        (headers, content_type, self.content).into_response()
    }
}

const fn page(name: &'static str, content_type: &'static str, content: &'static str) -> Page {
    Page {
        name,
        content_type,
        content,
        policy: POLICY,
    }
}

/// FNV-1a: tells versions of a file apart, guards nothing.
fn fingerprint(content: &[u8]) -> u64 {
    content.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
