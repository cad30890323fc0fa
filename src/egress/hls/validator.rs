//! Checks playlists against the rules of RFC 8216 and draft-pantos-hls-rfc8216bis, as they are and as they
//! change. Only for tests; strict: what is a recommendation there is a rule here.

use std::collections::{BTreeMap, HashMap};

use super::rendition::RenditionId;

/// A playlist, taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Playlist {
    pub(crate) version: u64,
    pub(crate) target_duration: f64,
    pub(crate) first: u64,
    discontinuity_sequence: u64,
    pub(crate) part_target: Option<f64>,
    skipped: u64,
    pub(crate) segments: Vec<Segment>,
    hint: Option<String>,
    pub(crate) ended: bool,
    reports: Vec<String>,
    /// It lists keyframes.
    pub(crate) iframes: bool,
    /// Every segment begins with a keyframe.
    pub(crate) independent: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    /// None while it is open.
    pub(crate) uri: Option<String>,
    pub(crate) duration: f64,
    pub(crate) date: Option<f64>,
    pub(crate) discontinuity: bool,
    pub(crate) map: Option<String>,
    pub(crate) parts: Vec<Part>,
    /// From the first byte on.
    pub(crate) bytes: Option<usize>,
    gap: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) uri: String,
    pub(crate) duration: f64,
    pub(crate) independent: bool,
}

