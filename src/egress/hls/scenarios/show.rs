//! A stream that is published, and players that look at all that there is of it.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mp4_atom::{Any, Decode};

use crate::egress::dash::validator::{Representation, Validator as ManifestValidator};
use crate::egress::hls::rendition::RenditionId;
use crate::egress::hls::segmenter::SegmenterSettings;
use crate::egress::hls::store::Recording;
use crate::egress::hls::timeline::Walls;
use crate::egress::hls::validator::{Playlist, Validator};
use crate::egress::hls::{
    Answered, Directives, File, Format, Library, LibrarySettings, Part, Resource, Sample, Segmenter,
};
use crate::rtp::MediaKind;
use crate::stream::StreamName;

pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const MILLI: i64 = 1_000_000;
pub(super) const WALL: i64 = 1_750_000_000 * SECOND;
/// `sample_is_non_sync_sample` (ISO/IEC 14496-12, section 8.8.3.1).
pub(super) const NON_SYNC: u32 = 0x0001_0000;
pub(super) const SOUND: i64 = 20 * MILLI;
pub(super) const VIDEO: RenditionId = RenditionId::Video(0);
pub(super) const LOW: RenditionId = RenditionId::Video(1);
pub(super) const AUDIO: RenditionId = RenditionId::Audio;
pub(super) const AAC: RenditionId = RenditionId::Aac;

/// When the first sample of a fragment is shown, in ticks.
pub(super) fn first_time(body: &Bytes) -> f64 {
    let Any::Moof(moof) = Any::decode(&mut &body[..]).unwrap() else {
        panic!("no moof");
    };
    let traf = &moof.traf[0];
    let first = traf.trun[0].samples.iter().next();
    let offset = first.and_then(|first| first.cts).unwrap_or(0);
    traf.tfdt.as_ref().unwrap().base_media_decode_time as f64 + offset as f64
}

/// A stream that is published, and its playlists as they were watched.
pub(super) struct Show {
    pub(super) library: Library,
    pub(super) stream: StreamName,
    pub(super) recording: Recording,
    pub(super) segmenter: Segmenter,
    pub(super) validator: Validator,
    pub(super) manifests: ManifestValidator,
    /// Segments that manifests listed, and that they left to the clock.
    pub(super) listed_segments: usize,
    pub(super) clocked_segments: usize,
    pub(super) now: Instant,
    pub(super) part: Duration,
    pub(super) formats: [Arc<Format>; 4],
    /// How long a frame of the published sound is.
    pub(super) sound: i64,
    pub(super) parts: Vec<Part>,
    pub(super) keyframes_wanted: usize,
    /// Parts that may have been hinted at and can't come: what they were of has gone.
    pub(super) broken_promises: usize,
}

pub(super) fn picture(width: u32) -> Arc<Format> {
    Arc::new(Format::vp9(0, 8, 1, width, 360).unwrap())
}

impl Show {
    pub(super) fn new() -> Self {
        Self::with_parts(Duration::from_millis(500))
    }

    pub(super) fn with_parts(part: Duration) -> Self {
        let library = Library::new(LibrarySettings {
            grace: Duration::from_secs(10),
            ..LibrarySettings::default()
        });
        let stream: StreamName = "show".parse().unwrap();
        let recording = library.record(&stream, 1000);
        Self {
            segmenter: segmenter(part, &recording),
            library,
            stream,
            recording,
            validator: Validator::default(),
            manifests: ManifestValidator::default(),
            listed_segments: 0,
            clocked_segments: 0,
            now: Instant::now(),
            part,
            formats: [
                picture(640),
                picture(320),
                Arc::new(Format::opus(2)),
                Arc::new(Format::aac(&[0x11, 0x90]).unwrap()),
            ],
            sound: SOUND,
            parts: Vec::new(),
            keyframes_wanted: 0,
            broken_promises: 0,
        }
    }

    /// A sample of a rendition; `order` is how much later it is shown than decoded.
    pub(super) fn sample(&mut self, id: RenditionId, dts: i64, order: i64, keyframe: bool) {
        let (format, duration) = match id {
            RenditionId::Video(layer) => (&self.formats[usize::from(layer)], 33 * MILLI),
            RenditionId::Audio => (&self.formats[2], self.sound),
            RenditionId::Aac => (&self.formats[3], 1024 * SECOND / 48_000),
        };
        let sample = Sample {
            dts,
            pts: dts + order,
            duration,
            keyframe,
            data: Bytes::from_static(b"sample"),
            format: Arc::clone(format),
        };
        self.segmenter.handle_sample(id, sample);
        self.work();
    }

