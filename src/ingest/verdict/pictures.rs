//! The frames of a layer: their order, the keyframes among them, and what belongs ahead of these.

use std::time::{Duration, Instant};

use super::report::Defect;
use crate::rtp::h264::ProfileLevelId;
use crate::rtp::keyframe::is_h264_b_picture;
use crate::rtp::{Codec, ParameterSets};

/// How many frames back is looked for one that is shown later. H.264 and H.265 allow 16.
const FRAMES: usize = 16;
/// Keyframe intervals that are compared.
const INTERVALS: usize = 5;
/// Longer than this from keyframe to keyframe is too long.
const LONG: Duration = Duration::from_millis(4_200);
/// A keyframe so soon after a request is the answer to it.
const PROMPT: Duration = Duration::from_secs(1);
/// After this it is none.
const PATIENCE: Duration = Duration::from_secs(3);
/// Changes of size are counted over this time.
const MINUTE: Duration = Duration::from_secs(60);
/// So many of them in that time are too many.
const RESIZES: usize = 4;
/// Frames that come late are told from a jump of the timestamps by this, in units of 90 kHz: 2 s.
const MAX_REORDER: u32 = 180_000;

/// The frames of a video layer in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    /// The timestamps of the last frames.
    last: Ring<u32, FRAMES>,
    pub(super) frames: u64,
    /// Of the others, shown ahead of an earlier one.
    reordered: u64,
    pub(super) depth: u8,
    /// Frames that are predicted from both directions, where the bitstream tells.
    bidirectional: u64,
    keyframe: Option<Keyframe>,
    intervals: Ring<Duration, INTERVALS>,
    pub(super) interval: Option<Duration>,
    requests: Requests,
    size: Option<(u16, u16)>,
    resizes: Ring<Instant, RESIZES>,
    /// Keyframes one after another that lacked something.
    lacking: u8,
    missing: &'static str,
    pub(super) sent: Option<ProfileLevelId>,
}

/// The last keyframe.
#[derive(Clone, Copy, Debug)]
struct Keyframe {
    at: Instant,
    timestamp: u32,
    sets: ParameterSets,
    /// Its parameter sets have been looked for.
    done: bool,
}

#[derive(Debug, Default)]
struct Requests {
    /// The first that was not answered.
    waiting: Option<Instant>,
    /// Whether the last keyframe that could be an answer was one; none before.
    answers: Option<bool>,
    ignored: u32,
}

impl Pictures {
    /// A packet of the frame with this timestamp, the newest in the order of sending.
    pub(super) fn handle_packet(&mut self, timestamp: u32, codec: Codec, payload: &[u8]) {
        if codec == Codec::H264 && is_h264_b_picture(payload) == Some(true) {
            self.bidirectional += 1;
        }
        if self.last.newest() == Some(&timestamp) {
            return;
        }
        self.frames += 1;
        let later = |other: &&u32| {
            let ahead = other.wrapping_sub(timestamp);
            (1..MAX_REORDER).contains(&ahead)
        };
        let depth = self.last.iter().filter(later).count() as u8;
        if depth > 0 {
            self.reordered += 1;
            self.depth = self.depth.max(depth);
        }
        self.last.push(timestamp);
    }

    /// What the packet of a keyframe holds besides pictures.
    pub(super) fn handle_sets(&mut self, timestamp: u32, sets: ParameterSets) {
        if let Some(keyframe) = &mut self.keyframe
            && keyframe.timestamp == timestamp
        {
            keyframe.sets.sequence |= sets.sequence;
            keyframe.sets.picture |= sets.picture;
        }
    }

    /// Whether this is the timestamp of the last keyframe.
    pub(super) fn is_keyframe(&self, timestamp: u32) -> bool {
        self.keyframe
            .is_some_and(|keyframe| keyframe.timestamp == timestamp)
    }

    pub(super) fn begin_keyframe(
        &mut self,
        now: Instant,
        timestamp: u32,
        size: Option<(u16, u16)>,
    ) {
        let before = self.keyframe.replace(Keyframe {
            at: now,
            timestamp,
            sets: ParameterSets::default(),
            done: false,
        });
        let asked = self.requests.waiting.take();
        let is_answer = asked.is_some_and(|asked| now < asked + PROMPT);
        if asked.is_some() {
            self.requests.answers = Some(is_answer);
        }
        if let Some(before) = before {
            let interval = now.saturating_duration_since(before.at);
            self.interval = Some(interval);
            // One that was asked for comes at any time, and the next may count from it.
            if is_answer {
                self.intervals.clear();
            } else {
                self.intervals.push(interval);
            }
        }
        if size.is_some() && self.size != size {
            if self.size.is_some() {
                self.resizes.push(now);
            }
            self.size = size;
        }
    }

