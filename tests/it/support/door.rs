//! A TCP port whose connections go to the shards of a server.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use tidegate::shard::{ShardHandle, accept_tcp};

use super::server::Server;

/// Opens a port on loopback. `peek` bytes of every connection are read before it is handed over, or
/// fewer when no more come.
pub(crate) fn open(server: &Server, peek: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shards = server.shards();
    // It ends with the process: a connection to it would have to end it, and nobody needs that.
    thread::spawn(move || serve(&listener, &shards, peek));
    address
}

fn serve(listener: &TcpListener, shards: &Arc<[ShardHandle]>, peek: usize) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let mut bytes = vec![0; peek];
        if stream.read_exact(&mut bytes).is_ok() {
            accept_tcp(shards, stream, bytes);
        }
    }
}
