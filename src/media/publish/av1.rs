//! AV1 over RTP, which GStreamer 1.22 has no payloader for ("RTP Payload Format For AV1", AOMedia, sections 4 and 5).
//!
//! [`packetize`] is plain data in, plain data out. The rest carries temporal units from an `appsink`
//! to an `appsrc`, and keyframe requests the other way, as a payloader between the two would.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};

use crate::media::keyframes;
use crate::rtp::obu::{HAS_SIZE, Obu, SEQUENCE_HEADER, push_leb128};

/// As in the other payloaders' descriptions.
const PAYLOAD_TYPE: u8 = 96;
/// The longest RTP packet, in bytes.
const MTU: usize = 1200;
const RTP_HEADER: usize = 12;

/// The bits of the aggregation header. W stays 0: each element has its length before it.
const CONTINUES_PREVIOUS: u8 = 0x80;
const CONTINUES_IN_NEXT: u8 = 0x40;
const NEW_SEQUENCE: u8 = 0x08;

/// Joins the two ends: what `units` takes goes to `out` as RTP.
pub(super) fn connect(encoder: &gst::Pad, units: &AppSink, out: &AppSrc) {
    let ssrc = rand::random::<u32>();
    let timestamp_offset = rand::random::<u32>();
    let mut sequence = rand::random::<u16>();
    let caps = gst::Caps::builder("application/x-rtp")
        .field("media", "video")
        .field("encoding-name", "AV1")
        .field("clock-rate", 90_000)
        .field("payload", i32::from(PAYLOAD_TYPE))
        .field("ssrc", ssrc)
        .build();
    out.set_caps(Some(&caps));

    let encoder = encoder.clone();
    if let Some(pad) = out.static_pad("src") {
        pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| match info
            .event()
            .filter(|event| keyframes::is_request(event))
        {
            Some(request) => {
                encoder.send_event(request.clone());
                // Not `Drop`: GStreamer would then unref the event, which the bindings have done already.
                gst::PadProbeReturn::Handled
            }
            None => gst::PadProbeReturn::Ok,
        });
    }

    let (out, end) = (out.clone(), out.clone());
    let callbacks = AppSinkCallbacks::builder()
        .new_sample(move |units| {
            let sample = units.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let (Some(unit), Some(segment)) = (sample.buffer(), sample.segment()) else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let time = segment
                .downcast_ref::<gst::ClockTime>()
                .and_then(|segment| segment.to_running_time(unit.pts()));
            let Some(time) = time else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let ticks = u128::from(time.nseconds()) * 9 / 100_000;
            // RTP timestamps wrap (RFC 3550, section 5.1), so the low bits are what is wanted.
            let timestamp = timestamp_offset.wrapping_add(ticks as u32);
            let data = unit.map_readable().map_err(|_| gst::FlowError::Error)?;
            let payloads = packetize(&data, MTU - RTP_HEADER);
            let mut list = gst::BufferList::new();
            // Just made, so nobody else holds it.
            let packets = list.get_mut().ok_or(gst::FlowError::Error)?;
            let last = payloads.len().saturating_sub(1);
            for (index, payload) in payloads.into_iter().enumerate() {
                let mut packet = Vec::with_capacity(RTP_HEADER + payload.len());
                let marker = u8::from(index == last) << 7;
                packet.extend_from_slice(&[0x80, marker | PAYLOAD_TYPE]);
                packet.extend_from_slice(&sequence.to_be_bytes());
                packet.extend_from_slice(&timestamp.to_be_bytes());
                packet.extend_from_slice(&ssrc.to_be_bytes());
                packet.extend_from_slice(&payload);
                sequence = sequence.wrapping_add(1);
                let mut buffer = gst::Buffer::from_mut_slice(packet);
                if let Some(buffer) = buffer.get_mut() {
                    buffer.set_pts(time);
                }
                packets.add(buffer);
            }
            out.push_buffer_list(list)
        })
        .eos(move |_| {
            // It fails while the pipeline stops, when there is nothing left to end.
            let _ = end.end_of_stream();
        })
        .build();
    units.set_callbacks(callbacks);
}

