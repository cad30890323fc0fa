//! The pipeline of a ladder while it runs, and what is wrong with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::parts::Parts;
use super::rung::{Rung, Target};
use super::{Ladder, input};
use crate::egress::hls::{Format, RenditionId, Sample};
use crate::media::MediaError;
use crate::media::hls::chain::Chain;
use crate::media::hls::formats::Converter;
use crate::rtp::Codec;

#[derive(Debug)]
pub(super) struct Running {
    pub(super) chain: Chain,
    pub(super) since: Instant,
    /// That of the pictures that go in.
    source: Arc<Format>,
    /// In the order of the sinks.
    pub(super) made: Vec<Made>,
    /// How many pictures are in.
    pictures: u64,
    /// The first keyframe is in.
    begun: bool,
    /// Since when it has had more to do than it can.
    behind: Option<Instant>,
}

/// A rung that is made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) target: Target,
    converter: Converter,
    /// How many have come out.
    pictures: u64,
    /// Since when a picture is in the pipeline without one of this rung coming out.
    unanswered: Option<Instant>,
}

impl Running {
    /// Starts a pipeline for this keyframe and what follows it.
    ///
    /// # Errors
    ///
    /// [`MediaError`] when it can't be built or started.
    pub(super) fn start(
        parts: Parts,
        targets: Vec<Target>,
        keyframe: &Sample,
        ladder: &Ladder,
        now: Instant,
    ) -> Result<Self, MediaError> {
        let caps = input::caps(ladder.codec, &keyframe.format);
        let (pipeline, src, sinks) = parts.build(&caps, &targets)?;
        let name = parts.encoder.name;
        let chain = Chain::run(name, pipeline, src, sinks, &ladder.wake, &ladder.cpu)?;
        let made = targets.into_iter().map(|target| Made {
            target,
            converter: Converter::new(Codec::H264, 0),
            pictures: 0,
            unanswered: None,
        });
        Ok(Self {
            chain,
            since: now,
            source: Arc::clone(&keyframe.format),
            made: made.collect(),
            pictures: 0,
            begun: false,
            behind: None,
        })
    }

    /// Goes on with pictures of another format; false when other rungs are to be made of them.
    pub(super) fn follow(&mut self, sample: &Sample, codec: Codec, rungs: &[Rung]) -> bool {
        if Arc::ptr_eq(&self.source, &sample.format) {
            return true;
        }
        let made = self.made.iter().map(|made| made.target);
        if !made.eq(Rung::targets(rungs, sample.format.size)) {
            return false;
        }
        self.source = Arc::clone(&sample.format);
        self.chain.set_caps(&input::caps(codec, &sample.format));
        true
    }

    /// Takes a picture.
    ///
    /// # Errors
    ///
    /// [`MediaError::Failed`].
    pub(super) fn push(&mut self, sample: &Sample, now: Instant) -> Result<(), MediaError> {
        // An encoder begins with one anyway, and GStreamer 1.22 takes no request before that.
        if sample.keyframe && std::mem::replace(&mut self.begun, true) {
            self.chain.force_keyframe(sample.pts);
        }
        for made in &mut self.made {
            made.unanswered.get_or_insert(now);
        }
        self.pictures += 1;
        self.chain.push_buffer(input::buffer(sample))
    }

    /// Gives what the rung of a rendition has made, if there is one.
    ///
    /// # Errors
    ///
    /// [`MediaError::Failed`].
    pub(super) fn poll(
        &mut self,
        rendition: RenditionId,
        out: &mut Vec<Sample>,
    ) -> Result<(), MediaError> {
        let mut made = self.made.iter_mut().enumerate();
        let Some((sink, made)) = made.find(|(_, made)| made.target.rendition == rendition) else {
            return Ok(());
        };
        while let Some(sample) = self.chain.poll_sample(sink) {
            made.pictures += 1;
            made.unanswered = None;
            let sample = made.converter.convert(&sample);
            out.extend(sample.map_err(|error| self.chain.failed(&error.to_string()))?);
        }
        Ok(())
    }

    /// How many pictures of the slowest rung are still to come out.
    pub(super) fn waiting(&self) -> u64 {
        let made = self.made.iter().map(|made| made.pictures).min();
        self.pictures.saturating_sub(made.unwrap_or(0))
    }

