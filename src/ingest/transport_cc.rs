//! Transport-wide feedback: when each packet arrived, for the publisher's bandwidth estimate
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! Our own recorder, because the one of `rtc::interceptor` is private to its chain of interceptors
//! and grows with every packet; the format of the feedback is `rtc::rtcp`'s.

use std::time::{Duration, Instant};

use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, RunLengthChunk, StatusChunkTypeTcc, StatusVectorChunk,
    SymbolSizeTypeTcc, SymbolTypeTcc, TYPE_TCC_DELTA_SCALE_FACTOR, TransportLayerCc,
};

use crate::rtp::sequence::Unwrapper;

/// The numbers behind the highest that can be reported: half a second at 20 Mbit/s.
const WINDOW: u64 = 1024;

/// Arrivals in one feedback, which keeps it below 1100 bytes even if every delta is a large one.
const MAX_ARRIVALS: usize = 350;

/// Numbers to report before which feedback does not wait for its time.
const FULL: u64 = 512;

/// Arrival times are counted in these.
const TICK: Duration = Duration::from_micros(TYPE_TCC_DELTA_SCALE_FACTOR as u64);

/// The reference time is counted in 64 ms.
const TICKS_PER_REFERENCE: u64 = 256;

/// The arrivals of one transport.
#[derive(Debug)]
pub(crate) struct Arrivals {
    epoch: Instant,
    interval: Duration,
    unwrapper: Unwrapper,
    /// By number modulo [`WINDOW`]: ticks since the epoch, and one; 0 when it has not come.
    ticks: Box<[u64; WINDOW as usize]>,
    /// The first number of the next feedback.
    start: Option<u64>,
    due: Option<Instant>,
    media_ssrc: u32,
    feedback_count: u8,
}

impl Arrivals {
    pub(crate) fn new(epoch: Instant, interval: Duration) -> Self {
        Self {
            epoch,
            interval,
            unwrapper: Unwrapper::default(),
            ticks: Box::new([0; WINDOW as usize]),
            start: None,
            due: None,
            media_ssrc: 0,
            feedback_count: 0,
        }
    }

    /// A packet with this transport-wide number came.
    pub(crate) fn record(&mut self, now: Instant, number: u16, media_ssrc: u32) {
        let before = self.unwrapper.highest();
        let number = self.unwrapper.unwrap(number);
        match before {
            Some(before) if number <= before => {
                if before - number >= WINDOW || self.ticks[slot(number)] != 0 {
                    return;
                }
            }
            Some(before) if number - before < WINDOW => {
                for missing in before + 1..number {
                    self.ticks[slot(missing)] = 0;
                }
                // A start that fell out of the window moves with it.
                let oldest = number.saturating_sub(WINDOW - 1);
                self.start = self.start.map(|start| start.max(oldest));
            }
            _ => {
                self.ticks.fill(0);
                self.start = None;
            }
        }
        let ticks = now.saturating_duration_since(self.epoch).as_micros() / TICK.as_micros();
        self.ticks[slot(number)] = ticks as u64 + 1;
        self.media_ssrc = media_ssrc;
        // What is missing between two feedbacks belongs to the later one; what comes late is told once more.
        let next = self.start.get_or_insert(number);
        *next = number.min(*next);
        let full = self.waiting() >= FULL;
        let due = if full { now } else { now + self.interval };
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }

    /// When feedback is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The next feedback that is due; several when one has no room for all.
    pub(crate) fn poll_feedback(
        &mut self,
        now: Instant,
        sender_ssrc: u32,
    ) -> Option<TransportLayerCc> {
        self.due.filter(|due| *due <= now)?;
        let feedback = self.feedback(sender_ssrc);
        if feedback.is_none() {
            self.due = None;
        }
        feedback
    }

    fn waiting(&self) -> u64 {
        match (self.start, self.unwrapper.highest()) {
            (Some(start), Some(highest)) => (highest + 1).saturating_sub(start),
            _ => 0,
        }
    }

