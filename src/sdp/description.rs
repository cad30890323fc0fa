//! A session description, read and checked on its own: what offers and answers have in common.
//!
//! Strict where a mistake would only show later as a connection that never comes up (credentials,
//! fingerprints, payload types), lenient where real clients differ.

use std::collections::HashSet;

use super::media_section::{Direction, MediaSection};
use super::session::{Fingerprint, IceCredentials};
use super::text::{self, Limits, TextError};
use super::transport_attributes::{Setup, TransportAttributes, TransportError};

/// A well-formed description.
pub(super) struct Description {
    pub(super) media: Vec<MediaSection>,
    pub(super) bundle: Vec<String>,
    pub(super) ice: IceCredentials,
    pub(super) fingerprint: Fingerprint,
    /// What offers and answers may leave out is not the same.
    pub(super) setup: Option<Setup>,
    pub(super) ice_lite: bool,
    pub(super) trickle: bool,
    pub(super) extmap_allow_mixed: bool,
}

/// Why a body is no description that WebRTC can begin with (HTTP 400).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// No text in the form of SDP, or too much of it.
    #[error(transparent)]
    Text(#[from] TextError),
    /// It doesn't begin with `v=0`.
    #[error("the body doesn't begin with v=0; send the SDP itself")]
    NotSdp,
    /// No `m=` line.
    #[error("there is no m-line; add audio or video before making the offer")]
    NoMedia,
    /// An `m=` line that can't be read.
    #[error("line {line}: the m-line is malformed; it needs media, port, transport and formats")]
    MediaLine {
        /// Counted from 1.
        line: usize,
    },
    /// A payload type that is no number up to 127.
    #[error("line {line}: a payload type is not a number from 0 to 127")]
    PayloadType {
        /// Counted from 1.
        line: usize,
    },
    /// An attribute with a malformed value.
    #[error("line {line}: a={attribute} is malformed")]
    Attribute {
        /// Counted from 1.
        line: usize,
        /// Its name.
        attribute: String,
    },
    /// Two media sections with one name.
    #[error("two m-lines have a=mid:{0}; each needs its own")]
    DuplicateMid(String),
    /// Every `m=` line has port 0, as in an answer that rejects all.
    #[error("every m-line has port 0, so that nothing can be sent; keep one that isn't disabled")]
    AllDisabled,
    /// An answer that leaves the DTLS role open.
    #[error("an answer says a=setup:active or a=setup:passive; actpass is for offers")]
    AnswerSetup,
    /// The transport attributes don't do.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl Description {
    /// Reads a description; the first mistake is named.
    pub(super) fn parse(body: &[u8], limits: &Limits) -> Result<Self, DescriptionError> {
        let mut lines = text::lines(body, limits)?;
        if !lines
            .next()
            .is_some_and(|line| line.letter == b'v' && line.value == "0")
        {
            return Err(DescriptionError::NotSdp);
        }
        let mut session = SessionLevel::default();
        let mut sections: Vec<(MediaSection, TransportAttributes<'_>)> = Vec::new();
        for line in lines {
            if line.letter == b'm' {
                sections.push((MediaSection::new(&line)?, TransportAttributes::default()));
                continue;
            }
            let Some((name, value)) = line.attribute() else {
                continue;
            };
            match sections.last_mut() {
                Some((section, transport)) => {
                    transport.read(name, value)?;
                    section.read(&line)?;
                    // These two are the transport's, wherever they stand.
                    session.read_anywhere(name, value);
                }
                None => session.read(name, value)?,
            }
        }
        session.into_description(sections)
    }
}

/// What stands before the first `m=` line.
#[derive(Default)]
struct SessionLevel<'a> {
    transport: TransportAttributes<'a>,
    bundle: Option<Vec<String>>,
    direction: Option<Direction>,
    ice_lite: bool,
    trickle: bool,
    extmap_allow_mixed: bool,
}

impl<'a> SessionLevel<'a> {
    fn read(&mut self, name: &str, value: &'a str) -> Result<(), DescriptionError> {
        self.transport.read(name, value)?;
        self.read_anywhere(name, value);
        if let Some(direction) = Direction::from_name(name) {
            self.direction = Some(direction);
        }
        match name {
            "ice-lite" => self.ice_lite = true,
            "group" if self.bundle.is_none() => {
                let mut words = value.split_ascii_whitespace();
                if words.next() == Some("BUNDLE") {
                    self.bundle = Some(words.map(str::to_owned).collect());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn read_anywhere(&mut self, name: &str, value: &str) {
        match name {
            // OBS parts the options by commas as well.
            "ice-options" => {
                self.trickle |= value.split([' ', ',']).any(|option| option == "trickle");
            }
            "extmap-allow-mixed" => self.extmap_allow_mixed = true,
            _ => {}
        }
    }

    fn into_description(
        self,
        mut sections: Vec<(MediaSection, TransportAttributes<'a>)>,
    ) -> Result<Description, DescriptionError> {
        if sections.is_empty() {
            return Err(DescriptionError::NoMedia);
        }
        name_sections(&mut sections)?;
        let bundle = self.bundle.unwrap_or_default();
        let bundled: HashSet<&str> = bundle.iter().map(String::as_str).collect();

        // One transport: that of the bundle, or of the first section when nothing is bundled.
        let mut transport: Option<TransportAttributes<'a>> = None;
        for (section, attributes) in &mut sections {
            section.finish(self.direction);
            section.is_bundled = section.has_mid && bundled.contains(section.mid.as_str());
            section.is_disabled = section.port == 0 && !section.bundle_only && !section.is_bundled;
            let stands_alone = bundled.is_empty() && transport.is_none() && section.is_active();
            if section.is_bundled || stands_alone {
                transport = Some(match transport {
                    None => attributes.clone(),
                    Some(transport) => transport.join(attributes)?,
                });
            }
        }
        let transport = transport.unwrap_or_default().inherit(&self.transport);
        let ice = transport.ice()?;
        // Rejected sections have no transport, and then it is not what is missing.
        if ice.is_none() && sections.iter().all(|(section, _)| section.is_disabled) {
            return Err(DescriptionError::AllDisabled);
        }
        Ok(Description {
            ice: ice.ok_or(TransportError::MissingIce("ice-ufrag"))?,
            fingerprint: transport.fingerprint()?,
            setup: transport.setup(),
            media: sections.into_iter().map(|(section, _)| section).collect(),
            bundle,
            ice_lite: self.ice_lite,
            trickle: self.trickle,
            extmap_allow_mixed: self.extmap_allow_mixed,
        })
    }
}

/// Makes sure that each section has a name of its own. Clients without BUNDLE may give none.
fn name_sections<T>(sections: &mut [(MediaSection, T)]) -> Result<(), DescriptionError> {
    let mut taken = HashSet::new();
    for (section, _) in sections.iter() {
        if section.has_mid && !taken.insert(section.mid.clone()) {
            return Err(DescriptionError::DuplicateMid(section.mid.clone()));
        }
    }
    let mut numbers = (0..).map(|number: usize| number.to_string());
    for (section, _) in sections.iter_mut().filter(|(section, _)| !section.has_mid) {
        if let Some(mid) = numbers.find(|mid| !taken.contains(mid)) {
            section.mid = mid;
        }
    }
    Ok(())
}
