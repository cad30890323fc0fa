//! A media presentation description (ISO/IEC 23009-1, section 5), of one stream.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};

use super::xml::Xml;
use crate::rtp::MediaKind;

/// The manifest of a stream. Instants are wall-clock times in ns since 1970, which is also where its
/// timeline begins; media times are those in the boxes of the segments, in ns.
#[derive(Debug)]
pub struct Manifest {
    /// When it became what it is.
    pub published: i64,
    /// When the presentation ends, once that is known.
    pub end: Option<i64>,
    /// How often players look for a new one.
    pub update: Duration,
    /// How long segments are there for.
    pub depth: Duration,
    /// No segment is longer.
    pub segment: Duration,
    /// A segment that grows does so by so much.
    pub part: Duration,
    /// How far players stay behind.
    pub latency: Duration,
    /// The oldest first.
    pub periods: Vec<Period>,
}

/// A time in which the renditions, their formats and the way to number segments stay the same.
#[derive(Debug)]
pub struct Period {
    /// The number of its first segment, which also names it.
    pub first: u64,
    /// When it begins.
    pub start: i64,
    /// The same in media time.
    pub media: i64,
    /// How much later its newest media was made than `start` and media time say, by what is known now (ns).
    pub correction: i64,
    /// How long it lasts, where no other follows at once.
    pub duration: Option<i64>,
    /// It goes on with the same init segments as the one before.
    pub continuous: bool,
    /// What there is, the best first.
    pub representations: Vec<Representation>,
}

/// A rendition.
#[derive(Debug)]
pub struct Representation {
    /// Its name in URLs.
    pub name: &'static str,
    /// Audio or video.
    pub kind: MediaKind,
    /// The number of its init segment.
    pub init: u64,
    /// Its `CODECS` value.
    pub codecs: String,
    /// Bits a second of its largest segment.
    pub bandwidth: u64,
    /// Ticks a second of its clock.
    pub timescale: u32,
    /// Width and height of the picture.
    pub size: (u16, u16),
    /// Pictures a second.
    pub rate: f64,
    /// Audio channels.
    pub channels: u8,
    /// Which segments it has.
    pub addressing: Addressing,
}

/// How players know which segments there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// From the clock: all are as long as this (ns).
    Number {
        /// The length of a segment.
        duration: i64,
    },
    /// From a list of them, the first with this number.
    Timeline {
        /// The number of the first one.
        first: u64,
        /// One after the other.
        segments: Vec<TimelineEntry>,
    },
}

/// A segment in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    /// Where it begins, in media time.
    pub start: i64,
    /// Where the next one does; of one that grows, where it is expected.
    pub end: i64,
}

impl Manifest {
    /// The text of the manifest.
    pub fn write(&self) -> String {
        let mut xml = Xml::new();
        let mut attributes = vec![
            ("xmlns", "urn:mpeg:dash:schema:mpd:2011".to_owned()),
            ("profiles", PROFILES.to_owned()),
            ("type", "dynamic".to_owned()),
            ("availabilityStartTime", "1970-01-01T00:00:00Z".to_owned()),
            ("publishTime", date(self.published)),
            ("minBufferTime", duration(nanoseconds(self.part))),
            ("maxSegmentDuration", duration(nanoseconds(self.segment))),
            ("timeShiftBufferDepth", duration(nanoseconds(self.depth))),
            (
                "suggestedPresentationDelay",
                duration(nanoseconds(self.latency)),
            ),
        ];
        match self.end {
            Some(end) => attributes.push(("mediaPresentationDuration", duration(end))),
            None => attributes.push(("minimumUpdatePeriod", duration(nanoseconds(self.update)))),
        }
        xml.open("MPD", &attributes);
        xml.open("ServiceDescription", &[("id", "0".to_owned())]);
        let longest = self.latency + 2 * self.segment;
        let latency = [
            ("referenceId", "0".to_owned()),
            ("target", self.latency.as_millis().to_string()),
            ("max", longest.as_millis().to_string()),
        ];
        xml.empty("Latency", &latency);
        let (min, max) = ("0.96".to_owned(), "1.04".to_owned());
        xml.empty("PlaybackRate", &[("min", min), ("max", max)]);
        xml.close();
        let mut before = None;
        for period in &self.periods {
            self.period(&mut xml, period, before.filter(|_| period.continuous));
            before = Some(period.first);
        }
        utc_timing(&mut xml);
        xml.finish()
    }

