//! The limit of the machine: what no server that encrypts for each viewer can go below.
//!
//! For every viewer the send calls that the server made, byte for byte as long and in the same order, each
//! packet sealed with AES-128-GCM under the viewer's own key. No parsing, no rewriting, no copying, no
//! sessions: a buffer is sealed where it lies and handed to the kernel.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use rtc::crypto::{AeadAlgorithm, AeadCipher, default_provider};

use super::cpu::{self, Thread};
use super::viewers::Run;

const HEADER: usize = 12;
const TAG: usize = 16;
/// Runs nearer to each other than this were one round of the server's loop.
const ONE_ROUND: Duration = Duration::from_micros(100);

/// In which time the runs are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As the server did, sleeping in between: with cold caches and wake-ups.
    Server,
    /// One after another, with a pause only so that the viewers' sockets don't overflow.
    FlatOut,
}

/// A thread that sends at the limit.
pub(crate) struct Limit {
    jobs: Sender<Job>,
    done: Receiver<u64>,
    /// The thread that is measured.
    pub(crate) thread: Thread,
}

struct Job {
    runs: Vec<Run>,
    pace: Pace,
}

impl Limit {
    pub(crate) fn start(viewers: Vec<SocketAddr>) -> Self {
        let (jobs, todo) = channel::<Job>();
        let (finished, done) = channel();
        let (started, thread) = channel();
        std::thread::spawn(move || {
            let thread = Thread::current();
            thread.pin(cpu::MEASURED);
            let mut sender = LimitSender::new(&viewers);
            started.send(thread).unwrap();
            while let Ok(job) = todo.recv() {
                let sent = sender.play(&job.runs, job.pace);
                if finished.send(sent).is_err() {
                    break;
                }
            }
        });
        Self {
            jobs,
            done,
            thread: thread.recv().unwrap(),
        }
    }

    /// Sends the runs to every viewer; returns how many packets that were. The thread sleeps before and after.
    pub(crate) fn play(&self, runs: &[Run], pace: Pace) -> u64 {
        let runs = runs.to_vec();
        self.jobs.send(Job { runs, pace }).unwrap();
        self.done.recv().unwrap()
    }
}

struct LimitSender {
    socket: UdpSocket,
    state: UdpSocketState,
    viewers: Vec<(SocketAddr, Box<dyn AeadCipher>)>,
    buffer: Vec<u8>,
    nonce: [u8; 12],
}

impl LimitSender {
    fn new(viewers: &[SocketAddr]) -> Self {
        let provider = default_provider().unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let _ = socket2::SockRef::from(&socket).set_send_buffer_size(16 << 20);
        let state = UdpSocketState::new(UdpSockRef::from(&socket)).unwrap();
        let viewers = viewers.iter().zip(0u128..).map(|(address, number)| {
            let key = number.to_be_bytes();
            let crypto = provider.crypto();
            let aead = crypto.new_aead(AeadAlgorithm::Aes128Gcm, &key).unwrap();
            (*address, aead)
        });
        Self {
            viewers: viewers.collect(),
            socket,
            state,
            buffer: vec![0x80; 1 << 16],
            nonce: [0; 12],
        }
    }

    fn play(&mut self, runs: &[Run], pace: Pace) -> u64 {
        let begun = Instant::now();
        let first = runs.first().map_or(Duration::ZERO, |run| run.at);
        let mut sent = 0;
        for round in runs.chunk_by(|one, next| next.at.saturating_sub(one.at) < ONE_ROUND) {
            match pace {
                Pace::Server => {
                    std::thread::sleep((round[0].at - first).saturating_sub(begun.elapsed()));
                }
                Pace::FlatOut if sent > 2_000 => {
                    sent = 0;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Pace::FlatOut => {}
            }
            for index in 0..self.viewers.len() {
                for run in round {
                    self.send(index, run);
                    sent += run.packets();
                }
            }
        }
        let each: usize = runs.iter().map(Run::packets).sum();
        (each * self.viewers.len()) as u64
    }

    fn send(&mut self, viewer: usize, run: &Run) {
        let (to, aead) = &mut self.viewers[viewer];
        let bytes = &mut self.buffer[..run.len];
        for packet in bytes.chunks_mut(run.segment) {
            let number = u64::from_be_bytes(self.nonce[4..].try_into().unwrap()) + 1;
            self.nonce[4..].copy_from_slice(&number.to_be_bytes());
            let (body, tag) = packet.split_at_mut(packet.len() - TAG);
            let (header, payload) = body.split_at_mut(HEADER);
            aead.seal_in_place(&self.nonce, header, payload, tag)
                .unwrap();
        }
        let transmit = Transmit {
            destination: *to,
            ecn: None,
            contents: bytes,
            segment_size: (run.segment < run.len).then_some(run.segment),
            src_ip: None,
        };
        self.state
            .try_send(UdpSockRef::from(&self.socket), &transmit)
            .unwrap();
    }
}