impl Playlist {
    /// Reads a playlist and checks what can be seen in it alone.
    pub(crate) fn read(text: &str) -> Self {
        let mut list = Self::default();
        let mut segment = Segment::default();
        let mut touched = false;
        assert!(
            text.starts_with("#EXTM3U\n") && text.ends_with('\n'),
            "{text}"
        );
        for line in text.lines().skip(1) {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-VERSION" => list.version = value.parse().unwrap(),
                "#EXT-X-TARGETDURATION" => list.target_duration = value.parse().unwrap(),
                "#EXT-X-MEDIA-SEQUENCE" => list.first = value.parse().unwrap(),
                "#EXT-X-DISCONTINUITY-SEQUENCE" => {
                    list.discontinuity_sequence = value.parse().unwrap();
                }
                "#EXT-X-INDEPENDENT-SEGMENTS" => list.independent = true,
                "#EXT-X-I-FRAMES-ONLY" => list.iframes = true,
                "#EXT-X-BYTERANGE" => {
                    let (length, start) = value.split_once('@').unwrap();
                    assert_eq!(start, "0", "a segment begins with its keyframe: {text}");
                    segment.bytes = Some(length.parse().unwrap());
                }
                "#EXT-X-GAP" => segment.gap = true,
                "#EXT-X-SERVER-CONTROL" => {
                    let all = attributes(value);
                    assert_eq!(all["CAN-BLOCK-RELOAD"], "YES", "{text}");
                    let skip: f64 = all["CAN-SKIP-UNTIL"].parse().unwrap();
                    assert!(skip >= 6.0 * list.target_duration, "{text}");
                    list.part_target = Some(all["PART-HOLD-BACK"].parse::<f64>().unwrap() / 3.0);
                }
                "#EXT-X-PART-INF" => {
                    let target: f64 = attributes(value)["PART-TARGET"].parse().unwrap();
                    assert!(
                        list.part_target.unwrap() >= target - 1e-6,
                        "hold-back: {text}"
                    );
                    list.part_target = Some(target);
                }
                "#EXT-X-SKIP" => {
                    list.skipped = attributes(value)["SKIPPED-SEGMENTS"].parse().unwrap();
                    assert!(list.skipped > 0 && list.version >= 9, "{text}");
                }
                "#EXT-X-MAP" => {
                    segment.map = Some(attributes(value)["URI"].clone());
                    touched = true;
                }
                "#EXT-X-PROGRAM-DATE-TIME" => segment.date = Some(date(value)),
                "#EXT-X-DISCONTINUITY" => {
                    segment.discontinuity = true;
                    touched = true;
                }
                "#EXT-X-PART" => {
                    let all = attributes(value);
                    segment.parts.push(Part {
                        uri: all["URI"].clone(),
                        duration: all["DURATION"].parse().unwrap(),
                        independent: all.contains_key("INDEPENDENT"),
                    });
                    touched = true;
                }
                "#EXTINF" => segment.duration = value.trim_end_matches(',').parse().unwrap(),
                "#EXT-X-PRELOAD-HINT" => list.hint = Some(attributes(value)["URI"].clone()),
                "#EXT-X-RENDITION-REPORT" => list.reports.push(attributes(value)["URI"].clone()),
                "#EXT-X-ENDLIST" => list.ended = true,
                _ if line.starts_with('#') => panic!("an unknown tag {tag} in {text}"),
                _ => {
                    segment.uri = Some(line.to_owned());
                    list.add(std::mem::take(&mut segment));
                    touched = false;
                }
            }
        }
        if touched {
            list.add(segment);
        }
        list.check(text);
        parse_with_others(text, &list);
        list
    }

    fn add(&mut self, mut segment: Segment) {
        segment.number = self.first + self.skipped + self.segments.len() as u64;
        self.segments.push(segment);
    }

    fn check(&self, text: &str) {
        assert!(self.target_duration >= 1.0, "{text}");
        assert!(self.version >= 6, "EXT-X-MAP needs version 6: {text}");
        let mut known_map = self.skipped > 0;
        for (index, segment) in self.segments.iter().enumerate() {
            let open = segment.uri.is_none();
            assert!(!open || index + 1 == self.segments.len(), "{text}");
            assert!(!open || !self.ended, "{text}");
            known_map |= segment.map.is_some();
            assert!(known_map, "a segment without a map: {text}");
            assert!(!segment.discontinuity || segment.map.is_some(), "{text}");
            assert!(segment.discontinuity <= segment.date.is_some(), "{text}");
            if !open {
                assert!(segment.date.is_some(), "a segment without a date: {text}");
                let rounded = segment.duration.round();
                assert!(rounded <= self.target_duration, "too long: {text}");
                if !segment.parts.is_empty() {
                    let sum: f64 = segment.parts.iter().map(|part| part.duration).sum();
                    assert!((sum - segment.duration).abs() < 0.002, "{sum}: {text}");
                }
            }
            let begin = segment.parts.first().filter(|_| self.independent);
            assert!(begin.is_none_or(|part| part.independent), "{text}");
            for (number, part) in segment.parts.iter().enumerate() {
                let target = self.part_target.expect("EXT-X-PART-INF");
                assert!(part.duration <= target + 1e-4, "part too long: {text}");
                let last = !open && number + 1 == segment.parts.len();
                let short = part.duration < 0.85 * target;
                assert!(!short || last || part.independent, "part too short: {text}");
            }
        }
        for segment in &self.segments {
            let listed = segment.bytes.is_some_and(|bytes| bytes > 0);
            assert_eq!(self.iframes, listed || segment.gap, "a keyframe: {text}");
            assert!(!(listed && segment.gap), "a gap with bytes: {text}");
            assert!(!self.iframes || segment.parts.is_empty(), "{text}");
        }
        for pair in self.segments.windows(2) {
            if let (Some(one), Some(other)) = (pair[0].date, pair[1].date)
                && !pair[1].discontinuity
            {
                let gap = other - one - pair[0].duration;
                assert!(gap.abs() < 0.062, "dates don't follow ({gap}): {text}");
            }
        }
        let hints = !self.ended && !self.iframes;
        assert!(hints || self.hint.is_none(), "{text}");
        // What a discontinuity begins can't be hinted at: its tags come with it.
        let open = self.segments.last().is_some_and(|last| last.uri.is_none());
        assert!(!open || self.hint.is_some(), "{text}");
        let mut uris: Vec<_> = self.segments.iter().filter_map(|s| s.uri.clone()).collect();
        uris.extend(
            self.segments
                .iter()
                .flat_map(|s| &s.parts)
                .map(|part| part.uri.clone()),
        );
        uris.extend(self.hint.clone());
        let count = uris.len();
        uris.sort();
        uris.dedup();
        assert_eq!(uris.len(), count, "a URI twice: {text}");
    }

    /// The discontinuities before and at each segment.
    fn discontinuities(&self) -> Vec<(u64, u64)> {
        let mut count = self.discontinuity_sequence;
        let segments = self.segments.iter();
        segments
            .map(|segment| {
                count += u64::from(segment.discontinuity);
                (segment.number, count)
            })
            .collect()
    }
}

