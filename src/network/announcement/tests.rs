//! Interfaces in, addresses out.

use super::*;
use crate::config::{Host, Settings};
use crate::network::stun::BindingError;

/// A search on a machine with these interfaces; the default route goes through `*`.
fn machine(interfaces: &[(&str, &str)]) -> Found {
    let interfaces = interfaces.iter().map(|(name, ip)| Interface {
        is_default: name.starts_with('*'),
        name: name.trim_start_matches('*').to_owned(),
        ip: ip.parse().unwrap(),
    });
    Found {
        interfaces: interfaces.collect(),
        names: [].into(),
        mappings: Ok(Vec::new()),
    }
}

fn media() -> Media {
    Settings::defaults(&Host::example()).media
}

fn listening(udp: &str, tcp: &str) -> Listening {
    Listening {
        udp: udp.parse().unwrap(),
        tcp: (!tcp.is_empty()).then(|| tcp.parse().unwrap()),
    }
}

fn mapping(local: u16, outcome: Result<&str, BindingError>) -> Mapping {
    Mapping {
        server: "192.0.2.53:3478".parse().unwrap(),
        local,
        outcome: outcome.map(|text| text.parse().unwrap()),
    }
}

fn ips(announcement: &Announcement) -> Vec<String> {
    let announced = announcement.announced.iter();
    announced
        .map(|announced| announced.udp.ip().to_string())
        .collect()
}

#[test]
fn only_what_can_work_is_announced_and_the_best_first() {
    const HOME: &[(&str, &str)] = &[
        ("lo", "127.0.0.1"),
        ("lo", "::1"),
        ("*eth0", "192.168.1.5"),
        ("*eth0", "2001:db8::7"),
        ("eth0", "fd00::7"),
        ("eth0", "fe80::7"),
        ("wlan0", "192.168.2.9"),
        ("docker0", "172.17.0.1"),
        ("tailscale0", "100.101.102.103"),
    ];
    const ROOT: &[(&str, &str)] = &[
        ("lo", "127.0.0.1"),
        ("*eth0", "10.0.0.5"),
        ("eth1", "203.0.113.9"),
    ];
    for (machine_has, listen, expected) in [
        (
            HOME,
            "[::]:1",
            &[
                "2001:db8::7",
                "192.168.1.5",
                "192.168.2.9",
                "fd00::7",
                "100.101.102.103",
            ][..],
        ),
        (
            HOME,
            "0.0.0.0:1",
            &["192.168.1.5", "192.168.2.9", "100.101.102.103"],
        ),
        (HOME, "192.168.2.9:1", &["192.168.2.9"]),
        (HOME, "127.0.0.1:1", &["127.0.0.1"]),
        // A public address is better than one that only the own network knows.
        (ROOT, "0.0.0.0:1", &["203.0.113.9", "10.0.0.5"]),
        // A container host without a network of its own, and one whose way out is a bridge.
        (
            &[("lo", "127.0.0.1"), ("docker0", "172.17.0.1")],
            "0.0.0.0:1",
            &["172.17.0.1"],
        ),
        (
            &[("*br-lan", "192.168.1.5"), ("eth0", "10.0.0.5")],
            "0.0.0.0:1",
            &["192.168.1.5", "10.0.0.5"],
        ),
        // IPv6 only.
        (
            &[("lo", "127.0.0.1"), ("*eth0", "2001:db8::7")],
            "[::]:1",
            &["2001:db8::7"],
        ),
    ] {
        let announcement =
            Announcement::new(&media(), &machine(machine_has), listening(listen, ""));
        assert_eq!(ips(&announcement), expected, "{listen} {machine_has:?}");
        assert_eq!(announcement.warnings, [], "{listen} {machine_has:?}");
    }
}

