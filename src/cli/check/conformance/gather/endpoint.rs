//! The endpoint without an offer.

use reqwest::Method;
use reqwest::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN,
};

use super::super::client::{self, Request};
use super::super::evidence::{Probe, Unanswered};
use super::super::wire;
use super::{GatherError, Run};

/// Asks what the endpoint is. The first of these tells whether there is a server at all.
pub(super) async fn gather(run: &mut Run<'_>) -> Result<(), GatherError> {
    let options = Request::new(Method::OPTIONS, run.url).anonymous();
    let options = run.client.send(options).await;
    if let Err(Unanswered(reason)) = &options {
        return Err(GatherError::Unreachable(reason.clone()));
    }
    run.evidence.add(Probe::Options, options);
    let preflight = preflight(run.url, "POST", "authorization, content-type");
    let requests = [
        (Probe::Preflight, preflight),
        (Probe::Get, Request::new(Method::GET, run.url)),
        (Probe::Head, Request::new(Method::HEAD, run.url)),
        (
            Probe::Put,
            Request::new(Method::PUT, run.url).body("application/sdp", "v=0\r\n"),
        ),
    ];
    for (probe, request) in requests {
        let exchange = run.client.send(request).await;
        run.evidence.add(probe, exchange);
    }
    let limit = run.client.timeout();
    let exchange = wire::without_host(run.url, limit).await;
    run.evidence.add(Probe::NoHost, exchange);
    let exchange = wire::expect_continue(run.url, limit).await;
    run.evidence.add(Probe::Expect, exchange);
    Ok(())
}

/// What a browser asks before it lets a page send a request to another origin.
pub(super) fn preflight(url: &reqwest::Url, method: &str, headers: &str) -> Request {
    let header = |request: Request, name: HeaderName, value: &str| request.header(name, value);
    let request = Request::new(Method::OPTIONS, url).anonymous();
    let request = header(request, ORIGIN, client::ORIGIN);
    let request = header(request, ACCESS_CONTROL_REQUEST_METHOD, method);
    header(request, ACCESS_CONTROL_REQUEST_HEADERS, headers)
}