    fn period(&self, xml: &mut Xml, period: &Period, before: Option<u64>) {
        let mut attributes = vec![
            ("id", period.first.to_string()),
            ("start", duration(period.start)),
        ];
        if let Some(length) = period.duration {
            attributes.push(("duration", duration(length)));
        }
        xml.open("Period", &attributes);
        for (id, kind) in [MediaKind::Video, MediaKind::Audio].into_iter().enumerate() {
            let all = period.representations.iter();
            let of_kind: Vec<_> = all.filter(|one| one.kind == kind).collect();
            let Some(first) = of_kind.first() else {
                continue;
            };
            xml.open(
                "AdaptationSet",
                &[
                    ("id", id.to_string()),
                    ("contentType", kind.to_string()),
                    ("mimeType", format!("{kind}/mp4")),
                    ("segmentAlignment", "true".to_owned()),
                    ("startWithSAP", "1".to_owned()),
                ],
            );
            if let Some(before) = before {
                let scheme = "urn:mpeg:dash:period-continuity:2015".to_owned();
                let value = ("value", before.to_string());
                xml.empty("SupplementalProperty", &[("schemeIdUri", scheme), value]);
            }
            xml.open(
                "ProducerReferenceTime",
                &[
                    ("id", "0".to_owned()),
                    ("type", "encoder".to_owned()),
                    ("wallClockTime", date(period.start + period.correction)),
                    ("presentationTime", first.ticks(period.media).to_string()),
                ],
            );
            // It is by the same clock.
            utc_timing(xml);
            xml.close();
            for representation in of_kind {
                self.representation(xml, period, representation);
            }
            xml.close();
        }
        xml.close();
    }

    fn representation(&self, xml: &mut Xml, period: &Period, it: &Representation) {
        let mut attributes = vec![
            ("id", it.name.to_owned()),
            ("codecs", it.codecs.clone()),
            ("bandwidth", it.bandwidth.max(1).to_string()),
        ];
        match it.kind {
            MediaKind::Video => {
                attributes.push(("width", it.size.0.to_string()));
                attributes.push(("height", it.size.1.to_string()));
                attributes.extend(frame_rate(it.rate).map(|rate| ("frameRate", rate)));
            }
            MediaKind::Audio => attributes.push(("audioSamplingRate", it.timescale.to_string())),
        }
        xml.open("Representation", &attributes);
        if it.kind == MediaKind::Audio {
            let scheme = "urn:mpeg:mpegB:cicp:ChannelConfiguration".to_owned();
            let value = ("value", it.channels.to_string());
            xml.empty(
                "AudioChannelConfiguration",
                &[("schemeIdUri", scheme), value],
            );
        }
        let (first, length) = match &it.addressing {
            Addressing::Number { duration } => (period.first, *duration),
            Addressing::Timeline { first, segments } => {
                let last = segments.last();
                (*first, last.map_or(0, |last| last.end - last.start))
            }
        };
        // A segment is there once it has its first part.
        let offset = (length - nanoseconds(self.part)).max(0);
        let mut attributes = vec![
            ("timescale", it.timescale.to_string()),
            ("presentationTimeOffset", it.ticks(period.media).to_string()),
            ("startNumber", first.to_string()),
            (
                "initialization",
                format!("{}-init-{}.mp4", it.name, it.init),
            ),
            ("media", format!("{}-$Number$.m4s", it.name)),
            ("availabilityTimeOffset", seconds(offset)),
            ("availabilityTimeComplete", "false".to_owned()),
        ];
        match &it.addressing {
            Addressing::Number { duration } => {
                attributes.push(("duration", it.ticks(*duration).to_string()));
                xml.empty("SegmentTemplate", &attributes);
            }
            Addressing::Timeline { segments, .. } => {
                xml.open("SegmentTemplate", &attributes);
                xml.open("SegmentTimeline", &[]);
                for segment in segments {
                    let (start, end) = (it.ticks(segment.start), it.ticks(segment.end));
                    xml.empty(
                        "S",
                        &[("t", start.to_string()), ("d", (end - start).to_string())],
                    );
                }
                xml.close();
                xml.close();
            }
        }
        xml.close();
    }
}

impl Representation {
    /// Rounded as the times in the boxes are.
    fn ticks(&self, time: i64) -> i64 {
        let ticks = i128::from(time.max(0)) * i128::from(self.timescale);
        ((ticks + 500_000_000) / 1_000_000_000) as i64
    }
}

/// A live presentation whose segments can be read while they grow (DASH-IF, low-latency modes for DASH).
const PROFILES: &str =
    "urn:mpeg:dash:profile:isoff-live:2011,http://www.dashif.org/guidelines/low-latency-live-v5";