    pub(super) fn work(&mut self) {
        let mut any = false;
        while let Some(part) = self.segmenter.poll_part().unwrap() {
            self.recording.push(part.clone());
            self.parts.push(part);
            any = true;
        }
        self.keyframes_wanted += usize::from(self.segmenter.poll_keyframe_request());
        if any {
            self.look();
        }
    }

    /// Looks at all playlists as a player may.
    pub(super) fn look(&mut self) {
        let presentation = self.library.get(&self.stream).unwrap();
        let mut videos = Vec::new();
        for id in RenditionId::all() {
            let ask = |skip| {
                let directives = Directives {
                    skip,
                    ..Directives::default()
                };
                match Arc::clone(&presentation).ask(File::Playlist(id), directives, self.now) {
                    Answered::Now(Resource::Playlist(list)) => {
                        Some(String::from_utf8(list.text.to_vec()).unwrap())
                    }
                    _ => None,
                }
            };
            let Some(text) = ask(false) else {
                continue;
            };
            let list = self.validator.see(id.name(), &text);
            if !list.ended {
                let delta = ask(true).unwrap();
                self.validator.compare_delta(&text, &delta);
            }
            self.fetch(&list);
            if id.kind() == MediaKind::Video {
                self.look_at_iframes(id, &list);
                videos.push((id, list));
            }
        }
        let index = File::of_path("index.m3u8").unwrap();
        if let Resource::Playlist(index) = presentation.get(index, self.now) {
            let text = String::from_utf8(index.text.to_vec()).unwrap();
            self.validator.compare_index(&text, &videos);
        }
        self.look_at_manifest();
    }

    /// Looks at the manifest of DASH: the segments are where it says that they are.
    pub(super) fn look_at_manifest(&mut self) {
        let presentation = self.library.get(&self.stream).unwrap();
        let file = File::of_dash_path("manifest.mpd").unwrap();
        let Resource::Playlist(manifest) = presentation.get(file, self.now) else {
            return;
        };
        let text = String::from_utf8(manifest.text.to_vec()).unwrap();
        let mpd = self.manifests.see(&text);
        let nexts = mpd.periods.iter().skip(1).map(|next| next.first);
        for (period, next) in mpd.periods.iter().zip(nexts.chain([u64::MAX])) {
            for it in &period.representations {
                self.listed_segments += it.timeline.len();
                // What comes after its end is of a period that is not known yet.
                let length = period
                    .duration
                    .zip(it.duration)
                    .map(|(all, one)| (all * it.timescale as f64 / one as f64).round() as u64);
                let end = next.min(length.map_or(u64::MAX, |count| period.first + count));
                self.check_segments(it, period.first..end, &text);
            }
        }
    }

    pub(super) fn check_segments(&mut self, it: &Representation, numbers: Range<u64>, text: &str) {
        let presentation = self.library.get(&self.stream).unwrap();
        let get = |path: &str| presentation.get(File::of_dash_path(path).unwrap(), self.now);
        let listed = |number: u64| {
            let index = number.checked_sub(it.first)? as usize;
            it.timeline.get(index).map(|(start, _)| *start)
        };
        assert!(
            matches!(get(&it.init), Resource::Media(_)),
            "{}: {text}",
            it.init
        );
        let known = numbers.start..numbers.end.min(numbers.start + 500);
        for number in known {
            let name = format!("{}-{number}.m4s", it.name);
            let expected = it
                .duration
                .map(|length| it.offset + (number - numbers.start) * length);
            let found = get(&name);
            let Resource::Media(media) = found else {
                // It is open, or the one after an open one, and would be waited for.
                let open = listed(number + 2).is_none() && matches!(found, Resource::NotYet);
                assert!(open || listed(number).is_none(), "{name}: {text}");
                continue;
            };
            let Some(expected) = expected.or(listed(number)) else {
                continue;
            };
            let begin = first_time(&media.body[0]);
            // A layer may be cut a little off; what goes by the clock may be a little off it.
            let near = if it.duration.is_some() { 0.3 } else { 0.02 };
            let off = (begin - expected as f64) / it.timescale as f64;
            assert!(off.abs() <= near, "{name} is off by {off}: {text}");
            self.clocked_segments += usize::from(it.duration.is_some());
        }
    }

