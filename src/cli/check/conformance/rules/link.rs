//! `Link` header fields: ICE servers, and the extensions that a server announces.

use super::super::evidence::{Evidence, Probe, Response};
use super::super::link_header::Links;
use super::super::rule::{Group, Judgement, Level, Rule, Source, Verdict};
use super::refused;

/// Server-sent events.
pub(in super::super) const EVENTS: &str = "urn:ietf:params:whep:ext:core:server-sent-events";
/// The choice of a layer.
pub(in super::super) const LAYER: &str = "urn:ietf:params:whep:ext:core:layer";
const ICE_SERVER: &str = "ice-server";
const SSE: Source = Source::Whep("WHEP events");
const LAYERS: Source = Source::Whep("WHEP layers");

const fn rule(
    id: &'static str,
    level: Level,
    source: Source,
    title: &'static str,
    judge: fn(&Evidence) -> Judgement,
) -> Rule {
    Rule {
        id,
        group: Group::Link,
        level,
        source,
        title,
        judge,
    }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "link.form",
        Level::Must,
        Source::Both("RFC 8288, 3"),
        "Every Link field can be read, and has a rel",
        form,
    ),
    rule(
        "link.one-each",
        Level::Should,
        Source::Each {
            whip: "4.9",
            whep: "4.10",
        },
        "There is one Link field for each link: OBS loses the second of a list",
        one_each,
    ),
    rule(
        "link.ice-server",
        Level::Must,
        Source::Each {
            whip: "4.6",
            whep: "4.8",
        },
        "An ice-server is a stun: or turn: URI; a turn: one has username and credential",
        ice_server,
    ),
    rule(
        "link.events",
        Level::Must,
        SSE,
        "A POST of the announced event names makes an event stream: 201 with Location",
        events,
    ),
    rule(
        "link.events-stream",
        Level::Must,
        SSE,
        "A GET of the stream gives text/event-stream, each event with one line of data",
        stream,
    ),
    rule(
        "link.events-unknown",
        Level::Must,
        SSE,
        "An event that was not announced is refused with 400",
        unknown,
    ),
    rule(
        "link.events-delete",
        Level::Must,
        SSE,
        "A DELETE ends the stream: 2xx, and 404 for whoever reads it then",
        delete,
    ),
    rule(
        "link.layer",
        Level::Must,
        LAYERS,
        "A POST of an empty object goes back to the server's choice: 200",
        layer,
    ),
    rule(
        "link.layer-malformed",
        Level::Should,
        LAYERS,
        "A choice that is no JSON is refused with 4xx",
        layer_malformed,
    ),
    rule(
        "link.layer-events",
        Level::Must,
        LAYERS,
        "Who offers layers announces the event layers too",
        layer_events,
    ),
];

fn links(evidence: &Evidence) -> Result<Links, Verdict> {
    let links = Links::of(&evidence.created()?.headers);
    match links.all.is_empty() && links.broken.is_empty() {
        true => Err(Verdict::not_offered("the 201 has no Link")),
        false => Ok(links),
    }
}

fn form(evidence: &Evidence) -> Judgement {
    let links = links(evidence)?;
    if let Some(broken) = links.broken.first() {
        return Ok(Verdict::fail("<URI>; rel=\"…\"", broken.clone()));
    }
    let nameless = links.all.iter().find(|link| {
        let rel = link.parameter("rel");
        rel.is_none_or(str::is_empty)
    });
    Ok(match nameless {
        Some(link) => Verdict::fail("a rel", format!("<{}> without one", link.target)),
        None => Verdict::PASS,
    })
}

fn one_each(evidence: &Evidence) -> Judgement {
    let links = links(evidence)?;
    Ok(Verdict::require(
        links.joined == 0,
        "a field for each link",
        format!("{} with several", links.joined),
    ))
}

