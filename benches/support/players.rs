//! Players of low-latency HLS, thousands on one thread. Each has two connections, one for picture and one for sound, and
//! asks on each for the playlist that is about to come, then for the new part, and so on.
//!
//! They are as cheap as they can be: what is measured is the server, and real players have cores of their own. So
//! the kernel drops the parts, a playlist is read once for all, and there is no task for each of them.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as Std};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::http::{Head, drop_bytes, write_request};

const RENDITIONS: [&str; 2] = ["video", "audio"];

/// Holds the head of an answer and a compressed playlist.
const ANSWER: usize = 8 << 10;

/// What is read of the answer with a part: its head and a little more, which is copied for nothing.
const PART_HEAD: usize = 1 << 10;

/// More than any part.
const PART: usize = 1 << 20;

/// Playlists that are remembered: those that come at the same time, and what slow players see late.
const REMEMBERED: usize = 16;

/// All players of one stream.
pub(crate) struct Players {
    poll: Poll,
    connections: Vec<Connection>,
    shared: Shared,
}

/// What is counted of all players.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// From when the first of all players has the head of a new playlist until one has the last byte of the part in it, in
    /// milliseconds.
    pub(crate) lags: Vec<f64>,
    /// Of bodies.
    pub(crate) bytes: usize,
    /// Parts that a player found listed behind the one that it had asked for: it was too slow for them.
    pub(crate) missed: usize,
}

/// What they have in common.
struct Shared {
    server: SocketAddr,
    /// The newest playlists of each rendition, by their tag.
    known: [Vec<(Vec<u8>, Rc<Playlist>)>; 2],
    request: Vec<u8>,
    answer: Vec<u8>,
    /// Where dropped bytes would be; nothing is written there.
    dropped: Vec<u8>,
    counted: Option<Counted>,
}

/// What a player takes from a playlist.
#[derive(Debug)]
pub(crate) struct Playlist {
    seen: Instant,
    /// The names of all parts; that of the newest is the last.
    parts: Vec<String>,
    /// Which comes next; none at the end of the stream.
    next: Option<(u64, usize)>,
}

/// One rendition for one player.
struct Connection {
    stream: TcpStream,
    rendition: usize,
    /// The part that it waits for; none before its first playlist.
    wanted: Option<(u64, usize)>,
    step: Step,
    /// What came of an answer that is not all there: mostly nothing.
    begun: Vec<u8>,
    bytes: usize,
}

/// What it takes next.
enum Step {
    Playlist,
    PartHead(Rc<Playlist>),
    PartBody(Rc<Playlist>, usize),
}

impl Players {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self {
            poll: Poll::new().unwrap(),
            connections: Vec::new(),
            shared: Shared {
                server,
                known: Default::default(),
                request: Vec::new(),
                answer: vec![0; ANSWER],
                dropped: vec![0; PART],
                counted: None,
            },
        }
    }

    /// Lets so many come, one after another in this time; those that are there go on.
    pub(crate) fn come(&mut self, count: usize, interval: Duration) {
        for _ in 0..count {
            let due = Instant::now() + interval;
            for rendition in 0..RENDITIONS.len() {
                let token = Token(self.connections.len());
                let connection = Connection::open(rendition, &mut self.shared);
                self.connections.push(connection);
                let stream = &mut self.connections[token.0].stream;
                let registry = self.poll.registry();
                registry
                    .register(stream, token, Interest::READABLE)
                    .unwrap();
            }
            self.play(due.saturating_duration_since(Instant::now()));
        }
    }

    /// Lets them play for so long.
    pub(crate) fn play(&mut self, length: Duration) {
        let (end, mut events) = (Instant::now() + length, Events::with_capacity(1024));
        loop {
            let left = end.saturating_duration_since(Instant::now());
            self.poll.poll(&mut events, Some(left)).unwrap();
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                if let Err(error) = connection.take(&mut self.shared) {
                    panic!("{} of {}: {error}", connection, event.token().0);
                }
            }
            if left.is_zero() {
                return;
            }
        }
    }

    pub(crate) fn begin_counting(&mut self) {
        self.shared.counted = Some(Counted::default());
    }

    pub(crate) fn counted(self) -> Counted {
        self.shared.counted.unwrap_or_default()
    }
}

impl Connection {
    /// With its first request.
    fn open(rendition: usize, shared: &mut Shared) -> Self {
        // On loopback this waits for nothing.
        let stream = Std::connect(shared.server).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut connection = Self {
            stream: TcpStream::from_std(stream),
            rendition,
            wanted: None,
            step: Step::Playlist,
            begun: Vec::new(),
            bytes: 0,
        };
        connection.ask_playlist(shared).unwrap();
        connection
    }