    /// Looks at the I-frame playlist beside a rendition's own: what it names is a keyframe, and all of it.
    pub(super) fn look_at_iframes(&mut self, id: RenditionId, whole: &Playlist) {
        let presentation = self.library.get(&self.stream).unwrap();
        let file = File::of_path(&format!("{id}-iframes.m3u8")).unwrap();
        let Resource::Playlist(list) = presentation.get(file, self.now) else {
            panic!("{id} has no I-frame playlist");
        };
        let text = String::from_utf8(list.text.to_vec()).unwrap();
        let list = self.validator.see(&format!("{id}-iframes"), &text);
        self.validator.compare_iframes(whole, &list);
        for segment in &list.segments {
            let file = File::of_path(segment.uri.as_ref().unwrap()).unwrap();
            let Resource::Media(media) = presentation.get(file, self.now) else {
                panic!("{id} {}", segment.number);
            };
            let Any::Moof(moof) = Any::decode(&mut &media.body[0][..]).unwrap() else {
                panic!("no moof");
            };
            let trun = &moof.traf[0].trun[0];
            let first = trun.samples.iter().next().unwrap();
            let keyframe = first.flags.unwrap() & NON_SYNC == 0;
            let end = trun.data_offset.unwrap() as usize + first.size.unwrap() as usize;
            assert_eq!(segment.bytes, keyframe.then_some(end), "{text}");
        }
    }

    /// What a playlist names is there.
    pub(super) fn fetch(&self, list: &Playlist) {
        let presentation = self.library.get(&self.stream).unwrap();
        let uris = list.segments.iter().flat_map(|segment| {
            let parts = segment.parts.iter().map(|part| part.uri.clone());
            segment.uri.iter().cloned().chain(parts)
        });
        for uri in uris {
            let found = presentation.get(File::of_path(&uri).unwrap(), self.now);
            assert!(matches!(found, Resource::Media(_)), "{uri}: {found:?}");
        }
    }

    /// Pictures and sound of a span of time, in the order of their times.
    pub(super) fn span(&mut self, from: i64, to: i64, frame: i64, gop: i64) {
        self.tracks(&[(VIDEO, frame), (AUDIO, SOUND)], from, to, gop);
    }

    pub(super) fn tracks(&mut self, tracks: &[(RenditionId, i64)], from: i64, to: i64, gop: i64) {
        let mut samples: Vec<_> = tracks
            .iter()
            .flat_map(|(id, step)| {
                let count = (to - from) / step;
                (0..count).map(move |index| (from + index * step, *id))
            })
            .collect();
        samples.sort_unstable_by_key(|(time, id)| (*time, id.index()));
        for (time, id) in samples {
            let step = tracks.iter().find(|(other, _)| *other == id).unwrap().1;
            let keyframe = id.kind() == MediaKind::Audio || (time - from) % gop < step;
            self.sample(id, time, 0, keyframe);
        }
    }

    /// Another publisher of the same stream.
    pub(super) fn publish_again(&mut self) {
        self.broken_promises += RenditionId::COUNT;
        self.recording.end(self.now);
        self.look();
        self.recording = self.library.record(&self.stream, 9_999);
        self.segmenter = segmenter(self.part, &self.recording);
    }

    pub(super) fn finish(mut self) -> (Validator, Vec<Part>) {
        self.segmenter.handle_end();
        self.work();
        self.recording.end(self.now);
        self.library
            .handle_timeout(self.now + Duration::from_secs(11));
        self.look();
        let wrong = self.validator.false_hints();
        assert!(wrong.len() <= self.broken_promises, "{wrong:?}");
        check_media(&self.parts);
        (self.validator, self.parts)
    }
}

pub(super) fn segmenter(part: Duration, recording: &Recording) -> Segmenter {
    let mut segmenter = Segmenter::new(SegmenterSettings {
        target: Duration::from_secs(2),
        part,
        video: true,
        terms: recording.terms(),
        after: recording.progress(),
    });
    segmenter.handle_walls(walls());
    segmenter
}

pub(super) fn walls() -> Walls {
    let mut walls = Walls::default();
    for id in RenditionId::all() {
        walls.set(id, Some(WALL));
    }
    walls.reported = true;
    walls
}

/// The bytes say what the playlists say: time never goes back, also where another publisher goes on.
pub(super) fn check_media(parts: &[Part]) {
    for id in RenditionId::all() {
        let mut end = None;
        for part in parts.iter().filter(|part| part.rendition == id) {
            let Any::Moof(moof) = Any::decode(&mut &part.body[..]).unwrap() else {
                panic!("no moof");
            };
            let traf = &moof.traf[0];
            let start = traf.tfdt.as_ref().unwrap().base_media_decode_time;
            let samples = traf.trun[0].samples.iter();
            let length: u64 = samples
                .map(|sample| u64::from(sample.duration.unwrap()))
                .sum();
            if let Some(end) = end {
                assert!(start >= end, "{id} goes back in {}", part.segment);
            }
            end = Some(start + length);
        }
    }
}

pub(super) fn lengths(validator: &Validator, name: &str) -> Vec<i64> {
    let segments = validator.segments(name);
    segments
        .iter()
        .map(|segment| (segment.duration * 1000.0).round() as i64)
        .collect()
}

pub(super) fn breaks(validator: &Validator, name: &str) -> Vec<bool> {
    validator
        .segments(name)
        .iter()
        .map(|segment| segment.discontinuity)
        .collect()
}
