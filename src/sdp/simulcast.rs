//! The layers of an offer: `a=rid` (RFC 8851) and `a=simulcast` (RFC 8853).

use crate::stream::LayerId;

/// An `a=rid:… send` line of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RidOffer {
    /// The name that packets of the layer carry.
    pub id: String,
    /// What stands behind the direction, such as `pt=96;max-width=640`; empty when nothing does.
    pub restrictions: String,
}

/// The longest name: what a header extension in the one-byte form can carry (RFC 8285, section 4.2).
const MAX_RID: usize = 16;

impl RidOffer {
    /// Reads the value of `a=rid`; none for one that receives.
    pub(super) fn parse(value: &str) -> Result<Option<Self>, Malformed> {
        let mut fields = value.split_ascii_whitespace();
        let (id, direction) = fields.next().zip(fields.next()).ok_or(Malformed)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !id.chars().all(is_name) {
            return Err(Malformed);
        }
        match direction {
            "send" => Ok(Some(Self {
                id: id.to_owned(),
                restrictions: fields.next().unwrap_or_default().to_owned(),
            })),
            "recv" => Ok(None),
            _ => Err(Malformed),
        }
    }

    /// Whether the layer can come with this payload type (RFC 8851, section 5).
    fn allows(&self, payload_type: u8) -> bool {
        let listed = self
            .restrictions
            .split(';')
            .find_map(|restriction| restriction.strip_prefix("pt="));
        listed.is_none_or(|list| {
            list.split(',')
                .any(|listed| listed.parse() == Ok(payload_type))
        })
    }

    /// The restrictions in an answer that has `payload_type` alone: they are agreed to.
    pub(super) fn agreed(&self, payload_type: u8) -> String {
        let restrictions =
            self.restrictions
                .split(';')
                .map(|restriction| match restriction.starts_with("pt=") {
                    true => format!("pt={payload_type}"),
                    false => restriction.to_owned(),
                });
        restrictions.collect::<Vec<_>>().join(";")
    }
}

/// The value can't be read.
#[derive(Debug)]
pub(super) struct Malformed;

/// The layers that are taken of `a=simulcast:send` (`streams`), as indices into `rids`, in the order
/// of the offer.
///
/// Streams are parted by `;`. Of the alternatives of one, parted by `,`, the first is taken that can
/// come with `payload_type`. A `~` says that the stream is paused at first: it is taken all the same,
/// and seen when it comes. What is beyond [`LayerId::MAX_ENCODINGS`] is left out.
pub(super) fn layers(streams: &str, rids: &[RidOffer], payload_type: u8) -> Vec<usize> {
    let mut taken = Vec::new();
    for stream in streams.split(';') {
        let mut alternatives = stream.split(',').filter_map(|alternative| {
            let id = alternative.strip_prefix('~').unwrap_or(alternative);
            let index = rids.iter().position(|rid| rid.id == id)?;
            let rid = &rids[index];
            (rid.id.len() <= MAX_RID && rid.allows(payload_type)).then_some(index)
        });
        match alternatives.find(|index| !taken.contains(index)) {
            Some(index) if taken.len() < LayerId::MAX_ENCODINGS => taken.push(index),
            _ => {}
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rids(lines: &[&str]) -> Vec<RidOffer> {
        let rids = lines
            .iter()
            .filter_map(|line| RidOffer::parse(line).unwrap());
        rids.collect()
    }

    #[test]
    fn streams_are_taken_in_their_order() {
        let rids = rids(&["l send", "m send", "h send", "x recv"]);
        assert_eq!(rids.len(), 3);
        assert_eq!(layers("h;m;l", &rids, 96), [2, 1, 0]);
        assert_eq!(layers("l;~h", &rids, 96), [0, 2]);
        assert_eq!(layers("h;h;x;y;;l", &rids, 96), [2, 0]);
        assert_eq!(layers("~", &rids, 96), [0usize; 0]);
    }

    #[test]
    fn of_alternatives_the_first_that_can_come_is_taken() {
        let rids = rids(&[
            "1 send pt=97,98",
            "2 send pt=96;max-width=1280",
            "3 send max-width=640",
            "4 send",
        ]);
        assert_eq!(layers("1,2;3,4", &rids, 96), [1, 2]);
        assert_eq!(layers("1,~2;1,4", &rids, 98), [0, 3]);
        assert_eq!(rids[1].agreed(96), "pt=96;max-width=1280");
        assert_eq!(rids[0].agreed(98), "pt=98");
        assert_eq!(rids[3].agreed(98), "");
    }

    #[test]
    fn there_is_a_limit() {
        let lines: Vec<String> = (0..20).map(|id| format!("{id} send")).collect();
        let rids = rids(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let streams: Vec<String> = (0..20).map(|id| id.to_string()).collect();
        let taken = layers(&streams.join(";"), &rids, 96);
        assert_eq!(taken, [0, 1, 2, 3]);
    }

    #[test]
    fn a_name_that_no_packet_can_carry_is_no_layer() {
        let rids = rids(&["a234567890123456 send", "a2345678901234567 send"]);
        assert_eq!(layers("a234567890123456;a2345678901234567", &rids, 96), [0]);
        for line in ["h", "h both", "h:1 send", "é send"] {
            assert!(RidOffer::parse(line).is_err(), "{line}");
        }
    }
}
