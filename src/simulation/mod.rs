//! The media path on a simulated network: a publisher, the gateway, viewers, and bad links between.
//!
//! For tests only. Time is virtual and chance is seeded, so that ten seconds of a stream take some
//! milliseconds and a failure happens again with its seed. The gateway's side is the product's own
//! pure parts, wired as a shard wires them; the peers are made of the parts of `rtc`.
//!
//! | file | what it holds |
//! |---|---|
//! | `link` | links with a bottleneck and its queue |
//! | `network` | links that lose, delay, swap and double datagrams |
//! | `agreed` | what SDP would have agreed on |
//! | `stream` | connections in the place of links |
//! | `tracks` | what the gateway holds of a stream |
//! | `gateway` | transports, ingest, rings and subscribers, without sockets |
//! | `publisher` | a peer that sends video and audio and answers NACKs |
//! | `viewer` | a peer that receives, asks again, and keeps account |
//! | `decoder` | what a viewer can show of the video that it gets |
//! | `telling` | what a player without transport-wide feedback says |
//! | `world` | all of them together in one time |
//! | `tests`, `layers`, `scalable`, `bandwidth`, `reported`, `clocks` | what viewers get in every weather, of every layer, over every link, at what time |
//! | `pictures` | how soon a picture that a viewer lost comes back |
//! | `redundancy` | how much of the sound is heard by those who take redundancy |
//! | `loss` | how much of it they can show when packets are lost: the tables of `docs/loss.md` |

mod abuse;
pub(crate) mod agreed;
mod bandwidth;
mod catch_up;
mod clocks;
mod decoder;
mod gateway;
mod layers;
mod link;
mod loss;
mod network;
mod outlet;
mod pictures;
mod publisher;
mod redundancy;
mod reported;
mod scalable;
mod stream;
mod telling;
mod tests;
mod tracks;
mod viewer;
mod world;

use std::time::Duration;

use crate::stream::TrackId;
use crate::transport::Path;

pub(crate) const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);
const VIDEO_PAYLOAD_TYPE: u8 = 102;
const RTX_PAYLOAD_TYPE: u8 = 103;
const AUDIO_PAYLOAD_TYPE: u8 = 111;
/// Audio with redundancy (RFC 2198).
const RED_PAYLOAD_TYPE: u8 = 63;

/// The names of the video layers, the best first; a stream without simulcast has the first alone, and
/// no name.
const RIDS: [&str; 3] = ["h", "m", "l"];
/// Header extension ids: the layer of a packet, and the one that a retransmission repairs.
const RID_EXTENSION: u8 = 10;
const REPAIRED_RID_EXTENSION: u8 = 11;

/// The time between two checks of a peer, before the first answer and afterwards.
const CHECKING: Duration = Duration::from_millis(50);
const KEEPING: Duration = Duration::from_secs(1);

/// A datagram of a peer, or for one, with what it goes by.
type Datagram = (Path, Vec<u8>);

/// Packets with this bit in their id are as large as those of a real stream.
const LARGE: u32 = 1 << 23;
/// The header extension id of transport-wide numbers.
const TRANSPORT_EXTENSION: u8 = 5;
const CAPTURE_EXTENSION: u8 = 6;

/// The first bytes of video payloads: of a keyframe's first packet, and of the others (H.264 slices).
const KEYFRAME: u8 = 0x65;
const DELTA: u8 = 0x41;

/// The same of VP9 in layers (RFC 9628, section 4.2: L, F, B, E and P): what the first packet of a frame has,
/// the last one, and those that refer to earlier pictures. The layer and the reference are the next bytes, in the id.
const SCALABLE: u8 = 0x30;
const BEGINS: u8 = 0x08;
const ENDS: u8 = 0x04;
const PREDICTED: u8 = 0x40;

/// Whether a keyframe begins with this payload.
fn is_keyframe(payload: &[u8]) -> bool {
    matches!(payload, [KEYFRAME, ..])
        || matches!(payload, [first, 0, ..] if *first == SCALABLE | BEGINS)
}

/// The payload of packet `id` of a track: no two are alike.
fn payload(first: u8, id: u32) -> Vec<u8> {
    let mut payload = vec![first];
    payload.extend_from_slice(&id.to_be_bytes());
    let len = match (id & LARGE, id >> 24) {
        (0, _) => 40 + id as usize % 50,
        (_, 2) => 600,
        _ => 1_000,
    };
    payload.resize(len, id as u8);
    payload
}

/// The packet that a payload belongs to; none where it was changed on the way.
fn id_of(sent: &[u8]) -> Option<u32> {
    let (first, rest) = sent.split_first()?;
    let id = u32::from_be_bytes(*rest.first_chunk()?);
    (payload(*first, id) == sent).then_some(id)
}
