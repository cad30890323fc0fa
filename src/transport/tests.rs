//! The transport against an independent peer, in virtual time.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::srtp::Profile;
use super::testing::{Check, Pair, Peer, client_path, path_from, server_credentials};
use super::*;

const GCM: Profile = Profile::AeadAes128Gcm;
const SHA1: Profile = Profile::Aes128CmSha1_80;
const SECOND: Duration = Duration::from_secs(1);
const NOMINATE: Check = Check {
    nominate: true,
    bare: false,
    controlled: false,
};

fn rtp(sequence: u16) -> Vec<u8> {
    let [a, b] = sequence.to_be_bytes();
    let mut packet = vec![0x80, 96, a, b, 0, 0, 0, 7, 0, 0, 0, 1];
    packet.extend(b"payload");
    packet
}

fn rtcp() -> Vec<u8> {
    vec![0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9]
}

fn is_response(datagram: &[u8], kind: u16) -> bool {
    datagram.starts_with(&kind.to_be_bytes())
}

// The handshake.

#[test]
fn both_roles_and_profiles_connect_and_carry_media_both_ways() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        for profile in [GCM, SHA1] {
            let mut pair = Pair::new(role, &[profile]);
            pair.connect();
            let expected = [
                Event::PathValidated(pair.path),
                Event::PathChanged(pair.path),
                Event::Connected,
            ];
            assert_eq!(pair.events, expected);

            let protected = pair.peer.protect_rtp(&rtp(1));
            let (received, bytes) = pair.deliver(protected);
            let len = rtp(1).len();
            assert_eq!(received, Received::Rtp { len });
            assert_eq!(bytes[..len], rtp(1));
            let protected = pair.peer.protect_rtcp(&rtcp());
            let (received, bytes) = pair.deliver(protected);
            assert_eq!(received, Received::Rtcp { len: rtcp().len() });
            assert_eq!(bytes[..rtcp().len()], rtcp());

            let outbound = pair.transport.outbound().unwrap();
            let mut packet = rtp(9);
            packet.resize(len + outbound.overhead(), 0);
            outbound.protect_rtp(&mut packet, 12, len, 9).unwrap();
            assert_eq!(pair.peer.unprotect_rtp(&packet), rtp(9));
            let mut packet = rtcp();
            outbound.protect_rtcp(&mut packet).unwrap();
            assert_eq!(pair.peer.unprotect_rtcp(&packet), rtcp());
            assert_eq!(pair.transport.take_counters(), Counters::default());
        }
    }
}

#[test]
fn any_one_lost_datagram_of_the_handshake_is_repaired() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        for lost in 0..10 {
            let mut pair = Pair::new(role, &[GCM]);
            pair.begin();
            pair.run(6 * SECOND, |number| number == lost);
            assert!(pair.transport.is_connected(), "{role:?} without {lost}");
            assert!(pair.peer.is_connected(), "{role:?} without {lost}");
        }
    }
}

#[test]
fn a_handshake_gets_through_a_network_that_loses_every_third_datagram() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        for offset in 0..3 {
            let mut pair = Pair::new(role, &[GCM]);
            pair.begin();
            pair.run(14 * SECOND, |number| number % 3 == offset);
            assert!(pair.transport.is_connected(), "{role:?} {offset}");
            assert!(pair.peer.is_connected(), "{role:?} {offset}");
        }
    }
}

#[test]
fn a_client_sends_its_hello_again_after_75_ms() {
    let mut pair = Pair::new(DtlsRole::Client, &[GCM]);
    pair.send_check(NOMINATE);
    let hellos = |pair: &mut Pair| {
        std::iter::from_fn(|| pair.transport.poll_transmit())
            .filter(|(_, datagram)| datagram[0] == 22)
            .count()
    };
    assert_eq!(hellos(&mut pair), 1);
    let due = pair.transport.poll_timeout().unwrap();
    assert_eq!(due - pair.now, Duration::from_millis(75));
    pair.transport
        .handle_timeout(due - Duration::from_millis(1));
    assert_eq!(hellos(&mut pair), 0);
    pair.transport.handle_timeout(due);
    assert_eq!(hellos(&mut pair), 1);
    let next = pair.transport.poll_timeout().unwrap();
    assert_eq!(next - due, Duration::from_millis(150));
}

