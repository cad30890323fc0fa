//! The body of the fuzz target `watch`: a frame of a server, as the command line takes it apart.

use bytes::Bytes;

use super::depayload::{self, Sample};
use super::picture;
use super::sample_entry::sample_entry;
use crate::fuzzing::Steps;
use crate::rtp::Codec;

/// The payloads of one frame, of a codec that the first byte chooses.
pub(crate) fn watch(data: &[u8]) {
    let Some((codec, rest)) = data.split_first() else {
        return;
    };
    let codec = Codec::ALL[usize::from(*codec) % Codec::ALL.len()];
    let payloads: Vec<Bytes> = Steps::of(rest)
        .map(|step| Bytes::copy_from_slice(step.bytes))
        .collect();
    for payload in &payloads {
        let _ = depayload::begins_frame(codec, payload);
        let _ = depayload::holds_keyframe(codec, payload);
        let _ = depayload::holds_picture(codec, payload);
    }
    let Some(sample) = depayload::assemble(codec, &payloads) else {
        return;
    };
    let taken: usize = payloads.iter().map(Bytes::len).sum();
    let given: usize = match &sample {
        Sample::Nals(nals) => nals.iter().map(Vec::len).sum(),
        Sample::Bytes(bytes) => bytes.len(),
    };
    // AV1 gets size fields, a fragmented NAL unit its header of two bytes.
    assert!(given <= 3 * taken, "{given} of {taken}");
    if let Some(picture) = picture::read(codec, &sample) {
        let _ = sample_entry(codec, &picture, &sample);
    }
}
