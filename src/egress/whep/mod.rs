//! A WHEP subscriber: rewrites the packets of a stream for one viewer and answers its feedback.
//!
//! Pure. Where packets go is an [`Outlet`], which seals and sends them; what it wants from the
//! publisher comes out of [`Subscriber::handle_rtcp`].

mod forwarder;
mod outlet;
mod retransmission;
mod sender_clock;
mod wall_clock;

use std::time::{Duration, Instant};

pub use forwarder::Tally;
pub use outlet::Outlet;
pub use sender_clock::SenderClock;

use forwarder::Forwarder;
use retransmission::Budget;
use wall_clock::WallClock;

use crate::rtp::rtcp::{ReceiverFeedback, ReceptionReport, SenderReport, read_feedback};
use crate::sdp::SubscriberSpec;
use crate::stream::{Packet, Ring, TrackId};

/// The time between two sender reports of a track. The first one goes out with the track's first
/// packet, since a player can't align audio and video before it.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// One viewer.
#[derive(Debug)]
pub struct Subscriber {
    /// One a track that it takes, in no order that means something.
    forwarders: Vec<Forwarder>,
    /// What retransmission may cost.
    budget: Budget,
    /// When the next sender reports are due; none before the first packet.
    report_at: Option<Instant>,
    wall: WallClock,
    cname: Box<str>,
}

/// What a subscriber's RTCP asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Tracks that it needs a keyframe of: bit n is track n.
    keyframes: u8,
}

impl Wanted {
    /// The tracks that it needs a keyframe of.
    pub fn keyframes(self) -> impl Iterator<Item = TrackId> {
        (0..8)
            .filter(move |bit| self.keyframes & (1 << bit) != 0)
            .map(TrackId)
    }

    fn add_keyframe(&mut self, track: TrackId) {
        self.keyframes |= 1u8.checked_shl(u32::from(track.0)).unwrap_or(0);
    }
}

impl Subscriber {
    /// A viewer that has seen nothing yet. `entropy` gives its first sequence numbers and timestamps (RFC 3550, section 5.1).
    pub fn new(spec: &SubscriberSpec, cname: &str, mut entropy: impl FnMut() -> u32) -> Self {
        let forwarders = spec
            .tracks
            .iter()
            .map(|track| Forwarder::new(track, entropy(), entropy()))
            .collect();
        Self {
            forwarders,
            budget: Budget::default(),
            report_at: None,
            wall: WallClock::default(),
            cname: cname.into(),
        }
    }

    /// The video tracks that can't begin before a keyframe comes.
    pub fn waiting_for_keyframe(&self) -> impl Iterator<Item = TrackId> + '_ {
        self.forwarders
            .iter()
            .filter(|forwarder| forwarder.waits_for_keyframe())
            .filter_map(Forwarder::track)
    }

    /// Goes on with another broadcast: what has an SSRC in `spec` takes its track there, the rest waits
    /// for a broadcast that has something for it. Players see one stream. `entropy` is as in [`Self::new`].
    pub fn rebind(&mut self, spec: &SubscriberSpec, mut entropy: impl FnMut() -> u32) {
        for forwarder in &mut self.forwarders {
            let ssrc = forwarder.ssrc();
            forwarder.rebind(spec.tracks.iter().find(|track| track.ssrc == ssrc));
        }
        for track in &spec.tracks {
            let is_known = |forwarder: &Forwarder| forwarder.ssrc() == track.ssrc;
            if !self.forwarders.iter().any(is_known) {
                self.forwarders
                    .push(Forwarder::new(track, entropy(), entropy()));
            }
        }
    }

    /// Sends the packets of one track on. The hot path: for each packet one header, one copy, one sealing.
    pub fn forward<'a>(
        &mut self,
        now: Instant,
        track: TrackId,
        packets: impl IntoIterator<Item = &'a Packet>,
        outlet: &mut impl Outlet,
    ) {
        let Some(forwarder) = self
            .forwarders
            .iter_mut()
            .find(|forwarder| forwarder.track() == Some(track))
        else {
            return;
        };
        let begins = forwarder.timestamp_offset().is_none();
        let mut sent = 0;
        for packet in packets {
            sent += u32::from(forwarder.forward(packet, outlet));
        }
        self.budget.earn(sent);
        // Each track that begins is reported at once: players align them by their reports.
        if sent > 0 && begins {
            self.report_at = Some(now);
        }
    }

    /// Takes decrypted RTCP: answers NACKs out of the rings at once, says what the publisher must do.
    pub fn handle_rtcp<'r>(
        &mut self,
        now: Instant,
        compound: &[u8],
        ring: impl Fn(TrackId) -> Option<&'r Ring>,
        outlet: &mut impl Outlet,
    ) -> Wanted {
        let mut wanted = Wanted::default();
        let (forwarders, budget) = (&mut self.forwarders, &mut self.budget);
        let find = |forwarders: &[Forwarder], ssrc| {
            forwarders
                .iter()
                .position(|forwarder| forwarder.ssrc() == ssrc)
        };
        read_feedback(compound, |feedback| match feedback {
            ReceiverFeedback::Nack { ssrc, lost } => {
                let Some(index) = find(forwarders, ssrc) else {
                    return;
                };
                let forwarder = &mut forwarders[index];
                let Some(ring) = forwarder.track().and_then(&ring) else {
                    return;
                };
                for number in lost.iter() {
                    if !budget.spend() {
                        forwarder.tally_mut().retransmissions_refused += 1;
                        continue;
                    }
                    forwarder.retransmit(now, number, ring, outlet);
                }
            }
            ReceiverFeedback::KeyframeRequest { ssrc } => {
                if let Some(track) =
                    find(forwarders, ssrc).and_then(|index| forwarders[index].track())
                {
                    wanted.add_keyframe(track);
                }
            }
            ReceiverFeedback::Report(report) => {
                if let Some(index) = find(forwarders, report.ssrc) {
                    forwarders[index].tally_mut().report(&report);
                }
            }
        });
        wanted
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.report_at
    }

    /// Writes the sender reports that are due into `compound`, by the publisher's `clocks`. Returns whether there are some.
    pub fn handle_timeout<'c>(
        &mut self,
        now: Instant,
        clocks: impl Fn(TrackId) -> Option<&'c SenderClock>,
        compound: &mut Vec<u8>,
    ) -> bool {
        if self.report_at.is_none_or(|at| now < at) {
            return false;
        }
        self.report_at = Some(now + REPORT_INTERVAL);
        let before = compound.len();
        for forwarder in &self.forwarders {
            let clock = forwarder.track().and_then(&clocks);
            let Some((clock, started)) = clock.zip(forwarder.timestamp_offset()) else {
                continue;
            };
            let (ntp, rtp_timestamp) = clock.at(now);
            let ntp = self.wall.read(now, ntp);
            let tally = forwarder.tally();
            let report = SenderReport {
                ssrc: forwarder.ssrc(),
                ntp,
                rtp_timestamp: rtp_timestamp.wrapping_add(started),
                packets: tally.packets as u32,
                bytes: tally.bytes as u32,
            };
            report.write(&self.cname, compound);
        }
        compound.len() > before
    }

    /// What was sent and lost so far, by track.
    pub fn tallies(&self) -> impl Iterator<Item = (TrackId, &Tally)> {
        self.forwarders
            .iter()
            .filter_map(|forwarder| Some((forwarder.track()?, forwarder.tally())))
    }
}

impl Tally {
    fn report(&mut self, report: &ReceptionReport) {
        self.fraction_lost = report.fraction_lost;
        self.cumulative_lost = report.cumulative_lost;
    }
}

#[cfg(test)]
mod tests;
