//! What the fuzz targets do with their bytes: one function for each reader of what the network sends.
//!
//! The bodies are here, and beside the parsers that nobody else may call, so that the ordinary
//! tests compile them and run them over the seeds of `tests/fuzz/seeds`. `tests/fuzz` holds the
//! targets themselves, which only call these; `make fuzz` runs them. Beyond "it doesn't panic" each
//! body checks what its parser owes: how much may come out, and that what we write can be read.

mod hls;
mod rtp;
mod sdp;

use std::time::{Duration, Instant};

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of the target, and of the folder of its seeds.
    pub name: &'static str,
    /// Takes the bytes; panics on a finding.
    pub run: fn(&[u8]),
}

/// All of them. A test holds this list and that of `tests/fuzz/Cargo.toml` together.
pub const TARGETS: &[Target] = &[
    Target::new("av1", hls::av1),
    Target::new("demux", crate::transport::fuzzing::demux),
    Target::new("dependency_descriptor", rtp::dependency_descriptor),
    Target::new("dtls_records", crate::transport::fuzzing::dtls_records),
    Target::new("first_bytes", crate::front::fuzz_first_bytes),
    Target::new("formats", hls::formats),
    Target::new("framing", crate::transport::fuzzing::framing),
    Target::new("http_bodies", crate::http::fuzzing::bodies),
    Target::new("http_headers", crate::http::fuzzing::headers),
    Target::new("publisher", rtp::publisher),
    Target::new("red", rtp::red),
    Target::new("rtcp", rtp::rtcp),
    Target::new("rtp", rtp::rtp),
    Target::new("sdp_answer", sdp::answer),
    Target::new("sdp_fragment", sdp::fragment),
    Target::new("sdp_offer", sdp::offer),
    Target::new("stun", crate::transport::fuzzing::stun),
    Target::new("transport", |data| {
        crate::transport::fuzzing::transport(Instant::now(), data);
    }),
    Target::new("vp9", hls::vp9),
    Target::new("watch", crate::cli::watch::fuzzing::watch),
];

impl Target {
    const fn new(name: &'static str, run: fn(&[u8])) -> Self {
        Self { name, run }
    }
}

/// Runs the target of this name.
///
/// # Panics
///
/// On a finding, and when there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("the name of a target").run)(data);
}

/// A story out of bytes: steps of a kind, some milliseconds after one another, each with bytes.
pub(crate) struct Steps<'a>(&'a [u8]);

/// One of them.
pub(crate) struct Step<'a> {
    /// Which of the things that can happen; the body takes it modulo their number.
    pub(crate) kind: u8,
    /// Since the step before.
    pub(crate) after: Duration,
    /// What it happens with.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Steps<'a> {
    /// The most that are read, so that no input takes long.
    const MAX: usize = 256;

    pub(crate) fn of(data: &'a [u8]) -> impl Iterator<Item = Step<'a>> {
        Self(data).take(Self::MAX)
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    /// Kind, milliseconds, length in two bytes; the last one may be cut short.
    fn next(&mut self) -> Option<Self::Item> {
        let (&[kind, after, high, low], rest) = self.0.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (bytes, rest) = rest.split_at(len);
        self.0 = rest;
        // Half of them a little later, and half much: up to three seconds.
        let after = match after {
            0..=127 => u64::from(after),
            128.. => 24 * u64::from(after - 128),
        };
        Some(Step {
            kind,
            after: Duration::from_millis(after),
            bytes,
        })
    }
}

#[cfg(test)]
mod tests;
