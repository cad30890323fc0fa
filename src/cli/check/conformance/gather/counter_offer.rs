//! The counter-offer of WHEP: the server offers, the player answers (draft-ietf-wish-whep-04, section 4.3.2).

use reqwest::Method;
use reqwest::header::ACCEPT;

use super::super::client::Request;
use super::super::evidence::{Probe, Response};
use super::super::offer::{Case, answer_to};
use super::super::sdp::Description;
use super::Run;

const PROBES: [Probe; 3] = [
    Probe::CounterNonsense,
    Probe::CounterAnswer,
    Probe::CounterDelete,
];

pub(super) async fn gather(run: &mut Run<'_>) {
    let offer = Case::NoCommonCodec.body(run.evidence.protocol);
    let request = run
        .post("application/sdp", offer)
        .header(ACCEPT, "application/sdp");
    let exchange = run.client.send(request).await;
    let offered = exchange.as_ref().ok().filter(|response| {
        response.status == 406 && response.content_type().as_deref() == Some("application/sdp")
    });
    let location = offered.and_then(Response::location);
    let answer = offered
        .and_then(|response| Description::parse(&response.text()))
        .map(|offer| answer_to(&offer));
    if offered.is_none() {
        run.end(exchange.as_ref().ok()).await;
    }
    run.evidence.add(Probe::CounterOffer, exchange);
    let (Some(url), Some(answer)) = (location, answer) else {
        run.evidence.skip(&PROBES, "there was no counter-offer");
        return;
    };
    let patch = |body: String| Request::new(Method::PATCH, &url).body("application/sdp", body);
    let requests = [
        (
            Probe::CounterNonsense,
            patch("hello, this is no answer".to_owned()),
        ),
        (Probe::CounterAnswer, patch(answer)),
        (Probe::CounterDelete, Request::new(Method::DELETE, &url)),
    ];
    for (probe, request) in requests {
        let exchange = run.client.send(request).await;
        run.evidence.add(probe, exchange);
    }
}