#[test]
fn a_client_whose_hello_is_never_answered_gives_up_at_the_deadline() {
    let mut pair = Pair::new(DtlsRole::Client, &[GCM]);
    pair.begin();
    pair.run(14 * SECOND, |_| true);
    assert!(!pair.events.iter().any(|e| matches!(e, Event::Closed(_))));
    assert!(pair.sent < 12, "{} datagrams", pair.sent);
    pair.run(2 * SECOND, |_| true);
    assert_eq!(
        pair.events.last(),
        Some(&Event::Closed(CloseReason::ConnectTimeout))
    );
}

#[test]
fn a_peer_with_another_certificate_is_closed_in_both_roles() {
    for (role, peer_role) in [
        (DtlsRole::Server, DtlsRole::Client),
        (DtlsRole::Client, DtlsRole::Server),
    ] {
        let peer = Peer::new(peer_role, &[GCM]);
        let mut pair = Pair::with_fingerprint(role, peer, Fingerprint([7; 32]));
        pair.begin();
        pair.run(2 * SECOND, |_| false);
        assert_eq!(
            pair.events.last(),
            Some(&Event::Closed(CloseReason::FingerprintMismatch)),
        );
        assert!(!pair.events.contains(&Event::Connected));
        assert!(pair.transport.outbound().is_none());
        assert_eq!(pair.transport.poll_timeout(), None);
    }
}

#[test]
fn a_peer_without_a_profile_of_ours_is_closed() {
    let mut pair = Pair::new(DtlsRole::Server, &[]);
    pair.begin();
    pair.run(2 * SECOND, |_| false);
    assert_eq!(
        pair.events.last(),
        Some(&Event::Closed(CloseReason::NoSrtpProfile))
    );
}

#[test]
fn a_transport_that_nobody_talks_to_ends_at_its_deadline() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    let deadline = pair.transport.poll_timeout().unwrap();
    assert_eq!(deadline, pair.now + Timeouts::default().connect);
    pair.transport.handle_timeout(deadline);
    assert_eq!(
        pair.transport.poll_event(),
        Some(Event::Closed(CloseReason::ConnectTimeout))
    );
    assert_eq!(pair.transport.poll_timeout(), None);
}

#[test]
fn garbage_in_the_handshake_does_not_stop_it() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    pair.begin();
    let mut seed = 1u32;
    for _ in 0..50 {
        let mut datagram = vec![22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 87];
        datagram.resize_with(100, || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        });
        pair.deliver(datagram);
    }
    assert!(pair.transport.take_counters().dtls_dropped >= 40);
    pair.connect();
}

#[test]
fn nested_fragments_cost_no_time() {
    // A hundred bytes of a message, two or three fragments for each: a search through all ways
    // of putting them together would not end.
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    pair.begin();
    for repeat in 0u8..3 {
        let mut datagram = Vec::new();
        for offset in 0..100u8 {
            datagram.extend([22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, repeat, offset, 0, 13]);
            datagram.extend([1, 0, 0, 200, 0, 0, 0, 0, offset, 0, 0, 1, 0]);
        }
        pair.deliver(datagram);
    }
    assert_eq!(pair.transport.take_counters().dtls_dropped, 3);
}

// Who is heard.

#[test]
fn dtls_and_media_from_an_address_without_a_check_are_dropped() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    pair.peer.start_dtls(pair.now);
    let hello = pair.peer.poll_transmit().unwrap();
    pair.deliver(hello);
    pair.deliver(rtp(1));
    assert_eq!(pair.transport.take_counters().foreign_path, 2);
    assert_eq!(pair.transport.poll_transmit(), None);
    assert_eq!(pair.transport.path(), None);
}

