//! The front door: one TCP port for HTTP, HTTPS and ICE over TCP, told apart by their first bytes.
//!
//! It accepts connections, finds out what they speak, finishes TLS, and hands over: HTTP to whoever
//! calls [`Front::accept`], ICE to the function that it was given. Until then a connection is a
//! stranger that may be silent for ever, so those are bounded in number, per address, in bytes and in
//! time. Knows no HTTP and no media, and reads no configuration.

mod entrances;
mod first_bytes;
mod listeners;
mod opening;
mod stream;
mod tls;

#[cfg(any(test, fuzzing))]
pub(crate) use first_bytes::fuzz as fuzz_first_bytes;

pub use entrances::Entrances;
pub use listeners::{BindError, Listeners};
pub use stream::{Begun, Stream};
pub use tls::{Acme, Certificate, Tls, TlsError, TlsStream};

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use first_bytes::{MOST_NEEDED, Protocol, Verdict, classify};
use opening::Opening;

/// Takes a connection that speaks ICE, with the bytes that were read from it. The socket does not
/// block, and neither may the function.
pub type IceHandler = Arc<dyn Fn(StdTcpStream, Vec<u8>) + Send + Sync>;

/// What can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once that have not said what they are, or have not finished TLS. For one more,
    /// the oldest of them is closed.
    pub opening: usize,
    /// The same of one address (of IPv6: of one /64).
    pub opening_per_address: usize,
    /// How long a connection may take for it.
    pub opening_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            opening: 1024,
            opening_per_address: 256,
            opening_timeout: Duration::from_secs(10),
        }
    }
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// Through TLS that ended here.
    Https,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// A connection that speaks HTTP.
#[derive(Debug)]
pub struct Connection {
    /// Its bytes, from the first on.
    pub stream: Stream,
    /// Whether they were encrypted.
    pub scheme: Scheme,
    /// Where it came from.
    pub peer: SocketAddr,
    /// Which address of this machine it came to.
    pub local: SocketAddr,
}

/// The door, open.
pub struct Front {
    listeners: Listeners,
    porter: Porter,
    timeout: Duration,
    /// The connections that are no HTTP yet.
    tasks: JoinSet<Option<Connection>>,
    aborts: HashMap<Id, AbortHandle>,
    opening: Opening<Id>,
}

/// What each connection is let in by.
#[derive(Clone)]
struct Porter {
    entrances: Arc<Entrances>,
    tls: Option<Arc<Tls>>,
    ice: Option<IceHandler>,
}

/// Why a connection was closed before it came to anything.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it ended before it said what it is")]
    Ended,
    #[error("its first bytes are of no protocol that is served here")]
    Unknown,
    #[error("it can't be read: {0}")]
    Read(#[from] io::Error),
    #[error("TLS failed: {0}")]
    Tls(io::Error),
}

impl Front {
    /// Opens the door: connections to `listeners` get in from the next [`accept`](Self::accept) on.
    /// Without `tls` there is no HTTPS, without `ice` no ICE over TCP.
    pub fn new(
        listeners: Listeners,
        tls: Option<Tls>,
        ice: Option<IceHandler>,
        limits: Limits,
    ) -> Self {
        Self {
            porter: Porter {
                entrances: Arc::new(listeners.entrances().clone()),
                tls: tls.map(Arc::new),
                ice,
            },
            listeners,
            timeout: limits.opening_timeout,
            tasks: JoinSet::new(),
            aborts: HashMap::new(),
            opening: Opening::new(opening::Limits {
                in_all: limits.opening,
                of_address: limits.opening_per_address,
            }),
        }
    }

    /// The next connection that speaks HTTP. Nothing gets in while nobody waits here; what has got in
    /// is kept when the caller stops waiting.
    pub async fn accept(&mut self) -> Connection {
        loop {
            tokio::select! {
                (stream, peer) = self.listeners.accept() => self.open(stream, peer),
                Some(ended) = self.tasks.join_next_with_id() => {
                    if let Some(connection) = self.ended(ended) {
                        return connection;
                    }
                }
            }
        }
    }

    fn open(&mut self, stream: TcpStream, peer: SocketAddr) {
        let (porter, timeout) = (self.porter.clone(), self.timeout);
        let task = self.tasks.spawn(async move {
            match tokio::time::timeout(timeout, porter.let_in(stream, peer)).await {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "connection closed");
                    None
                }
                Err(_) => {
                    tracing::debug!("connection closed, as it did not begin in time");
                    None
                }
            }
        });
        let id = task.id();
        self.aborts.insert(id, task);
        if let Some(oldest) = self.opening.insert(id, peer.ip())
            && let Some(oldest) = self.aborts.remove(&oldest)
        {
            tracing::debug!("connection closed, as too many have not begun");
            oldest.abort();
        }
    }

    fn ended(&mut self, ended: Result<(Id, Option<Connection>), JoinError>) -> Option<Connection> {
        let (id, connection) = ended.unwrap_or_else(|error| {
            if error.is_panic() {
                tracing::error!("a connection's task panicked");
            }
            (error.id(), None)
        });
        self.aborts.remove(&id);
        self.opening.remove(id);
        connection
    }
}

impl Porter {
    /// Finds out what the connection speaks, and makes HTTP of it if it is that.
    async fn let_in(
        self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Result<Option<Connection>, Refused> {
        // Answers are small and whole: waiting for more to send only delays them.
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let admission = self.entrances.admit(local);
        let (protocol, first) = begin(&stream).await?;
        let (stream, scheme) = match (protocol, &self.tls, &self.ice) {
            (Protocol::Ice, _, Some(ice)) if admission.ice => {
                ice(stream.into_std()?, first);
                return Ok(None);
            }
            (Protocol::Http, ..) if admission.web => {
                (Stream::Plain(Begun::new(first, stream)), Scheme::Http)
            }
            (Protocol::Tls, Some(tls), _) if admission.web => {
                let accepted = tls.accept(Begun::new(first, stream)).await;
                match accepted.map_err(Refused::Tls)? {
                    Some(stream) => (Stream::Tls(Box::new(stream)), Scheme::Https),
                    None => return Ok(None),
                }
            }
            _ => return Err(Refused::Unknown),
        };
        Ok(Some(Connection {
            stream,
            scheme,
            peer,
            local,
        }))
    }
}

/// Reads until the protocol is known. There is no buffer while the client is silent.
async fn begin(stream: &TcpStream) -> Result<(Protocol, Vec<u8>), Refused> {
    const ROOM: usize = 512;
    let mut first = Vec::new();
    loop {
        match classify(&first) {
            Verdict::Is(protocol) => return Ok((protocol, first)),
            Verdict::Unknown => return Err(Refused::Unknown),
            Verdict::NeedMore => {}
        }
        debug_assert!(first.len() < MOST_NEEDED, "there is a verdict by now");
        stream.readable().await?;
        let mut buffer = [0; ROOM];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(Refused::Ended),
            Ok(count) => first.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}
