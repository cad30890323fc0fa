//! One media section of an offer: an `m=` line and the attributes behind it (RFC 8866, section 5.14).

use super::description::DescriptionError;
use super::payload_format::{self, PayloadFormat};
use super::session::Feedback;
use super::simulcast::RidOffer;
use super::text::Line;
use crate::rtp::{Extension, MediaKind};

/// Which way media flows, seen from the sender of the description (RFC 8866, section 6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `a=sendrecv`, also when nothing is said.
    SendRecv,
    /// `a=sendonly`
    SendOnly,
    /// `a=recvonly`
    RecvOnly,
    /// `a=inactive`
    Inactive,
}

impl Direction {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "sendrecv" => Self::SendRecv,
            "sendonly" => Self::SendOnly,
            "recvonly" => Self::RecvOnly,
            "inactive" => Self::Inactive,
            _ => return None,
        })
    }

    /// The attribute's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether the sender of the description sends media.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the sender of the description receives media.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// An `a=extmap` line of an extension that we know (RFC 8285, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionOffer {
    /// 1 to 14, or 16 to 255 with the two-byte header.
    pub id: u8,
    /// What the URI names.
    pub extension: Extension,
    /// The suffix of the id, `None` when it has none.
    pub direction: Option<Direction>,
}

/// An `m=` line with its attributes. Lists are in the order of the offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSection {
    /// The `a=mid`, or a made-up one when there is none: see [`Self::has_mid`].
    pub mid: String,
    /// Whether the offer has an `a=mid` here. An answer repeats only those.
    pub has_mid: bool,
    /// The media type of the `m=` line.
    pub media: String,
    /// What we know of media types; `None` for data channels and others, which are tolerated.
    pub kind: Option<MediaKind>,
    /// The transport of the `m=` line, such as `UDP/TLS/RTP/SAVPF`.
    pub protocol: String,
    /// The formats of the `m=` line as text, for sections that are no RTP.
    pub first_format: String,
    /// The port is 0 and the section is neither `a=bundle-only` nor in the bundle (RFC 8843, section 6).
    pub is_disabled: bool,
    /// Its mid is in the offer's BUNDLE group.
    pub is_bundled: bool,
    /// Its own direction, or that of the session.
    pub direction: Direction,
    /// The payload types that the `m=` line lists.
    pub formats: Vec<PayloadFormat>,
    /// The header extensions that we know.
    pub extensions: Vec<ExtensionOffer>,
    /// The announced SSRCs, each once (RFC 5576).
    pub ssrcs: Vec<u32>,
    /// SSRC groups with the semantics FID: media and its retransmissions.
    pub fid_groups: Vec<(u32, u32)>,
    /// The layers that the client would send (`a=rid:… send`, RFC 8851).
    pub send_rids: Vec<RidOffer>,
    /// What stands behind `a=simulcast:send` (RFC 8853), when it does.
    pub simulcast_send: Option<String>,
    /// `a=rtcp-mux`
    pub rtcp_mux: bool,
    /// `a=rtcp-rsize`
    pub rtcp_rsize: bool,

    // Only of use until the whole offer is read.
    pub(super) bundle_only: bool,
    pub(super) port: u16,
    pub(super) own_direction: Option<Direction>,
    any_feedback: Feedback,
}

impl MediaSection {
    /// Reads the value of an `m=` line.
    pub(super) fn new(line: &Line<'_>) -> Result<Self, DescriptionError> {
        let malformed = || DescriptionError::MediaLine { line: line.number };
        let mut fields = line.value.split_ascii_whitespace();
        let mut field = || fields.next().ok_or_else(malformed);
        let (media, port, protocol) = (field()?, field()?, field()?);
        // A count of ports may follow a slash.
        let port = port.split_once('/').map_or(port, |(port, _)| port);
        let kind = match media {
            "audio" => Some(MediaKind::Audio),
            "video" => Some(MediaKind::Video),
            _ => None,
        };
        let mut section = Self {
            mid: String::new(),
            has_mid: false,
            media: media.to_owned(),
            kind,
            protocol: protocol.to_owned(),
            first_format: String::new(),
            is_disabled: false,
            is_bundled: false,
            direction: Direction::SendRecv,
            formats: Vec::new(),
            extensions: Vec::new(),
            ssrcs: Vec::new(),
            fid_groups: Vec::new(),
            send_rids: Vec::new(),
            simulcast_send: None,
            rtcp_mux: false,
            rtcp_rsize: false,
            bundle_only: false,
            port: port.parse().map_err(|_| malformed())?,
            own_direction: None,
            any_feedback: Feedback::default(),
        };
        for format in fields {
            if section.first_format.is_empty() {
                format.clone_into(&mut section.first_format);
            }
            if kind.is_some() {
                section.add_payload_type(format, line.number)?;
            }
        }
        if section.first_format.is_empty() {
            return Err(malformed());
        }
        Ok(section)
    }

