//! The few STUN messages of an ICE-lite agent: binding requests in, their responses out
//! (RFC 8489, RFC 8445 section 7.3).
//!
//! Parsed in place, as this is what anyone on the internet may send: no allocation, one pass.
//! It is lenient about what real clients leave out (PRIORITY, ICE-CONTROLLING, FINGERPRINT) and
//! skips attributes it does not know, also those that a strict agent would answer with 420.

use std::net::SocketAddr;

use rtc::crypto::{CryptoError, Mac, constant_time_eq};
use rtc::stun::attributes::{
    ATTR_ERROR_CODE, ATTR_FINGERPRINT, ATTR_ICE_CONTROLLED, ATTR_MESSAGE_INTEGRITY,
    ATTR_USE_CANDIDATE, ATTR_USERNAME, ATTR_XORMAPPED_ADDRESS, AttrType,
};
use rtc::stun::error_code::CODE_ROLE_CONFLICT;
use rtc::stun::fingerprint::fingerprint_value;
use rtc::stun::message::{MAGIC_COOKIE, MESSAGE_HEADER_SIZE};

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const INTEGRITY_LEN: usize = 20;

/// A binding request, borrowed from its datagram.
pub(super) struct BindingRequest<'a> {
    /// The local part of USERNAME: everything before the first colon.
    pub(super) ufrag: &'a str,
    /// USE-CANDIDATE is there: the peer nominates this pair.
    pub(super) nominates: bool,
    /// ICE-CONTROLLED is there: the peer wants the role that a lite agent always has.
    pub(super) wants_control_by_us: bool,
    message: &'a [u8],
    /// Where the MESSAGE-INTEGRITY attribute begins, and its value.
    integrity: (usize, &'a [u8]),
}

impl<'a> BindingRequest<'a> {
    /// `None` unless it is a well-formed binding request with USERNAME, MESSAGE-INTEGRITY and, if
    /// any, a right FINGERPRINT.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let mut ufrag = None;
        let mut integrity = None;
        let mut nominates = false;
        let mut wants_control_by_us = false;
        for attribute in attributes(message)? {
            let Attribute { at, kind, value } = attribute?;
            match kind {
                ATTR_FINGERPRINT => {
                    let is_last = at + 8 == message.len();
                    if !is_last || value != fingerprint_value(&message[..at]).to_be_bytes() {
                        return None;
                    }
                }
                // What follows the integrity is not covered by it.
                _ if integrity.is_some() => {}
                // The first one counts (RFC 8489, section 14), also where it is of no use.
                ATTR_USERNAME if ufrag.is_none() => ufrag = Some(local_part(value)?),
                ATTR_MESSAGE_INTEGRITY => integrity = Some((at, value)),
                ATTR_USE_CANDIDATE => nominates = true,
                ATTR_ICE_CONTROLLED => wants_control_by_us = true,
                _ => {}
            }
        }
        Some(Self {
            ufrag: ufrag?,
            nominates,
            wants_control_by_us,
            message,
            integrity: integrity?,
        })
    }

    /// Whether the request was made with the password that `mac` is keyed with.
    pub(super) fn is_authentic(&self, mac: &mut dyn Mac) -> Result<bool, CryptoError> {
        let (at, value) = self.integrity;
        let mut digest = [0; INTEGRITY_LEN];
        // The length field as it was when the attribute was made: up to its own end.
        let length = (at - MESSAGE_HEADER_SIZE + 4 + INTEGRITY_LEN) as u16;
        let input: [&[u8]; 3] = [
            &self.message[..2],
            &length.to_be_bytes(),
            &self.message[4..at],
        ];
        mac.sign(&input, &mut digest)?;
        Ok(constant_time_eq(&digest, value))
    }

    /// The success response to a request from `source`.
    pub(super) fn accept(
        &self,
        source: SocketAddr,
        mac: &mut dyn Mac,
    ) -> Result<Vec<u8>, CryptoError> {
        let mut response = Response::new(BINDING_SUCCESS, self.message);
        response.add_xor_mapped_address(source);
        response.finish(mac)
    }

    /// The error response 487 to a peer that claims our role (RFC 8445, section 7.3.1.1).
    pub(super) fn refuse_role(&self, mac: &mut dyn Mac) -> Result<Vec<u8>, CryptoError> {
        let mut response = Response::new(BINDING_ERROR, self.message);
        let code = CODE_ROLE_CONFLICT.0;
        response.add(
            ATTR_ERROR_CODE,
            &[0, 0, (code / 100) as u8, (code % 100) as u8],
        );
        response.finish(mac)
    }
}

