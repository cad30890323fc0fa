//! The session URL: it can't be guessed, it answers, it ends.

use reqwest::Url;

use super::super::evidence::{Evidence, Probe};
use super::super::rule::{Group, Judgement, Level, Rule, Source, Verdict};
use super::endpoint::without_content;

/// Fewer random bits than this can be guessed; a random UUID has 122.
const ENOUGH_BITS: f64 = 112.0;

const fn rule(
    id: &'static str,
    level: Level,
    source: Source,
    title: &'static str,
    judge: fn(&Evidence) -> Judgement,
) -> Rule {
    Rule {
        id,
        group: Group::Session,
        level,
        source,
        title,
        judge,
    }
}

const END: Source = Source::Each {
    whip: "4.2",
    whep: "4.4",
};

pub(super) const RULES: &[Rule] = &[
    rule(
        "session.secret",
        Level::Should,
        Source::Each {
            whip: "5",
            whep: "5",
        },
        "Session URLs differ in 112 random bits or more, as far as can be seen",
        secret,
    ),
    rule(
        "session.get",
        Level::Must,
        Source::Each {
            whip: "4.1",
            whep: "4.1",
        },
        "A GET of a session is answered with 2xx and no content",
        get,
    ),
    rule(
        "session.unknown-delete",
        Level::Must,
        Source::Both("RFC 9110, 15.5.5"),
        "A DELETE of an unknown session is answered with 404 or 410",
        |evidence| gone(evidence, Probe::UnknownDelete),
    ),
    rule(
        "session.unknown-patch",
        Level::Must,
        Source::Both("RFC 9110, 15.5.5"),
        "A PATCH of an unknown session is answered with 404 or 410",
        |evidence| gone(evidence, Probe::UnknownPatch),
    ),
    rule(
        "session.delete",
        Level::Must,
        END,
        "A DELETE is answered with 2xx, and its If-Match is ignored",
        delete,
    ),
    rule(
        "session.delete-200",
        Level::Should,
        END,
        "…and the status is 200: OBS takes nothing else for success",
        delete_200,
    ),
    rule(
        "session.delete-again",
        Level::Must,
        END,
        "A second DELETE is answered with 404 or 410: the session is gone",
        |evidence| gone_after_delete(evidence, Probe::DeleteAgain),
    ),
    rule(
        "session.get-deleted",
        Level::Must,
        END,
        "A GET of a deleted session is answered with 404 or 410",
        |evidence| gone_after_delete(evidence, Probe::GetDeleted),
    ),
];

fn secret(evidence: &Evidence) -> Judgement {
    let mut sessions = evidence.sessions.iter();
    let (Some(first), Some(second)) = (sessions.next(), sessions.next()) else {
        return Ok(Verdict::not_tested(
            "two sessions are needed to compare their URLs",
        ));
    };
    let bits = random_bits(first, second);
    let text = format!("about {bits:.0} bits");
    Ok(match bits {
        bits if bits >= ENOUGH_BITS => Verdict::pass_with(text),
        0.0 => Verdict::fail("a URL for each session", "the same URL twice"),
        _ => Verdict::fail(format!("{ENOUGH_BITS:.0} bits or more"), text),
    })
}

/// How many bits two session URLs may have at random, judged by the part in which they differ: what is
/// the same at both ends counts as fixed, apart from what is the same by chance.
fn random_bits(first: &Url, second: &Url) -> f64 {
    let text = |url: &Url| match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let (first, second) = (text(first), text(second));
    if first == second {
        return 0.0;
    }
    // The parts between separators, as far as they differ.
    let parts = |text: &str| -> Vec<String> {
        let parts = text.split(['/', '?', '&', '=']);
        parts.map(str::to_owned).collect()
    };
    let (first, second) = (parts(&first), parts(&second));
    let differing = first
        .iter()
        .enumerate()
        .filter(|(at, part)| second.get(*at) != Some(*part));
    differing
        .map(|(at, part)| {
            let other = second.get(at).map_or("", String::as_str);
            let same = part
                .bytes()
                .zip(other.bytes())
                .take_while(|(a, b)| a == b)
                .count();
            // Random text agrees in a character or two; counters agree in nearly all.
            let fixed = if same > 3 { same } else { 0 };
            part.get(fixed..).map_or(0.0, bits)
        })
        .sum()
}

