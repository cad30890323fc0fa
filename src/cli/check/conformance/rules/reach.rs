//! From how far away the candidates of an answer can be reached.

use std::net::IpAddr;

use super::super::evidence::Evidence;
use super::super::rule::{Judgement, Verdict};
use super::super::sdp::Candidate;

/// How far away an address can be reached from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Machine,
    Network,
    World,
}

fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        ip if ip.is_loopback() => Reach::Machine,
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => Reach::Network,
        // 100.64.0.0/10 is shared behind carriers' NATs (RFC 6598).
        IpAddr::V4(ip) if ip.octets()[0] == 100 && ip.octets()[1] & 0xC0 == 64 => Reach::Network,
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => Reach::Network,
        _ => Reach::World,
    }
}

/// Judges whether one of the candidates is as near as the server's URL.
pub(super) fn reachable(evidence: &Evidence) -> Judgement {
    let candidates = evidence.description()?.candidates();
    let host = evidence.url.host_str().unwrap_or_default();
    let needed = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => reach(ip),
        Err(_) if crate::cli::signalling::is_here(&evidence.url) => Reach::Machine,
        // A name without a dot, or of a local network, can be any machine of it.
        Err(_)
            if !host.contains('.') || host.ends_with(".local") || host.ends_with(".internal") =>
        {
            Reach::Network
        }
        Err(_) => Reach::World,
    };
    let usable: Vec<&Candidate> = candidates.iter().filter(|c| c.is_usable()).collect();
    if usable.is_empty() {
        return Ok(Verdict::not_tested("there is no usable candidate"));
    }
    let reaches = |candidate: &Candidate| candidate.ip().is_none_or(|ip| reach(ip) >= needed);
    let got = usable.iter().map(|candidate| candidate.address.as_str());
    Ok(Verdict::require(
        usable.iter().any(|candidate| reaches(candidate)),
        match needed {
            Reach::World => "a public address",
            _ => "an address of the server's network",
        },
        format!("only {}", got.collect::<Vec<_>>().join(", ")),
    ))
}
