//! Datagrams over a TCP connection: each after its length in two bytes (RFC 4571, section 2), as
//! ICE-TCP carries STUN, DTLS and SRTP (RFC 6544, section 3).
//!
//! Pure and bounded in both directions: a peer can make us hold no more than one frame, and a
//! peer that does not read no more than the limit of its queue.

use std::collections::VecDeque;
use std::io::IoSlice;

/// The length before a frame.
const HEADER: usize = 2;

/// The longest frame that is taken. The format has room for 64 KiB, but what is sent over an
/// Ethernet's MTU or a tunnel's needs no more than this.
pub const MAX_FRAME: usize = 4096;

/// A frame is longer than any that a peer of ours makes. What follows can't be told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a frame of {len} bytes came over TCP; {MAX_FRAME} are allowed")]
pub struct FrameTooLong {
    /// Its length by its header.
    pub len: usize,
}

/// Takes frames out of a byte stream that comes in pieces.
#[derive(Debug, Default)]
pub struct Deframer {
    /// The beginning of a frame whose end has not come, with its header.
    partial: Vec<u8>,
}

impl Deframer {
    /// Takes the next piece of the stream, and shows each frame that it completes. Frames that are
    /// whole in it are shown in place. Empty frames mean nothing and are passed over.
    ///
    /// # Errors
    ///
    /// [`FrameTooLong`]; the connection is of no use any more.
    pub fn handle(
        &mut self,
        mut bytes: &mut [u8],
        mut each: impl FnMut(&mut [u8]),
    ) -> Result<(), FrameTooLong> {
        if !self.partial.is_empty() {
            bytes = self.complete(bytes)?;
            match frame_len(&self.partial)? {
                Some(len) if self.partial.len() == HEADER + len => {
                    if len > 0 {
                        each(&mut self.partial[HEADER..]);
                    }
                    self.partial.clear();
                }
                _ => return Ok(()),
            }
        }
        while let Some(len) = frame_len(bytes)? {
            if bytes.len() < HEADER + len {
                break;
            }
            let (frame, rest) = bytes.split_at_mut(HEADER + len);
            if len > 0 {
                each(&mut frame[HEADER..]);
            }
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether the stream has ended, or stands still, between two frames.
    pub fn is_between_frames(&self) -> bool {
        self.partial.is_empty()
    }

    /// Moves what is missing of the frame that has begun out of `bytes`; returns the rest.
    fn complete<'a>(&mut self, bytes: &'a mut [u8]) -> Result<&'a mut [u8], FrameTooLong> {
        let missing = HEADER.saturating_sub(self.partial.len());
        let (header, bytes) = bytes.split_at_mut(missing.min(bytes.len()));
        self.partial.extend_from_slice(header);
        let missing = match frame_len(&self.partial)? {
            Some(len) => (HEADER + len).saturating_sub(self.partial.len()),
            None => 0,
        };
        let (body, rest) = bytes.split_at_mut(missing.min(bytes.len()));
        self.partial.extend_from_slice(body);
        Ok(rest)
    }
}

/// The first frame of a byte stream, while it is known only in part.
///
/// # Errors
///
/// [`FrameTooLong`].
pub fn first_frame(bytes: &[u8]) -> Result<Option<&[u8]>, FrameTooLong> {
    Ok(frame_len(bytes)?.and_then(|len| bytes.get(HEADER..HEADER + len)))
}

/// The length that the header at the beginning of `bytes` says, when it is there.
fn frame_len(bytes: &[u8]) -> Result<Option<usize>, FrameTooLong> {
    let Some(header) = bytes.first_chunk() else {
        return Ok(None);
    };
    let len = usize::from(u16::from_be_bytes(*header));
    if len > MAX_FRAME {
        return Err(FrameTooLong { len });
    }
    Ok(Some(len))
}

/// Frames that wait until a connection takes them, in bounded memory.
///
/// What does not fit is not queued: the peer is slower than its stream, and is better served by
/// what comes when there is room again than by what is old by then. Frames are dropped whole, as
/// a datagram is on any other path, and what was queued once is sent.
#[derive(Debug)]
pub struct SendQueue {
    bytes: VecDeque<u8>,
    limit: usize,
}