/// The local user name fragment that a binding request asks for. Nothing is authenticated.
///
/// Cheap: no allocation, and it stops at the USERNAME attribute.
pub fn request_ufrag(datagram: &[u8]) -> Option<&str> {
    for attribute in attributes(datagram)? {
        let attribute = attribute?;
        if attribute.kind == ATTR_USERNAME {
            return local_part(attribute.value);
        }
    }
    None
}

fn local_part(username: &[u8]) -> Option<&str> {
    let (local, _) = std::str::from_utf8(username).ok()?.split_once(':')?;
    Some(local)
}

struct Attribute<'a> {
    /// Where its header begins in the message.
    at: usize,
    kind: AttrType,
    value: &'a [u8],
}

/// The attributes of a binding request. An item is `None` where the message is cut short.
fn attributes(message: &[u8]) -> Option<impl Iterator<Item = Option<Attribute<'_>>>> {
    let &[t0, t1, l0, l1, c0, c1, c2, c3, ..] = message else {
        return None;
    };
    let is_request = u16::from_be_bytes([t0, t1]) == BINDING_REQUEST
        && u32::from_be_bytes([c0, c1, c2, c3]) == MAGIC_COOKIE
        && usize::from(u16::from_be_bytes([l0, l1])) + MESSAGE_HEADER_SIZE == message.len();
    if !is_request {
        return None;
    }
    let mut at = MESSAGE_HEADER_SIZE;
    Some(std::iter::from_fn(move || {
        if at >= message.len() {
            return None;
        }
        let start = at;
        let attribute = (|| {
            let header = message.get(start..start + 4)?;
            let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let value = message.get(start + 4..start + 4 + len)?;
            at = start + 4 + len.next_multiple_of(4);
            let kind = AttrType(u16::from_be_bytes([header[0], header[1]]));
            Some(Attribute {
                at: start,
                kind,
                value,
            })
        })();
        if attribute.is_none() {
            at = message.len();
        }
        Some(attribute)
    }))
}

struct Response {
    bytes: Vec<u8>,
}

impl Response {
    /// The most that we build: header, an IPv6 address, integrity and fingerprint.
    const CAPACITY: usize = MESSAGE_HEADER_SIZE + 24 + 24 + 8;

    fn new(kind: u16, request: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(Self::CAPACITY);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 0]);
        // The cookie and the transaction.
        bytes.extend(&request[4..MESSAGE_HEADER_SIZE]);
        Self { bytes }
    }

    fn add_xor_mapped_address(&mut self, address: SocketAddr) {
        let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
        let [p0, p1] = port.to_be_bytes();
        let mut value = [0; 20];
        // The mask is the cookie followed by the transaction: the header as it stands.
        let mut mask = |octets: &[u8]| {
            for (i, octet) in octets.iter().enumerate() {
                value[4 + i] = octet ^ self.bytes[4 + i];
            }
            4 + octets.len()
        };
        let (family, len) = match address {
            SocketAddr::V4(v4) => (1, mask(&v4.ip().octets())),
            SocketAddr::V6(v6) => (2, mask(&v6.ip().octets())),
        };
        value[..4].copy_from_slice(&[0, family, p0, p1]);
        self.add(ATTR_XORMAPPED_ADDRESS, &value[..len]);
    }

    fn finish(mut self, mac: &mut dyn Mac) -> Result<Vec<u8>, CryptoError> {
        let mut digest = [0; INTEGRITY_LEN];
        self.set_length(4 + INTEGRITY_LEN);
        mac.sign(&[&self.bytes], &mut digest)?;
        self.add(ATTR_MESSAGE_INTEGRITY, &digest);
        self.set_length(8);
        let fingerprint = fingerprint_value(&self.bytes);
        self.add(ATTR_FINGERPRINT, &fingerprint.to_be_bytes());
        Ok(self.bytes)
    }

    /// Appends an attribute whose value needs no padding.
    fn add(&mut self, kind: AttrType, value: &[u8]) {
        self.bytes.extend(kind.0.to_be_bytes());
        self.bytes.extend((value.len() as u16).to_be_bytes());
        self.bytes.extend(value);
    }

    /// Writes the length field for `coming` more bytes.
    fn set_length(&mut self, coming: usize) {
        let length = (self.bytes.len() - MESSAGE_HEADER_SIZE + coming) as u16;
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
    }
}

