//! What becomes of requests that came without TLS where there is TLS.

use axum::http::uri::Authority;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;

/// The rule for requests without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PlainHttp {
    /// They are served.
    #[default]
    Serve,
    /// They are sent to the same URL with `https`, except those from this machine: what they say can't
    /// be overheard, and certificates are for other names.
    Redirect {
        /// The port of HTTPS, if it is another one than theirs.
        port: Option<u16>,
    },
    /// They are refused, all of them.
    Refuse,
}

/// Of a request that came without TLS, as a request extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct CamePlain {
    pub(super) rule: PlainHttp,
    /// This machine asks.
    pub(super) from_here: bool,
}

/// The port of `http` URLs that name none (RFC 9110, section 4.2.1), and that of `https` URLs.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

impl CamePlain {
    /// The answer to `request` if it came without TLS and is not to be served.
    pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response> {
        let came = request.extensions().get::<Self>()?;
        came.rule.answer(request, came.from_here)
    }
}

impl PlainHttp {
    /// The answer to a request without TLS, `None` if it is to be served.
    fn answer<B>(self, request: &Request<B>, from_here: bool) -> Option<Response> {
        match self {
            Self::Serve => None,
            Self::Redirect { .. } if from_here => None,
            Self::Redirect { port } => {
                Some(redirect(request, port).unwrap_or_else(|| Problem::NoHost.into_response()))
            }
            Self::Refuse => Some(Problem::HttpsOnly.into_response()),
        }
    }
}

/// 307 keeps the method, which WHIP and WHEP clients rely on, and is the one that they have to follow
/// (RFC 9725, section 4.5). Browsers don't keep it, and so don't go on with it when TLS has been
/// switched off again.
fn redirect<B>(request: &Request<B>, port: Option<u16>) -> Option<Response> {
    let asked: Authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => {
            let host = request.headers().get(header::HOST)?;
            host.to_str().ok()?.parse().ok()?
        }
    };
    if asked.as_str().contains('@') || asked.host().is_empty() {
        return None;
    }
    let port = port.or(asked.port_u16()).unwrap_or(HTTP_PORT);
    let port = match port {
        HTTPS_PORT => String::new(),
        port => format!(":{port}"),
    };
    let path = request.uri().path_and_query();
    let path = path.map_or("/", |path| path.as_str());
    let to = format!("https://{}{port}{path}", asked.host());
    let to = HeaderValue::from_str(&to).ok()?;
    Some((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, host: Option<&str>) -> Request<()> {
        let mut request = Request::post(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        request.body(()).unwrap()
    }

    fn location(uri: &str, host: &str, port: Option<u16>) -> String {
        let answer = PlainHttp::Redirect { port }
            .answer(&request(uri, Some(host)), false)
            .unwrap();
        assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_request_is_sent_to_the_same_url_with_https() {
        for (uri, host, port, to) in [
            (
                "/whip/a?b=c",
                "a.example:8080",
                None,
                "https://a.example:8080/whip/a?b=c",
            ),
            ("/", "a.example", Some(443), "https://a.example/"),
            ("/", "a.example:8080", Some(8443), "https://a.example:8443/"),
            ("/", "a.example:8080", Some(443), "https://a.example/"),
            (
                "/",
                "[2001:db8::1]:8080",
                None,
                "https://[2001:db8::1]:8080/",
            ),
            ("/", "a.example", None, "https://a.example:80/"),
            (
                "http://a.example:81/x",
                "other",
                None,
                "https://a.example:81/x",
            ),
        ] {
            assert_eq!(location(uri, host, port), to, "{uri} {host} {port:?}");
        }
    }

    #[test]
    fn a_request_that_names_no_host_can_not_be_sent_anywhere() {
        for host in [
            None,
            Some(""),
            Some("a@b.example"),
            Some("a b"),
            Some("a/b"),
        ] {
            let answer = PlainHttp::Redirect { port: None }.answer(&request("/", host), false);
            assert_eq!(
                answer.unwrap().status(),
                StatusCode::BAD_REQUEST,
                "{host:?}"
            );
        }
    }

    #[test]
    fn this_machine_is_not_redirected_but_refused_where_all_are() {
        let request = request("/", Some("127.0.0.1:8080"));
        assert!(PlainHttp::Serve.answer(&request, false).is_none());
        let redirect = PlainHttp::Redirect { port: None };
        assert!(redirect.answer(&request, true).is_none());
        let refused = PlainHttp::Refuse.answer(&request, true).unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert_eq!(
            refused.headers()["content-type"],
            "application/problem+json"
        );
    }
}
