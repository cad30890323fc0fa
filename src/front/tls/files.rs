//! A certificate in two files, which somebody else renews.
//!
//! The files are looked at every second. New ones are taken once they have stopped changing, as
//! certificate and key are never written in one step.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Current, TlsError, provider};

const LOOK: Duration = Duration::from_secs(1);

/// The two files; they may be one.
#[derive(Clone, Debug)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What changes when a file is written or replaced: device, inode, length, and time of writing.
type FileStamp = (u64, u64, u64, i64, i64);

/// The state of both files; `None` for one that is not there.
pub(super) type Stamp = [Option<FileStamp>; 2];

impl Files {
    pub(super) fn new(certificate: &Path, key: &Path) -> Self {
        Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        }
    }

    /// Reads the pair and checks that it is one.
    pub(super) fn load(&self) -> Result<CertifiedKey, TlsError> {
        let chain = CertificateDer::pem_slice_iter(&read(&self.certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|chain| !chain.is_empty())
            .ok_or_else(|| TlsError::NoCertificate {
                path: self.certificate.clone(),
            })?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?);
        let key = key.map_err(|_| TlsError::NoKey {
            path: self.key.clone(),
        })?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|source| TlsError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })
    }

    pub(super) fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            Some((
                file.dev(),
                file.ino(),
                file.len(),
                file.mtime(),
                file.mtime_nsec(),
            ))
        })
    }
}

/// Puts new files into `current` for ever. Those that can't be used change nothing.
pub(super) async fn watch(files: Files, seen: Stamp, current: Arc<Current>) {
    let mut changes = Changes {
        known: seen,
        last: seen,
    };
    let mut every_second = tokio::time::interval(LOOK);
    loop {
        every_second.tick().await;
        let now = files.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || now.stamp()).await else {
            continue;
        };
        if !changes.have_settled(now) {
            continue;
        }
        let new = files.clone();
        match tokio::task::spawn_blocking(move || new.load()).await {
            Ok(Ok(key)) => {
                current.set(key);
                tracing::info!("the certificate for HTTPS was read again, as its files changed");
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the new certificate for HTTPS can't be used; the old one stays");
            }
            Err(_) => tracing::error!("reading the certificate for HTTPS panicked"),
        }
    }
}

/// Which state of the files was dealt with.
#[derive(Debug)]
struct Changes {
    known: Stamp,
    last: Stamp,
}

impl Changes {
    /// Whether the files have changed since they were dealt with, and not since the last look.
    /// Says so once.
    fn have_settled(&mut self, now: Stamp) -> bool {
        let settled = now != self.known && now == self.last;
        self.last = now;
        if settled {
            self.known = now;
        }
        settled
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(version: u64) -> Stamp {
        [Some((1, 1, version, 0, 0)), Some((1, 2, 1, 0, 0))]
    }

    #[test]
    fn a_change_is_taken_once_and_when_it_has_settled() {
        let mut changes = Changes {
            known: stamp(0),
            last: stamp(0),
        };
        let looks = [0, 0, 1, 2, 2, 2, 3, 2, 3, 3];
        let settled = looks.map(|version| changes.have_settled(stamp(version)));
        let expected = [
            false, false, false, false, true, false, false, false, false, true,
        ];
        assert_eq!(settled, expected);
    }

    #[test]
    fn a_file_that_goes_away_for_a_moment_is_no_news() {
        let mut changes = Changes {
            known: stamp(0),
            last: stamp(0),
        };
        for now in [[None, stamp(0)[1]], stamp(0), stamp(0)] {
            assert!(!changes.have_settled(now));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn new_files_are_taken_and_broken_ones_are_not() {
        let directory = tempfile("watched");
        write_pair(&directory, "a");
        let files = Files::new(&directory.join("a.crt"), &directory.join("a.key"));
        let current = Arc::new(Current::new(files.load().unwrap()));
        let served = || current.0.read().unwrap().cert[0].clone();
        let watching = watch(files.clone(), files.stamp(), Arc::clone(&current));
        let watching = tokio::spawn(watching);
        let first = served();

        fs::write(directory.join("a.crt"), "no certificate").unwrap();
        tokio::time::sleep(LOOK * 4).await;
        assert_eq!(served(), first);

        write_pair(&directory, "a");
        tokio::time::sleep(LOOK * 4).await;
        assert_eq!(served(), files.load().unwrap().cert[0]);
        assert_ne!(served(), first);
        watching.abort();
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_refusal_names_the_file() {
        let directory = tempfile("refusal");
        let path = |name: &str| directory.join(name);
        write_pair(&directory, "a");
        write_pair(&directory, "b");
        fs::write(path("empty"), "").unwrap();
        let load = |certificate: &str, key: &str| {
            let loaded = Files::new(&path(certificate), &path(key)).load();
            loaded.map_err(|error| error.to_string())
        };
        assert!(load("a.crt", "a.key").is_ok());
        for (certificate, key, named) in [
            ("nowhere", "a.key", &["nowhere"][..]),
            ("empty", "a.key", &["empty", "no certificate"]),
            ("a.key", "a.key", &["a.key", "no certificate"]),
            ("a.crt", "a.crt", &["a.crt", "no private key"]),
            ("a.crt", "b.key", &["a.crt", "b.key"]),
        ] {
            let refused = load(certificate, key).unwrap_err();
            for name in named {
                assert!(refused.contains(name), "{refused}");
            }
        }
        fs::remove_dir_all(directory).unwrap();
    }

    fn write_pair(directory: &Path, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let path = |kind: &str| directory.join(format!("{name}.{kind}"));
        fs::write(path("crt"), made.cert.pem()).unwrap();
        fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
    }

    fn tempfile(name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("tidegate-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }
}