#[test]
fn a_client_hello_of_somebody_else_does_not_get_into_the_handshake() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    let mut thief = Peer::new(DtlsRole::Client, &[GCM]);
    thief.start_dtls(pair.now);
    let hello = thief.poll_transmit().unwrap();
    let elsewhere = path_from(([203, 0, 113, 5], 1000));
    let tcp = connection(9);
    // Before the peer's own, and between its flights.
    for wait in [0, 12, 24] {
        pair.run(Duration::from_millis(wait), |_| false);
        let own = pair.path;
        for path in [elsewhere, tcp] {
            pair.path = path;
            pair.deliver(hello.clone());
        }
        pair.path = own;
        if wait == 0 {
            assert_eq!(pair.transport.poll_transmit(), None);
            pair.begin();
        }
    }
    pair.run(2 * SECOND, |_| false);
    assert!(pair.transport.is_connected() && pair.peer.is_connected());
    assert_eq!(pair.transport.take_counters().foreign_path, 6);
}

#[test]
fn no_answer_to_a_check_is_longer_than_the_check() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    for check in [
        Check {
            bare: true,
            ..Check::default()
        },
        NOMINATE,
        Check {
            controlled: true,
            ..NOMINATE
        },
    ] {
        let request = pair.peer.check(check);
        let len = request.len();
        pair.deliver(request);
        let (_, response) = pair.transport.poll_transmit().unwrap();
        assert!(response.len() <= len, "{} for {len}", response.len());
    }
}

#[test]
fn nothing_is_learned_from_checks_that_are_not_authentic() {
    let mut pair = Pair::connected();
    let own = pair.path;
    pair.now += 5 * SECOND;
    let deadline = pair.transport.poll_timeout();
    pair.peer.server.pwd = "another-password-0123456".to_owned();
    for path in [own, client_path(2000), connection(1)] {
        pair.path = path;
        pair.send_check(NOMINATE);
    }
    assert_eq!(pair.transport.path(), Some(own));
    assert_eq!(pair.transport.poll_timeout(), deadline);
    assert_eq!(pair.transport.take_counters().stun_unauthenticated, 3);
    let protected = pair.peer.protect_rtp(&rtp(1));
    assert_eq!(pair.deliver(protected).0, Received::Nothing);
    assert_eq!(pair.transport.take_counters().foreign_path, 1);
}

#[test]
fn stray_media_is_taken_if_it_is_authentic_and_moves_nothing() {
    let mut pair = Pair::connected();
    pair.send_check(NOMINATE);
    while pair.transport.poll_transmit().is_some() {}
    let path = pair.transport.path();
    let mut protected = pair.peer.protect_rtp(&rtp(1));
    let mut replayed = protected.clone();
    let mut forged = pair.peer.protect_rtp(&rtp(2));
    *forged.last_mut().unwrap() ^= 1;

    let received = pair.transport.handle_stray_media(pair.now, &mut protected);
    assert_eq!(received, Received::Rtp { len: rtp(1).len() });
    assert_eq!(protected[..rtp(1).len()], rtp(1));
    for datagram in [&mut replayed, &mut forged] {
        let received = pair.transport.handle_stray_media(pair.now, datagram);
        assert_eq!(received, Received::Nothing);
    }
    assert_eq!(pair.transport.path(), path);
    assert_eq!(pair.transport.poll_event(), None);
    assert_eq!(pair.transport.poll_transmit(), None);
}

#[test]
fn stray_media_is_dropped_before_the_keys_are_there() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    pair.begin();
    let received = pair.transport.handle_stray_media(pair.now, &mut rtp(1));
    assert_eq!(received, Received::Nothing);
    assert_eq!(pair.transport.take_counters().foreign_path, 1);
}