    /// Takes all that came. Events tell of what comes later.
    fn take(&mut self, shared: &mut Shared) -> io::Result<()> {
        loop {
            let progress = match &self.step {
                Step::Playlist | Step::PartHead(_) => self.take_head(shared),
                Step::PartBody(..) => self.take_body(shared),
            };
            match progress {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the head of an answer, and of a playlist that nobody knows the body. False when nothing more is to be had.
    fn take_head(&mut self, shared: &mut Shared) -> io::Result<bool> {
        let begun = self.begun.len();
        shared.answer[..begun].copy_from_slice(&self.begun);
        let end = match self.step {
            Step::Playlist => ANSWER,
            _ => PART_HEAD,
        };
        let read = match self.stream.read(&mut shared.answer[begun..end])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        let filled = begun + read;
        let answer = &shared.answer[..filled];
        let Some(head) = Head::parse(answer) else {
            assert!(filled < end, "a head of more than {end} bytes");
            self.begun = answer.to_vec();
            return Ok(false);
        };
        assert_eq!(head.status, 200, "{self}");
        let left = (head.length + head.body) - filled;
        if let Step::PartHead(playlist) = &self.step {
            self.bytes += head.body;
            self.begun.clear();
            self.step = Step::PartBody(Rc::clone(playlist), left);
            return match left {
                0 => self.end_part(shared),
                // All that was there is read, or there is more.
                _ => Ok(filled == end),
            };
        }
        if left > 0 {
            assert!(filled + left <= end, "a playlist of {} bytes", head.body);
            self.begun = answer.to_vec();
            return Ok(false);
        }
        self.begun.clear();
        self.bytes = head.body;
        let (tag, body) = (&answer[head.etag], &answer[head.length..]);
        let known = &mut shared.known[self.rendition];
        let playlist = match known.iter().find(|(known, _)| known == tag) {
            Some((_, playlist)) => Rc::clone(playlist),
            None => {
                let playlist = Rc::new(Playlist::read(body, head.is_gzip));
                if known.len() == REMEMBERED {
                    known.remove(0);
                }
                known.push((tag.to_vec(), Rc::clone(&playlist)));
                playlist
            }
        };
        self.ask_part(playlist, shared)?;
        Ok(false)
    }

    /// Drops what came of a part. False when nothing more is to be had.
    fn take_body(&mut self, shared: &mut Shared) -> io::Result<bool> {
        let Step::PartBody(_, left) = &mut self.step else {
            return Ok(false);
        };
        let dropped = drop_bytes(&self.stream, &mut shared.dropped[..*left])?;
        if dropped == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *left -= dropped;
        match *left {
            0 => self.end_part(shared),
            // All that was there is dropped: an event tells of the rest.
            _ => Ok(false),
        }
    }

    /// Counts the part, and asks for the next playlist.
    fn end_part(&mut self, shared: &mut Shared) -> io::Result<bool> {
        let Step::PartBody(playlist, 0) = &self.step else {
            return Ok(false);
        };
        if let (Some(counted), Some((segment, part))) = (&mut shared.counted, self.wanted) {
            let asked = format!("{}-{segment}.{part}.m4s", RENDITIONS[self.rendition]);
            counted
                .lags
                .push(playlist.seen.elapsed().as_secs_f64() * 1e3);
            counted.bytes += self.bytes;
            counted.missed += playlist.behind(&asked);
        }
        self.wanted = playlist.next;
        self.ask_playlist(shared)?;
        Ok(false)
    }

    fn ask_playlist(&mut self, shared: &mut Shared) -> io::Result<()> {
        self.step = Step::Playlist;
        let mut path = format!("/hls/bench/{}.m3u8", RENDITIONS[self.rendition]);
        if let Some((segment, part)) = self.wanted {
            path += &format!("?_HLS_msn={segment}&_HLS_part={part}");
        }
        self.ask(&path, shared)
    }

    fn ask_part(&mut self, playlist: Rc<Playlist>, shared: &mut Shared) -> io::Result<()> {
        let path = format!("/hls/bench/{}", playlist.newest());
        self.step = Step::PartHead(playlist);
        self.ask(&path, shared)
    }

    fn ask(&mut self, path: &str, shared: &mut Shared) -> io::Result<()> {
        shared.request.clear();
        write_request(&mut shared.request, shared.server, path);
        // There is room: all before it was answered.
        self.stream.write_all(&shared.request)
    }
}

impl std::fmt::Display for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rendition = RENDITIONS[self.rendition];
        let what = match &self.step {
            Step::Playlist => "the playlist",
            Step::PartHead(_) => "a part",
            Step::PartBody(..) => "the rest of a part",
        };
        write!(f, "{what} of {rendition} ({:?})", self.wanted)
    }
}

impl Playlist {
    pub(crate) fn read(body: &[u8], is_gzip: bool) -> Self {
        let seen = Instant::now();
        let mut text = String::new();
        if is_gzip {
            let mut decoder = flate2::read::GzDecoder::new(body);
            decoder.read_to_string(&mut text).unwrap();
        } else {
            std::str::from_utf8(body).unwrap().clone_into(&mut text);
        }
        let uri = |line: &str| Some(line.split_once("URI=\"")?.1.split_once('"')?.0.to_owned());
        let of = |tag: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.starts_with(tag));
            lines.filter_map(uri).collect()
        };
        let (parts, hints) = (of("#EXT-X-PART:"), of("#EXT-X-PRELOAD-HINT:"));
        let next = || {
            let (_, rest) = hints.first()?.split_once('-')?;
            let (segment, part) = rest.strip_suffix(".m4s")?.split_once('.')?;
            Some((segment.parse().ok()?, part.parse().ok()?))
        };
        Self {
            seen,
            parts,
            next: next(),
        }
    }

    /// The name of the newest part.
    pub(crate) fn newest(&self) -> &str {
        self.parts.last().unwrap()
    }

    /// The segment, and the place in it, of the part that comes next; none at the end of the stream.
    pub(crate) fn next(&self) -> Option<(u64, usize)> {
        self.next
    }

    /// How many parts came after this one.
    fn behind(&self, part: &str) -> usize {
        let behind = self.parts.iter().rev().position(|known| known == part);
        behind.unwrap_or(0)
    }
}