    /// A keyframe was asked for.
    pub(super) fn handle_request(&mut self, now: Instant) {
        self.requests.waiting.get_or_insert(now);
    }

    /// Another source sends from now on: its order and its keyframes are its own.
    pub(super) fn restart(&mut self) {
        self.last.clear();
        self.keyframe = None;
        self.intervals.clear();
        self.requests.waiting = None;
    }

    /// What is wrong with the frames. `comes` says whether media came of late. Returns whether a
    /// keyframe is to be asked for: nobody has needed one, and whether the publisher answers decides if
    /// the interval is too long.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        codec: Codec,
        comes: bool,
        found: &mut Vec<Defect>,
    ) -> bool {
        self.look_for_answers(now, comes);
        self.look_for_sets(now, codec);
        let frames = self.reordered.max(self.bidirectional);
        if frames > 0 {
            found.push(Defect::BFrames {
                depth: self.depth,
                share: frames as f32 / self.frames.max(frames) as f32,
            });
        }
        let answers = self.requests.answers;
        if self.requests.ignored > 0 && answers == Some(false) {
            let times = self.requests.ignored;
            found.push(Defect::KeyframeRequestsIgnored { times });
        }
        let age = self
            .keyframe
            .map(|keyframe| now.saturating_duration_since(keyframe.at));
        let longest = self.intervals.iter().copied().max();
        // Browsers send keyframes on request only, which is better than any interval.
        let interval = longest.max(age.filter(|_| comes));
        let long = interval.filter(|interval| *interval > LONG);
        if let (Some(interval), Some(false)) = (long, answers) {
            found.push(Defect::LongKeyframeInterval { interval });
        }
        if let (Some(shortest), Some(longest), true) = (
            self.intervals.iter().copied().min(),
            longest,
            self.intervals.is_full(),
        ) && longest > 2 * shortest
            && longest > PROMPT
        {
            found.push(Defect::IrregularKeyframes { shortest, longest });
        }
        if self.lacking >= 2 {
            let missing = self.missing;
            found.push(Defect::NoParameterSets { missing });
        }
        let resizes = self.resizes.iter().filter(|at| now < **at + MINUTE);
        if resizes.count() == RESIZES {
            let count = RESIZES as u8;
            found.push(Defect::ResolutionChanges { count });
        }
        long.is_some() && answers.is_none()
    }

    fn look_for_answers(&mut self, now: Instant, comes: bool) {
        if self
            .requests
            .waiting
            .take_if(|since| *since + PATIENCE <= now)
            .is_some()
            && comes
        {
            self.requests.ignored += 1;
            self.requests.answers = Some(false);
        }
    }

    /// Once for each keyframe, some time after it began: its parameter sets may come in packets of
    /// their own, and out of order.
    fn look_for_sets(&mut self, now: Instant, codec: Codec) {
        if !matches!(codec, Codec::H264 | Codec::H265) {
            return;
        }
        let Some(keyframe) = &mut self.keyframe else {
            return;
        };
        if keyframe.done || now < keyframe.at + Duration::from_millis(200) {
            return;
        }
        keyframe.done = true;
        self.missing = match keyframe.sets {
            ParameterSets {
                sequence: true,
                picture: true,
            } => {
                self.lacking = 0;
                return;
            }
            ParameterSets { sequence: true, .. } => "a picture parameter set (PPS)",
            ParameterSets { picture: true, .. } => "a sequence parameter set (SPS)",
            _ => "parameter sets (SPS and PPS)",
        };
        self.lacking = self.lacking.saturating_add(1);
    }
}

/// The last few of something.
#[derive(Debug)]
pub(super) struct Ring<T, const N: usize> {
    items: [Option<T>; N],
    next: usize,
}

impl<T: Copy, const N: usize> Default for Ring<T, N> {
    fn default() -> Self {
        Self {
            items: [None; N],
            next: 0,
        }
    }
}

impl<T: Copy, const N: usize> Ring<T, N> {
    pub(super) fn push(&mut self, item: T) {
        self.items[self.next] = Some(item);
        self.next = (self.next + 1) % N;
    }

    pub(super) fn newest(&self) -> Option<&T> {
        self.items[(self.next + N - 1) % N].as_ref()
    }

    /// In no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().flatten()
    }

    pub(super) fn is_full(&self) -> bool {
        self.items.iter().all(Option::is_some)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
