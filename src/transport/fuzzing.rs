//! The bodies of the fuzz targets of a transport: from the first byte of a datagram to a session.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use rtc::crypto::HmacAlgorithm;

use super::demux::{self, Kind};
use super::framing::{self, Deframer, MAX_FRAME, SendQueue};
use super::path::Path;
use super::{Config, Identity, Received, Timeouts, Transport, dtls, ice};
use crate::fuzzing::{Step, Steps};
use crate::sdp::{DtlsRole, Fingerprint, IceCredentials};

static IDENTITY: LazyLock<Arc<Identity>> =
    LazyLock::new(|| Arc::new(Identity::generate().expect("an identity")));
static LOCAL: LazyLock<IceCredentials> = LazyLock::new(|| IceCredentials {
    ufrag: "ours".to_owned(),
    pwd: "0123456789012345678901".to_owned(),
});

/// Datagrams of a session may not make us answer with more than this: a flight of ours.
const MAX_ANSWER: usize = 4096;

/// The first bytes of a datagram.
pub(crate) fn demux(data: &[u8]) {
    let kind = demux::classify(data);
    // Nothing behind the header decides.
    assert_eq!(demux::classify(&data[..data.len().min(8)]), kind);
    match kind {
        Kind::Stun => assert!(data.len() >= 8 && data[0] < 4),
        Kind::Dtls => assert!((20..64).contains(&data[0])),
        Kind::Rtp | Kind::Rtcp => assert!(data.len() >= 2 && data[0] >> 6 == 2),
        Kind::Other => {}
    }
    if ice::request_ufrag(data).is_some() {
        assert_eq!(kind, Kind::Stun);
    }
}

/// A STUN message.
pub(crate) fn stun(data: &[u8]) {
    ice::fuzz_stun(mac().as_mut(), data);
}

/// What a peer does to the handshake.
pub(crate) fn dtls_records(data: &[u8]) {
    dtls::fuzz_records(Steps::of(data).map(|step| (step.kind, step.bytes.to_vec())));
}

/// The pieces of a TCP stream, and what we send over one.
pub(crate) fn framing(data: &[u8]) {
    let pieces: Vec<_> = Steps::of(data).map(|step| step.bytes.to_vec()).collect();
    let (mut one_by_one, mut at_once) = (Vec::new(), Vec::new());
    let (mut deframer, mut whole) = (Deframer::default(), Deframer::default());
    let result = pieces
        .clone()
        .iter_mut()
        .try_for_each(|piece| deframer.handle(piece, |frame| one_by_one.push(frame.to_vec())));
    let whole_result = whole.handle(&mut pieces.concat(), |frame| at_once.push(frame.to_vec()));
    // How the stream was cut makes no difference.
    assert_eq!((result, &one_by_one), (whole_result, &at_once));
    if result.is_ok() {
        assert_eq!(deframer.is_between_frames(), whole.is_between_frames());
    }
    assert!(
        one_by_one
            .iter()
            .all(|frame| (1..=MAX_FRAME).contains(&frame.len()))
    );
    let _ = framing::first_frame(data);

    // What we frame comes out as it went in, as far as there was room.
    let mut queue = SendQueue::new(8 * 1024);
    let mut queued = Vec::new();
    for piece in &pieces {
        if queue.push(piece) && !piece.is_empty() {
            queued.push(piece.clone());
        }
        assert!(queue.len() <= 8 * 1024);
    }
    if queued.iter().all(|piece| piece.len() <= MAX_FRAME) {
        let [first, second] = queue.slices().map(|slice| slice.to_vec());
        let mut again = Vec::new();
        Deframer::default()
            .handle(&mut [first, second].concat(), |frame| {
                again.push(frame.to_vec());
            })
            .expect("frames of ours");
        assert_eq!(again, queued);
    }
    queue.consume(queue.len());
    assert!(queue.is_empty());
}

/// A session whose peer has no key but may have the password.
pub(crate) fn transport(mut now: Instant, data: &[u8]) {
    let role = match data.first() {
        Some(first) if first & 0x80 != 0 => DtlsRole::Client,
        _ => DtlsRole::Server,
    };
    let config = Config {
        local: LOCAL.clone(),
        remote_fingerprint: Fingerprint([0; 32]),
        dtls_role: role,
        timeouts: Timeouts::default(),
    };
    let mut transport = Transport::new(now, &IDENTITY, &config).expect("a transport");
    let mut is_known = false;
    for step in Steps::of(data) {
        now += step.after;
        transport.handle_timeout(now);
        is_known |= step.kind & 7 == 1;
        deliver(&mut transport, now, &step);
        let mut sent = 0;
        while let Some((_, datagram)) = transport.poll_transmit() {
            sent += datagram.len();
        }
        // Timers may repeat a flight on top of the answer.
        assert!(sent <= 2 * MAX_ANSWER, "{sent}");
        assert!(
            is_known || sent == 0,
            "answered somebody who is not authentic"
        );
        while transport.poll_event().is_some() {}
        assert!(!transport.is_connected(), "without a certificate");
        let due = transport.poll_timeout();
        assert!(due.is_none_or(|due| due + Duration::from_secs(60) > now));
    }
}

fn deliver(transport: &mut Transport, now: Instant, step: &Step<'_>) {
    let remote = SocketAddr::from(([192, 0, 2, step.kind >> 6], 5000));
    let from = Path::udp(remote, [192, 0, 2, 99].into());
    let mut datagram = match step.kind & 7 {
        1 => check(step.bytes),
        _ => step.bytes.to_vec(),
    };
    let len = datagram.len();
    match transport.handle_datagram(now, from, &mut datagram) {
        Received::Nothing => {}
        Received::Rtp { .. } | Received::Rtcp { .. } => panic!("media of {len} bytes, no keys"),
    }
}

/// A binding request with the right password, and attributes that are the bytes'.
fn check(attributes: &[u8]) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    message.extend([7; 12]);
    message.extend([0, 6, 0, 9]);
    message.extend(b"ours:them\0\0\0");
    message.extend(&attributes[..attributes.len().min(400) & !3]);
    let length = (message.len() - 20 + 24) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
    let mut digest = [0; 20];
    mac().sign(&[&message], &mut digest).expect("a MAC");
    message.extend([0, 8, 0, 20]);
    message.extend(digest);
    message
}

fn mac() -> Box<dyn rtc::crypto::Mac> {
    let mac = IDENTITY.crypto();
    mac.new_hmac(HmacAlgorithm::Sha1, LOCAL.pwd.as_bytes())
        .expect("a MAC")
}