#[test]
fn checks_that_are_not_authentic_get_no_answer() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    let good = pair.peer.server.clone();
    pair.peer.server.pwd = "another-password-0123456".to_owned();
    pair.send_check(NOMINATE);
    pair.peer.server = good.clone();
    pair.peer.server.ufrag = "nobody".to_owned();
    pair.send_check(NOMINATE);
    assert_eq!(pair.transport.take_counters().stun_unauthenticated, 2);
    assert_eq!(pair.transport.poll_transmit(), None);
    assert_eq!(pair.events, []);
}

#[test]
fn a_check_is_answered_with_the_address_it_came_from() {
    use rtc::stun::attributes::ATTR_XORMAPPED_ADDRESS;
    use rtc::stun::fingerprint::FINGERPRINT;
    use rtc::stun::integrity::MessageIntegrity;
    use rtc::stun::message::{Getter, Message};
    use rtc::stun::xoraddr::XorMappedAddress;

    for address in ["198.51.100.7:4321", "[2001:db8::7]:4321"] {
        let address: SocketAddr = address.parse().unwrap();
        let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
        pair.path = path_from(address);
        let request = pair.peer.check(Check::default());
        let transaction = request[8..20].to_vec();
        pair.deliver(request);
        let (to, bytes) = pair.transport.poll_transmit().unwrap();
        assert_eq!(to, pair.path);
        let mut response = Message::new();
        response.unmarshal_binary(&bytes).unwrap();
        assert!(is_response(&bytes, 0x0101));
        assert_eq!(response.transaction_id.0[..], transaction);
        assert!(response.contains(ATTR_XORMAPPED_ADDRESS));
        let mut mapped = XorMappedAddress::default();
        mapped.get_from(&response).unwrap();
        assert_eq!(SocketAddr::new(mapped.ip, mapped.port), address);
        FINGERPRINT.check(&response).unwrap();
        let provider = rtc::crypto::default_provider().unwrap();
        let key = server_credentials().pwd;
        MessageIntegrity::check(&mut response, key.as_bytes(), provider.crypto()).unwrap();
    }
}

#[test]
fn a_check_without_priority_and_role_is_accepted() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    pair.send_check(Check {
        bare: true,
        ..Check::default()
    });
    assert_eq!(pair.transport.path(), Some(pair.path));
}

#[test]
fn a_peer_that_claims_our_role_is_told_so() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    pair.send_check(Check {
        controlled: true,
        ..NOMINATE
    });
    let (_, response) = pair.transport.poll_transmit().unwrap();
    assert!(is_response(&response, 0x0111));
    assert_eq!(pair.transport.path(), None);
    assert_eq!(pair.transport.take_counters().stun_refused, 1);
}

#[test]
fn early_media_is_counted() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    pair.send_check(NOMINATE);
    let (received, _) = pair.deliver(rtp(1));
    assert_eq!(received, Received::Nothing);
    assert_eq!(pair.transport.take_counters().early_media, 1);
}

#[test]
fn media_of_a_foreign_key_and_replays_are_dropped() {
    let mut pair = Pair::connected();
    let mut other = Pair::connected();
    for foreign in [
        other.peer.protect_rtp(&rtp(1)),
        other.peer.protect_rtcp(&rtcp()),
    ] {
        let (received, _) = pair.deliver(foreign);
        assert_eq!(received, Received::Nothing);
    }
    assert_eq!(pair.transport.take_counters().srtp_unauthenticated, 2);

    for genuine in [
        pair.peer.protect_rtp(&rtp(1)),
        pair.peer.protect_rtcp(&rtcp()),
    ] {
        let (received, _) = pair.deliver(genuine.clone());
        assert_ne!(received, Received::Nothing);
        let (received, _) = pair.deliver(genuine);
        assert_eq!(received, Received::Nothing);
    }
    assert_eq!(pair.transport.take_counters().srtp_replayed, 2);
}

