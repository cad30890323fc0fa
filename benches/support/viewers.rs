//! The sockets of the viewers, and one thread that empties them as cheaply as it can.
//!
//! Nothing is decrypted, and a datagram is copied only as far as its header. The thread looks now and
//! then instead of waiting: waking a waiting reader is work for the sender, which a viewer somewhere
//! else in the world does not give it.

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt::UdpGroSegment};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};

use super::cpu::{self, Thread};

/// Between two looks. At 2.5 Mbit/s that is a handful of packets, or one keyframe.
const PAUSE: Duration = Duration::from_millis(4);
const RECEIVE_BUFFER: usize = 4 << 20;

/// One socket per viewer.
pub(crate) struct Viewers {
    pub(crate) sockets: Arc<[UdpSocket]>,
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

/// One send call of the server as it came to a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// From the beginning of the recording.
    pub(crate) at: Duration,
    /// All bytes.
    pub(crate) len: usize,
    /// The bytes of each packet but the last.
    pub(crate) segment: usize,
}

impl Run {
    pub(crate) fn packets(&self) -> usize {
        self.len.div_ceil(self.segment)
    }
}

impl Viewers {
    pub(crate) fn new(count: usize) -> Self {
        let sockets = (0..count).map(|_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
            socket
        });
        Self {
            sockets: sockets.collect(),
            received: Arc::default(),
            stop: Arc::default(),
            reader: None,
        }
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self
            .sockets
            .iter()
            .map(|socket| socket.local_addr().unwrap());
        addresses.collect()
    }

    /// Begins to read; the sockets are of no other use from here.
    pub(crate) fn read(&mut self) {
        for socket in self.sockets.iter() {
            socket.set_nonblocking(true).unwrap();
        }
        let (sockets, received) = (Arc::clone(&self.sockets), Arc::clone(&self.received));
        let stop = Arc::clone(&self.stop);
        self.reader = Some(std::thread::spawn(move || {
            Thread::current().pin(cpu::OTHERS);
            let mut head = [0; 16];
            while !stop.load(Ordering::Relaxed) {
                let mut count = 0;
                for socket in sockets.iter() {
                    while socket.recv(&mut head).is_ok() {
                        count += 1;
                    }
                }
                received.fetch_add(count, Ordering::Relaxed);
                std::thread::sleep(PAUSE);
            }
        }));
    }

    /// Datagrams that arrived so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Which runs come to the first viewer while `play` goes on. Not to be used while they are read.
    ///
    /// The kernel cuts a run apart only where the receiver can't take it whole. Here it can, and so tells
    /// what the server's send calls were.
    pub(crate) fn record(&self, play: impl FnOnce()) -> Vec<Run> {
        let socket = &self.sockets[0];
        // This turns GRO on.
        let state = UdpSocketState::new(UdpSockRef::from(socket)).unwrap();
        let mut buffer = vec![0; 1 << 16];
        let done = AtomicBool::new(false);
        let mut runs = Vec::new();
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let mut meta = [RecvMeta::default()];
                    let mut slices = [IoSliceMut::new(&mut buffer)];
                    match state.recv(UdpSockRef::from(socket), &mut slices, &mut meta) {
                        Ok(_) => runs.push(Run {
                            at: begun.elapsed(),
                            len: meta[0].len,
                            segment: meta[0].stride,
                        }),
                        Err(_) => std::thread::sleep(Duration::from_micros(50)),
                    }
                }
            });
            play();
            std::thread::sleep(Duration::from_millis(100));
            done.store(true, Ordering::Relaxed);
        });
        setsockopt(socket, UdpGroSegment, &false).unwrap();
        for socket in self.sockets.iter() {
            socket.set_nonblocking(true).unwrap();
            while socket.recv(&mut buffer).is_ok() {}
        }
        runs
    }
}

impl Drop for Viewers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
