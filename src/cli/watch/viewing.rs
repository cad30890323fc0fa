//! One viewing, from the answer to the end: the only loop of `watch`.
//!
//! Takes what the tap saw, asks the clock, and feeds the report and the file. The file is written from
//! here too: a diagnostic of one stream may wait for its disk.

use std::io;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::WatchArgs;
use super::frame::Frame;
use super::output::Progress;
use super::peer::{Events, Peer, Step};
use super::report::{Clock, Report};
use super::save::{SaveError, Saver};
use super::tap::Seen;
use super::verdict::{Accepted, End, Failure, judge};
use crate::cli::stop_signal;
use crate::rtp::Codec;

/// How often a line of progress is printed.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// How often gaps are looked at.
const TICK: Duration = Duration::from_millis(50);
/// Packets taken from the queue before the clock is looked at again.
const BATCH: usize = 256;

/// One viewing, from the answer to the end.
pub(super) struct Viewing<'a> {
    args: &'a WatchArgs,
    start: Instant,
    pub(super) report: Report,
    pub(super) recorder: Recorder,
    progress: Progress,
}

impl<'a> Viewing<'a> {
    /// A viewing whose times count from `clock`.
    pub(super) fn new(args: &'a WatchArgs, clock: Clock, saver: Option<Saver>) -> Self {
        Self {
            args,
            start: clock.instant,
            report: Report::new(clock),
            recorder: Recorder { saver, error: None },
            progress: Progress::default(),
        }
    }

    /// Plays what the answer promises, and judges it.
    pub(super) async fn watch(
        &mut self,
        peer: &Peer,
        events: Events,
        answer: &str,
    ) -> Result<(), Failure> {
        let accepted = Accepted::read(answer);
        if !accepted.audio && !accepted.video {
            return Err(Failure::NothingAccepted);
        }
        if let Some(saver) = &mut self.recorder.saver {
            saver.expect(accepted);
        }
        peer.accept(answer).await.map_err(Failure::Answer)?;
        let end = self.receive(events).await;
        let now = Instant::now();
        self.report
            .finish(now, |codec, frame| self.recorder.write(codec, &frame));
        judge(&self.report, accepted, end, self.start, now)
    }

    /// Counts until the duration is over or nothing more can come.
    async fn receive(&mut self, mut events: Events) -> End {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_line = self.start + LINE_INTERVAL;
        let mut batch = Vec::with_capacity(BATCH);
        let interrupted = stop_signal();
        tokio::pin!(interrupted);
        loop {
            tokio::select! {
                () = &mut interrupted => {
                    return match self.args.duration.is_zero() {
                        true => End::Over,
                        false => End::Interrupted,
                    };
                }
                step = events.steps.recv() => match step {
                    Some((at, Step::Ice)) => { self.report.ice.get_or_insert(at); }
                    Some((at, Step::Connected)) => { self.report.connected.get_or_insert(at); }
                    Some((_, Step::Failed)) | None => return End::Broken,
                },
                count = events.seen.recv_many(&mut batch, BATCH) => match count {
                    0 => return End::Broken,
                    _ => self.count(&mut batch),
                },
                _ = tick.tick() => {}
            }
            let now = Instant::now();
            self.report
                .handle_timeout(now, |codec, frame| self.recorder.write(codec, &frame));
            if now >= next_line {
                next_line = now + LINE_INTERVAL;
                self.print_progress(now);
            }
            if self.recorder.error.is_some() {
                return End::Interrupted;
            }
            match self.report.earliest(|track| Some(track.first)) {
                Some(first)
                    if !self.args.duration.is_zero() && now >= first + self.args.duration =>
                {
                    return End::Over;
                }
                None if now >= self.start + self.args.timeout => return End::TimedOut,
                _ => {}
            }
        }
    }

    fn count(&mut self, batch: &mut Vec<(Instant, Seen)>) {
        for (at, seen) in batch.drain(..) {
            match seen {
                Seen::Rtp {
                    ssrc,
                    codec,
                    retransmission,
                    packet,
                } => self.report.handle_packet(
                    at,
                    ssrc,
                    codec,
                    retransmission,
                    packet,
                    |codec, frame| self.recorder.write(codec, &frame),
                ),
                Seen::SenderReport {
                    ssrc,
                    ntp,
                    timestamp,
                } => self.report.handle_sender_report(ssrc, ntp, timestamp),
            }
        }
    }

    /// Progress is a courtesy: that nobody can read it ends nothing.
    fn print_progress(&mut self, now: Instant) {
        if !self.args.quiet {
            let _ = self
                .progress
                .line(&mut io::stderr().lock(), &self.report, now);
        }
    }
}

/// Saves frames, if asked to, until the first error.
pub(super) struct Recorder {
    saver: Option<Saver>,
    error: Option<SaveError>,
}

impl Recorder {
    fn write(&mut self, codec: Codec, frame: &Frame) {
        if let (Some(saver), None) = (&mut self.saver, &self.error) {
            self.error = saver.write(codec, frame).err();
        }
    }

    /// Completes the file.
    pub(super) fn finish(&mut self) -> Result<(), SaveError> {
        match (self.error.take(), &mut self.saver) {
            (Some(error), _) => Err(error),
            (None, Some(saver)) => saver.finish(),
            (None, None) => Ok(()),
        }
    }
}
