//! The two ways to protect a packet that we offer, each on one key.
//!
//! Everything is done in the caller's buffer; nothing is allocated once a cipher is made.

use rtc::crypto::{
    AeadAlgorithm, AeadCipher, CryptoError, HmacAlgorithm, Mac, RTCCrypto, StreamCipher,
    StreamCipherAlgorithm, constant_time_eq,
};

use super::kdf::{Label, MasterKey};
use super::{Profile, SrtpError};

/// The bytes of an RTCP packet that stay readable: its first header and sender SSRC.
pub(super) const RTCP_HEADER: usize = 8;
/// The `E` flag and the index at the end of an SRTCP packet (RFC 3711, section 3.4).
const RTCP_INDEX: usize = 4;
/// The `E` flag: the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;
const GCM_TAG: usize = 16;
const SHA1_TAG: usize = 10;

/// One direction's cipher for either RTP or RTCP.
pub(super) enum Cipher {
    /// RFC 7714.
    Gcm {
        aead: Box<dyn AeadCipher>,
        salt: [u8; 12],
    },
    /// RFC 3711 with an authentication tag of 80 bits.
    CounterSha1 {
        stream: Box<dyn StreamCipher>,
        mac: Box<dyn Mac>,
        salt: [u8; 14],
    },
}

impl Cipher {
    /// The cipher for RTP packets.
    pub(super) fn rtp(
        crypto: &dyn RTCCrypto,
        profile: Profile,
        master: &MasterKey,
    ) -> Result<Self, CryptoError> {
        let labels = [
            Label::RtpEncryption,
            Label::RtpAuthentication,
            Label::RtpSalt,
        ];
        Self::new(crypto, profile, master, labels)
    }

    /// The cipher for RTCP packets.
    pub(super) fn rtcp(
        crypto: &dyn RTCCrypto,
        profile: Profile,
        master: &MasterKey,
    ) -> Result<Self, CryptoError> {
        let labels = [
            Label::RtcpEncryption,
            Label::RtcpAuthentication,
            Label::RtcpSalt,
        ];
        Self::new(crypto, profile, master, labels)
    }