    /// What is left in the encoders, rung by rung, waited for.
    pub(super) fn finish(&mut self, mut take: impl FnMut(RenditionId, Vec<Sample>)) {
        self.chain.end();
        for (sink, made) in self.made.iter_mut().enumerate() {
            let samples = std::iter::from_fn(|| self.chain.drain_sample(sink));
            let samples = samples.filter_map(|sample| made.converter.convert(&sample).ok()?);
            take(made.target.rendition, samples.collect());
        }
    }

    /// Why it must be stopped.
    pub(super) fn check(&mut self, now: Instant) -> Option<MediaError> {
        if let Some(error) = self.chain.poll_error() {
            return Some(error);
        }
        let long = |since: &Option<Instant>, limit| {
            since.is_some_and(|since| now.saturating_duration_since(since) > limit)
        };
        // The last ones before a pause of the publisher stay in the decoder.
        let is_stalled = |made: &Made| {
            self.pictures.saturating_sub(made.pictures) > MOST_HELD && long(&made.unanswered, STALL)
        };
        if self.made.iter().any(is_stalled) {
            return Some(self.chain.failed("nothing comes out of it"));
        }
        match self.chain.is_behind() {
            true => self.behind.get_or_insert(now),
            false => {
                self.behind = None;
                return None;
            }
        };
        let advice =
            "it is slower than the pictures come; take a rung out of `hls.ladder`, or lower one";
        long(&self.behind, BEHIND).then(|| self.chain.failed(advice))
    }
}

/// A picture must come out of each encoder within this time.
const STALL: Duration = Duration::from_secs(5);
/// Pictures that a decoder may hold back (ITU-T H.264, clause A.3.1: `max_dec_frame_buffering`).
const MOST_HELD: u64 = 16;
/// So long a ladder may have more to do than it can.
const BEHIND: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::cpu::CpuTime;
    use crate::media::hls::Wake;
    use crate::media::hls::tests::record;
    use crate::stream::TrackId;

    const FRAME: i64 = 40_000_000;
    const GOP: usize = 10;

    /// Pictures with a keyframe every [`GOP`].
    fn pictures() -> Vec<Sample> {
        let units = record(
            TrackId(0),
            "videotestsrc num-buffers=35 ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 \
             ! vp9enc deadline=1 cpu-used=8 lag-in-frames=0 keyframe-max-dist=10",
        );
        let format = Arc::new(Format::vp9(0, 8, 1, 320, 240).unwrap());
        let picture = |(number, data): (usize, Vec<u8>)| Sample {
            dts: number as i64 * FRAME,
            pts: number as i64 * FRAME,
            duration: FRAME,
            keyframe: number % GOP == 0,
            data: data.into(),
            format: Arc::clone(&format),
        };
        let data = units.into_iter().map(|unit| unit.rtp);
        data.enumerate().map(picture).collect()
    }

    #[test]
    fn each_encoder_keeps_the_times_and_the_keyframes() {
        let pictures = pictures();
        let rung = |height, bitrate| Rung { height, bitrate };
        let settings = super::super::LadderSettings {
            every: vec![rung(120, 200_000), rung(90, 100_000)],
            ..Default::default()
        };
        let (wake, cpu) = (Wake::default(), CpuTime::default());
        let stream = "test".parse().unwrap();
        let ladder = Ladder::new(&stream, Codec::Vp9, &settings, &wake, &cpu).unwrap();
        let now = Instant::now();
        let wanted: Vec<_> = pictures.iter().map(|one| (one.pts, one.keyframe)).collect();
        for parts in Parts::each(Codec::Vp9) {
            let targets = Rung::targets(&ladder.rungs, (320, 240));
            let mut running = Running::start(parts, targets, &pictures[0], &ladder, now).unwrap();
            for picture in &pictures {
                running.push(picture, now).unwrap();
            }
            let mut rungs = Vec::new();
            running.finish(|rendition, samples| rungs.push((rendition, samples)));
            assert_eq!(rungs.len(), 2);
            for (rendition, samples) in rungs {
                let made: Vec<_> = samples.iter().map(|one| (one.pts, one.keyframe)).collect();
                assert_eq!(made, wanted, "{} of {}", rendition, parts.encoder.name);
                assert!(samples.iter().all(|one| one.dts == one.pts));
            }
        }
    }
}