/// What one playlist was over time.
#[derive(Debug, Default)]
struct History {
    last: Option<Playlist>,
    known: BTreeMap<u64, Segment>,
    hints: Vec<String>,
}

/// Watches the playlists of a stream change.
#[derive(Debug, Default)]
pub(crate) struct Validator {
    histories: HashMap<String, History>,
    /// Of each segment, as whichever playlist said it first.
    discontinuities: BTreeMap<u64, u64>,
    target_duration: Option<f64>,
}

impl Validator {
    /// Takes a playlist as it is now.
    pub(crate) fn see(&mut self, name: &str, text: &str) -> Playlist {
        let list = Playlist::read(text);
        let known = *self.target_duration.get_or_insert(list.target_duration);
        assert_eq!(
            known, list.target_duration,
            "{name}: the target duration changed: {text}"
        );
        for (number, count) in list.discontinuities() {
            let known = *self.discontinuities.entry(number).or_insert(count);
            assert_eq!(known, count, "{name}: discontinuities at {number}: {text}");
        }
        let history = self.histories.entry(name.to_owned()).or_default();
        if let Some(last) = &history.last {
            assert!(list.first >= last.first, "{name} goes back: {text}");
            assert!(
                !last.ended || list.ended || list.first >= last.first,
                "{text}"
            );
            if let (Some(before), Some(now)) = (last.part_target, list.part_target) {
                assert_eq!(before, now, "{name}: the part target changed: {text}");
            }
            assert!(
                list.discontinuity_sequence >= last.discontinuity_sequence,
                "{name}: {text}"
            );
        }
        for segment in &list.segments {
            let known = history
                .known
                .entry(segment.number)
                .or_insert_with(|| segment.clone());
            assert_eq!(known.discontinuity, segment.discontinuity, "{name}: {text}");
            if known.uri.is_some() && segment.uri.is_some() {
                assert_eq!(
                    (&known.uri, known.duration, known.date),
                    (&segment.uri, segment.duration, segment.date),
                    "{name}: a segment changed: {text}"
                );
            }
            let common = known.parts.len().min(segment.parts.len());
            assert_eq!(
                known.parts[..common],
                segment.parts[..common],
                "{name}: {text}"
            );
            if segment.parts.len() >= known.parts.len() || segment.uri.is_some() {
                let parts = std::mem::take(&mut known.parts);
                *known = segment.clone();
                if known.parts.len() < parts.len() {
                    known.parts = parts;
                }
            }
        }
        history.hints.extend(list.hint.clone());
        history.hints.dedup();
        history.last = Some(list.clone());
        list
    }

    /// Checks that an I-frame playlist is of the whole segments of a rendition.
    pub(crate) fn compare_iframes(&self, whole: &Playlist, iframes: &Playlist) {
        let key = |segment: &Segment| {
            let (duration, date) = (segment.duration, segment.date);
            let uri = segment.uri.clone().unwrap_or_default();
            (segment.number, uri, duration, date, segment.discontinuity)
        };
        let segments = whole
            .segments
            .iter()
            .filter(|segment| segment.uri.is_some());
        let frames = iframes.segments.iter().map(key);
        assert_eq!(
            segments.map(key).collect::<Vec<_>>(),
            frames.collect::<Vec<_>>()
        );
        assert!(iframes.iframes && !whole.iframes && iframes.ended == whole.ended);
    }

