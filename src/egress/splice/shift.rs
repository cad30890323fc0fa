//! What becomes of the timestamps and counters of a source's packets. Pure.

use crate::stream::Packet;

/// What to add to the values of each packet of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shifts {
    pub(super) shift: Shift,
    pub(super) squeeze: Option<Squeeze>,
}

/// Pictures from before the present, as they are in a cache, come faster than they were made. Their
/// timestamps lie as close together as they are sent: a player that believes them shows the present
/// picture when it comes, instead of staying as far behind as the first of them is old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Squeeze {
    /// The source's timestamp of the present.
    present: u32,
    /// How much closer together.
    divisor: u32,
}

impl Squeeze {
    /// Pictures of 300 a second, 300 ticks apart, still differ.
    const MAX: u32 = 256;

    /// From `first` to `present`, to be sent within about `span` ticks; none where there is nothing to squeeze.
    pub(super) fn of(first: &Packet, present: &Packet, span: u32) -> Option<Self> {
        let past = present.timestamp.wrapping_sub(first.timestamp);
        if (past as i32) <= 0 {
            return None;
        }
        let divisor = past.div_ceil(span.max(1)).min(Self::MAX);
        (divisor > 1).then_some(Self {
            present: present.timestamp,
            divisor,
        })
    }
}

impl Shifts {
    /// What to add to the values of `packet`.
    pub fn of(&self, packet: &Packet) -> Shift {
        let mut shift = self.shift;
        if let Some(squeeze) = self.squeeze {
            let before = squeeze.present.wrapping_sub(packet.timestamp);
            if (before as i32) > 0 {
                let closer = before - before / squeeze.divisor;
                shift.timestamp = shift.timestamp.wrapping_add(closer);
            }
        }
        shift
    }
}

/// What to add to the values of a packet. They wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// To the RTP timestamp.
    pub timestamp: u32,
    /// To the picture id of a VP8 descriptor.
    pub picture: u16,
    /// To its `TL0PICIDX`.
    pub base_layer: u8,
    /// To the frame number of a dependency descriptor.
    pub frame: u16,
}