/// The RTP payloads of a temporal unit in the low-overhead format (`obu-stream`), none over `limit` bytes.
///
/// A unit that is not well formed gives what could be read of it: encoders don't make such.
fn packetize(unit: &[u8], limit: usize) -> Vec<Vec<u8>> {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    let mut payload = vec![0];
    let mut new_sequence = false;
    for (kind, obu) in obus(unit) {
        new_sequence |= kind == SEQUENCE_HEADER;
        let mut rest = &obu[..];
        while !rest.is_empty() {
            // A length of two bytes covers all that fits into a packet.
            let room = limit.saturating_sub(payload.len() + 2);
            if room == 0 {
                payloads.push(std::mem::replace(&mut payload, vec![0]));
                continue;
            }
            let (element, later) = rest.split_at(room.min(rest.len()));
            push_leb128(&mut payload, element.len());
            payload.extend_from_slice(element);
            rest = later;
            if !rest.is_empty() {
                payload[0] |= CONTINUES_IN_NEXT;
                payloads.push(std::mem::replace(&mut payload, vec![CONTINUES_PREVIOUS]));
            }
        }
    }
    if payload.len() > 1 {
        payloads.push(payload);
    }
    if let Some(first) = payloads.first_mut().filter(|_| new_sequence) {
        first[0] |= NEW_SEQUENCE;
    }
    payloads
}

/// The OBUs of a unit as they go into RTP: without size field, and without those that RTP leaves out.
fn obus(unit: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut rest = unit;
    let obus = std::iter::from_fn(|| Obu::read(&mut rest));
    obus.filter(Obu::is_kept)
        .map(|obu| {
            let mut bytes = vec![obu.header & !HAS_SIZE];
            bytes.extend(obu.extension);
            bytes.extend_from_slice(obu.body);
            (obu.kind(), bytes)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::obu::leb128;

    const TEMPORAL_DELIMITER: u8 = 2;
    const OBU_FRAME: u8 = 6;

    fn obu(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut obu = vec![kind << 3 | 0x02];
        push_leb128(&mut obu, body.len());
        obu.extend_from_slice(body);
        obu
    }

    /// Puts the elements together again, as a receiver does (section 4.4).
    fn depacketize(payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut obus: Vec<Vec<u8>> = Vec::new();
        for payload in payloads {
            let (header, mut rest) = payload.split_first().unwrap();
            assert_eq!(header & 0x30, 0, "W is not used");
            let mut continues = header & CONTINUES_PREVIOUS != 0;
            while !rest.is_empty() {
                let size = leb128(&mut rest).unwrap();
                let (element, later) = rest.split_at(size);
                if continues {
                    obus.last_mut().unwrap().extend_from_slice(element);
                } else {
                    obus.push(element.to_vec());
                }
                (continues, rest) = (false, later);
            }
        }
        obus
    }

    #[test]
    fn a_keyframe_is_split_and_marked() {
        let frame: Vec<u8> = (0..5000).map(|n| n as u8).collect();
        let unit = [
            obu(TEMPORAL_DELIMITER, &[]),
            obu(SEQUENCE_HEADER, &[1, 2, 3]),
            obu(OBU_FRAME, &frame),
        ]
        .concat();
        let payloads = packetize(&unit, 1188);
        assert!(payloads.iter().all(|payload| payload.len() <= 1188));
        assert_eq!(payloads.len(), 5);
        assert_eq!(payloads[0][0], NEW_SEQUENCE | CONTINUES_IN_NEXT);
        assert_eq!(payloads[1][0], CONTINUES_PREVIOUS | CONTINUES_IN_NEXT);
        assert_eq!(payloads[4][0], CONTINUES_PREVIOUS);
        let obus = depacketize(&payloads);
        assert_eq!(obus.len(), 2, "the temporal delimiter is left out");
        assert_eq!(obus[0], [SEQUENCE_HEADER << 3, 1, 2, 3]);
        assert_eq!(obus[1][0], OBU_FRAME << 3, "the size field is left out");
        assert_eq!(obus[1][1..], frame);
    }

    #[test]
    fn obus_of_every_size_survive_every_limit() {
        for size in [0, 1, 126, 127, 128, 300] {
            let unit = [obu(OBU_FRAME, &vec![7; size]), obu(OBU_FRAME, &[9])].concat();
            for limit in 4..140 {
                let payloads = packetize(&unit, limit);
                assert!(payloads.iter().all(|payload| payload.len() <= limit));
                let obus = depacketize(&payloads);
                assert_eq!(obus.len(), 2, "size {size}, limit {limit}");
                assert_eq!(obus[0].len(), size + 1);
                assert_eq!(obus[1], [OBU_FRAME << 3, 9]);
            }
        }
    }

    #[test]
    fn a_unit_that_breaks_off_gives_what_came_before() {
        let mut unit = obu(OBU_FRAME, &[1, 2, 3]);
        unit.extend_from_slice(&[OBU_FRAME << 3 | 0x02, 200, 1]);
        assert_eq!(depacketize(&packetize(&unit, 100)).len(), 1);
        for end in 0..unit.len() {
            packetize(&unit[..end], 100);
        }
        assert_eq!(packetize(&[], 100), Vec::<Vec<u8>>::new());
    }
}