    /// Checks that the multivariant playlist promises no more of its videos' segments than these playlists do.
    pub(crate) fn compare_index(&self, index: &str, videos: &[(RenditionId, Playlist)]) {
        let promises = index.contains("#EXT-X-INDEPENDENT-SEGMENTS\n");
        for (id, video) in videos {
            let listed = index.contains(&format!("\n{id}.m3u8\n"));
            let keeps = !promises || !listed || video.independent;
            assert!(keeps, "{id} has a segment without keyframe: {index}");
        }
    }

    /// Checks that a delta update is the whole playlist without its begin.
    pub(crate) fn compare_delta(&self, whole: &str, delta: &str) {
        let (whole, delta) = (Playlist::read(whole), Playlist::read(delta));
        assert_eq!(whole.first, delta.first);
        let skipped = usize::try_from(delta.skipped).unwrap();
        let mut rest = whole.segments[skipped..].to_vec();
        if let (Some(first), Some(delta)) = (rest.first_mut(), delta.segments.first()) {
            first.map = delta.map.clone();
        }
        assert_eq!(rest, delta.segments);
        // Only what is far enough from the end may be skipped.
        let after: f64 = rest.iter().map(|segment| segment.duration).sum();
        let open: f64 = rest
            .iter()
            .filter(|segment| segment.uri.is_none())
            .flat_map(|s| &s.parts)
            .map(|part| part.duration)
            .sum();
        assert!(delta.skipped == 0 || after + open >= 6.0 * whole.target_duration - 0.001);
    }

    /// How many hints did not come true, but for the last one of each playlist.
    pub(crate) fn false_hints(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, history) in &self.histories {
            let parts: Vec<_> = history
                .known
                .values()
                .flat_map(|segment| segment.parts.iter().map(|part| &part.uri))
                .collect();
            for hint in history.hints.iter().rev().skip(1) {
                if !parts.contains(&hint) {
                    wrong.push(format!("{name}: {hint}"));
                }
            }
        }
        wrong
    }

    /// The numbers of all segments that a playlist has had.
    pub(crate) fn segments(&self, name: &str) -> Vec<&Segment> {
        self.histories
            .get(name)
            .map(|history| history.known.values().collect())
            .unwrap_or_default()
    }
}

/// Other readers take it too, as far as they know the tags.
fn parse_with_others(text: &str, list: &Playlist) {
    let (rest, parsed) = m3u8_rs::parse_media_playlist(text.as_bytes()).unwrap();
    assert!(rest.is_empty(), "{text}");
    let whole = list.segments.iter().filter(|segment| segment.uri.is_some());
    assert_eq!(parsed.segments.len(), whole.count(), "{text}");
    assert_eq!(parsed.media_sequence, list.first);
    super::playlist::tests::read_back(text);
}

fn attributes(list: &str) -> HashMap<String, String> {
    let mut all = HashMap::new();
    let mut rest = list;
    while let Some((name, value)) = rest.split_once('=') {
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap(),
            None => value.split_at(value.find(',').unwrap_or(value.len())),
        };
        all.insert(name.to_owned(), value.to_owned());
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    all
}

