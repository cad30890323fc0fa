//! nginx with static files, to compare with.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::cpu::{self, Thread};

/// A process that ends with this value.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// nginx on the measured core, as it serves static files at its best.
pub(crate) struct Nginx {
    process: Running,
    pub(crate) address: SocketAddr,
    folder: PathBuf,
}

impl Nginx {
    /// None where it is not installed.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        fs::create_dir_all(folder).unwrap();
        let root = folder.display();
        let configuration = format!(
            "user root;\ndaemon off;\nmaster_process off;\nworker_processes 1;\npid {root}/pid;\n\
             error_log {root}/error.log;\nevents {{ worker_connections 1024; }}\n\
             http {{\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  keepalive_requests 10000000;\n  \
             open_file_cache max=100;\n  client_body_temp_path {root}/tmp;\n  \
             server {{ listen {address}; root {root}; types {{ video/mp4 m4s; }} }}\n}}\n"
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        Thread::current().pin(cpu::MEASURED);
        let spawned = Command::new("nginx")
            .arg("-c")
            .arg(file)
            .stderr(Stdio::null())
            .spawn();
        Thread::current().pin(cpu::OTHERS);
        let process = Running(spawned.ok()?);
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "nginx does not start"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self {
            process,
            address,
            folder: folder.to_owned(),
        })
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.0.id()
    }

    /// Serves these bytes as the file of that path.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        let file = self.folder.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
