//! Checks manifests against the rules of ISO/IEC 23009-1, as they are and as they change. Only for tests.

use std::collections::HashMap;

/// A manifest, taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mpd {
    pub(crate) ended: bool,
    published: String,
    pub(crate) periods: Vec<Period>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Period {
    /// The number of its first segment.
    pub(crate) first: u64,
    start: f64,
    pub(crate) duration: Option<f64>,
    pub(crate) representations: Vec<Representation>,
}

/// What must not change while a period is there, and the list of segments, which may grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Representation {
    pub(crate) name: String,
    pub(crate) init: String,
    pub(crate) timescale: u64,
    pub(crate) offset: u64,
    /// The number of the first segment that is listed.
    pub(crate) first: u64,
    /// In ticks, when all segments are as long.
    pub(crate) duration: Option<u64>,
    /// Begin and length in ticks.
    pub(crate) timeline: Vec<(u64, u64)>,
}

impl Mpd {
    /// Reads a manifest and checks what can be seen in it alone.
    pub(crate) fn read(text: &str) -> Self {
        let mut mpd = Self::default();
        let mut open: Vec<&str> = Vec::new();
        let body = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        for line in body.expect("a declaration").lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("</") {
                assert_eq!(open.pop(), name.strip_suffix('>'), "{text}");
                continue;
            }
            let tag = line.strip_prefix('<').expect("an element");
            let (inner, whole) = match tag.strip_suffix("/>") {
                Some(inner) => (inner, true),
                None => (tag.strip_suffix('>').expect("an end"), false),
            };
            let (name, rest) = inner.split_once(' ').unwrap_or((inner, ""));
            mpd.element(name, &attributes(rest), text);
            if !whole {
                open.push(name);
            }
        }
        assert!(open.is_empty() && !mpd.periods.is_empty(), "{text}");
        mpd.check(text);
        mpd
    }

    fn element(&mut self, name: &str, all: &HashMap<String, String>, text: &str) {
        let number = |name: &str| all[name].parse::<u64>().unwrap();
        match name {
            "MPD" => {
                self.ended = all.contains_key("mediaPresentationDuration");
                let updated = all.contains_key("minimumUpdatePeriod");
                assert_ne!(self.ended, updated, "{text}");
                self.published = all["publishTime"].clone();
            }
            "Period" => self.periods.push(Period {
                first: number("id"),
                start: seconds(&all["start"]),
                duration: all.get("duration").map(|text| seconds(text)),
                representations: Vec::new(),
            }),
            "Representation" => {
                assert!(
                    number("bandwidth") > 0 && !all["codecs"].is_empty(),
                    "{text}"
                );
                let name = all["id"].clone();
                let new = Representation {
                    name,
                    ..Representation::default()
                };
                self.periods.last_mut().unwrap().representations.push(new);
            }
            "SegmentTemplate" => {
                let it = self.representation();
                it.init = all["initialization"].clone();
                it.timescale = number("timescale");
                it.offset = number("presentationTimeOffset");
                it.first = number("startNumber");
                it.duration = all.get("duration").map(|text| text.parse().unwrap());
                assert_eq!(all["availabilityTimeComplete"], "false", "{text}");
                assert_eq!(all["media"], format!("{}-$Number$.m4s", it.name), "{text}");
            }
            "S" => {
                let (start, length) = (number("t"), number("d"));
                let timeline = &mut self.representation().timeline;
                if let Some((before, lasted)) = timeline.last() {
                    assert_eq!(before + lasted, start, "a gap in the list: {text}");
                }
                assert!(length > 0, "{text}");
                timeline.push((start, length));
            }
            _ => {}
        }
    }

    fn representation(&mut self) -> &mut Representation {
        let period = self.periods.last_mut().unwrap();
        period.representations.last_mut().unwrap()
    }

    fn check(&self, text: &str) {
        for pair in self.periods.windows(2) {
            assert!(pair[0].first < pair[1].first, "{text}");
            let end = pair[0].start + pair[0].duration.unwrap_or(0.0);
            assert!(end <= pair[1].start + 1e-5, "periods overlap: {text}");
        }
        let last = self.periods.last().unwrap();
        assert!(!self.ended || last.duration.is_some(), "an end: {text}");
        for period in &self.periods {
            assert!(
                !period.representations.is_empty(),
                "an empty period: {text}"
            );
            for it in &period.representations {
                let listed = !it.timeline.is_empty();
                assert_ne!(it.duration.is_some(), listed, "a length or a list: {text}");
                assert!(it.first >= period.first && it.timescale > 0, "{text}");
            }
        }
    }
}

/// Watches the manifest of a stream change.
#[derive(Debug, Default)]
pub(crate) struct Validator {
    last: Option<Mpd>,
}