    /// Takes an attribute in. Those that we have no use for are passed over, among them candidates:
    /// an ICE-lite agent answers checks and sends none.
    pub(super) fn read(&mut self, line: &Line<'_>) -> Result<(), DescriptionError> {
        let Some((name, value)) = line.attribute() else {
            return Ok(());
        };
        if let Some(direction) = Direction::from_name(name) {
            self.own_direction = Some(direction);
            return Ok(());
        }
        let read = match name {
            "mid" => self.read_mid(value),
            "rtpmap" => self.read_rtpmap(value),
            "fmtp" => self.read_fmtp(value),
            "rtcp-fb" => self.read_feedback(value),
            "extmap" => self.read_extension(value),
            "ssrc" => self.read_ssrc(value),
            "ssrc-group" => self.read_ssrc_group(value),
            "rid" => self.read_rid(value),
            "simulcast" => self.read_simulcast(value),
            "bundle-only" => set(&mut self.bundle_only),
            "rtcp-mux" | "rtcp-mux-only" => set(&mut self.rtcp_mux),
            "rtcp-rsize" => set(&mut self.rtcp_rsize),
            _ => Some(()),
        };
        read.ok_or_else(|| DescriptionError::Attribute {
            line: line.number,
            attribute: name.chars().take(32).collect(),
        })
    }

    /// Settles what depends on lines further down or on the session.
    pub(super) fn finish(&mut self, session_direction: Option<Direction>) {
        self.direction = self
            .own_direction
            .or(session_direction)
            .unwrap_or(Direction::SendRecv);
        for format in &mut self.formats {
            if let Some(kind) = self.kind {
                format.identify(kind);
            }
            let any = self.any_feedback;
            format.feedback.nack |= any.nack;
            format.feedback.pli |= any.pli;
            format.feedback.fir |= any.fir;
            format.feedback.transport_cc |= any.transport_cc;
            format.feedback.remb |= any.remb;
        }
    }

    /// Whether it is audio or video that can be answered with something else than a rejection.
    pub fn is_active(&self) -> bool {
        self.kind.is_some() && !self.is_disabled
    }

    /// The payload type of retransmissions of `payload_type` (RFC 4588, section 8.6).
    pub fn rtx_of(&self, payload_type: u8) -> Option<u8> {
        self.formats
            .iter()
            .filter(|format| format.name.eq_ignore_ascii_case("rtx"))
            .find(|format| {
                let apt = format.parameter("apt");
                apt.and_then(|apt| apt.parse().ok()) == Some(payload_type)
            })
            .map(|format| format.payload_type)
    }

    /// The id of an extension, when the offer has it.
    pub fn extension(&self, extension: Extension) -> Option<&ExtensionOffer> {
        self.extensions
            .iter()
            .find(|offer| offer.extension == extension)
    }

    fn add_payload_type(&mut self, text: &str, line: usize) -> Result<(), DescriptionError> {
        let payload_type = text.parse().ok().filter(|number| *number <= 127);
        let payload_type = payload_type.ok_or(DescriptionError::PayloadType { line })?;
        if self.format(payload_type).is_none() {
            self.formats.push(PayloadFormat::new(payload_type));
        }
        Ok(())
    }

