//! What a run of packets tells of the narrowest link: those that leave close together arrive as far
//! apart as it lets them. One run is enough, so this is known long before a queue has grown.

/// Packets that leave so soon after one another are a run, in microseconds.
const GAP: i64 = 5_000;

/// Packets and microseconds of which a rate is taken, at least.
const LEAST_PACKETS: u32 = 4;
const LEAST_TIME: i64 = 20_000;

/// Of so many pauses between the newest packets, all but the longest tell of a fall.
const TAIL: usize = 4;

/// Runs of fewer packets say too little to be remembered.
const LEAST_REMEMBERED: u32 = 5;

/// How much of the capacity before stays in the new one.
const SMOOTHING: f64 = 0.75;

/// The capacity that runs of packets show. Times are microseconds, of two clocks that need not agree.
#[derive(Debug, Default)]
pub(super) struct Trains {
    train: Option<Train>,
    /// The one before, which the same feedback may have brought to its end.
    finished: Option<Train>,
    capacity: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Train {
    packets: u32,
    /// All but the first packet.
    bytes: u64,
    sent: (i64, i64),
    arrived: (i64, i64),
    /// The longest pause between two arrivals, and the bytes that came after it at once.
    pause: (i64, u64),
    /// The newest pauses, each with the bytes after it: the link may have changed within the run.
    tail: [(i64, u64); TAIL],
}

impl Trains {
    /// What a link between carries, in bit/s, or more; none before there was a run of packets.
    pub(super) fn capacity(&self) -> Option<u64> {
        self.capacity.map(|capacity| capacity as u64)
    }

    /// A packet sent at `sent` arrived at `arrived`.
    pub(super) fn handle_arrival(&mut self, sent: i64, arrived: i64, bytes: u16) {
        let bytes = u64::from(bytes);
        match &mut self.train {
            Some(train) if (0..=GAP).contains(&(sent - train.sent.1)) => {
                train.add(sent, arrived, bytes);
            }
            // Overtaken by a later run.
            Some(train) if sent < train.sent.1 => {}
            _ => {
                self.finished = self.train.replace(Train::new(sent, arrived));
                let remembered = |train: &Train| train.packets >= LEAST_REMEMBERED;
                if let Some(train) = self.finished.filter(remembered) {
                    self.remember(&train);
                }
            }
        }
    }

    /// The newest run that tells something passes so much slower than what came before it, `bitrate`,
    /// that the link has become another one. Returns what it carries.
    pub(super) fn plunged(&self, bitrate: u64) -> Option<u64> {
        let newest = [&self.train, &self.finished].into_iter().flatten();
        let mut hindered = newest.filter(|train| !train.is_unhindered());
        let rate = hindered.find_map(Train::newest_rate)?;
        (2.0 * rate < bitrate as f64).then_some(rate as u64)
    }

    /// Takes this as the capacity, whatever was known.
    pub(super) fn reset(&mut self, capacity: u64) {
        self.capacity = Some(capacity as f64);
        (self.train, self.finished) = (None, None);
    }

    fn remember(&mut self, train: &Train) {
        let rate = train.rate();
        let capacity = self.capacity.unwrap_or(rate);
        self.capacity = Some(if train.is_unhindered() {
            capacity.max(rate)
        } else {
            SMOOTHING * capacity + (1.0 - SMOOTHING) * rate
        });
    }
}

impl Train {
    fn new(sent: i64, arrived: i64) -> Self {
        Self {
            packets: 1,
            bytes: 0,
            sent: (sent, sent),
            arrived: (arrived, arrived),
            pause: (0, 0),
            tail: [(0, 0); TAIL],
        }
    }

