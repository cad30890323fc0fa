//! Keeps the pipeline of a track running: a failure or stall starts it anew, not faster than it fails.

use std::time::{Duration, Instant};

use super::Wake;
use super::chain::{Chain, Description};
use super::formats::Converter;
use super::rtp;
use crate::egress::hls::Sample;
use crate::media::MediaError;
use crate::rtp::Codec;
use crate::stream::{Packet, TrackInfo};

/// A pipeline and its starts.
#[derive(Debug)]
pub(super) struct Supervisor {
    codec: Codec,
    description: Description,
    fields: Vec<(&'static str, String)>,
    wake: Wake,
    state: State,
    converter: Converter,
    /// How long to wait after the next failure.
    pause: Duration,
    /// Since when a keyframe is in the pipeline without a sample coming out.
    unanswered: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Running {
        chain: Chain,
        since: Instant,
    },
    /// Stopped until then.
    Pausing {
        until: Instant,
    },
}

impl Supervisor {
    /// Starts the pipeline of a track.
    ///
    /// An error here is one of the installation; trying again would not help.
    pub(super) fn start(
        info: &TrackInfo,
        description: Description,
        wake: &Wake,
        now: Instant,
    ) -> Result<Self, MediaError> {
        let fields = parameter_sets(info);
        let chain = Chain::start(description, &fields, wake)?;
        Ok(Self {
            codec: info.codec,
            description,
            fields,
            wake: wake.clone(),
            state: State::Running { chain, since: now },
            converter: Converter::new(info.codec),
            pause: FIRST_PAUSE,
            unanswered: None,
        })
    }

    /// Gives a packet to the pipeline; dropped while that is stopped.
    pub(super) fn push(
        &mut self,
        packet: &Packet,
        time: i64,
        now: Instant,
    ) -> Result<(), MediaError> {
        let State::Running { chain, .. } = &self.state else {
            return Ok(());
        };
        if packet.keyframe {
            self.unanswered.get_or_insert(now);
        }
        let pushed = chain.push(rtp::packet(packet), time);
        pushed.map_err(|error| self.fail(error, now))
    }

    /// Looks after the pipeline: true when it was started anew.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<bool, MediaError> {
        match &self.state {
            State::Running { chain, since } => {
                let error = chain.poll_error();
                let stalled = self
                    .unanswered
                    .is_some_and(|since| now.saturating_duration_since(since) > STALL);
                let error =
                    error.or_else(|| stalled.then(|| chain.failed("nothing comes out of it")));
                if let Some(error) = error {
                    return Err(self.fail(error, now));
                }
                if now.saturating_duration_since(*since) > STEADY {
                    self.pause = FIRST_PAUSE;
                }
                Ok(false)
            }
            State::Pausing { until } if now >= *until => {
                match Chain::start(self.description, &self.fields, &self.wake) {
                    Ok(chain) => self.state = State::Running { chain, since: now },
                    Err(error) => return Err(self.fail(error, now)),
                }
                self.converter = Converter::new(self.codec);
                Ok(true)
            }
            State::Pausing { .. } => Ok(false),
        }
    }

    /// The next sample.
    pub(super) fn poll_sample(&mut self, now: Instant) -> Result<Option<Sample>, MediaError> {
        while let State::Running { chain, .. } = &self.state
            && let Some(sample) = chain.poll_sample()
        {
            self.unanswered = None;
            match self.converter.convert(&sample) {
                Ok(Some(sample)) => return Ok(Some(sample)),
                Ok(None) => {}
                Err(error) => {
                    let error = chain.failed(&error.to_string());
                    return Err(self.fail(error, now));
                }
            }
        }
        Ok(None)
    }

    /// Ends the pipeline and gives what it held back. Waits for it, so only for the end of a branch.
    pub(super) fn finish(&mut self) -> Vec<Sample> {
        let State::Running { chain, .. } = &self.state else {
            return Vec::new();
        };
        chain.end();
        let converter = &mut self.converter;
        std::iter::from_fn(|| chain.drain_sample())
            .filter_map(|sample| converter.convert(&sample).ok()?)
            .collect()
    }

    /// Whether the pipeline has packets to work at that are older than those of a live one.
    pub(super) fn is_behind(&self) -> bool {
        matches!(&self.state, State::Running { chain, .. } if chain.is_behind())
    }

    /// Whether an element of the pipeline wants a keyframe.
    pub(super) fn poll_keyframe_request(&self) -> bool {
        matches!(&self.state, State::Running { chain, .. } if chain.poll_keyframe_request())
    }

    #[cfg(test)]
    pub(super) fn break_down(&self) {
        if let State::Running { chain, .. } = &self.state {
            chain.break_down();
        }
    }

    fn fail(&mut self, error: MediaError, now: Instant) -> MediaError {
        self.state = State::Pausing {
            until: now + self.pause,
        };
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.unanswered = None;
        error
    }
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A pipeline that ran for so long has recovered.
const STEADY: Duration = Duration::from_secs(60);
/// A keyframe must come out of the pipeline within this time.
const STALL: Duration = Duration::from_secs(5);

/// Parameter sets that the publisher sends in its SDP only (RFC 6184, section 8.1; RFC 7798, section 7.1).
fn parameter_sets(info: &TrackInfo) -> Vec<(&'static str, String)> {
    let names = [
        "sprop-parameter-sets",
        "sprop-vps",
        "sprop-sps",
        "sprop-pps",
    ];
    let pairs = info
        .fmtp
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter_map(|(key, value)| {
            let name = names
                .into_iter()
                .find(|name| key.eq_ignore_ascii_case(name))?;
            Some((name, value.trim().to_owned()))
        })
        .collect()
}
