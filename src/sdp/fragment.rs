//! Trickle fragments: candidates that follow an offer, and ICE restarts (RFC 8840, section 9;
//! RFC 9725, section 4.3).

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::candidate::{self, Candidate};
use super::session::IceCredentials;
use super::text::{self, Limits, TextError};
use super::transport_attributes::{TransportAttributes, TransportError};

/// The body of a PATCH, `application/trickle-ice-sdpfrag`.
#[derive(Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The client's credentials. Others than those of the session ask for an ICE restart.
    pub ice: Option<IceCredentials>,
    /// The `a=mid` of the first m-line.
    pub mid: Option<String>,
    /// The candidates that checks could reach: UDP, component 1, an address. Others are passed over.
    pub candidates: Vec<SocketAddr>,
    /// `a=end-of-candidates`
    pub end_of_candidates: bool,

    // What a restart's answer says again.
    group: Option<String>,
    media: Option<String>,
}

/// Why a body is no fragment (HTTP 400).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FragmentError {
    /// No text in the form of SDP, or too much of it.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Nothing in it.
    #[error("the fragment says nothing; send candidates, a=end-of-candidates or new credentials")]
    Empty,
    /// An m-line that can't be read.
    #[error("line {line}: the m-line is malformed; repeat that of the offer")]
    MediaLine {
        /// Counted from 1.
        line: usize,
    },
    /// The credentials don't do.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl std::fmt::Debug for Fragment {
    /// Without addresses and names.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fragment")
            .field("ice", &self.ice)
            .field("candidates", &self.candidates.len())
            .field("end_of_candidates", &self.end_of_candidates)
            .finish_non_exhaustive()
    }
}