/// Seconds since 1970.
fn date(text: &str) -> f64 {
    let date = chrono::DateTime::parse_from_rfc3339(text).unwrap();
    date.timestamp_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12,PART-HOLD-BACK=3\n\
        #EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-MAP:URI=\"i.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:54.000Z\n\
        #EXT-X-PART:DURATION=1,URI=\"5.0\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=1,URI=\"5.1\"\n\
        #EXTINF:2,\n5\n#EXT-X-PART:DURATION=1,URI=\"6.0\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"6.1\"\n";

    const IFRAMES: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"i.mp4\"\n\
        #EXT-X-BYTERANGE:900@0\n#EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:54.000Z\n#EXTINF:2,\n5\n\
        #EXT-X-GAP\n#EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:56.000Z\n#EXTINF:2,\n6\n";

    #[test]
    fn a_good_playlist_passes() {
        let list = Playlist::read(GOOD);
        assert_eq!((list.segments.len(), list.segments[1].parts.len()), (2, 1));
    }

    /// A validator that lets everything pass would be worth nothing.
    #[test]
    fn each_fault_is_found() {
        for (good, bad) in [
            ("#EXTINF:2,", "#EXTINF:2.6,"),
            ("DURATION=1,URI=\"5.0\"", "DURATION=1.1,URI=\"5.0\""),
            ("DURATION=1,URI=\"6.0\"", "DURATION=0.8,URI=\"6.0\""),
            ("PART-HOLD-BACK=3", "PART-HOLD-BACK=2.9"),
            ("CAN-SKIP-UNTIL=12", "CAN-SKIP-UNTIL=11"),
            ("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"6.1\"\n", ""),
            ("#EXT-X-MAP:URI=\"i.mp4\"\n", ""),
            ("URI=\"6.1\"", "URI=\"6.0\""),
            ("#EXT-X-PROGRAM-DATE-TIME:2025-06-15T15:06:54.000Z\n", ""),
            ("VERSION:6", "VERSION:5"),
            (
                "#EXT-X-MEDIA-SEQUENCE",
                "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MEDIA-SEQUENCE",
            ),
        ] {
            assert!(GOOD.contains(good), "{good}");
            let text = GOOD.replacen(good, bad, 1);
            assert!(
                std::panic::catch_unwind(|| Playlist::read(&text)).is_err(),
                "{bad}"
            );
        }
        let iframes = |from: &str, to: &str| {
            assert!(IFRAMES.contains(from), "{from}");
            let text = IFRAMES.replacen(from, to, 1);
            std::panic::catch_unwind(|| Playlist::read(&text))
        };
        assert!(iframes("#EXTM3U", "#EXTM3U").is_ok());
        for (from, to) in [
            ("#EXT-X-BYTERANGE:900@0\n", ""),
            ("900@0", "900@1"),
            ("900@0", "900"),
            ("900@0", "0@0"),
            ("#EXT-X-GAP\n", ""),
            ("#EXT-X-GAP\n", "#EXT-X-GAP\n#EXT-X-BYTERANGE:7@0\n"),
            ("#EXT-X-I-FRAMES-ONLY\n", ""),
            (
                "#EXTINF:2,\n6",
                "#EXT-X-PART:DURATION=1,URI=\"6.0\"\n#EXTINF:2,\n6",
            ),
        ] {
            assert!(iframes(from, to).is_err(), "{to}");
        }
        let (whole, iframes) = (Playlist::read(GOOD), Playlist::read(IFRAMES));
        let (mut one, mut late) = (iframes.clone(), iframes.clone());
        one.segments.pop();
        late.segments[0].duration = 1.9;
        for (list, good) in [(one, true), (iframes, false), (late, false)] {
            let compared = std::panic::catch_unwind(|| {
                Validator::default().compare_iframes(&whole, &list);
            });
            assert_eq!(compared.is_ok(), good, "{list:?}");
        }
        let changed = |from: &str, to: &str| {
            let mut validator = Validator::default();
            validator.see("video", GOOD);
            let text = GOOD.replace(from, to);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                validator.see("video", &text);
            }))
        };
        for (from, to) in [
            ("SEQUENCE:5", "SEQUENCE:4"),
            ("TARGETDURATION:2", "TARGETDURATION:1"),
            ("\n5\n", "\nother\n"),
            ("URI=\"6.0\"", "URI=\"6.9\""),
        ] {
            assert!(changed(from, to).is_err(), "{to}");
        }
        assert!(changed("nothing", "").is_ok());
        let index =
            "#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvideo.m3u8\n";
        for (index, good) in [
            (index.to_owned(), false),
            (index.replace("#EXT-X-INDEPENDENT-SEGMENTS\n", ""), true),
            (index.replace("video.m3u8", "video1.m3u8"), true),
        ] {
            let videos = [(RenditionId::Video(0), whole.clone())];
            let compared = std::panic::catch_unwind(|| {
                Validator::default().compare_index(&index, &videos);
            });
            assert_eq!(compared.is_ok(), good, "{index}");
        }
    }
}
