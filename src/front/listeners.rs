//! The listening sockets.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

use super::Entrances;

/// How long to wait when the process has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// After so many errors in a row it waits too, whatever they are, so that it does not spin.
const MOST_PASSED_OVER: u8 = 32;

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
    /// Errors since the last connection that were passed over.
    passed_over: u8,
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
            passed_over: 0,
            pause: None,
        })
    }

    /// What comes in where, with the ports that were bound.
    pub fn entrances(&self) -> &Entrances {
        &self.entrances
    }

    /// The next connection. When descriptors or memory have run out it waits until there are some
    /// again. Other errors are of one connection and passed over: accept(2) tells network errors
    /// of a connection that it would have returned. Nothing is lost by not waiting for it to the end.
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
                Ok(accepted) => {
                    self.passed_over = 0;
                    return Poll::Ready(accepted);
                }
                Err(error) if has_run_out(&error) => {
                    tracing::warn!(%error, "can't accept connections; raise the limit of open files");
                    self.wait();
                }
                Err(error) if self.passed_over >= MOST_PASSED_OVER => {
                    tracing::warn!(%error, "can't accept connections");
                    self.wait();
                }
                Err(_) => self.passed_over += 1,
            }
        }
    }

    fn wait(&mut self) {
        self.passed_over = 0;
        self.pause = Some(Box::pin(sleep(PAUSE)));
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

/// Whether it is about descriptors or memory, and so comes again for the next connection.
fn has_run_out(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_run_out_stops_all_connections() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(has_run_out(&errno.into()), "{errno}");
        }
        for errno in [
            Errno::CONNABORTED,
            Errno::PERM,
            Errno::NETDOWN,
            Errno::PROTO,
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::TIMEDOUT,
        ] {
            assert!(!has_run_out(&errno.into()), "{errno}");
        }
    }
}