    fn add(&mut self, sent: i64, arrived: i64, bytes: u64) {
        self.packets += 1;
        self.bytes += bytes;
        self.sent.1 = sent;
        let pause = arrived - self.arrived.1;
        self.tail.rotate_left(1);
        self.tail[TAIL - 1] = (pause.max(0), bytes);
        if pause > self.pause.0 {
            self.pause = (pause, bytes);
        }
        self.arrived.0 = self.arrived.0.min(arrived);
        self.arrived.1 = self.arrived.1.max(arrived);
    }

    /// Without the longest pause: a radio that is away for a moment is no narrow link.
    fn time(&self) -> i64 {
        self.arrived.1 - self.arrived.0 - self.pause.0
    }

    /// In bit/s.
    fn rate(&self) -> f64 {
        8e6 * (self.bytes - self.pause.1) as f64 / self.time().max(1) as f64
    }

    /// That of the newest packets, in bit/s; none where they are too few, or too close together.
    fn newest_rate(&self) -> Option<f64> {
        let time: i64 = self.tail.iter().map(|pause| pause.0).sum();
        let bytes: u64 = self.tail.iter().map(|pause| pause.1).sum();
        let longest = self.tail.iter().max_by_key(|pause| pause.0)?;
        let time = time - longest.0;
        (self.packets >= LEAST_PACKETS && time >= LEAST_TIME)
            .then(|| 8e6 * (bytes - longest.1) as f64 / time as f64)
    }

    /// It arrived about as fast as it was sent: the link carries as much and maybe more.
    fn is_unhindered(&self) -> bool {
        let sent = (self.sent.1 - self.sent.0) as f64;
        sent >= 0.9 * (self.arrived.1 - self.arrived.0) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of 1,000 bytes each time, sent every `apart` microseconds and carried every `carried`.
    fn run(trains: &mut Trains, at: i64, packets: i64, apart: i64, carried: i64) {
        let mut free = at;
        for packet in 0..packets {
            let sent = at + packet * apart;
            free = sent.max(free) + carried;
            trains.handle_arrival(sent, free, 1_000);
        }
    }

    #[test]
    fn a_burst_shows_what_the_link_carries() {
        let mut trains = Trains::default();
        for frame in 0..20 {
            run(&mut trains, frame * 33_000, 8, 0, 2_000);
        }
        assert_eq!(trains.capacity(), Some(4_000_000));
        assert_eq!(trains.plunged(2_000_000), None);
    }

    #[test]
    fn packets_that_pass_as_they_were_sent_show_a_bound_that_only_grows() {
        let mut trains = Trains::default();
        for frame in 0..20 {
            run(&mut trains, frame * 33_000, 8, 0, 2_000);
        }
        for frame in 20..30 {
            run(&mut trains, frame * 33_000, 8, 4_000, 100);
        }
        assert_eq!(trains.capacity(), Some(4_000_000));
        for frame in 30..40 {
            run(&mut trains, frame * 33_000, 8, 1_000, 100);
        }
        assert_eq!(trains.capacity(), Some(8_000_000));
    }

    #[test]
    fn half_a_frame_is_enough_to_notice_a_fall() {
        let mut trains = Trains::default();
        run(&mut trains, 0, 3, 0, 12_000);
        assert_eq!(trains.plunged(2_000_000), None);
        run(&mut trains, 33_000, 4, 0, 12_000);
        let carries = trains.plunged(2_000_000).unwrap();
        assert!(carries.abs_diff(666_666) < 1_000, "{carries}");
        assert_eq!(trains.plunged(1_000_000), None, "no more than half less");
        // The same feedback tells of the next frame's first packet.
        run(&mut trains, 66_000, 1, 0, 60_000);
        assert_eq!(trains.plunged(2_000_000), Some(carries));
    }

    #[test]
    fn one_pause_is_no_fall() {
        let mut trains = Trains::default();
        for packet in 0..8 {
            let pause = if packet < 4 { 0 } else { 90_000 };
            trains.handle_arrival(0, packet * 2_000 + pause, 1_000);
        }
        assert_eq!(trains.plunged(4_000_000), None);
    }
}
