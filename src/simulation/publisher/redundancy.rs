//! Sound that comes once more with the next packet.

use super::{PublishingPeer, Source};
use crate::rtp::red;
use crate::simulation::{AUDIO_PAYLOAD_TYPE, RED_PAYLOAD_TYPE};

impl PublishingPeer {
    /// From now on each packet of audio carries the one before.
    pub(in crate::simulation) fn be_redundant(&mut self) {
        let audio = self.sources.last_mut().expect("the last one is audio");
        audio.previous = Some(Vec::new());
    }
}

impl Source {
    /// Puts what the packet before held in front of the payload of this one, where that is done.
    pub(super) fn add_previous(&mut self, packet: &mut Vec<u8>, payload: &[u8]) {
        let Some(previous) = &mut self.previous else {
            return;
        };
        if !previous.is_empty() {
            packet[1] = packet[1] & 0x80 | RED_PAYLOAD_TYPE;
            packet.extend(red::header(AUDIO_PAYLOAD_TYPE, 960, previous.len()).unwrap());
            packet.extend_from_slice(previous);
        }
        payload.clone_into(previous);
    }
}
