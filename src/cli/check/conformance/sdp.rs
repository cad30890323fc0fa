//! Session descriptions of other people's servers, as they are: nothing is refused here, only found.
//!
//! Pure. It shares no code with the server's parser, which must not judge itself.

use std::net::IpAddr;

/// A session description, cut into its sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    session: Vec<String>,
    pub(super) media: Vec<Section>,
}

/// A media section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) kind: String,
    pub(super) port: u16,
    pub(super) protocol: String,
    /// The payload types.
    pub(super) formats: Vec<String>,
    lines: Vec<String>,
}

/// A candidate line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) transport: String,
    pub(super) address: String,
    pub(super) port: u16,
}

/// What an attribute line says: its value, empty for a property attribute.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.strip_prefix("a=")?.strip_prefix(name)?;
    match rest.strip_prefix(':') {
        Some(value) => Some(value.trim()),
        None => rest.is_empty().then_some(""),
    }
}

impl Description {
    /// Cuts a text; `None` when it does not begin as SDP does.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !text.starts_with("v=0") {
            return None;
        }
        let mut description = Self {
            session: Vec::new(),
            media: Vec::new(),
        };
        for line in text.lines().map(str::trim_end) {
            if let Some(line) = line.strip_prefix("m=") {
                description.media.push(Section::parse(line)?);
                continue;
            }
            match description.media.last_mut() {
                Some(section) => section.lines.push(line.to_owned()),
                None => description.session.push(line.to_owned()),
            }
        }
        Some(description)
    }

    /// An attribute of the session level.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.session.iter().find_map(|line| attribute(line, name))
    }

    /// An attribute of a section, or of the session if the section has none.
    pub(super) fn inherited<'a>(&'a self, section: &'a Section, name: &str) -> Option<&'a str> {
        section.attribute(name).or_else(|| self.attribute(name))
    }

    /// The mids of the BUNDLE group.
    pub(super) fn bundle(&self) -> Option<Vec<&str>> {
        let groups = self
            .session
            .iter()
            .filter_map(|line| attribute(line, "group"));
        groups
            .filter_map(|group| group.strip_prefix("BUNDLE"))
            .map(|mids| mids.split_whitespace().collect())
            .next()
    }

    /// Sections that are not rejected. A port of 0 with `bundle-only` is no rejection (RFC 9143, 6).
    pub(super) fn accepted(&self) -> impl Iterator<Item = &Section> {
        self.media.iter().filter(|section| section.is_accepted())
    }

    /// The direction of a section.
    pub(super) fn direction<'a>(&'a self, section: &'a Section) -> &'a str {
        const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];
        let of = |lines: &'a [String]| {
            lines.iter().find_map(|line| {
                let name = line.strip_prefix("a=")?;
                DIRECTIONS.contains(&name).then_some(name)
            })
        };
        of(&section.lines)
            .or_else(|| of(&self.session))
            .unwrap_or("sendrecv")
    }

    /// Every candidate, of all sections.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let lines = self.media.iter().flat_map(|section| &section.lines);
        let lines = self.session.iter().chain(lines);
        lines
            .filter_map(|line| Candidate::parse(attribute(line, "candidate")?))
            .collect()
    }
}

impl Section {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let kind = fields.next()?.to_owned();
        let port = fields.next()?.split('/').next()?.parse().ok()?;
        Some(Self {
            kind,
            port,
            protocol: fields.next()?.to_owned(),
            formats: fields.map(str::to_owned).collect(),
            lines: Vec::new(),
        })
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.port != 0 || self.attribute("bundle-only").is_some()
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| attribute(line, name))
    }

    pub(super) fn attributes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines
            .iter()
            .filter_map(move |line| attribute(line, name))
    }

    /// The codec of a payload type: name in lower case with clock rate, as of `rtpmap`.
    pub(super) fn codec(&self, format: &str) -> Option<String> {
        self.attributes("rtpmap").find_map(|map| {
            let (number, codec) = map.split_once(' ')?;
            (number == format).then(|| codec.trim().to_ascii_lowercase())
        })
    }

    /// The header extensions: id and URI.
    pub(super) fn extensions(&self) -> Vec<(&str, &str)> {
        self.attributes("extmap")
            .filter_map(|map| map.split_once(' '))
            .map(|(id, uri)| {
                let id = id.split('/').next().unwrap_or(id);
                (id, uri.split(' ').next().unwrap_or(uri))
            })
            .collect()
    }
}

impl Candidate {
    /// RFC 8839, section 5.1.
    fn parse(value: &str) -> Option<Self> {
        let fields: Vec<&str> = value.split_whitespace().collect();
        let [_, _, transport, _, address, port, "typ", _, ..] = fields[..] else {
            return None;
        };
        Some(Self {
            transport: transport.to_ascii_lowercase(),
            address: address.to_owned(),
            port: port.parse().ok()?,
        })
    }

    /// The address, if it is none of a name.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }

    /// Whether a client could send something there: no wildcard address, no port 0, a transport that
    /// clients have.
    pub(super) fn is_usable(&self) -> bool {
        let is_address = self.ip().is_none_or(|ip| !ip.is_unspecified());
        is_address && self.port != 0 && matches!(self.transport.as_str(), "udp" | "tcp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE a b\r\na=ice-lite\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\na=recvonly\r\na=rtpmap:111 opus/48000/2\r\n\
        a=candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:b\r\na=bundle-only\r\na=rtpmap:96 VP8/90000\r\n\
        a=extmap:4/recvonly urn:ietf:params:rtp-hdrext:sdes:mid\r\n";

    #[test]
    fn sections_and_their_attributes_are_found() {
        let description = Description::parse(TEXT).unwrap();
        assert_eq!(description.bundle(), Some(vec!["a", "b"]));
        assert_eq!(description.attribute("ice-lite"), Some(""));
        let [audio, video] = &description.media[..] else {
            panic!("two sections");
        };
        assert_eq!(audio.attribute("mid"), Some("a"));
        assert_eq!(description.direction(audio), "recvonly");
        assert_eq!(description.direction(video), "sendrecv");
        assert!(video.is_accepted(), "bundle-only is no rejection");
        assert_eq!(video.codec("96").as_deref(), Some("vp8/90000"));
        assert_eq!(
            video.extensions(),
            [("4", "urn:ietf:params:rtp-hdrext:sdes:mid")]
        );
        assert_eq!(description.inherited(video, "ice-lite"), Some(""));
    }

    #[test]
    fn a_candidate_that_leads_nowhere_is_not_usable() {
        let candidate = |transport: &str, address: &str, port| Candidate {
            transport: transport.to_owned(),
            address: address.to_owned(),
            port,
        };
        assert!(Description::parse(TEXT).unwrap().candidates()[0].is_usable());
        assert!(candidate("tcp", "2001:db8::1", 443).is_usable());
        assert!(!candidate("udp", "0.0.0.0", 5000).is_usable());
        assert!(!candidate("udp", "192.0.2.1", 0).is_usable());
        assert!(!candidate("sctp", "192.0.2.1", 5000).is_usable());
    }

    #[test]
    fn what_is_no_description_is_none() {
        for text in ["", "hello", "{}", "v=0\r\nm=", "v=0\r\nm=video x y 96"] {
            assert_eq!(Description::parse(text), None, "{text}");
        }
    }
}
