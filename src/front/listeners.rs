//! The listening sockets.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

use super::Entrances;

/// How long to wait when the process has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// The address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {source}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// Every socket that listens for TCP.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<TcpListener>,
    entrances: Entrances,
    /// Which socket is asked first the next time, so that a busy one does not starve the others.
    turn: usize,
    /// Runs while the process has no file descriptor left.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Listeners {
    /// Binds what is needed for `entrances`, and puts the port that the system chose in the place of
    /// each 0 there.
    ///
    /// # Errors
    ///
    /// The first address that can't be bound, and why.
    pub async fn bind(mut entrances: Entrances) -> Result<Self, BindError> {
        let mut sockets = Vec::new();
        let mut chosen = None;
        for mut address in entrances.to_bind() {
            let choose = address.port() == 0;
            if let Some(port) = chosen.filter(|_| choose) {
                address.set_port(port);
            }
            let bound = TcpListener::bind(address)
                .await
                .and_then(|socket| Ok((socket.local_addr()?.port(), socket)));
            let (port, socket) = bound.map_err(|source| BindError { address, source })?;
            if choose {
                chosen = Some(port);
            }
            sockets.push(socket);
        }
        entrances.resolve(chosen.unwrap_or_default());
        Ok(Self {
            sockets,
            entrances,
            turn: 0,
            pause: None,
        })
    }

    /// What comes in where, with the ports that were bound.
    pub fn entrances(&self) -> &Entrances {
        &self.entrances
    }

    /// The next connection. An error of one connection is passed over; for others, which mean that
    /// descriptors have run out, it waits until some are free again. Nothing is lost by not waiting
    /// for it to the end.
    pub(super) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(TcpStream, SocketAddr)> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.poll_sockets(cx)) {
                Ok(accepted) => return Poll::Ready(accepted),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "can't accept connections; raise the limit of open files");
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
            }
        }
    }

    fn poll_sockets(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let count = self.sockets.len();
        for offset in 0..count {
            let index = (self.turn + offset) % count;
            if let Poll::Ready(accepted) = self.sockets[index].poll_accept(cx) {
                self.turn = index + 1;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