/// Beside the manifest, so that it is right behind every proxy and with a right in the path.
fn utc_timing(xml: &mut Xml) {
    let scheme = "urn:mpeg:dash:utc:http-iso:2014".to_owned();
    xml.empty(
        "UTCTiming",
        &[("schemeIdUri", scheme), ("value", "time".to_owned())],
    );
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn date(time: i64) -> String {
    DateTime::from_timestamp_nanos(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// An `xs:duration`.
fn duration(time: i64) -> String {
    format!("PT{}S", seconds(time))
}

/// To the microsecond, without digits that say nothing.
fn seconds(time: i64) -> String {
    let micros = (time + 500) / 1000;
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A whole number, or a fraction where it is none.
fn frame_rate(rate: f64) -> Option<String> {
    let known = rate.is_finite() && rate >= 0.5;
    let whole = rate.round();
    let near = (rate - whole).abs() < 0.01;
    known.then(|| match near {
        true => format!("{whole}"),
        false => format!("{}/1000", (rate * 1000.0).round()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn video(addressing: Addressing) -> Representation {
        Representation {
            name: "video",
            kind: MediaKind::Video,
            init: 7,
            codecs: "avc1.42c01f".into(),
            bandwidth: 2_500_000,
            timescale: 90_000,
            size: (1280, 720),
            rate: 29.97003,
            channels: 0,
            addressing,
        }
    }

    fn period(first: u64, addressing: Addressing) -> Period {
        Period {
            first,
            start: 1_750_000_000 * SECOND + first as i64 * 2 * SECOND,
            media: SECOND + first as i64 * 2 * SECOND,
            correction: 0,
            duration: None,
            continuous: first > 7,
            representations: vec![video(addressing)],
        }
    }

    fn manifest() -> Manifest {
        let entry = |start, end| TimelineEntry {
            start: start * SECOND,
            end: end * SECOND,
        };
        let timeline = Addressing::Timeline {
            first: 8,
            segments: vec![entry(17, 19), entry(19, 20)],
        };
        let mut steady = period(
            10,
            Addressing::Number {
                duration: 2 * SECOND,
            },
        );
        steady.correction = 40_000_000;
        steady.representations.push(Representation {
            name: "audio",
            kind: MediaKind::Audio,
            codecs: "opus".into(),
            timescale: 48_000,
            channels: 2,
            size: (0, 0),
            rate: 0.0,
            bandwidth: 96_000,
            ..video(Addressing::Number {
                duration: 2 * SECOND,
            })
        });
        Manifest {
            published: 1_750_000_020 * SECOND,
            end: None,
            update: Duration::from_secs(2),
            depth: Duration::from_secs(20),
            segment: Duration::from_secs(2),
            part: Duration::from_millis(500),
            latency: Duration::from_millis(1_500),
            periods: vec![period(7, timeline), steady],
        }
    }

    #[test]
    fn a_manifest_says_what_there_is_and_when() {
        let text = manifest().write();
        for part in [
            "type=\"dynamic\"",
            "publishTime=\"2025-06-15T15:07:00.000Z\"",
            "minimumUpdatePeriod=\"PT2S\"",
            "suggestedPresentationDelay=\"PT1.5S\"",
            "<Latency referenceId=\"0\" target=\"1500\" max=\"5500\"/>",
            "<Period id=\"7\" start=\"PT1750000014S\">",
            "startNumber=\"8\" initialization=\"video-init-7.mp4\" media=\"video-$Number$.m4s\" \
             availabilityTimeOffset=\"0.5\" availabilityTimeComplete=\"false\"",
            "<S t=\"1530000\" d=\"180000\"/>\n      <S t=\"1710000\" d=\"90000\"/>",
            "value=\"7\"",
            "presentationTimeOffset=\"1890000\" startNumber=\"10\"",
            "availabilityTimeOffset=\"1.5\" availabilityTimeComplete=\"false\" duration=\"180000\"/>",
            "wallClockTime=\"2025-06-15T15:07:00.040Z\" presentationTime=\"1890000\"",
            "<Representation id=\"video\" codecs=\"avc1.42c01f\" bandwidth=\"2500000\" width=\"1280\" \
             height=\"720\" frameRate=\"29970/1000\">",
            "<Representation id=\"audio\" codecs=\"opus\" bandwidth=\"96000\" audioSamplingRate=\"48000\">",
            "ChannelConfiguration\" value=\"2\"",
            "<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"time\"/>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.matches("period-continuity").count(), 2, "{text}");
        // Of each adaptation set, and of all.
        assert_eq!(text.matches("<UTCTiming").count(), 4, "{text}");
    }

    #[test]
    fn a_presentation_that_has_ended_is_not_looked_for_again() {
        let mut manifest = manifest();
        manifest.end = Some(1_750_000_030 * SECOND);
        manifest.periods[1].duration = Some(10 * SECOND);
        let text = manifest.write();
        assert!(!text.contains("minimumUpdatePeriod"), "{text}");
        assert!(text.contains("mediaPresentationDuration=\"PT1750000030S\""));
        assert!(text.contains("start=\"PT1750000020S\" duration=\"PT10S\""));
    }

    #[test]
    fn numbers_are_short_and_exact() {
        assert_eq!(seconds(1_500_000_000), "1.5");
        assert_eq!(seconds(0), "0");
        assert_eq!(seconds(33_333_333), "0.033333");
        assert_eq!(frame_rate(30.0001).as_deref(), Some("30"));
        assert_eq!(frame_rate(12.5).as_deref(), Some("12500/1000"));
        assert_eq!(frame_rate(f64::NAN), None);
    }
}