// Where media goes.

#[test]
fn the_first_address_is_used_until_another_is_nominated() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    pair.send_check(Check::default());
    pair.path = client_path(2000);
    pair.send_check(Check::default());
    assert_eq!(pair.transport.path(), Some(client_path(1000)));
    pair.send_check(NOMINATE);
    assert_eq!(pair.transport.path(), Some(client_path(2000)));
    assert_eq!(
        pair.events,
        [
            Event::PathValidated(client_path(1000)),
            Event::PathChanged(client_path(1000)),
            Event::PathValidated(client_path(2000)),
            Event::PathChanged(client_path(2000)),
        ]
    );
}

#[test]
fn a_session_survives_a_new_address_in_the_handshake_and_after() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    pair.begin();
    pair.run(Duration::from_millis(12), |_| false);
    assert!(!pair.transport.is_connected());
    pair.path = client_path(2000);
    pair.send_check(NOMINATE);
    pair.run(2 * SECOND, |_| false);
    assert!(pair.transport.is_connected());

    pair.path = client_path(3000);
    pair.send_check(NOMINATE);
    assert_eq!(pair.transport.path(), Some(client_path(3000)));
    let protected = pair.peer.protect_rtp(&rtp(1));
    assert_ne!(pair.deliver(protected).0, Received::Nothing);
}

#[test]
fn without_nomination_a_new_address_takes_over_when_the_old_one_is_silent() {
    let mut pair = Pair::connected();
    pair.send_check(NOMINATE);
    pair.path = path_from(([198, 51, 100, 1], 1000));
    pair.send_check(Check::default());
    assert_eq!(pair.transport.path(), Some(client_path(1000)));
    pair.now += 4 * SECOND;
    pair.send_check(Check::default());
    assert_eq!(pair.transport.path(), Some(pair.path));
}

#[test]
fn a_peer_behind_a_nat_that_forgot_it_is_followed_at_its_first_check() {
    for check in [NOMINATE, Check::default()] {
        let mut pair = Pair::connected();
        pair.path = client_path(2000);
        pair.send_check(check);
        assert_eq!(pair.transport.path(), Some(client_path(2000)));
    }
}

#[test]
fn media_by_the_old_path_shows_that_a_new_port_was_no_rebinding() {
    let mut pair = Pair::connected();
    pair.path = client_path(2000);
    pair.send_check(Check::default());
    pair.now += SECOND;
    pair.path = client_path(1000);
    let protected = pair.peer.protect_rtp(&rtp(1));
    pair.deliver(protected);
    assert_eq!(pair.transport.path(), Some(client_path(1000)));
    // The other one was seen before: its checks mean nothing new.
    pair.path = client_path(2000);
    pair.send_check(Check::default());
    assert_eq!(pair.transport.path(), Some(client_path(1000)));
}

#[test]
fn media_that_was_late_does_not_take_back_a_nomination() {
    let mut pair = Pair::connected();
    let late = pair.peer.protect_rtp(&rtp(1));
    pair.path = path_from(([198, 51, 100, 1], 1000));
    pair.send_check(NOMINATE);
    pair.now += Duration::from_millis(100);
    pair.path = client_path(1000);
    assert_ne!(pair.deliver(late).0, Received::Nothing);
    assert_eq!(
        pair.transport.path(),
        Some(path_from(([198, 51, 100, 1], 1000)))
    );
}

#[test]
fn media_that_is_not_authentic_moves_nothing() {
    let mut pair = Pair::connected();
    pair.path = path_from(([198, 51, 100, 1], 1000));
    pair.send_check(Check::default());
    pair.now += SECOND;
    pair.deliver(rtp(1));
    assert_eq!(pair.transport.path(), Some(client_path(1000)));
    let protected = pair.peer.protect_rtp(&rtp(2));
    pair.deliver(protected);
    assert_eq!(pair.transport.path(), Some(pair.path));
}

