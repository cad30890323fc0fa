//! A link like a TCP connection, in one direction: in order and without loss, in pieces of any size,
//! and no faster than its rate. Queue and framing are the product's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::network::Dice;
use crate::transport::Path;
use crate::transport::framing::{Deframer, SendQueue};

/// One direction of a connection.
pub(super) struct Stream {
    /// Its name at the gateway.
    pub(super) path: Path,
    /// Bytes a second.
    rate: u32,
    queue: SendQueue,
    /// When the line is free for the next piece.
    free: Instant,
    under_way: VecDeque<(Instant, Vec<u8>)>,
    deframer: Deframer,
    /// Datagrams for which there was no room.
    pub(super) dropped: u64,
}

impl Stream {
    const DELAY: Duration = Duration::from_millis(15);
    const LONGEST_PIECE: u32 = 1_400;

    pub(super) fn new(now: Instant, path: Path, rate: u32, queue_bytes: usize) -> Self {
        Self {
            path,
            rate,
            queue: SendQueue::new(queue_bytes),
            free: now,
            under_way: VecDeque::new(),
            deframer: Deframer::default(),
            dropped: 0,
        }
    }

    pub(super) fn send(&mut self, now: Instant, dice: &mut Dice, datagram: &[u8]) {
        if !self.queue.push(datagram) {
            self.dropped += 1;
        }
        self.transmit(now, dice);
    }

    fn transmit(&mut self, now: Instant, dice: &mut Dice) {
        while self.free <= now && !self.queue.is_empty() {
            let len = 1 + dice.below(Self::LONGEST_PIECE) as usize;
            let bytes: Vec<u8> = self
                .queue
                .slices()
                .iter()
                .flat_map(|slice| slice.iter().copied())
                .take(len)
                .collect();
            self.queue.consume(bytes.len());
            let takes = Duration::from_secs(bytes.len() as u64) / self.rate;
            self.free = self.free.max(now) + takes;
            self.under_way.push_back((self.free + Self::DELAY, bytes));
        }
    }

    /// When something happens by itself.
    pub(super) fn next(&self) -> Option<Instant> {
        let arrival = self.under_way.front().map(|(at, _)| *at);
        let free = (!self.queue.is_empty()).then_some(self.free);
        arrival.into_iter().chain(free).min()
    }

    /// The datagrams that are whole now.
    pub(super) fn receive(&mut self, now: Instant, dice: &mut Dice) -> Vec<Vec<u8>> {
        self.transmit(now, dice);
        let mut datagrams = Vec::new();
        while let Some((at, mut bytes)) = self.under_way.pop_front() {
            if at > now {
                self.under_way.push_front((at, bytes));
                break;
            }
            self.deframer
                .handle(&mut bytes, |frame| datagrams.push(frame.to_vec()))
                .unwrap();
        }
        datagrams
    }
}
