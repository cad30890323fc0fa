//! What the kernel gives, as far as it matters for media.

use super::report::{Finding, Report, Section};
use crate::network::{Interface, Scope};
use crate::shard::{Buffer, Probe};

/// Each connection takes one, and a gateway has as many as it has viewers.
const OPEN_FILES: u64 = 16_384;

pub(super) fn look(probe: Option<&Probe>, interfaces: &[Interface], report: &mut Report) {
    if let Some(probe) = probe {
        report.add(
            Section::Machine,
            buffer(
                "receive_buffer",
                "receive buffer",
                "rmem_max",
                probe.receive_buffer,
            ),
        );
        report.add(
            Section::Machine,
            buffer("send_buffer", "send buffer", "wmem_max", probe.send_buffer),
        );
        report.add(Section::Machine, gso(probe.gso_segments));
    }
    report.add(Section::Machine, open_files());
    report.add(Section::Machine, ipv6(interfaces));
}

fn buffer(check: &'static str, subject: &str, sysctl: &str, buffer: Buffer) -> Finding {
    let Buffer { asked, got } = buffer;
    if got >= asked {
        return Finding::ok(check, subject, size(got));
    }
    let text = format!(
        "{}, {} would hold a keyframe to every viewer",
        size(got),
        size(asked)
    );
    Finding::warn(check, subject, text).remedy(format!("sysctl -w net.core.{sysctl}={asked}"))
}

fn size(bytes: usize) -> String {
    if bytes >= 1 << 20 {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

fn gso(segments: usize) -> Finding {
    if segments > 1 {
        return Finding::ok("gso", "UDP GSO", format!("{segments} packets a call"));
    }
    Finding::warn(
        "gso",
        "UDP GSO",
        "none: each packet costs a call of its own, about three times the CPU",
    )
    .remedy("use Linux 4.18 or later; some sandboxes take it away")
}

fn open_files() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let Some(current) = limit.current else {
        return Finding::ok("open_files", "open files", "no limit");
    };
    if current >= OPEN_FILES {
        return Finding::ok("open_files", "open files", current);
    }
    Finding::warn(
        "open_files",
        "open files",
        format!("{current}, one for each connection"),
    )
    .remedy("ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit")
}

fn ipv6(interfaces: &[Interface]) -> Finding {
    let reach = interfaces
        .iter()
        .map(|interface| interface.ip)
        .filter(|ip| ip.is_ipv6());
    match reach.map(Scope::of).min() {
        Some(Scope::Public) => Finding::ok("ipv6", "IPv6", "yes"),
        Some(Scope::Private) => Finding::note("ipv6", "IPv6", "private addresses only"),
        _ => Finding::note(
            "ipv6",
            "IPv6",
            "no address that other machines could send to",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_buffer_is_a_warning_with_the_command_that_mends_it() {
        let small = Buffer {
            asked: 8 << 20,
            got: 212_992,
        };
        let finding = buffer("receive_buffer", "receive buffer", "rmem_max", small);
        let finding = serde_json::to_value(finding).unwrap();
        assert_eq!(finding["status"], "warn");
        assert_eq!(finding["remedy"], "sysctl -w net.core.rmem_max=8388608");
        let whole = Buffer {
            asked: 8 << 20,
            got: 8 << 20,
        };
        let finding = buffer("receive_buffer", "receive buffer", "rmem_max", whole);
        assert_eq!(serde_json::to_value(finding).unwrap()["text"], "8 MiB");
    }
}
