//! The extensions of WHEP, when the session announces them: server-sent events and layer selection.

use reqwest::header::ACCEPT;
use reqwest::{Method, Url};

use super::super::client::Request;
use super::super::evidence::{Probe, Response};
use super::super::link_header::Links;
use super::super::rules::{EVENTS, LAYER};
use super::Run;

const JSON: &str = "application/json";
/// What every server with events has.
const COMMON: [&str; 2] = ["active", "inactive"];

pub(super) async fn gather(run: &mut Run<'_>) {
    let Some(created) = run.evidence.find(Probe::Create) else {
        return;
    };
    let links = Links::of(&created.headers);
    let target = |rel: &str| -> Option<(Url, Option<String>)> {
        let link = links.find(rel)?;
        let url = created.url.join(&link.target).ok()?;
        let events = link.parameter("events").map(str::to_owned);
        matches!(url.scheme(), "http" | "https").then_some((url, events))
    };
    let (events, layer) = (target(EVENTS), target(LAYER));
    match events {
        Some((url, announced)) => self::events(run, &url, announced.as_deref()).await,
        None => run.evidence.skip(
            &[
                Probe::EventsCreate,
                Probe::EventsRead,
                Probe::EventsUnknown,
                Probe::EventsDelete,
                Probe::EventsReadDeleted,
            ],
            "no link announces it",
        ),
    }
    match layer {
        Some((url, _)) => {
            let requests = [
                (
                    Probe::LayerAutomatic,
                    Request::new(Method::POST, &url).body(JSON, "{}"),
                ),
                (
                    Probe::LayerMalformed,
                    Request::new(Method::POST, &url).body(JSON, "hello"),
                ),
            ];
            for (probe, request) in requests {
                let exchange = run.client.send(request).await;
                run.evidence.add(probe, exchange);
            }
        }
        None => run.evidence.skip(
            &[Probe::LayerAutomatic, Probe::LayerMalformed],
            "no link announces it",
        ),
    }
}

async fn events(run: &mut Run<'_>, url: &Url, announced: Option<&str>) {
    let names: Vec<&str> = match announced {
        Some(list) => list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect(),
        None => COMMON.to_vec(),
    };
    let names = serde_json::json!(names).to_string();
    let exchange = run
        .client
        .send(Request::new(Method::POST, url).body(JSON, names))
        .await;
    let stream = exchange.as_ref().ok().and_then(Response::location);
    run.evidence.add(Probe::EventsCreate, exchange);
    let unknown = serde_json::json!(["tidegate-check-no-such-event"]).to_string();
    let exchange = run
        .client
        .send(Request::new(Method::POST, url).body(JSON, unknown))
        .await;
    run.evidence.add(Probe::EventsUnknown, exchange);
    let Some(stream) = stream else {
        let probes = [
            Probe::EventsRead,
            Probe::EventsDelete,
            Probe::EventsReadDeleted,
        ];
        run.evidence.skip(&probes, "there is no event stream");
        return;
    };
    let read = || {
        Request::new(Method::GET, &stream)
            .header(ACCEPT, "text/event-stream")
            .stream()
    };
    let requests = [
        (Probe::EventsRead, read()),
        (Probe::EventsDelete, Request::new(Method::DELETE, &stream)),
        (Probe::EventsReadDeleted, read()),
    ];
    for (probe, request) in requests {
        let exchange = run.client.send(request).await;
        run.evidence.add(probe, exchange);
    }
}