    fn feedback(&mut self, sender_ssrc: u32) -> Option<TransportLayerCc> {
        let start = self.start?;
        let highest = self.unwrapper.highest()?;
        let first = (start..=highest).find_map(|number| self.arrival(number))?;
        let reference = first / TICKS_PER_REFERENCE;
        let mut last = reference * TICKS_PER_REFERENCE;
        let mut symbols = Vec::new();
        let mut recv_deltas = Vec::new();
        for number in start..=highest {
            let Some(ticks) = self.arrival(number) else {
                symbols.push(SymbolTypeTcc::PacketNotReceived);
                continue;
            };
            let delta = ticks as i64 - last as i64;
            let symbol = match delta {
                0..=0xFF => SymbolTypeTcc::PacketReceivedSmallDelta,
                -0x8000..=0x7FFF => SymbolTypeTcc::PacketReceivedLargeDelta,
                _ => break,
            };
            if recv_deltas.len() == MAX_ARRIVALS {
                break;
            }
            last = ticks;
            symbols.push(symbol);
            recv_deltas.push(RecvDelta {
                type_tcc_packet: symbol,
                delta: delta * TYPE_TCC_DELTA_SCALE_FACTOR,
            });
        }
        let received = |symbol: &SymbolTypeTcc| *symbol != SymbolTypeTcc::PacketNotReceived;
        let count = symbols.iter().rposition(received)? + 1;
        symbols.truncate(count);
        self.start = Some(start + count as u64);
        let fb_pkt_count = self.feedback_count;
        self.feedback_count = fb_pkt_count.wrapping_add(1);
        Some(TransportLayerCc {
            sender_ssrc,
            media_ssrc: self.media_ssrc,
            base_sequence_number: start as u16,
            packet_status_count: count as u16,
            reference_time: reference as u32 & 0xFF_FFFF,
            fb_pkt_count,
            packet_chunks: chunks(&symbols),
            recv_deltas,
        })
    }

    fn arrival(&self, number: u64) -> Option<u64> {
        self.ticks[slot(number)].checked_sub(1)
    }
}

fn slot(number: u64) -> usize {
    (number % WINDOW) as usize
}