/// The bits of a random text of such characters.
fn bits(text: &str) -> f64 {
    let letters: Vec<char> = text.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let any = |test: fn(&char) -> bool| letters.iter().any(test);
    let is_hex = letters.iter().all(char::is_ascii_hexdigit);
    let alphabet: f64 = match (any(char::is_ascii_lowercase), any(char::is_ascii_uppercase)) {
        (true, true) => 62.0,
        (false, false) => 10.0,
        _ if is_hex => 16.0,
        _ => 36.0,
    };
    #[allow(
        clippy::cast_precision_loss,
        reason = "the length of a URL is far below 2^52"
    )]
    let len = letters.len() as f64;
    let bits = len * alphabet.log2();
    // A UUID has fixed bits (RFC 9562, section 4): all but the version and the variant can be random,
    // and in those that count time only 62 to 74 are.
    match is_uuid(text) {
        Some('4') => 122.0,
        Some('7') => 74.0,
        Some('1' | '2' | '6') => 14.0,
        _ => bits,
    }
}

/// The version of a UUID.
fn is_uuid(text: &str) -> Option<char> {
    let parts: Vec<&str> = text.split('-').collect();
    let lens: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let is_hex = text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    (lens == [8, 4, 4, 4, 12] && is_hex).then(|| parts[2].chars().next())?
}

fn get(evidence: &Evidence) -> Judgement {
    let response = evidence.answer(Probe::SessionGet)?;
    Ok(without_content(response))
}

fn gone(evidence: &Evidence, probe: Probe) -> Judgement {
    let response = evidence.answer(probe)?;
    Ok(Verdict::require(
        matches!(response.status, 404 | 410),
        "404 or 410",
        response.describe(),
    ))
}

fn delete(evidence: &Evidence) -> Judgement {
    let response = evidence.answer(Probe::Delete)?;
    Ok(Verdict::require(
        response.is_success(),
        "2xx",
        response.describe(),
    ))
}

fn delete_200(evidence: &Evidence) -> Judgement {
    let response = evidence.answer(Probe::Delete)?;
    if !response.is_success() {
        return Ok(Verdict::not_tested("the DELETE failed"));
    }
    Ok(Verdict::require(
        response.status == 200,
        "200 OK",
        response.describe(),
    ))
}

fn gone_after_delete(evidence: &Evidence, probe: Probe) -> Judgement {
    if !evidence.answer(Probe::Delete)?.is_success() {
        return Ok(Verdict::not_tested("the DELETE failed"));
    }
    gone(evidence, probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(first: &str, second: &str) -> f64 {
        let url = |path: &str| Url::parse(&format!("http://a{path}")).unwrap();
        random_bits(&url(first), &url(second))
    }

    #[test]
    fn random_ids_have_many_bits_and_counters_few() {
        let cases = [
            (
                "/whip/a/0b8e4f7a9c2d13e65f708192a3b4c5d6",
                "/whip/a/f17c2e9b0d4a68c3e5f70819aab1c2d3",
                128.0,
            ),
            (
                "/s/3de3c94a-fc0f-4659-bcaf-8bdebf718457",
                "/s/9be3c94a-ac0f-4e59-8caf-0bdebf718451",
                122.0,
            ),
            (
                "/s/3de3c94a-fc0f-1659-bcaf-8bdebf718457",
                "/s/4de3c94a-fc0f-1659-bcaf-8bdebf718457",
                14.0,
            ),
            (
                "/s/?id=AbCdEfGhIjKlMnOpQrStU0",
                "/s/?id=xbCdEfGhIjKlMnOpQrStU1",
                131.0,
            ),
        ];
        for (first, second, expected) in cases {
            let got = estimate(first, second);
            assert!((got - expected).abs() < 1.0, "{first}: {got}");
        }
        for (first, second) in [
            ("/s/17", "/s/18"),
            (
                "/s/1000000000000000000000000000000017",
                "/s/1000000000000000000000000000000018",
            ),
            ("/s/session-a", "/s/session-b"),
        ] {
            assert!(estimate(first, second) < 40.0, "{first}");
        }
        assert!(estimate("/s/1", "/s/1") == 0.0);
    }
}