impl Validator {
    /// Takes the manifest as it is now: what players know of a period stays true.
    pub(crate) fn see(&mut self, text: &str) -> Mpd {
        let mpd = Mpd::read(text);
        if let Some(last) = &self.last {
            assert!(mpd.published >= last.published, "{text}");
            for period in &mpd.periods {
                let known = last
                    .periods
                    .iter()
                    .find(|known| known.first == period.first);
                let Some(known) = known else {
                    let newest = last.periods.last().unwrap().first;
                    assert!(period.first > newest, "a period from nowhere: {text}");
                    continue;
                };
                assert_eq!(known.start, period.start, "{text}");
                for it in &period.representations {
                    let same = |known: &&Representation| known.name == it.name;
                    let known = known.representations.iter().find(same);
                    known.expect("a rendition within a period").check(it, text);
                }
            }
        }
        self.last = Some(mpd.clone());
        mpd
    }
}

impl Representation {
    fn check(&self, now: &Self, text: &str) {
        let key = |it: &Self| (it.init.clone(), it.timescale, it.offset, it.duration);
        assert_eq!(key(self), key(now), "{}: {text}", now.name);
        assert!(now.first >= self.first, "{}: {text}", now.name);
        // But for the newest, of which one may have been open and the other expected.
        let settled = self.timeline.len().saturating_sub(2);
        for (number, entry) in (self.first..).zip(&self.timeline[..settled]) {
            let index = number
                .checked_sub(now.first)
                .and_then(|at| usize::try_from(at).ok());
            let again = index.and_then(|index| now.timeline.get(index));
            assert!(
                again.is_none_or(|again| again == entry),
                "{} {number} was {entry:?}, is {again:?}: {text}",
                now.name
            );
        }
    }
}

/// Of an element; no value of ours holds a quote.
fn attributes(text: &str) -> HashMap<String, String> {
    let mut all = HashMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').expect("the end of a value");
        let known = all.insert(name.trim().to_owned(), value.to_owned());
        assert!(known.is_none(), "{name} twice");
        rest = after;
    }
    assert!(rest.trim().is_empty(), "{rest}");
    all
}

fn seconds(text: &str) -> f64 {
    let number = text
        .strip_prefix("PT")
        .and_then(|text| text.strip_suffix('S'));
    number.expect("a duration").parse().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <MPD publishTime=\"2025-06-15T15:07:00.000Z\" minimumUpdatePeriod=\"PT2S\">\n\
        <Period id=\"7\" start=\"PT14S\" duration=\"PT4S\">\n<Representation id=\"v\" codecs=\"c\" bandwidth=\"9\">\n\
        <SegmentTemplate timescale=\"10\" presentationTimeOffset=\"5\" startNumber=\"7\" initialization=\"i7\" \
        media=\"v-$Number$.m4s\" availabilityTimeComplete=\"false\">\n\
        <S t=\"5\" d=\"20\"/>\n<S t=\"25\" d=\"19\"/>\n<S t=\"44\" d=\"1\"/>\n</SegmentTemplate>\n\
        </Representation>\n</Period>\n\
        <Period id=\"9\" start=\"PT20S\">\n<Representation id=\"v\" codecs=\"c\" bandwidth=\"9\">\n\
        <SegmentTemplate timescale=\"10\" presentationTimeOffset=\"65\" startNumber=\"9\" initialization=\"i9\" \
        media=\"v-$Number$.m4s\" availabilityTimeComplete=\"false\" duration=\"20\"/>\n\
        </Representation>\n</Period>\n</MPD>\n";

    fn changed(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replacen(from, to, 1)
    }

    #[test]
    fn each_fault_is_found() {
        Mpd::read(GOOD);
        for (from, to) in [
            (" minimumUpdatePeriod=\"PT2S\"", ""),
            ("minimumUpdatePeriod", "mediaPresentationDuration"),
            ("PT4S", "PT6.1S"),
            ("id=\"9\"", "id=\"6\""),
            ("t=\"25\"", "t=\"26\""),
            ("d=\"1\"", "d=\"0\""),
            (" duration=\"20\"", ""),
            ("startNumber=\"7\"", "startNumber=\"6\""),
            ("media=\"v-", "media=\"w-"),
            ("\"false\"", "\"true\""),
            ("</Period>\n", ""),
            ("bandwidth=\"9\"", "bandwidth=\"0\""),
        ] {
            let text = changed(from, to);
            assert!(
                std::panic::catch_unwind(|| Mpd::read(&text)).is_err(),
                "{to}"
            );
        }
    }

    #[test]
    fn what_players_know_must_stay_true() {
        let then = |from: &str, to: &str| {
            let mut validator = Validator::default();
            validator.see(GOOD);
            let text = changed(from, to);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                validator.see(&text);
            }))
        };
        assert!(then("t=\"44\" d=\"1\"", "t=\"44\" d=\"2\"").is_ok());
        for (from, to) in [
            ("start=\"PT20S\"", "start=\"PT20.1S\""),
            (
                "presentationTimeOffset=\"65\"",
                "presentationTimeOffset=\"66\"",
            ),
            (" duration=\"20\"", " duration=\"21\""),
            ("initialization=\"i9\"", "initialization=\"i8\""),
            (
                "d=\"20\"/>\n<S t=\"25\" d=\"19\"",
                "d=\"19\"/>\n<S t=\"24\" d=\"20\"",
            ),
            ("id=\"9\"", "id=\"8\""),
            ("15:07", "15:06"),
        ] {
            assert!(then(from, to).is_err(), "{to}");
        }
    }
}