/// Runs where there are some, otherwise 14 symbols of one bit, or 7 of two bits when large deltas
/// are among them.
fn chunks(mut symbols: &[SymbolTypeTcc]) -> Vec<PacketStatusChunk> {
    const ONE_BIT: usize = 14;
    const TWO_BITS: usize = 7;
    let mut chunks = Vec::new();
    while let Some(&first) = symbols.first() {
        let run = symbols
            .iter()
            .take_while(|symbol| **symbol == first)
            .count();
        let large = |symbol: &SymbolTypeTcc| *symbol == SymbolTypeTcc::PacketReceivedLargeDelta;
        let narrow = symbols.iter().take(ONE_BIT).position(large);
        let (symbol_size, capacity) = match narrow {
            None => (SymbolSizeTypeTcc::OneBit, ONE_BIT),
            Some(_) => (SymbolSizeTypeTcc::TwoBit, TWO_BITS),
        };
        let used = if run >= capacity.min(symbols.len()) {
            chunks.push(PacketStatusChunk::RunLengthChunk(RunLengthChunk {
                type_tcc: StatusChunkTypeTcc::RunLengthChunk,
                packet_status_symbol: first,
                run_length: run as u16, // at most WINDOW
            }));
            run
        } else {
            let used = capacity.min(symbols.len());
            let mut symbol_list = symbols[..used].to_vec();
            symbol_list.resize(capacity, SymbolTypeTcc::PacketNotReceived);
            chunks.push(PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
                type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
                symbol_size,
                symbol_list,
            }));
            used
        };
        symbols = &symbols[used..];
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtc::rtcp;

    const INTERVAL: Duration = Duration::from_millis(100);

    /// What a publisher reads from feedback: number and arrival in ticks, none when it was lost.
    fn decode(feedback: TransportLayerCc) -> Vec<(u16, Option<i64>)> {
        let bytes = rtcp::packet::marshal(&[Box::new(feedback)]).unwrap();
        assert!(bytes.len() < 1100, "{} bytes", bytes.len());
        let packets = rtcp::packet::unmarshal(&mut &bytes[..]).unwrap();
        let feedback: &TransportLayerCc = packets[0].as_any().downcast_ref().unwrap();
        let mut symbols = Vec::new();
        for chunk in &feedback.packet_chunks {
            match chunk {
                PacketStatusChunk::RunLengthChunk(run) => symbols.extend(std::iter::repeat_n(
                    run.packet_status_symbol,
                    usize::from(run.run_length),
                )),
                PacketStatusChunk::StatusVectorChunk(vector) => {
                    symbols.extend(&vector.symbol_list);
                }
            }
        }
        symbols.truncate(usize::from(feedback.packet_status_count));
        let mut ticks = i64::from(feedback.reference_time) * TICKS_PER_REFERENCE as i64;
        let mut deltas = feedback.recv_deltas.iter();
        let decoded = (0..)
            .zip(symbols)
            .map(|(index, symbol)| {
                let arrival = (symbol != SymbolTypeTcc::PacketNotReceived).then(|| {
                    ticks += deltas.next().unwrap().delta / TYPE_TCC_DELTA_SCALE_FACTOR;
                    ticks
                });
                (feedback.base_sequence_number.wrapping_add(index), arrival)
            })
            .collect();
        assert_eq!(deltas.next(), None);
        decoded
    }

    fn all(arrivals: &mut Arrivals, now: Instant) -> Vec<(u16, Option<i64>)> {
        std::iter::from_fn(|| arrivals.poll_feedback(now, 1))
            .flat_map(decode)
            .collect()
    }

    #[test]
    fn feedback_shows_arrivals_and_losses() {
        let now = Instant::now();
        let mut arrivals = Arrivals::new(now, INTERVAL);
        for (number, millis) in [(65_534, 70), (65_535, 71), (1, 75), (2, 175)] {
            arrivals.record(now + Duration::from_millis(millis), number, 9);
        }
        assert_eq!(
            arrivals.poll_timeout(),
            Some(now + Duration::from_millis(170))
        );
        assert_eq!(
            all(&mut arrivals, now + Duration::from_millis(180)),
            [
                (65_534, Some(280)),
                (65_535, Some(284)),
                (0, None),
                (1, Some(300)),
                (2, Some(700))
            ]
        );
        assert_eq!(arrivals.poll_timeout(), None);
        // What is lost between two feedbacks is not forgotten.
        arrivals.record(now + Duration::from_millis(200), 4, 9);
        assert_eq!(
            all(&mut arrivals, now + INTERVAL * 3),
            [(3, None), (4, Some(800))]
        );
    }

    #[test]
    fn a_late_packet_is_told_again() {
        let now = Instant::now();
        let mut arrivals = Arrivals::new(now, INTERVAL);
        arrivals.record(now, 1, 9);
        arrivals.record(now, 3, 9);
        let later = now + INTERVAL;
        assert_eq!(all(&mut arrivals, later).len(), 3);
        arrivals.record(later, 2, 9);
        assert_eq!(
            all(&mut arrivals, later + INTERVAL),
            [(2, Some(400)), (3, Some(0))]
        );
    }

    #[test]
    fn many_arrivals_do_not_wait_and_are_split() {
        let now = Instant::now();
        let mut arrivals = Arrivals::new(now, INTERVAL);
        for number in 0..600 {
            arrivals.record(now, number, 9);
        }
        assert_eq!(arrivals.poll_timeout(), Some(now));
        assert_eq!(all(&mut arrivals, now).len(), 600);
    }

    proptest! {
        #[test]
        fn every_pattern_comes_back(
            steps in proptest::collection::vec((1u16..40, 0u64..3_000), 1..500),
            first: u16,
        ) {
            let now = Instant::now();
            let mut arrivals = Arrivals::new(now, INTERVAL);
            let (mut number, mut ticks) = (first, 0);
            let mut told = Vec::new();
            let mut expected = Vec::new();
            for (step, wait) in steps {
                ticks += wait;
                let at = now + TICK * ticks as u32;
                told.extend(all(&mut arrivals, at));
                arrivals.record(at, number, 9);
                expected.push((number, ticks as i64));
                number = number.wrapping_add(step);
            }
            told.extend(all(&mut arrivals, now + TICK * ticks as u32 + INTERVAL));
            let told: Vec<_> = told
                .into_iter()
                .filter_map(|(number, arrival)| Some((number, arrival?)))
                .collect();
            prop_assert_eq!(told, expected);
        }

        #[test]
        fn any_numbers_are_survived(numbers in proptest::collection::vec((any::<u16>(), 0u64..100), 0..200)) {
            let mut now = Instant::now();
            let mut arrivals = Arrivals::new(now, INTERVAL);
            for (number, millis) in numbers {
                now += Duration::from_millis(millis);
                arrivals.record(now, number, 9);
                let _ = all(&mut arrivals, now);
            }
        }
    }
}