#[test]
fn the_same_peer_at_another_of_our_addresses_must_prove_itself_again() {
    let mut pair = Pair::connected();
    let remote = client_path(1000).remote;
    pair.path = Path::udp(remote, [127, 0, 0, 2].into());
    pair.deliver(rtp(1));
    assert_eq!(pair.transport.take_counters().foreign_path, 1);
    while pair.transport.poll_transmit().is_some() {}
    pair.send_check(NOMINATE);
    let (to, _) = pair.transport.poll_transmit().unwrap();
    assert!(to == pair.path, "the answer leaves from where it was asked");
    assert!(pair.transport.path() == Some(pair.path));
}

// TCP.

fn connection(generation: u32) -> Path {
    let index = 0;
    Path::tcp(client_path(3000).remote, ConnectionId { index, generation })
}

#[test]
fn a_session_can_begin_and_live_on_a_tcp_connection() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    pair.path = connection(1);
    pair.connect();
    assert_eq!(pair.transport.path(), Some(connection(1)));
    let protected = pair.peer.protect_rtp(&rtp(1));
    assert_ne!(pair.deliver(protected).0, Received::Nothing);
}

#[test]
fn a_session_moves_from_udp_to_tcp_and_back_by_nomination() {
    let mut pair = Pair::connected();
    let udp = pair.path;
    for path in [connection(1), udp, connection(1), connection(2)] {
        pair.path = path;
        pair.send_check(NOMINATE);
        assert_eq!(pair.transport.path(), Some(path));
    }
}

#[test]
fn a_closed_connection_leaves_the_session_waiting_for_another_path_until_consent_ends() {
    let mut pair = Pair::new(DtlsRole::Server, &[GCM]);
    pair.path = connection(1);
    pair.connect();
    pair.transport.forget_path(pair.now, connection(1));
    assert_eq!(pair.transport.path(), None);
    assert_eq!(
        pair.transport.poll_event(),
        Some(Event::PathForgotten(connection(1)))
    );
    // What still comes by the name of the old one is not heard.
    let protected = pair.peer.protect_rtp(&rtp(1));
    assert_eq!(pair.deliver(protected).0, Received::Nothing);

    pair.now += 5 * SECOND;
    pair.path = connection(2);
    pair.send_check(Check::default());
    assert_eq!(pair.transport.path(), Some(connection(2)));
    pair.transport.forget_path(pair.now, connection(2));
    pair.transport.handle_timeout(pair.now + 15 * SECOND);
    let events: Vec<_> = std::iter::from_fn(|| pair.transport.poll_event()).collect();
    let end = Event::Closed(CloseReason::ConsentExpired);
    assert_eq!(events, [Event::PathForgotten(connection(2)), end]);
}

#[test]
fn media_goes_on_by_udp_when_the_connection_closes_if_udp_was_heard_just_now() {
    let mut pair = Pair::connected();
    let udp = pair.path;
    pair.path = connection(1);
    pair.send_check(NOMINATE);
    pair.path = udp;
    pair.send_check(Check::default());
    assert_eq!(pair.transport.path(), Some(connection(1)));
    pair.transport.forget_path(pair.now, connection(1));
    assert_eq!(pair.transport.path(), Some(udp));

    // Not by one that may be as dead.
    pair.path = connection(2);
    pair.send_check(NOMINATE);
    pair.now += 4 * SECOND;
    pair.transport.forget_path(pair.now, connection(2));
    assert_eq!(pair.transport.path(), None);
}

