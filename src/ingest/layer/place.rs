//! Which packets of its sources a layer takes, and the place of each in its timeline.

use std::time::{Duration, Instant};

use super::{Current, Layer};
use crate::ingest::Reason;
use crate::ingest::reports::Reception;
use crate::ingest::source::{Carries, Source};
use crate::ingest::timeline::{Displaced, Order, Place};
use crate::rtp::Header;
use crate::rtp::red::Red;

/// An SSRC that was replaced may come back after its successor was silent for so long; until then
/// its packets are stragglers.
const SUCCESSION: Duration = Duration::from_millis(500);

/// So long after a new SSRC, retransmissions of a source that was there before it repair the old one.
const OLD_REPAIRS: Duration = Duration::from_secs(1);

/// A packet that found its place.
pub(super) struct Placed<'a> {
    pub(super) place: Place,
    pub(super) header: &'a Header,
    pub(super) payload: &'a [u8],
}

impl Layer {
    pub(super) fn place_media<'a>(
        &mut self,
        now: Instant,
        header: &'a Header,
        payload: &'a [u8],
    ) -> Result<Placed<'a>, Reason> {
        let place = match &mut self.current {
            Some(current) if current.ssrc == header.ssrc => {
                match self.timeline.place(header.sequence_number) {
                    Ok(place) => place,
                    Err(Displaced::Jumped) => self.begin(now, header),
                    Err(Displaced::Drop(reason)) => {
                        if reason == Reason::Duplicate {
                            current.reception.other(None);
                        }
                        return Err(reason);
                    }
                }
            }
            _ => self.begin(now, header),
        };
        if let Some(current) = &mut self.current {
            current.last = now;
            current.goodbye = false;
            match place.order {
                Order::Newest { .. } => {
                    current
                        .reception
                        .newest(now, place.number, header.timestamp);
                }
                Order::Late => current.reception.other(Some(place.number)),
            }
        }
        Ok(Placed {
            place,
            header,
            payload: self.media(header.payload_type, payload),
        })
    }

    /// What a payload holds of the track: without its redundancy, if it came with some. Comfort noise and the like
    /// share the SSRC: no media of the track, but part of its numbers.
    fn media<'a>(&self, payload_type: u8, payload: &'a [u8]) -> &'a [u8] {
        if payload_type == self.payload_type {
            return payload;
        }
        let red = match Some(payload_type) == self.red_payload_type {
            true => Red::read(payload),
            false => None,
        };
        red.filter(|red| red.payload_type == self.payload_type)
            .map_or(&[], |red| red.primary)
    }

    /// Unwraps a retransmission (RFC 4588, section 4): its payload begins with the original number.
    pub(super) fn place_repair<'a>(
        &mut self,
        now: Instant,
        source: Source,
        header: &'a Header,
        payload: &'a [u8],
    ) -> Result<Placed<'a>, Reason> {
        if Some(header.payload_type) != self.rtx_payload_type {
            return Err(Reason::UnknownPayloadType);
        }
        let current = self.current.as_ref().ok_or(Reason::UnknownSource)?;
        if source.learned < current.since && now < current.since + OLD_REPAIRS {
            return Err(Reason::TooOld);
        }
        // Probes for bandwidth carry no original, or one that came long ago.
        let (original, payload) = match payload.split_first_chunk::<2>() {
            Some((original, payload)) if !payload.is_empty() => (original, payload),
            _ => return Err(Reason::Padding),
        };
        match self.timeline.place_repair(u16::from_be_bytes(*original)) {
            Ok(place) => Ok(Placed {
                place,
                header,
                payload,
            }),
            Err(Displaced::Drop(reason)) => Err(reason),
            Err(Displaced::Jumped) => Err(Reason::Jump),
        }
    }

    /// Whether packets of a source, of which some came before, are stragglers.
    pub(in crate::ingest) fn is_replaced(
        &self,
        now: Instant,
        header: &Header,
        source: Source,
    ) -> bool {
        source.carries == Carries::Media
            && self.current.as_ref().is_some_and(|current| {
                current.ssrc != header.ssrc && !source.is_new && now < current.last + SUCCESSION
            })
    }

    /// A source begins, or begins anew, with this packet.
    fn begin(&mut self, now: Instant, header: &Header) -> Place {
        self.stats.lost += self.losses.clear().count;
        self.keyframes.forget();
        let place = self
            .timeline
            .begin(now, header.sequence_number, header.timestamp);
        let reception = Reception::new(
            self.epoch,
            header.ssrc,
            self.codec.clock_rate(),
            place.number,
        );
        let before = self.current.take();
        if before.is_some() {
            self.stats.restarts += 1;
            self.watch.restart();
        }
        let since = before
            .filter(|before| before.ssrc == header.ssrc)
            .map_or(now, |before| before.since);
        self.current = Some(Current {
            ssrc: header.ssrc,
            since,
            last: now,
            reception,
            fresh: true,
            goodbye: false,
        });
        place
    }
}