#[test]
fn what_is_left_out_has_a_reason() {
    let found = machine(&[
        ("lo", "127.0.0.1"),
        ("*eth0", "192.0.2.7"),
        ("eth0", "fe80::7"),
        ("eth0", "2001:db8::7"),
        ("docker0", "172.17.0.1"),
    ]);
    let announcement = Announcement::new(&media(), &found, listening("0.0.0.0:1", ""));
    let left_out: Vec<_> = announcement
        .left_out
        .iter()
        .map(|left| (left.ip.to_string(), left.why))
        .collect();
    let expected = [
        ("127.0.0.1", WhyNot::Loopback),
        ("fe80::7", WhyNot::LinkLocal),
        ("2001:db8::7", WhyNot::NotListened),
        ("172.17.0.1", WhyNot::Bridge),
    ];
    assert_eq!(left_out, expected.map(|(ip, why)| (ip.to_owned(), why)));
}

#[test]
fn loopback_alone_is_announced_with_a_warning() {
    for interfaces in [&[][..], &[("lo", "127.0.0.1"), ("lo", "::1")]] {
        let announcement =
            Announcement::new(&media(), &machine(interfaces), listening("[::]:1", ""));
        assert_eq!(ips(&announcement), ["127.0.0.1", "::1"]);
        assert_eq!(announcement.warnings, [Warning::OnlyLoopback]);
    }
}

#[test]
fn chosen_interfaces_are_the_only_ones_and_a_missing_one_is_named() {
    let found = machine(&[
        ("*eth0", "192.0.2.7"),
        ("eth1", "10.0.0.5"),
        ("docker0", "172.17.0.1"),
    ]);
    let mut media = media();
    for (wanted, expected) in [
        (&["eth1"][..], &["10.0.0.5"][..]),
        (&["192.0.2.7"], &["192.0.2.7"]),
        (&["docker0", "eth0"], &["192.0.2.7", "172.17.0.1"]),
    ] {
        media.interfaces = wanted.iter().map(ToString::to_string).collect();
        let announcement = Announcement::new(&media, &found, listening("0.0.0.0:1", ""));
        assert_eq!(ips(&announcement), expected);
        assert_eq!(announcement.warnings, []);
    }
    media.interfaces = vec!["eth9".to_owned()];
    let announcement = Announcement::new(&media, &found, listening("0.0.0.0:1", ""));
    assert_eq!(ips(&announcement), ["127.0.0.1"]);
    let missing = Warning::NoInterface("eth9".to_owned());
    assert_eq!(announcement.warnings, [missing, Warning::OnlyLoopback]);
}

#[test]
fn configured_addresses_stand_alone_in_their_order() {
    let mut found = machine(&[("*eth0", "192.0.2.7")]);
    let name = vec![
        "203.0.113.10".parse().unwrap(),
        "2001:db8::10".parse().unwrap(),
    ];
    found.names.insert("live.example".to_owned(), Ok(name));
    let mut media = media();
    media.addresses = ["203.0.113.9:443", "live.example", "203.0.113.10"]
        .map(|text| text.parse().unwrap())
        .into();
    let announcement = Announcement::new(&media, &found, listening("0.0.0.0:8080", "0.0.0.0:8081"));
    let announced: Vec<_> = announcement
        .announced
        .iter()
        .map(|a| {
            (
                a.udp.to_string(),
                a.tcp.unwrap().to_string(),
                a.reason.clone(),
            )
        })
        .collect();
    let expected = [
        ("203.0.113.9:443", "203.0.113.9:443", Reason::Configured),
        // Its IPv6 address can't be served by this socket.
        (
            "203.0.113.10:8080",
            "203.0.113.10:8081",
            Reason::Resolved("live.example".to_owned()),
        ),
    ];
    assert_eq!(
        announced,
        expected.map(|(udp, tcp, why)| (udp.to_owned(), tcp.to_owned(), why))
    );
}

#[test]
fn a_name_that_is_not_found_gives_way_to_the_interfaces_with_a_warning() {
    let mut found = machine(&[("*eth0", "192.0.2.7")]);
    found
        .names
        .insert("gone.example".to_owned(), Err("no such name".to_owned()));
    let mut media = media();
    media.addresses = vec!["gone.example".parse().unwrap()];
    let announcement = Announcement::new(&media, &found, listening("0.0.0.0:1", ""));
    assert_eq!(ips(&announcement), ["192.0.2.7"]);
    let text = announcement.warnings[0].to_string();
    assert!(
        text.contains("gone.example") && text.contains("no such name"),
        "{text}"
    );
}