/// The body of the fuzz target `stun`: `data` as a message, and as the attributes of one that we sign.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(mac: &mut dyn Mac, data: &[u8]) {
    let sources = ["192.0.2.1:5000", "[2001:db8::1]:5000"];
    let sources = sources.map(|source| source.parse().expect("an address"));
    if let Some(request) = BindingRequest::parse(data) {
        assert_eq!(request_ufrag(data), Some(request.ufrag));
        let is_authentic = request.is_authentic(mac).expect("a MAC");
        assert!(!is_authentic, "nobody else has the key");
        for source in sources {
            let response = request.accept(source, mac).expect("a response");
            assert!(response.len() <= Response::CAPACITY);
            assert_eq!(
                response[8..MESSAGE_HEADER_SIZE],
                data[8..MESSAGE_HEADER_SIZE]
            );
        }
        let refusal = request.refuse_role(mac).expect("a response");
        assert!(refusal.len() <= Response::CAPACITY);
    }
    let mut signed = Response::new(BINDING_REQUEST, &[0x2A; MESSAGE_HEADER_SIZE]);
    signed.bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    signed
        .bytes
        .extend_from_slice(&data[..data.len().min(1000) & !3]);
    let before = signed.bytes.len();
    let signed = signed.finish(mac).expect("a message");
    if let Some(request) = BindingRequest::parse(&signed)
        // The attributes may bring an integrity of their own, or swallow ours.
        && request.integrity.0 == before
    {
        assert!(request.is_authentic(mac).expect("a MAC"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtc::crypto::{HmacAlgorithm, default_provider};

    use super::*;

    fn mac() -> Box<dyn Mac> {
        let provider = default_provider().unwrap();
        let mac = provider
            .crypto()
            .new_hmac(HmacAlgorithm::Sha1, b"VOkJxbRl1RmTxUk/WvJxBt");
        mac.unwrap()
    }

    /// The sample request of RFC 5769, section 2.1: SOFTWARE, PRIORITY, ICE-CONTROLLED, USERNAME
    /// `evtj:h6vY`, MESSAGE-INTEGRITY, FINGERPRINT. Its padding bytes are spaces.
    const SAMPLE: &[u8] =
        b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
\x80\x22\x00\x10STUN test client\
\x00\x24\x00\x04\x6e\x00\x01\xff\
\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
\x80\x28\x00\x04\xe5\x7a\x3b\xcf";

    #[test]
    fn the_sample_request_of_the_rfc_is_authentic() {
        let request = BindingRequest::parse(SAMPLE).unwrap();
        assert_eq!(request.ufrag, "evtj");
        assert!(request.wants_control_by_us);
        assert!(!request.nominates);
        assert!(request.is_authentic(mac().as_mut()).unwrap());
        assert_eq!(request_ufrag(SAMPLE), Some("evtj"));
    }

    #[test]
    fn a_wrong_fingerprint_is_no_request() {
        let mut changed = SAMPLE.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        assert!(BindingRequest::parse(&changed).is_none());
    }

    #[test]
    fn a_changed_request_is_not_authentic() {
        let mut changed = SAMPLE.to_vec();
        changed[24] ^= 1;
        let end = changed.len() - 8;
        // Without a fingerprint, or it would be refused for that.
        changed.truncate(end);
        changed[3] -= 8;
        let request = BindingRequest::parse(&changed).unwrap();
        assert!(!request.is_authentic(mac().as_mut()).unwrap());
    }

    #[test]
    fn a_message_cut_short_is_no_request() {
        for len in 0..SAMPLE.len() {
            assert!(BindingRequest::parse(&SAMPLE[..len]).is_none());
            let mut relabelled = SAMPLE[..len].to_vec();
            if len >= MESSAGE_HEADER_SIZE {
                relabelled[3] = (len - MESSAGE_HEADER_SIZE) as u8;
                let parsed = BindingRequest::parse(&relabelled);
                // Only the whole message without its fingerprint is one.
                assert_eq!(parsed.is_some(), len == SAMPLE.len() - 8);
            }
        }
    }

    #[test]
    fn the_first_user_name_is_the_one_that_counts() {
        let username = |name: &[u8; 8]| [&[0, 6, 0, 8], &name[..]].concat();
        let message = |names: [&[u8; 8]; 2]| {
            let mut response = Response::new(BINDING_REQUEST, &SAMPLE[..MESSAGE_HEADER_SIZE]);
            for name in names {
                response.bytes.extend(username(name));
            }
            response.finish(mac().as_mut()).unwrap()
        };
        let good = message([b"ours:the", b"them:our"]);
        let request = BindingRequest::parse(&good).unwrap();
        assert_eq!(
            (request.ufrag, request_ufrag(&good)),
            ("ours", Some("ours"))
        );
        let bad = message([b"no-colon", b"ours:the"]);
        assert!(BindingRequest::parse(&bad).is_none());
        assert_eq!(request_ufrag(&bad), None);
    }

    proptest! {
        #[test]
        fn random_attributes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 20..120)) {
            let length = (bytes.len() - 20) as u16;
            bytes[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]);
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            let _ = request_ufrag(&bytes);
            if let Some(request) = BindingRequest::parse(&bytes) {
                prop_assert!(!request.is_authentic(mac().as_mut()).unwrap());
            }
        }
    }
}