fn ice_server(evidence: &Evidence) -> Judgement {
    let links = links(evidence)?;
    let servers: Vec<_> = links
        .all
        .iter()
        .filter(|link| link.is(ICE_SERVER))
        .collect();
    if servers.is_empty() {
        return Ok(Verdict::not_offered("no Link has rel=\"ice-server\""));
    }
    for server in servers {
        let scheme = server.target.split(':').next().unwrap_or_default();
        let has = |name| {
            server
                .parameter(name)
                .is_some_and(|value| !value.is_empty())
        };
        match scheme {
            "stun" | "stuns" => {}
            "turn" | "turns" if has("username") && has("credential") => {}
            "turn" | "turns" => {
                return Ok(Verdict::fail(
                    "username and credential",
                    format!("<{}> without them", server.target),
                ));
            }
            _ => {
                return Ok(Verdict::fail(
                    "a stun:, stuns:, turn: or turns: URI",
                    format!("<{}>", server.target),
                ));
            }
        }
    }
    Ok(Verdict::PASS)
}

/// The answer to a probe of an extension, if it is announced.
fn announced<'a>(
    evidence: &'a Evidence,
    extension: &str,
    probe: Probe,
) -> Result<&'a Response, Verdict> {
    let links = Links::of(&evidence.created()?.headers);
    match links.find(extension) {
        Some(_) => evidence.answer(probe),
        None => Err(Verdict::not_offered("no Link announces it")),
    }
}

fn events(evidence: &Evidence) -> Judgement {
    let response = announced(evidence, EVENTS, Probe::EventsCreate)?;
    let has_location = response.location().is_some();
    Ok(match (response.status, has_location) {
        (201, true) => Verdict::PASS,
        (201, false) => Verdict::fail("201 with Location", "201 without Location"),
        _ => Verdict::fail("201 with Location", response.describe()),
    })
}

fn stream(evidence: &Evidence) -> Judgement {
    let response = announced(evidence, EVENTS, Probe::EventsRead)?;
    let kind = response.content_type();
    if response.status != 200 || kind.as_deref() != Some("text/event-stream") {
        let kind = kind.as_deref().unwrap_or("no Content-Type");
        return Ok(Verdict::fail(
            "200 with text/event-stream",
            format!("{} with {kind}", response.describe()),
        ));
    }
    let text = response.text();
    // The last one may not be whole.
    let events = text.split("\n\n").filter(|event| event.contains("event:"));
    let lines = |event: &str| {
        event
            .lines()
            .filter(|line| line.starts_with("data:"))
            .count()
    };
    let mut count = 0;
    for event in events {
        count += 1;
        if lines(event) > 1 {
            return Ok(Verdict::fail(
                "one line of data",
                format!("{}", lines(event)),
            ));
        }
    }
    Ok(Verdict::pass_with(match count {
        0 => "no event came meanwhile".to_owned(),
        count => format!("{count} came"),
    }))
}

fn unknown(evidence: &Evidence) -> Judgement {
    let response = announced(evidence, EVENTS, Probe::EventsUnknown)?;
    Ok(Verdict::require(
        response.status == 400,
        "400 Bad Request",
        response.describe(),
    ))
}

fn delete(evidence: &Evidence) -> Judgement {
    let deleted = announced(evidence, EVENTS, Probe::EventsDelete)?;
    if !deleted.is_success() {
        return Ok(Verdict::fail("2xx", deleted.describe()));
    }
    let read = evidence.answer(Probe::EventsReadDeleted)?;
    Ok(Verdict::require(
        read.status == 404,
        "404 afterwards",
        read.describe(),
    ))
}

fn layer(evidence: &Evidence) -> Judgement {
    let response = announced(evidence, LAYER, Probe::LayerAutomatic)?;
    Ok(Verdict::require(
        response.status == 200,
        "200 OK",
        response.describe(),
    ))
}

fn layer_malformed(evidence: &Evidence) -> Judgement {
    let response = announced(evidence, LAYER, Probe::LayerMalformed)?;
    Ok(refused(response, "4xx"))
}

fn layer_events(evidence: &Evidence) -> Judgement {
    announced(evidence, LAYER, Probe::LayerAutomatic)?;
    let links = Links::of(&evidence.created()?.headers);
    let announced = links.find(EVENTS).map(|link| link.parameter("events"));
    Ok(match announced {
        None => Verdict::fail("a Link to server-sent events", "none"),
        Some(None) => Verdict::pass_with("the events are not named"),
        Some(Some(names)) => Verdict::require(
            names.split(',').any(|name| name.trim() == "layers"),
            "layers among the events",
            names,
        ),
    })
}