#[test]
fn the_address_outside_of_the_nat_comes_first_with_our_own_port() {
    let mut found = machine(&[
        ("lo", "127.0.0.1"),
        ("*eth0", "10.0.0.5"),
        ("*eth0", "2001:db8::7"),
    ]);
    found.mappings = Ok(vec![
        mapping(8080, Ok("203.0.113.9:8080")),
        // No NAT here.
        mapping(8080, Ok("[2001:db8::7]:8080")),
    ]);
    let announcement = Announcement::new(&media(), &found, listening("[::]:8080", "[::]:443"));
    assert_eq!(
        ips(&announcement),
        ["203.0.113.9", "2001:db8::7", "10.0.0.5"]
    );
    assert_eq!(announcement.announced[0].reason, Reason::Mapped);
    assert_eq!(announcement.announced[0].tcp.unwrap().port(), 443);
    assert_eq!(announcement.warnings, []);

    found.mappings = Ok(vec![mapping(8080, Ok("203.0.113.9:1024"))]);
    let announcement = Announcement::new(&media(), &found, listening("[::]:8080", ""));
    assert_eq!(
        announcement.announced[0].udp.to_string(),
        "203.0.113.9:8080"
    );
    let other = Warning::OtherPort {
        local: 8080,
        mapped: 1024,
    };
    assert_eq!(announcement.warnings, [other]);
}

#[test]
fn a_question_from_another_port_says_nothing_of_the_port() {
    let mut found = machine(&[("*eth0", "10.0.0.5")]);
    found.mappings = Ok(vec![mapping(50_000, Ok("203.0.113.9:1024"))]);
    let announcement = Announcement::new(&media(), &found, listening("[::]:8080", ""));
    assert_eq!(ips(&announcement), ["203.0.113.9", "10.0.0.5"]);
    assert_eq!(announcement.warnings, []);
}

#[test]
fn a_silent_stun_server_is_a_warning_and_no_more() {
    let mut found = machine(&[("*eth0", "10.0.0.5")]);
    found.mappings = Ok(vec![mapping(8080, Err(BindingError::Silent))]);
    let announcement = Announcement::new(&media(), &found, listening("0.0.0.0:8080", ""));
    assert_eq!(ips(&announcement), ["10.0.0.5"]);
    let text = announcement.warnings[0].to_string();
    assert!(
        text.contains("`media.stun`") && text.contains("3 seconds"),
        "{text}"
    );
}

#[test]
fn tcp_is_announced_only_where_it_is_listened_on() {
    let mut found = machine(&[("*eth0", "10.0.0.5"), ("eth1", "192.0.2.7")]);
    found.mappings = Ok(vec![mapping(1, Ok("203.0.113.9:1"))]);
    for (tcp, expected) in [
        ("0.0.0.0:2", [true, true, true]),
        // Behind a proxy on this machine.
        ("127.0.0.1:2", [false, false, false]),
        // Only what the NAT forwards to the one that is listened on, and that one.
        ("10.0.0.5:2", [true, false, true]),
    ] {
        let announcement = Announcement::new(&media(), &found, listening("0.0.0.0:1", tcp));
        assert_eq!(
            ips(&announcement),
            ["203.0.113.9", "192.0.2.7", "10.0.0.5"].map(String::from)[..].to_vec()
        );
        let has_tcp: Vec<_> = announcement
            .announced
            .iter()
            .map(|a| a.tcp.is_some())
            .collect();
        assert_eq!(has_tcp, expected, "{tcp}");
    }
}

#[test]
fn there_are_never_more_than_fit_into_an_answer() {
    let many: Vec<_> = (0..20).map(|n| format!("192.0.2.{n}")).collect();
    let interfaces: Vec<_> = many.iter().map(|ip| ("eth0", ip.as_str())).collect();
    let announcement =
        Announcement::new(&media(), &machine(&interfaces), listening("0.0.0.0:1", ""));
    assert_eq!(announcement.announced.len(), MAX_ADDRESSES);
    let surplus = announcement
        .left_out
        .iter()
        .filter(|left| left.why == WhyNot::Surplus);
    assert_eq!(surplus.count(), 20 - MAX_ADDRESSES);
}