    fn format(&mut self, payload_type: u8) -> Option<&mut PayloadFormat> {
        self.formats
            .iter_mut()
            .find(|format| format.payload_type == payload_type)
    }

    // Each of these reads one value, and says `None` when it is malformed.

    fn read_mid(&mut self, value: &str) -> Option<()> {
        let is_token = value.bytes().all(|c| c.is_ascii_graphic());
        if value.is_empty() || value.len() > 64 || !is_token || self.has_mid {
            return None;
        }
        value.clone_into(&mut self.mid);
        self.has_mid = true;
        Some(())
    }

    fn read_rtpmap(&mut self, value: &str) -> Option<()> {
        let (payload_type, rest) = split_payload_type(value)?;
        // Firefox describes payload types that its m= line doesn't list.
        match self.format(payload_type) {
            Some(format) => format.set_rtpmap(rest),
            None => Some(()),
        }
    }

    fn read_fmtp(&mut self, value: &str) -> Option<()> {
        let (payload_type, rest) = split_payload_type(value)?;
        if let Some(format) = self.format(payload_type) {
            rest.clone_into(&mut format.fmtp);
        }
        Some(())
    }

    fn read_feedback(&mut self, value: &str) -> Option<()> {
        if let Some(rest) = value.strip_prefix("* ") {
            payload_format::add_feedback(&mut self.any_feedback, rest);
            return Some(());
        }
        let (payload_type, rest) = split_payload_type(value)?;
        if let Some(format) = self.format(payload_type) {
            payload_format::add_feedback(&mut format.feedback, rest);
        }
        Some(())
    }

    fn read_extension(&mut self, value: &str) -> Option<()> {
        let mut fields = value.split_ascii_whitespace();
        let (id, uri) = (fields.next()?, fields.next()?);
        let (id, direction) = match id.split_once('/') {
            Some((id, direction)) => (id, Some(Direction::from_name(direction)?)),
            None => (id, None),
        };
        let id: u16 = id.parse().ok()?;
        // 15 is reserved; beyond 255 an offer only lists alternatives (RFC 8285, sections 4.2 and 6).
        let id = u8::try_from(id).ok().filter(|id| !matches!(id, 0 | 15));
        if let (Some(id), Some(extension)) = (id, Extension::from_uri(uri)) {
            let mut known = self.extensions.iter();
            if !known.any(|offer| offer.id == id || offer.extension == extension) {
                self.extensions.push(ExtensionOffer {
                    id,
                    extension,
                    direction,
                });
            }
        }
        Some(())
    }

    fn read_ssrc(&mut self, value: &str) -> Option<()> {
        let ssrc = value.split_ascii_whitespace().next()?.parse().ok()?;
        // Each SSRC has several lines, one after the other.
        if !self.ssrcs.contains(&ssrc) {
            self.ssrcs.push(ssrc);
        }
        Some(())
    }

    fn read_ssrc_group(&mut self, value: &str) -> Option<()> {
        let mut fields = value.split_ascii_whitespace();
        if fields.next()? == "FID" {
            let (media, repair) = (fields.next()?, fields.next()?);
            let group = (media.parse().ok()?, repair.parse().ok()?);
            self.fid_groups.push(group);
        }
        Some(())
    }

    fn read_rid(&mut self, value: &str) -> Option<()> {
        if let Some(rid) = RidOffer::parse(value).ok()? {
            self.send_rids.push(rid);
        }
        Some(())
    }

    fn read_simulcast(&mut self, value: &str) -> Option<()> {
        let mut fields = value.split_ascii_whitespace();
        while let Some(direction) = fields.next() {
            let layers = fields.next()?;
            if direction == "send" {
                self.simulcast_send = Some(layers.to_owned());
            }
        }
        Some(())
    }
}

fn set(flag: &mut bool) -> Option<()> {
    *flag = true;
    Some(())
}

/// Parts `96 rest` into its number and its rest.
fn split_payload_type(value: &str) -> Option<(u8, &str)> {
    let (payload_type, rest) = value.split_once(' ')?;
    let payload_type = payload_type.parse().ok().filter(|number| *number <= 127)?;
    Some((payload_type, rest.trim()))
}