impl SendQueue {
    /// An empty queue that takes up to `limit` bytes, headers included.
    pub const fn new(limit: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            limit,
        }
    }

    /// Queues a datagram as a frame. Returns false where there is no room for it, or it is longer
    /// than a frame can be.
    pub fn push(&mut self, datagram: &[u8]) -> bool {
        let Ok(len) = u16::try_from(datagram.len()) else {
            return false;
        };
        if self.bytes.len() + HEADER + datagram.len() > self.limit {
            return false;
        }
        self.bytes.extend(len.to_be_bytes());
        self.bytes.extend(datagram);
        true
    }

    /// What is to be sent, in order, for one vectored write.
    pub fn slices(&self) -> [IoSlice<'_>; 2] {
        let (first, second) = self.bytes.as_slices();
        [IoSlice::new(first), IoSlice::new(second)]
    }

    /// Takes out what the connection took. When nothing is left, no memory is kept that a stream
    /// does not need all the time.
    pub fn consume(&mut self, count: usize) {
        const KEPT: usize = 16 * 1024;
        self.bytes.drain(..count.min(self.bytes.len()));
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes.shrink_to(KEPT);
        }
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut queue = SendQueue::new(usize::MAX);
        for frame in frames {
            assert!(queue.push(frame));
        }
        Vec::from(queue.bytes)
    }

    /// What comes out when the stream is cut at `cuts`.
    fn deframed(stream: &[u8], cuts: &[usize]) -> Result<Vec<Vec<u8>>, FrameTooLong> {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let (mut deframer, mut frames) = (Deframer::default(), Vec::new());
        for cut in cuts.windows(2) {
            let mut piece = stream[cut[0]..cut[1]].to_vec();
            deframer.handle(&mut piece, |frame| frames.push(frame.to_vec()))?;
            assert!(deframer.partial.len() < HEADER + MAX_FRAME);
        }
        Ok(frames)
    }

    #[test]
    fn a_frame_of_one_byte_at_a_time_arrives() {
        let frames = [vec![1], vec![2; 300], vec![3; MAX_FRAME]];
        let stream = framed(&frames);
        let everywhere: Vec<_> = (0..stream.len()).collect();
        assert_eq!(deframed(&stream, &everywhere).unwrap(), frames);
    }

    #[test]
    fn empty_frames_are_passed_over() {
        for cuts in [&[][..], &[1], &[2], &[3]] {
            assert_eq!(
                deframed(&[0, 0, 0, 1, 9, 0, 0], cuts).unwrap(),
                [vec![9]],
                "{cuts:?}"
            );
        }
    }

    #[test]
    fn a_frame_that_is_too_long_ends_it_before_it_is_kept() {
        let [high, low] = (MAX_FRAME as u16 + 1).to_be_bytes();
        let len = MAX_FRAME + 1;
        for cuts in [&[][..], &[1], &[2]] {
            assert_eq!(
                deframed(&[high, low, 0], cuts),
                Err(FrameTooLong { len }),
                "{cuts:?}"
            );
        }
        assert_eq!(first_frame(&[high, low]), Err(FrameTooLong { len }));
    }

    #[test]
    fn the_first_frame_is_seen_when_it_is_whole() {
        for short in [&[][..], &[0], &[0, 2], &[0, 2, 7]] {
            assert_eq!(first_frame(short), Ok(None));
        }
        assert_eq!(first_frame(&[0, 2, 7, 8, 0, 9]), Ok(Some(&[7, 8][..])));
    }

    #[test]
    fn what_does_not_fit_is_dropped_whole_and_the_next_smaller_one_may_fit() {
        let mut queue = SendQueue::new(10);
        assert!(queue.push(&[1; 4]));
        assert!(!queue.push(&[2; 3]));
        assert!(queue.push(&[3; 2]));
        assert_eq!(queue.len(), 10);
        assert!(!queue.push(&[]));
        queue.consume(6);
        assert_eq!(
            queue.slices().map(|slice| slice.to_vec()).concat(),
            [0, 2, 3, 3]
        );
        assert!(queue.push(&[4; 4]));
        queue.consume(100);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_no_frame_can_hold_is_dropped() {
        let mut queue = SendQueue::new(usize::MAX);
        assert!(!queue.push(&[0; 65_536]));
        assert!(queue.push(&[0; 65_535]));
    }

    #[test]
    fn an_empty_queue_keeps_little_memory() {
        let mut queue = SendQueue::new(1 << 20);
        while queue.push(&[0; 1200]) {}
        queue.consume(queue.len());
        assert!(queue.bytes.capacity() <= 32 * 1024);
    }

    proptest! {
        #[test]
        fn frames_survive_any_split(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..20),
            cuts in prop::collection::vec(any::<usize>(), 0..60),
        ) {
            prop_assert_eq!(deframed(&framed(&frames), &cuts).unwrap(), frames);
        }

        #[test]
        fn random_bytes_never_panic_and_mean_the_same_in_any_pieces(
            stream in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..400),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let whole = deframed(&stream, &[]);
            prop_assert_eq!(deframed(&stream, &cuts), whole);
        }
    }
}
