//! SRTP against the independent implementation in `rtc::srtp`, and what must be refused.

use proptest::prelude::*;
use rtc::crypto::default_provider;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;

use super::*;

const PROFILES: [Profile; 2] = [Profile::AeadAes128Gcm, Profile::Aes128CmSha1_80];

/// Our side as the server and the peer's two contexts (to send and to receive) as the client.
fn pair(profile: Profile) -> (Outbound, Inbound, Context, Context) {
    let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
    let provider = default_provider().unwrap();
    let (outbound, inbound) =
        session(provider.crypto(), profile, DtlsRole::Server, &material).unwrap();
    let theirs = match profile {
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::Aes128CmSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let salt_len = profile.salt_len();
    let context = |key: &[u8], salt: &[u8]| {
        Context::new(key, salt, theirs, None, None, provider.crypto()).unwrap()
    };
    let send = context(&material[..16], &material[32..32 + salt_len]);
    let receive = context(&material[16..32], &material[32 + salt_len..]);
    (outbound, inbound, send, receive)
}

/// With a CSRC and a header extension of one word.
fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x91, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 7]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0, 0, 0, 1]);
    packet.extend([0xBE, 0xDE, 0, 1, 0x10, 0x80, 0, 0]);
    packet.extend(payload);
    packet
}

/// A PLI of `ssrc`.
fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x81, 206, 0, 2];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0, 0, 0, 9]);
    packet
}

fn protect(outbound: &mut Outbound, packet: &[u8], index: u64) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + outbound.overhead(), 0);
    let header_len = rtp_header_len(packet).unwrap();
    let len = outbound
        .protect_rtp(&mut buffer, header_len, packet.len(), index)
        .unwrap();
    assert_eq!(len, buffer.len());
    buffer
}

fn unprotect(inbound: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = packet.to_vec();
    let header_len = rtp_header_len(packet).unwrap();
    let len = inbound.unprotect_rtp(&mut buffer, header_len)?;
    buffer.truncate(len);
    Ok(buffer)
}

#[test]
fn rtp_interoperates_both_ways_across_the_rollover() {
    for profile in PROFILES {
        let (mut outbound, mut inbound, mut send, mut receive) = pair(profile);
        for index in 0xFFF0u64..0x1_0010 {
            let plain = rtp(1, index as u16, b"payload");
            let protected = protect(&mut outbound, &plain, index);
            assert_eq!(receive.decrypt_rtp(&protected).unwrap(), plain);
            let protected = send.encrypt_rtp(&plain).unwrap();
            assert_eq!(unprotect(&mut inbound, &protected).unwrap(), plain);
        }
    }
}

#[test]
fn rtcp_interoperates_both_ways() {
    for profile in PROFILES {
        let (mut outbound, mut inbound, mut send, mut receive) = pair(profile);
        for ssrc in [1, 2, 1] {
            let plain = rtcp(ssrc);
            let mut packet = plain.clone();
            outbound.protect_rtcp(&mut packet).unwrap();
            assert_eq!(receive.decrypt_rtcp(&packet).unwrap(), plain);
            let mut packet = send.encrypt_rtcp(&plain).unwrap().to_vec();
            let len = inbound.unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(packet[..len], plain);
        }
    }
}

#[test]
fn a_late_packet_from_before_the_rollover_is_opened() {
    for profile in PROFILES {
        let (_, mut inbound, mut send, _) = pair(profile);
        let late = send.encrypt_rtp(&rtp(1, 0xFFFE, b"late")).unwrap();
        let before = send.encrypt_rtp(&rtp(1, 0xFFFF, b"before")).unwrap();
        let after = send.encrypt_rtp(&rtp(1, 0, b"after")).unwrap();
        for packet in [before, after, late] {
            unprotect(&mut inbound, &packet).unwrap();
        }
    }
}

#[test]
fn a_replay_is_refused() {
    for profile in PROFILES {
        let (_, mut inbound, mut send, _) = pair(profile);
        let packet = send.encrypt_rtp(&rtp(1, 5, b"once")).unwrap();
        let next = send.encrypt_rtp(&rtp(1, 6, b"next")).unwrap();
        unprotect(&mut inbound, &packet).unwrap();
        unprotect(&mut inbound, &next).unwrap();
        assert_eq!(unprotect(&mut inbound, &packet), Err(SrtpError::Replayed));

        let packet = send.encrypt_rtcp(&rtcp(1)).unwrap();
        inbound.unprotect_rtcp(&mut packet.to_vec()).unwrap();
        assert_eq!(
            inbound.unprotect_rtcp(&mut packet.to_vec()),
            Err(SrtpError::Replayed)
        );
    }
}

#[test]
fn a_changed_bit_anywhere_is_refused_and_leaves_no_trace() {
    for profile in PROFILES {
        let (_, mut inbound, mut send, _) = pair(profile);
        let packet = send.encrypt_rtp(&rtp(1, 5, b"payload")).unwrap();
        // The first byte decides where the payload begins, so it may be malformed instead.
        for at in 1..packet.len() {
            let mut changed = packet.to_vec();
            changed[at] ^= 1;
            let header_len = rtp_header_len(&packet).unwrap();
            assert_eq!(
                inbound.unprotect_rtp(&mut changed, header_len),
                Err(SrtpError::Authentication),
                "{profile:?} byte {at}"
            );
        }
        let packet_rtcp = send.encrypt_rtcp(&rtcp(1)).unwrap();
        for at in 0..packet_rtcp.len() {
            let mut changed = packet_rtcp.to_vec();
            changed[at] ^= 1;
            assert_eq!(
                inbound.unprotect_rtcp(&mut changed),
                Err(SrtpError::Authentication),
                "{profile:?} byte {at}"
            );
        }
        unprotect(&mut inbound, &packet).unwrap();
        inbound.unprotect_rtcp(&mut packet_rtcp.to_vec()).unwrap();
    }
}

#[test]
fn a_buffer_without_room_for_the_tag_is_refused() {
    for profile in PROFILES {
        let (mut outbound, ..) = pair(profile);
        let mut packet = rtp(1, 5, b"payload");
        let len = packet.len();
        assert_eq!(
            outbound.protect_rtp(&mut packet, 24, len, 5),
            Err(SrtpError::NoRoom)
        );
    }
}

#[test]
fn keying_material_of_a_wrong_length_is_refused() {
    let provider = default_provider().unwrap();
    for profile in PROFILES {
        assert!(session(provider.crypto(), profile, DtlsRole::Client, &[0; 20]).is_err());
    }
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), header_len in 0usize..100) {
        for profile in PROFILES {
            let (_, mut inbound, ..) = pair(profile);
            prop_assert!(inbound.unprotect_rtp(&mut bytes.clone(), header_len).is_err());
            prop_assert!(inbound.unprotect_rtcp(&mut bytes.clone()).is_err());
            rtp_header_len(&bytes);
        }
    }
}
