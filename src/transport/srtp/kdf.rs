//! The key derivation of SRTP: AES in counter mode (RFC 3711, section 4.3).
//!
//! AEAD profiles use the same one with their salt of 96 bits padded by zeros (RFC 7714, section 11).

use rtc::crypto::{BlockCipherAlgorithm, CryptoError, RTCCrypto};

/// One direction's master key and salt, as the DTLS exporter gives them (RFC 5764, section 4.2).
pub struct MasterKey {
    pub(super) key: [u8; 16],
    pub(super) salt: [u8; 14],
}

impl MasterKey {
    /// From a key of 16 bytes and a salt of at most 14. `None` for other lengths.
    pub fn new(key: &[u8], salt: &[u8]) -> Option<Self> {
        let mut padded = [0; 14];
        padded.get_mut(..salt.len())?.copy_from_slice(salt);
        Some(Self {
            key: key.try_into().ok()?,
            salt: padded,
        })
    }

    /// Fills `output` with the session key that `label` names.
    ///
    /// The key derivation rate is zero, as DTLS-SRTP has it: keys are derived once.
    pub(super) fn derive(
        &self,
        crypto: &dyn RTCCrypto,
        label: Label,
        output: &mut [u8],
    ) -> Result<(), CryptoError> {
        let mut input = [0; 16];
        input[..14].copy_from_slice(&self.salt);
        input[7] ^= label as u8;
        for (counter, chunk) in (0u16..).zip(output.chunks_mut(16)) {
            let mut block = input;
            block[14..].copy_from_slice(&counter.to_be_bytes());
            crypto.block_encrypt(BlockCipherAlgorithm::Aes128, &self.key, &mut block)?;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

/// What a session key is for (RFC 3711, section 4.3.1 and 4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let nibble = |c: u8| char::from(c).to_digit(16).unwrap() as u8;
        text.as_bytes()
            .chunks(2)
            .map(|pair| nibble(pair[0]) << 4 | nibble(pair[1]))
            .collect()
    }

    /// RFC 3711, appendix B.3.
    #[test]
    fn session_keys_match_the_rfc() {
        let provider = rtc::crypto::default_provider().unwrap();
        let master = MasterKey::new(
            &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
            &hex("0EC675AD498AFEEBB6960B3AABE6"),
        )
        .unwrap();
        for (label, expected) in [
            (Label::RtpEncryption, "C61E7A93744F39EE10734AFE3FF7A087"),
            (Label::RtpSalt, "30CBBC08863D8C85D49DB34A9AE1"),
            (
                Label::RtpAuthentication,
                "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E47403576",
            ),
        ] {
            let expected = hex(expected);
            let mut output = vec![0; expected.len()];
            master
                .derive(provider.crypto(), label, &mut output)
                .unwrap();
            assert_eq!(output, expected, "{label:?}");
        }
    }
}