impl Fragment {
    /// Reads a fragment. Which m-line a candidate stands under doesn't matter: there is one
    /// transport.
    ///
    /// # Errors
    ///
    /// See [`FragmentError`]. A candidate that can't be read is no error, since others may do.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, FragmentError> {
        let mut fragment = Self {
            ice: None,
            mid: None,
            candidates: Vec::new(),
            end_of_candidates: false,
            group: None,
            media: None,
        };
        let mut levels = vec![TransportAttributes::default()];
        let mut said_candidates = false;
        for line in text::lines(body, limits)? {
            if line.letter == b'm' {
                let number = line.number;
                fragment.read_media(line.value, number)?;
                levels.push(TransportAttributes::default());
                continue;
            }
            let Some((name, value)) = line.attribute() else {
                continue;
            };
            match name {
                "candidate" => {
                    said_candidates = true;
                    fragment.candidates.extend(candidate::usable_address(value));
                }
                "end-of-candidates" => fragment.end_of_candidates = true,
                "mid" if fragment.mid.is_none() => fragment.mid = Some(value.to_owned()),
                "group" if fragment.media.is_none() => fragment.group = Some(value.to_owned()),
                // Of the transport's attributes only these stand in fragments.
                "ice-ufrag" | "ice-pwd" => {
                    if let Some(level) = levels.last_mut() {
                        level.read(name, value)?;
                    }
                }
                _ => {}
            }
        }
        let nothing = TransportAttributes::default();
        let transport = levels.iter().try_fold(nothing, TransportAttributes::join)?;
        fragment.ice = transport.ice()?;
        if fragment.ice.is_none() && !said_candidates && !fragment.end_of_candidates {
            return Err(FragmentError::Empty);
        }
        Ok(fragment)
    }

    /// The answer to this fragment when it restarts ICE: our new credentials and all candidates.
    pub fn restart_answer(&self, ice: &IceCredentials, candidates: &[Candidate]) -> String {
        // Writing to a string can't fail.
        let mut answer = String::from("a=ice-lite\r\n");
        if let Some(group) = &self.group {
            let _ = write!(answer, "a=group:{group}\r\n");
        }
        let media = self.media.as_deref();
        // RFC 8840, section 4.1: any m-line will do, readers pass over all but the mid.
        let media = media.unwrap_or("audio 9 UDP/TLS/RTP/SAVPF 0");
        let _ = write!(answer, "m={media}\r\n");
        let _ = write!(answer, "a=mid:{}\r\n", self.mid.as_deref().unwrap_or("0"));
        let IceCredentials { ufrag, pwd } = ice;
        let _ = write!(answer, "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n");
        for candidate in candidates {
            let _ = write!(answer, "a=candidate:{candidate}\r\n");
        }
        answer.push_str("a=end-of-candidates\r\n");
        answer
    }

    fn read_media(&mut self, value: &str, line: usize) -> Result<(), FragmentError> {
        let fields: Vec<_> = value.split_ascii_whitespace().take(4).collect();
        let complete = match *fields {
            [_, port, _, _] if port.parse::<u16>().is_ok() => value.to_owned(),
            // The player whip-whep leaves the port out.
            [kind, proto, format] if proto.contains('/') => format!("{kind} 9 {proto} {format}"),
            _ => return Err(FragmentError::MediaLine { line }),
        };
        self.media.get_or_insert(complete);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::fixtures;

    fn parse(body: &str) -> Result<Fragment, FragmentError> {
        Fragment::parse(body.as_bytes(), &Limits::default())
    }

    #[test]
    fn a_captured_fragment_is_read() {
        let path = fixtures::folder().join("patch-simple-whip-client.sdpfrag");
        let body = std::fs::read(path).unwrap();
        let fragment = Fragment::parse(&body, &Limits::default()).unwrap();
        assert_eq!(fragment.mid.as_deref(), Some("audio0"));
        assert_eq!(
            fragment.ice.unwrap().ufrag,
            "wYPNzBQ0w6LWaWV9iiDfSXKXqU8rqwE4"
        );
        let addresses = ["10.77.0.2:40810", "[fe80::fcee:54ff:fe7c:e43e]:47922"];
        assert_eq!(
            fragment.candidates,
            addresses.map(|text| text.parse::<SocketAddr>().unwrap())
        );
        assert!(!fragment.end_of_candidates);
    }

    #[test]
    fn a_media_line_without_a_port_is_read() {
        let body = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
             m=video RTP/AVP 0\r\na=mid:0\r\na=end-of-candidates\r\n";
        let fragment = parse(body).unwrap();
        assert_eq!(fragment.media.as_deref(), Some("video 9 RTP/AVP 0"));
    }

    #[test]
    fn the_end_alone_is_a_fragment() {
        for body in [
            "a=end-of-candidates\r\n",
            "a=candidate:\n",
            "a=candidate:x y.local\n",
        ] {
            let fragment = parse(body).unwrap();
            assert!(fragment.ice.is_none() && fragment.candidates.is_empty());
        }
    }

    #[test]
    fn credentials_stand_on_either_level() {
        let ice = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
        let media = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n";
        for body in [
            ice.to_owned(),
            format!("{ice}{media}"),
            format!("{media}{ice}"),
            format!("{ice}{media}{ice}"),
        ] {
            assert_eq!(parse(&body).unwrap().ice.unwrap().ufrag, "abcd");
        }
    }

    #[test]
    fn malformed_fragments_are_named() {
        let pwd = "a=ice-pwd:0123456789012345678901\r\n";
        for (body, error) in [
            (String::new(), FragmentError::Empty),
            ("a=mid:0\r\n".to_owned(), FragmentError::Empty),
            ("hello".to_owned(), TextError::NotALine { line: 1 }.into()),
            ("m=audio".to_owned(), FragmentError::MediaLine { line: 1 }),
            (
                "m=audio x RTP/AVP 0".to_owned(),
                FragmentError::MediaLine { line: 1 },
            ),
            (
                "a=ice-ufrag:abcd".to_owned(),
                TransportError::MissingIce("ice-pwd").into(),
            ),
            (
                pwd.to_owned(),
                TransportError::MissingIce("ice-ufrag").into(),
            ),
            (
                format!("a=ice-ufrag:abcd\r\n{pwd}m=audio 9 RTP/AVP 0\r\na=ice-ufrag:efgh"),
                TransportError::ConflictingIce.into(),
            ),
            ("a=x\n".repeat(2001), TextError::TooManyLines(2000).into()),
        ] {
            assert_eq!(parse(&body).unwrap_err(), error, "{body}");
        }
    }

    #[test]
    fn a_restart_is_answered_in_the_fragments_terms() {
        let ice = IceCredentials {
            ufrag: "ours".to_owned(),
            pwd: "p".repeat(22),
        };
        let candidates = Candidate::list(["192.0.2.1:8443".parse().unwrap()]);
        let request = "a=group:BUNDLE a b\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:a\r\n\
             a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
        let answer = parse(request).unwrap().restart_answer(&ice, &candidates);
        assert_eq!(
            answer,
            "a=ice-lite\r\na=group:BUNDLE a b\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:a\r\n\
             a=ice-ufrag:ours\r\na=ice-pwd:pppppppppppppppppppppp\r\n\
             a=candidate:1 1 udp 2130706431 192.0.2.1 8443 typ host\r\na=end-of-candidates\r\n"
        );
        let answer = parse(&answer).unwrap();
        assert_eq!(answer.ice, Some(ice));
        assert!(answer.end_of_candidates);
    }
}