#[test]
fn the_number_of_addresses_is_bounded_and_the_selected_one_stays() {
    let mut pair = Pair::connected();
    let told = |pair: &Pair| {
        let count = |wanted: fn(&Event) -> bool| pair.events.iter().filter(|e| wanted(e)).count();
        let validated = count(|e| matches!(e, Event::PathValidated(_)));
        (validated, count(|e| matches!(e, Event::PathForgotten(_))))
    };
    for host in 0..100 {
        pair.path = path_from(([198, 51, 100, host], 1000));
        pair.send_check(Check::default());
    }
    // Eight are remembered, and as many may take a place at once.
    assert_eq!(told(&pair), (16, 8));
    assert_eq!(pair.transport.path(), Some(client_path(1000)));
    // In the long run it is one a second.
    for host in 100..200 {
        pair.now += Duration::from_millis(100);
        pair.path = path_from(([198, 51, 100, host], 1000));
        pair.send_check(Check::default());
    }
    assert_eq!(told(&pair), (26, 18));
}

#[test]
fn an_ice_restart_accepts_both_credentials_until_the_new_ones_are_used() {
    let mut pair = Pair::connected();
    let old = pair.peer.server.clone();
    let new = IceCredentials {
        ufrag: "new0".to_owned(),
        pwd: "the-new-password-01234567".to_owned(),
    };
    while pair.transport.poll_transmit().is_some() {}
    pair.transport.restart_ice(&new);
    pair.send_check(Check::default());
    assert!(pair.transport.poll_transmit().is_some());

    pair.peer.server = new;
    pair.path = client_path(2000);
    pair.send_check(NOMINATE);
    assert!(pair.transport.poll_transmit().is_some());
    assert_eq!(pair.transport.path(), Some(client_path(2000)));

    pair.peer.server = old;
    pair.send_check(NOMINATE);
    assert_eq!(pair.transport.poll_transmit(), None);
    assert_eq!(pair.transport.take_counters().stun_unauthenticated, 1);
    let protected = pair.peer.protect_rtp(&rtp(1));
    assert_ne!(pair.deliver(protected).0, Received::Nothing);
}

// The end.

#[test]
fn checks_or_media_keep_a_session_and_silence_ends_it() {
    let mut pair = Pair::connected();
    pair.now += 10 * SECOND;
    pair.transport.handle_timeout(pair.now);
    pair.send_check(Check::default());
    pair.now += 10 * SECOND;
    pair.transport.handle_timeout(pair.now);
    let protected = pair.peer.protect_rtp(&rtp(1));
    pair.deliver(protected);
    pair.now += 10 * SECOND;
    pair.transport.handle_timeout(pair.now);
    assert!(pair.transport.is_connected());

    // What is not authentic is no sign of life.
    pair.deliver(rtp(2));
    pair.deliver(vec![22, 0xFE, 0xFD, 0, 0]);
    let due = pair.transport.poll_timeout().unwrap();
    assert_eq!(due, pair.now + 5 * SECOND);
    pair.transport.handle_timeout(due);
    let end = Event::Closed(CloseReason::ConsentExpired);
    assert_eq!(pair.transport.poll_event(), Some(end));
    assert_eq!(pair.transport.poll_timeout(), None);
    assert!(pair.transport.outbound().is_none());
}

#[test]
fn a_peer_that_closes_is_noticed() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut pair = Pair::new(role, &[GCM]);
        pair.connect();
        pair.peer.close(pair.now);
        pair.run(SECOND, |_| false);
        let end = Event::Closed(CloseReason::PeerClosed);
        assert_eq!(pair.events.last(), Some(&end));
    }
}

#[test]
fn the_peer_is_told_when_we_close() {
    let mut pair = Pair::connected();
    pair.transport.close(pair.now);
    pair.run(SECOND, |_| false);
    assert!(pair.peer.closed_by_server);
    assert_eq!(pair.events.last(), Some(&Event::Connected));
    assert_eq!(pair.transport.poll_timeout(), None);
}

#[test]
fn a_forged_alert_does_not_close_an_established_session() {
    let mut pair = Pair::connected();
    pair.deliver(vec![21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40]);
    pair.deliver(vec![21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 98, 0, 2, 1, 0]);
    assert!(pair.transport.is_connected());
    assert_eq!(pair.transport.take_counters().dtls_dropped, 2);
}

