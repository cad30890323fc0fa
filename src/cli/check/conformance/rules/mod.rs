//! The rules: what is checked, and how what was seen is judged.
//!
//! Pure: a judging function looks at an [`Evidence`] and gives a verdict. Requirement levels are those
//! of the documents; where a document only implies a rule, the level is SHOULD, unless everything else
//! contradicts what it says.

mod answer;
mod auth;
mod counter_offer;
mod cors;
mod endpoint;
mod http;
mod ice;
mod link;
mod media;
mod offer;
mod reach;
mod restart;
mod session;
#[cfg(test)]
mod tests;

use super::evidence::{Evidence, Probe, Response};
use super::rule::{Group, Protocol, Rule, Verdict};
pub(super) use link::{EVENTS, LAYER};

/// Every rule, in the order of the report.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    let tables: [&'static [Rule]; 12] = [
        endpoint::RULES,
        offer::RULES,
        answer::RULES,
        session::RULES,
        ice::RULES,
        restart::RULES,
        media::RULES,
        cors::RULES,
        auth::RULES,
        http::RULES,
        link::RULES,
        counter_offer::RULES,
    ];
    tables.into_iter().flatten()
}

/// The rules that there are for `protocol` and that `only` names: by id or by group. All if it is empty.
///
/// # Errors
/// A name that is none of a rule or group.
pub(super) fn select(protocol: Protocol, only: &[String]) -> Result<Vec<&'static Rule>, String> {
    let names = |rule: &Rule, name: &String| rule.id == name || rule.group.name() == name;
    if let Some(unknown) = only
        .iter()
        .find(|name| !all().any(|rule| names(rule, name)))
    {
        return Err(unknown.clone());
    }
    Ok(all()
        .filter(|rule| rule.source.of(protocol).is_some())
        .filter(|rule| only.is_empty() || only.iter().any(|name| names(rule, name)))
        .collect())
}

/// The groups that rules are in.
pub(super) fn groups(rules: &[&Rule]) -> std::collections::BTreeSet<Group> {
    rules.iter().map(|rule| rule.group).collect()
}

/// Judges an answer that has to be a refusal of what the client sent.
fn refused(response: &Response, expected: &str) -> Verdict {
    Verdict::require(response.is_client_error(), expected, response.describe())
}

/// A verdict for a PATCH that a server may not have.
fn not_offered(response: &Response, what: &str) -> Option<Verdict> {
    // RFC 9725, section 4.3.1: 422 if only the other of trickle ICE and ICE restarts is there.
    let is_missing = matches!(response.status, 405 | 422 | 501);
    is_missing
        .then(|| Verdict::not_offered(format!("{what}: the server answered {}", response.status)))
}

/// What a token-less request should get.
fn unauthorized(evidence: &Evidence, probe: Probe) -> Result<&Response, Verdict> {
    evidence.answer(probe)
}
