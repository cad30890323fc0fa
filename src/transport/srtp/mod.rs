//! SRTP and SRTCP of one session, each direction on its own (RFC 3711, RFC 7714, RFC 5764).
//!
//! Packets are protected and opened in the caller's buffer. Nothing is allocated per packet: the
//! receiving side allocates when an SSRC is heard for the first time, up to a bound.
//! Keys are never logged and never leave this module.

mod cipher;
mod kdf;
mod replay;

pub use kdf::MasterKey;

use rtc::crypto::RTCCrypto;

use self::cipher::{Cipher, RTCP_HEADER};
use self::replay::Sources;
use crate::sdp::DtlsRole;

/// The protection profiles that we offer (RFC 5764, section 4.1.2; RFC 7714, section 14.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// `SRTP_AEAD_AES_128_GCM`
    AeadAes128Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80`
    Aes128CmSha1_80,
}

impl Profile {
    /// The bytes of keying material that [`session`] wants of the DTLS exporter.
    pub const fn keying_material_len(self) -> usize {
        2 * (16 + self.salt_len())
    }

    const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 12,
            Self::Aes128CmSha1_80 => 14,
        }
    }
}

/// Why a packet was not protected or opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// It is too short, or an SRTCP packet that isn't encrypted.
    #[error("the packet is too short for its headers and tag, or is not encrypted")]
    Malformed,
    /// Its tag is wrong: another key, or it was changed on the way.
    #[error("the packet's authentication tag is wrong; it was made with another key or changed")]
    Authentication,
    /// It came before, or so late that nobody can tell.
    #[error("the packet was received before or comes too late")]
    Replayed,
    /// The buffer ends before the tag would.
    #[error("the buffer has no room for the tag; leave `overhead()` bytes behind the packet")]
    NoRoom,
    /// 2^31 SRTCP packets were sent (RFC 3711, section 9.2).
    #[error("the key has protected as many SRTCP packets as it may; make a new session")]
    KeyExhausted,
}

/// Both directions of a session out of its DTLS handshake (RFC 5764, section 4.2).
///
/// `material` is the export with the label `EXTRACTOR-dtls_srtp`, of
/// [`Profile::keying_material_len`] bytes, and `role` is ours.
///
/// # Errors
///
/// [`SrtpError::Malformed`] when `material` has another length.
pub fn session(
    crypto: &dyn RTCCrypto,
    profile: Profile,
    role: DtlsRole,
    material: &[u8],
) -> Result<(Outbound, Inbound), SrtpError> {
    if material.len() != profile.keying_material_len() {
        return Err(SrtpError::Malformed);
    }
    let (keys, salts) = material.split_at(2 * 16);
    let (client_salt, server_salt) = salts.split_at(profile.salt_len());
    let client = MasterKey::new(&keys[..16], client_salt).ok_or(SrtpError::Malformed)?;
    let server = MasterKey::new(&keys[16..], server_salt).ok_or(SrtpError::Malformed)?;
    let (ours, theirs) = match role {
        DtlsRole::Client => (client, server),
        DtlsRole::Server => (server, client),
    };
    Ok((
        Outbound::new(crypto, profile, &ours)?,
        Inbound::new(crypto, profile, &theirs)?,
    ))
}

/// What we send.
pub struct Outbound {
    rtp: Cipher,
    rtcp: Cipher,
    /// The next SRTCP index; one for all our SSRCs, which may have gaps but never repeats.
    rtcp_index: u32,
}

impl Outbound {
    /// The sending side with our master key.
    ///
    /// # Errors
    ///
    /// Only when the crypto provider lacks an algorithm of `profile`.
    pub fn new(
        crypto: &dyn RTCCrypto,
        profile: Profile,
        master: &MasterKey,
    ) -> Result<Self, SrtpError> {
        Ok(Self {
            rtp: Cipher::rtp(crypto, profile, master)?,
            rtcp: Cipher::rtcp(crypto, profile, master)?,
            rtcp_index: 0,
        })
    }

    /// How many bytes [`Self::protect_rtp`] adds to a packet.
    pub fn overhead(&self) -> usize {
        self.rtp.tag_len()
    }

    /// Encrypts the packet `buffer[..len]` in place and returns its length with the tag.
    ///
    /// `header_len` counts the header with its CSRCs and extension (see [`rtp_header_len`]).
    /// `index` is the packet's 48-bit index: rollover counter and sequence number. Its lower half
    /// must be the sequence number in the header, and no two different packets of an SSRC may
    /// have one index: the caller counts rollovers.
    ///
    /// # Errors
    ///
    /// [`SrtpError::NoRoom`] or [`SrtpError::Malformed`] when the buffer or header is too short.
    pub fn protect_rtp(
        &mut self,
        buffer: &mut [u8],
        header_len: usize,
        len: usize,
        index: u64,
    ) -> Result<usize, SrtpError> {
        debug_assert_eq!(buffer.get(2..4), Some(&(index as u16).to_be_bytes()[..]));
        self.rtp.seal_rtp(buffer, header_len, len, index)
    }

    /// Encrypts a compound RTCP packet and appends the index and tag.
    ///
    /// # Errors
    ///
    /// [`SrtpError::Malformed`] for less than a header; [`SrtpError::KeyExhausted`] after 2^31 packets.
    pub fn protect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        if packet.len() < RTCP_HEADER {
            return Err(SrtpError::Malformed);
        }
        let index = self.rtcp_index;
        if index >= 1 << 31 {
            return Err(SrtpError::KeyExhausted);
        }
        self.rtcp_index += 1;
        packet.resize(packet.len() + self.rtcp.rtcp_overhead(), 0);
        self.rtcp.seal_rtcp(packet, index)
    }
}

/// What the peer sends.
pub struct Inbound {
    rtp: Cipher,
    rtcp: Cipher,
    /// 1024 packets: more than 100 ms of a fast stream, for retransmissions on the media SSRC.
    rtp_sources: Sources<16>,
    rtcp_sources: Sources<2>,
}

impl Inbound {
    /// The receiving side with the peer's master key.
    ///
    /// # Errors
    ///
    /// Only when the crypto provider lacks an algorithm of `profile`.
    pub fn new(
        crypto: &dyn RTCCrypto,
        profile: Profile,
        master: &MasterKey,
    ) -> Result<Self, SrtpError> {
        Ok(Self {
            rtp: Cipher::rtp(crypto, profile, master)?,
            rtcp: Cipher::rtcp(crypto, profile, master)?,
            rtp_sources: Sources::new(),
            rtcp_sources: Sources::new(),
        })
    }

    /// Checks and decrypts an SRTP packet in place; returns its length without the tag.
    ///
    /// `header_len` is that of [`rtp_header_len`].
    ///
    /// # Errors
    ///
    /// See [`SrtpError`]; the packet's bytes are of no use then.
    pub fn unprotect_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
    ) -> Result<usize, SrtpError> {
        let &[_, _, s0, s1, _, _, _, _, a, b, c, d, ..] = &*packet else {
            return Err(SrtpError::Malformed);
        };
        let sequence = u16::from_be_bytes([s0, s1]);
        let ssrc = u32::from_be_bytes([a, b, c, d]);
        let index = match self.rtp_sources.window(ssrc) {
            Some(window) => {
                let index = window.estimate(sequence);
                if !window.is_fresh(index) {
                    return Err(SrtpError::Replayed);
                }
                index
            }
            None => sequence.into(),
        };
        let len = self.rtp.open_rtp(packet, header_len, index)?;
        self.rtp_sources.accept(ssrc, index);
        Ok(len)
    }

    /// Checks and decrypts an SRTCP packet in place; returns its length without index and tag.
    ///
    /// # Errors
    ///
    /// See [`SrtpError`]; the packet's bytes are of no use then.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let &[_, _, _, _, a, b, c, d, ..] = &*packet else {
            return Err(SrtpError::Malformed);
        };
        let ssrc = u32::from_be_bytes([a, b, c, d]);
        let index = self.rtcp.rtcp_index(packet)?;
        if let Some(window) = self.rtcp_sources.window(ssrc)
            && !window.is_fresh(index.into())
        {
            return Err(SrtpError::Replayed);
        }
        let len = self.rtcp.open_rtcp(packet, index)?;
        self.rtcp_sources.accept(ssrc, index.into());
        Ok(len)
    }
}

/// The SSRC of an RTP packet (RFC 3550, section 5.1), which no cipher hides.
pub fn ssrc(packet: &[u8]) -> Option<u32> {
    let bytes = packet.get(8..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// The length of an RTP header with its CSRCs and extension (RFC 3550, section 5.1 and 5.3.1).
///
/// `None` when the packet is of another version or ends before its header does.
pub fn rtp_header_len(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    if first >> 6 != 2 {
        return None;
    }
    let mut len = 12 + 4 * usize::from(first & 0x0F);
    if first & 0x10 != 0 {
        let words = packet.get(len + 2..len + 4)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    (len <= packet.len()).then_some(len)
}

#[cfg(test)]
mod tests;