#[test]
fn a_transport_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Transport>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What the library parses is the peer's, too: it must not panic on it.
    #[test]
    fn a_handshake_with_changed_bytes_never_panics(
        is_client: bool,
        changes in prop::collection::vec((0usize..8, 0usize..1200, any::<u8>()), 1..4),
    ) {
        let role = if is_client { DtlsRole::Client } else { DtlsRole::Server };
        let mut pair = Pair::new(role, &[GCM]);
        pair.begin();
        let mut number = 0;
        for _ in 0..6 {
            while let Some((_, datagram)) = pair.transport.poll_transmit() {
                pair.peer.handle_datagram(pair.now, &datagram);
            }
            while let Some(mut datagram) = pair.peer.poll_transmit() {
                for (_, at, value) in changes.iter().filter(|(at, ..)| *at == number) {
                    let len = datagram.len();
                    datagram[at % len] = *value;
                }
                number += 1;
                pair.deliver(datagram);
            }
            pair.now += Duration::from_millis(1300);
            pair.transport.handle_timeout(pair.now);
            pair.peer.handle_timeout(pair.now);
        }
    }

    #[test]
    fn random_datagrams_never_panic(
        datagrams in prop::collection::vec((0usize..6, prop::collection::vec(any::<u8>(), 0..100)), 1..40),
        connected: bool,
    ) {
        const STARTS: [&[u8]; 6] = [
            &[],
            &[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42],
            &[22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0],
            &[20, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0],
            &[0x90, 96],
            &[0x80, 201],
        ];
        let mut pair = match connected {
            true => Pair::connected(),
            false => Pair::new(DtlsRole::Server, &[GCM]),
        };
        pair.send_check(NOMINATE);
        for (start, bytes) in datagrams {
            let datagram = [STARTS[start], &bytes].concat();
            let (received, _) = pair.deliver(datagram);
            prop_assert_eq!(received, Received::Nothing);
            pair.transport.handle_timeout(pair.now);
        }
        prop_assert_eq!(pair.transport.is_connected(), connected);
    }
}

/// The targets are for a release build; run it alone, as it reads the memory of the process:
/// `cargo test --lib a_connected_session_is_small_and_cheap -- --ignored`.
#[test]
#[ignore = "measures the process"]
fn a_connected_session_is_small_and_cheap() {
    const SESSIONS: u32 = 1000;
    const WARM_UP: u32 = 500;
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    };
    let mut kept = Vec::new();
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut time = Duration::ZERO;
        let mut before = 0;
        for session in 0..WARM_UP + SESSIONS {
            if session == WARM_UP {
                before = resident();
                time = Duration::ZERO;
            }
            let mut pair = Pair::new(role, &[GCM]);
            pair.begin();
            while !pair.peer.is_connected() || !pair.transport.is_connected() {
                let begin = Instant::now();
                let out: Vec<_> = std::iter::from_fn(|| pair.transport.poll_transmit()).collect();
                time += Instant::now() - begin;
                for (_, datagram) in out {
                    pair.peer.handle_datagram(pair.now, &datagram);
                }
                while let Some(datagram) = pair.peer.poll_transmit() {
                    let begin = Instant::now();
                    pair.deliver(datagram);
                    time += Instant::now() - begin;
                }
            }
            while pair.transport.poll_transmit().is_some() {}
            kept.push(pair.transport);
        }
        let bytes = (resident() - before) / SESSIONS as usize;
        let cpu = time / SESSIONS;
        eprintln!("{role:?}: {bytes} bytes, {cpu:?}");
        assert!(bytes < 32 * 1024, "{role:?}: {bytes} bytes");
        assert!(cpu < Duration::from_micros(1500), "{role:?}: {cpu:?}");
    }
}
