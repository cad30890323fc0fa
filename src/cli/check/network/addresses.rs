//! What clients are told and why, and how the STUN server sees us.

use super::report::{Finding, Report, Section};
use crate::config::Settings;
use crate::network::{Announcement, Found, LeftOut, Mapping, Reason, Scope, Warning};

pub(super) fn look(
    settings: &Settings,
    found: &Found,
    announcement: &Announcement,
    report: &mut Report,
) {
    for announced in &announcement.announced {
        let scope = match Scope::of(announced.udp.ip()) {
            Scope::Private => ", a private network",
            Scope::Loopback => ", this machine only",
            Scope::Link => ", valid on its link only",
            Scope::Public => "",
        };
        let tcp = match announced.tcp {
            Some(tcp) if tcp.port() == announced.udp.port() => ", UDP and TCP".to_owned(),
            Some(tcp) => format!(", UDP; TCP on {}", tcp.port()),
            None => ", UDP only".to_owned(),
        };
        let text = format!("{}{scope}{tcp}", announced.reason);
        let written_down = matches!(announced.reason, Reason::Configured | Reason::Resolved(_));
        let finding = if Scope::of(announced.udp.ip()) == Scope::Link && written_down {
            Finding::warn("address", announced.udp, text)
                .remedy("take it out of `media.addresses`; other machines can't send to it")
        } else {
            Finding::ok("address", announced.udp, text)
        };
        report.add(Section::Addresses, finding);
    }
    for LeftOut { ip, interface, why } in &announcement.left_out {
        let text = format!("left out: interface {interface}, {why}");
        report.add(
            Section::Addresses,
            Finding::note("address.left_out", ip, text),
        );
    }
    mappings(settings, found, report);
    for warning in &announcement.warnings {
        report.add(Section::Addresses, of_warning(warning));
    }
    let is_public = |ip| Scope::of(ip) == Scope::Public;
    if !announcement
        .announced
        .iter()
        .any(|announced| is_public(announced.udp.ip()))
    {
        report.add(
            Section::Addresses,
            Finding::note("address.public", "no public address", "clients on the internet can't reach this gateway")
                .remedy("if they shall: `media.addresses = [\"…\"]` or `media.stun = \"…\"`, and forward the port"),
        );
    }
}

/// The text of a warning ends with what to do.
fn of_warning(warning: &Warning) -> Finding {
    let text = warning.to_string();
    let (check, subject) = match warning {
        Warning::Unresolved { name, .. } => ("address.name", name.clone()),
        Warning::NoStunServer { .. } | Warning::NoMapping { .. } => ("stun", "STUN".to_owned()),
        Warning::OtherPort { .. } => ("stun.port", "STUN".to_owned()),
        Warning::NoInterface(name) => ("address.interface", name.clone()),
        Warning::OnlyLoopback => ("address.none", "no address".to_owned()),
    };
    let (text, remedy) = text.split_once("; ").unwrap_or((&text, ""));
    match warning {
        Warning::OnlyLoopback | Warning::NoInterface(_) | Warning::Unresolved { .. } => {
            Finding::fail(check, subject, text)
        }
        _ => Finding::warn(check, subject, text),
    }
    .remedy(remedy)
}

fn mappings(settings: &Settings, found: &Found, report: &mut Report) {
    let Some(server) = &settings.media.stun else {
        return;
    };
    for mapping in found.mappings.iter().flatten() {
        let Mapping {
            local,
            outcome: Ok(seen),
            ..
        } = mapping
        else {
            continue;
        };
        let is_here = found
            .interfaces
            .iter()
            .any(|interface| interface.ip == seen.ip());
        let text = if is_here {
            format!("sees {seen}: no NAT")
        } else if *local != settings.media.listen.port() {
            format!(
                "sees {}; asked from another port than that of media",
                seen.ip()
            )
        } else if seen.port() == *local {
            format!("sees {seen}: a NAT that keeps the port, which has to be forwarded")
        } else {
            format!("sees {seen}")
        };
        report.add(
            Section::Addresses,
            Finding::ok("stun", format!("STUN {server}"), text),
        );
    }
}
