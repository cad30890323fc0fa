//! What does a packet cost in the pure parts alone, without a socket?
//!
//! `cargo bench --bench forward -- --rounds 9`
//!
//! Three parts on their own, in ns a packet; medians of rounds, the parts in turn:
//! * `ingest`: `ingest::Publisher::handle_rtp`, a decrypted packet taken apart and put on its timeline;
//! * `forward`: `egress::whep::Subscriber::forward` into a buffer that nobody sends: header, copy, no cipher;
//! * `protect`: `transport::srtp::Outbound::protect_rtp`, AES-128-GCM in place.
//!
//! Every burst is forwarded to 50 subscribers in turn, as the shard does it. Caches are warmer here than
//! between two bursts of a real stream.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a bench fails the bench, loudly"
)]
#![allow(clippy::disallowed_methods, reason = "a bench is about the clock")]
#![allow(clippy::print_stderr, reason = "and what is wrong with its arguments")]

mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use rtc::crypto::default_provider;
use serde_json::json;
use support::arguments;
use support::broadcast::{self, Broadcast, VIDEO};
use support::cpu::{self, Thread};
use support::report::{median, save, spread};
use tidegate::egress::whep::{Outlet, Subscriber};
use tidegate::ingest::{self, Ingested, Publisher};
use tidegate::sdp::DtlsRole;
use tidegate::stream::{LayerId, Packet};
use tidegate::transport::srtp::{self, Profile};

const SECONDS: u32 = 4;
const SUBSCRIBERS: usize = 50;

fn main() {
    let rounds = arguments::value("rounds", 9);
    Thread::current().pin(cpu::MEASURED);
    let datagrams: Vec<Vec<u8>> = Broadcast::default()
        .script(SECONDS)
        .into_iter()
        .flat_map(|burst| burst.packets)
        .collect();
    let packets = ingested(&datagrams);
    let video: Vec<&Packet> = packets
        .iter()
        .filter(|packet| packet.track == VIDEO)
        .collect();

    let (mut ingest, mut forward, mut protect) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        ingest.push(ingest_ns(&datagrams));
        forward.push(forward_ns(&video));
        protect.push(protect_ns(20 * video.len()));
    }
    println!("part    | ns per packet | noise %");
    for (name, figures) in [
        ("ingest", &ingest),
        ("forward", &forward),
        ("protect", &protect),
    ] {
        println!(
            "{name:7} | {:13.0} | {:7.1}",
            median(figures),
            spread(figures)
        );
    }
    save(
        "forward",
        &json!({ "ingest_ns": ingest, "forward_ns": forward, "protect_ns": protect }),
    );
}

fn per_packet(begun: Instant, packets: usize) -> f64 {
    begun.elapsed().as_nanos() as f64 / packets as f64
}

fn ingest_ns(datagrams: &[Vec<u8>]) -> f64 {
    let mut now = Instant::now();
    let mut publisher = publisher(now);
    let mut packet = blank(now);
    let begun = Instant::now();
    for datagram in datagrams {
        now += Duration::from_millis(3);
        let _ = black_box(publisher.handle_rtp(now, datagram, &mut packet));
    }
    per_packet(begun, datagrams.len())
}

fn forward_ns(packets: &[&Packet]) -> f64 {
    let now = Instant::now();
    let spec = broadcast::subscriber_spec();
    let mut subscribers: Vec<_> = (0..SUBSCRIBERS)
        .map(|_| Subscriber::new(&spec, "bench", || 1))
        .collect();
    let mut outlet = Nowhere(vec![0; 1500]);
    let begun = Instant::now();
    for burst in packets.chunks(8) {
        for subscriber in &mut subscribers {
            let packets = burst.iter().copied();
            subscriber.forward(now, VIDEO, LayerId(0), packets, |_| None, &mut outlet);
        }
    }
    per_packet(begun, packets.len() * SUBSCRIBERS)
}

fn protect_ns(packets: usize) -> f64 {
    const LEN: usize = 1200;
    let provider = default_provider().unwrap();
    let material = vec![7; Profile::AeadAes128Gcm.keying_material_len()];
    let (mut outbound, _) = srtp::session(
        provider.crypto(),
        Profile::AeadAes128Gcm,
        DtlsRole::Server,
        &material,
    )
    .unwrap();
    let mut buffer = vec![0x80; LEN + outbound.overhead()];
    let begun = Instant::now();
    for index in 0..packets as u64 {
        buffer[2..4].copy_from_slice(&(index as u16).to_be_bytes());
        outbound.protect_rtp(&mut buffer, 12, LEN, index).unwrap();
    }
    black_box(&buffer);
    per_packet(begun, packets)
}

/// Takes packets and does nothing with them.
struct Nowhere(Vec<u8>);

impl Outlet for Nowhere {
    fn send(&mut self, len: usize, header_len: usize, index: u64, write: impl FnOnce(&mut [u8])) {
        write(&mut self.0[..len]);
        black_box((&self.0, header_len, index));
    }
}

fn publisher(now: Instant) -> Publisher {
    Publisher::new(
        now,
        broadcast::publisher_spec(),
        ingest::Config::default(),
        1,
    )
}

fn ingested(datagrams: &[Vec<u8>]) -> Vec<Packet> {
    let now = Instant::now();
    let mut publisher = publisher(now);
    let packets = datagrams.iter().filter_map(|datagram| {
        let mut packet = blank(now);
        let result = publisher.handle_rtp(now, datagram, &mut packet);
        (result == Ingested::Media).then_some(packet)
    });
    let packets: Vec<_> = packets.collect();
    assert_eq!(packets.len(), datagrams.len());
    packets
}

fn blank(now: Instant) -> Packet {
    Packet {
        payload: Vec::with_capacity(1500),
        ..Packet::empty(now)
    }
}