    fn new(
        crypto: &dyn RTCCrypto,
        profile: Profile,
        master: &MasterKey,
        [encryption, authentication, salt]: [Label; 3],
    ) -> Result<Self, CryptoError> {
        let mut key = [0; 16];
        master.derive(crypto, encryption, &mut key)?;
        match profile {
            Profile::AeadAes128Gcm => {
                let mut bytes = [0; 12];
                master.derive(crypto, salt, &mut bytes)?;
                Ok(Self::Gcm {
                    aead: crypto.new_aead(AeadAlgorithm::Aes128Gcm, &key)?,
                    salt: bytes,
                })
            }
            Profile::Aes128CmSha1_80 => {
                let mut bytes = [0; 14];
                master.derive(crypto, salt, &mut bytes)?;
                let mut mac_key = [0; 20];
                master.derive(crypto, authentication, &mut mac_key)?;
                Ok(Self::CounterSha1 {
                    stream: crypto.new_stream_cipher(StreamCipherAlgorithm::Aes128Ctr, &key)?,
                    mac: crypto.new_hmac(HmacAlgorithm::Sha1, &mac_key)?,
                    salt: bytes,
                })
            }
        }
    }

    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Gcm { .. } => GCM_TAG,
            Self::CounterSha1 { .. } => SHA1_TAG,
        }
    }

    /// Encrypts `packet[header_len..len]` and puts the tag behind it.
    pub(super) fn seal_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        len: usize,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let total = len + self.tag_len();
        let Some(packet) = packet.get_mut(..total) else {
            return Err(SrtpError::NoRoom);
        };
        let ssrc = read_ssrc(packet, 8)?;
        let (body, tag) = packet.split_at_mut(len);
        let (header, payload) = body
            .split_at_mut_checked(header_len)
            .ok_or(SrtpError::Malformed)?;
        match self {
            Self::Gcm { aead, salt } => {
                aead.seal_in_place(&gcm_nonce(salt, ssrc, index), header, payload, tag)?;
            }
            Self::CounterSha1 { stream, mac, salt } => {
                stream.apply_keystream(&counter_iv(salt, ssrc, index), payload)?;
                let mut digest = [0; 20];
                mac.sign(&[body, &rollover(index)], &mut digest)?;
                tag.copy_from_slice(&digest[..SHA1_TAG]);
            }
        }
        Ok(total)
    }

    /// Checks and decrypts a packet; returns its length without the tag.
    pub(super) fn open_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let ssrc = read_ssrc(packet, 8)?;
        let len = packet
            .len()
            .checked_sub(self.tag_len())
            .filter(|&len| len >= header_len)
            .ok_or(SrtpError::Malformed)?;
        let (body, tag) = packet.split_at_mut(len);
        match self {
            Self::Gcm { aead, salt } => {
                let (header, payload) = body.split_at_mut(header_len);
                aead.open_in_place(&gcm_nonce(salt, ssrc, index), header, payload, tag)?;
            }
            Self::CounterSha1 { stream, mac, salt } => {
                verify(mac.as_mut(), &[body, &rollover(index)], tag)?;
                stream.apply_keystream(&counter_iv(salt, ssrc, index), &mut body[header_len..])?;
            }
        }
        Ok(len)
    }

    /// How much [`Self::seal_rtcp`] adds.
    pub(super) fn rtcp_overhead(&self) -> usize {
        self.tag_len() + RTCP_INDEX
    }

    /// Encrypts an RTCP packet that has [`Self::rtcp_overhead`] of room behind it.
    pub(super) fn seal_rtcp(&mut self, packet: &mut [u8], index: u32) -> Result<(), SrtpError> {
        let ssrc = read_ssrc(packet, 4)?;
        let len = packet
            .len()
            .checked_sub(self.rtcp_overhead())
            .filter(|&len| len >= RTCP_HEADER)
            .ok_or(SrtpError::Malformed)?;
        let word = (ENCRYPTED | index).to_be_bytes();
        let (body, trailer) = packet.split_at_mut(len);
        let (header, payload) = body.split_at_mut(RTCP_HEADER);
        match self {
            Self::Gcm { aead, salt } => {
                let aad = rtcp_aad(header, word);
                let (tag, index_out) = trailer.split_at_mut(GCM_TAG);
                aead.seal_in_place(&gcm_nonce(salt, ssrc, index.into()), &aad, payload, tag)?;
                index_out.copy_from_slice(&word);
            }
            Self::CounterSha1 { stream, mac, salt } => {
                stream.apply_keystream(&counter_iv(salt, ssrc, index.into()), payload)?;
                let (index_out, tag) = trailer.split_at_mut(RTCP_INDEX);
                index_out.copy_from_slice(&word);
                let mut digest = [0; 20];
                mac.sign(&[body, &word], &mut digest)?;
                tag.copy_from_slice(&digest[..SHA1_TAG]);
            }
        }
        Ok(())
    }

    /// The index that an SRTCP packet carries. It is not authentic yet.
    ///
    /// A packet that isn't encrypted is refused: no WebRTC endpoint sends one.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Result<u32, SrtpError> {
        if packet.len() < RTCP_HEADER + self.rtcp_overhead() {
            return Err(SrtpError::Malformed);
        }
        let from_end = match self {
            Self::Gcm { .. } => 0,
            Self::CounterSha1 { .. } => SHA1_TAG,
        };
        let at = packet.len() - from_end - RTCP_INDEX;
        let word = read_u32(packet, at).ok_or(SrtpError::Malformed)?;
        if word & ENCRYPTED == 0 {
            return Err(SrtpError::Malformed);
        }
        Ok(word & !ENCRYPTED)
    }

    /// Checks and decrypts a packet whose [`Self::rtcp_index`] was read; returns the plain length.
    pub(super) fn open_rtcp(&mut self, packet: &mut [u8], index: u32) -> Result<usize, SrtpError> {
        let ssrc = read_ssrc(packet, 4)?;
        let len = packet
            .len()
            .checked_sub(self.rtcp_overhead())
            .filter(|&len| len >= RTCP_HEADER)
            .ok_or(SrtpError::Malformed)?;
        let word = (ENCRYPTED | index).to_be_bytes();
        match self {
            Self::Gcm { aead, salt } => {
                let (body, trailer) = packet.split_at_mut(len);
                let (header, payload) = body.split_at_mut(RTCP_HEADER);
                let aad = rtcp_aad(header, word);
                let nonce = gcm_nonce(salt, ssrc, index.into());
                aead.open_in_place(&nonce, &aad, payload, &trailer[..GCM_TAG])?;
            }
            Self::CounterSha1 { stream, mac, salt } => {
                let (signed, tag) = packet.split_at_mut(len + RTCP_INDEX);
                verify(mac.as_mut(), &[signed], tag)?;
                let iv = counter_iv(salt, ssrc, index.into());
                stream.apply_keystream(&iv, &mut signed[RTCP_HEADER..len])?;
            }
        }
        Ok(len)
    }
}

/// RFC 7714, section 8.1 for RTP (the index is rollover counter and sequence number) and 9.1 for RTCP.
fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut nonce = *salt;
    let ssrc = ssrc.to_be_bytes();
    let index = index.to_be_bytes();
    for (byte, value) in nonce[2..].iter_mut().zip(ssrc.iter().chain(&index[2..])) {
        *byte ^= value;
    }
    nonce
}

/// RFC 3711, section 4.1.1.
fn counter_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    let ssrc = ssrc.to_be_bytes();
    let index = index.to_be_bytes();
    for (byte, value) in iv[4..14].iter_mut().zip(ssrc.iter().chain(&index[2..])) {
        *byte ^= value;
    }
    iv
}

/// RFC 7714, section 9.2.
fn rtcp_aad(header: &[u8], word: [u8; 4]) -> [u8; RTCP_HEADER + RTCP_INDEX] {
    let mut aad = [0; RTCP_HEADER + RTCP_INDEX];
    aad[..RTCP_HEADER].copy_from_slice(header);
    aad[RTCP_HEADER..].copy_from_slice(&word);
    aad
}

/// The rollover counter, which the tag of RFC 3711 covers (section 4.2).
fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn verify(mac: &mut dyn Mac, input: &[&[u8]], tag: &[u8]) -> Result<(), SrtpError> {
    let mut digest = [0; 20];
    mac.sign(input, &mut digest)?;
    if constant_time_eq(&digest[..SHA1_TAG], tag) {
        Ok(())
    } else {
        Err(SrtpError::Authentication)
    }
}

fn read_ssrc(packet: &[u8], at: usize) -> Result<u32, SrtpError> {
    read_u32(packet, at).ok_or(SrtpError::Malformed)
}

fn read_u32(packet: &[u8], at: usize) -> Option<u32> {
    let bytes = packet.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

impl From<CryptoError> for SrtpError {
    /// The lengths of keys, nonces and tags are ours, so only the tag's value can be at fault.
    fn from(_: CryptoError) -> Self {
        Self::Authentication
    }
}
