//! A certificate that the server makes for itself, for networks where no authority gives one.
//!
//! It stays the same over restarts, as browsers remember an exception for one certificate. A new one
//! is made when it is about to end, which is looked at once a day, or at a start when the machine has
//! got a name or address that it lacks; the names of before stay in it, so that a machine that moves
//! between networks changes it only once.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::UnixTime;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use super::files::{Files, read};
use super::{Current, TlsError, provider};

pub(super) const CERTIFICATE: &str = "self-signed.crt";
const KEY: &str = "self-signed.key";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Apple's systems take none that lasts longer than 825 days.
const LASTS: u32 = 800;
/// So many days before its end a new one is made.
const RENEWED: u32 = 30;
/// How often that is looked at.
const LOOK: Duration = DAY;
/// The line of the certificate's file that lists its names; what reads PEM passes over it.
const NAMES: &str = "Names: ";
/// The most names of one certificate.
const MAX_NAMES: usize = 64;

/// The certificate of `directory`, or a new one.
pub(super) fn load_or_make(directory: &Path, names: &[String]) -> Result<CertifiedKey, TlsError> {
    let store = Store {
        certificate: directory.join(CERTIFICATE),
        key: directory.join(KEY),
    };
    let now = SystemTime::now();
    if let Some(key) = store.usable(names, now) {
        return Ok(key);
    }
    make_directory(directory)?;
    store.make(names, now)?;
    tracing::info!(
        certificate = %store.certificate.display(),
        "made a self-signed certificate for HTTPS; browsers ask once whether to trust it"
    );
    store.files().load()
}

/// Puts the certificate of `directory` into `current` for ever, and makes a new one in time. Where that
/// can't be, the old one stays, and it is tried again with the next look.
pub(super) async fn watch(directory: PathBuf, names: Vec<String>, current: Arc<Current>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let (directory, names) = (directory.clone(), names.clone());
        let look = move || load_or_make(&directory, &names);
        match tokio::task::spawn_blocking(look).await {
            Ok(Ok(key)) => current.set(key),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the self-signed certificate for HTTPS can't be made again in time; the old one stays");
            }
            Err(_) => tracing::error!("looking at the certificate for HTTPS panicked"),
        }
    }
}

/// Makes a directory that nobody else may look into, unless it exists.
pub(super) fn make_directory(path: &Path) -> Result<(), TlsError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| cant_write(path, source))
}

struct Store {
    certificate: PathBuf,
    key: PathBuf,
}

impl Store {
    fn files(&self) -> Files {
        Files::new(&self.certificate, &self.key)
    }

    /// What is stored, if it is good for `names` and for some time to come.
    fn usable(&self, names: &[String], now: SystemTime) -> Option<CertifiedKey> {
        let key = self.files().load().ok()?;
        let stored = self.names();
        let all = names.iter().all(|name| stored.contains(name));
        (all && is_valid(&key, now + DAY * RENEWED)).then_some(key)
    }

    /// The names of the stored certificate.
    fn names(&self) -> Vec<String> {
        let text = read(&self.certificate).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let names = text.lines().find_map(|line| line.strip_prefix(NAMES));
        let names = names.unwrap_or_default().split_whitespace();
        names.map(str::to_owned).collect()
    }

    fn make(&self, names: &[String], now: SystemTime) -> Result<(), TlsError> {
        let mut all = names.to_vec();
        all.extend(self.names().into_iter().filter(|old| !names.contains(old)));
        all.truncate(MAX_NAMES);
        let mut params = CertificateParams::new(all.clone())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Tidegate, self-signed");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Clocks differ.
        params.not_before = (now - DAY).into();
        params.not_after = (now + DAY * LASTS).into();
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let certificate = format!("{NAMES}{}\n{}", all.join(" "), certificate.pem());
        // A pair of which one half is missing is found not to be one, and made again.
        write(&self.key, 0o600, &key.serialize_pem())?;
        write(&self.certificate, 0o644, &certificate)
    }
}

/// Whether a client that trusts this very certificate will do so at that time.
fn is_valid(key: &CertifiedKey, at: SystemTime) -> bool {
    let Some(own) = key.cert.first() else {
        return false;
    };
    let mut roots = RootCertStore::empty();
    let Ok(at) = at.duration_since(SystemTime::UNIX_EPOCH) else {
        return false;
    };
    let provider = provider();
    roots.add(own.clone()).is_ok()
        && ParsedCertificate::try_from(own).is_ok_and(|parsed| {
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &roots,
                &[],
                UnixTime::since_unix_epoch(at),
                provider.signature_verification_algorithms.all,
            )
            .is_ok()
        })
}

/// Writes a file whole or not at all.
fn write(path: &Path, mode: u32, text: &str) -> Result<(), TlsError> {
    let new = path.with_extension("new");
    let written = (|| {
        // Of a start that was cut off; its mode would stay.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    written.map_err(|source| cant_write(path, source))
}

fn cant_write(path: &Path, source: io::Error) -> TlsError {
    TlsError::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::{Certificate, Tls};
    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let name = format!("tidegate-self-signed-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name).join("made"))
        }

        fn certificate(&self, names: &[&str]) -> Vec<u8> {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let key = load_or_make(&self.0, &names).unwrap();
            key.cert[0].to_vec()
        }

        fn store(&self) -> Store {
            Store {
                certificate: self.0.join(CERTIFICATE),
                key: self.0.join(KEY),
            }
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.0.parent().unwrap());
        }
    }

    #[test]
    fn it_stays_the_same_while_its_names_are_enough() {
        let directory = Directory::new("same");
        let first = directory.certificate(&["localhost", "192.0.2.1", "2001:db8::1"]);
        assert_eq!(directory.certificate(&["192.0.2.1"]), first);
        let second = directory.certificate(&["localhost", "192.0.2.2"]);
        assert_ne!(second, first);
        for names in [&["192.0.2.1", "localhost"][..], &["192.0.2.2"]] {
            assert_eq!(directory.certificate(names), second, "{names:?}");
        }
    }

    #[test]
    fn it_is_made_again_before_it_ends() {
        let directory = Directory::new("end");
        directory.certificate(&["localhost"]);
        let usable = |days: u32| {
            let at = SystemTime::now() + DAY * days;
            directory.store().usable(&[], at).is_some()
        };
        assert!(usable(LASTS - RENEWED - 1));
        assert!(!usable(LASTS - RENEWED + 1));
    }

    /// Puts one into the directory as it is when it was made long ago.
    fn make_old(store: &Store, names: &[String]) -> CertifiedKey {
        let made = SystemTime::now() - DAY * (LASTS - RENEWED + 1);
        store.make(names, made).unwrap();
        assert!(store.usable(names, SystemTime::now()).is_none());
        store.files().load().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_at_while_the_server_runs() {
        let directory = Directory::new("running");
        let names = vec!["localhost".to_owned()];
        let certificate = Certificate::SelfSigned {
            directory: directory.0.clone(),
            names: names.clone(),
        };
        let _tls = Tls::start(&certificate).unwrap();
        let store = directory.store();
        let first = read(&store.certificate).unwrap();
        tokio::time::sleep(LOOK * 3).await;
        assert_eq!(read(&store.certificate).unwrap(), first);
        make_old(&store, &names);
        tokio::time::sleep(LOOK * 3).await;
        assert!(store.usable(&names, SystemTime::now()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_one_is_served_before_the_old_one_ends() {
        let directory = Directory::new("served");
        let names = vec!["localhost".to_owned()];
        make_directory(&directory.0).unwrap();
        let store = directory.store();
        let current = Arc::new(Current::new(make_old(&store, &names)));
        let served = || current.0.read().unwrap().cert[0].clone();
        let first = served();
        let watching = watch(directory.0.clone(), names.clone(), Arc::clone(&current));
        let watching = tokio::spawn(watching);
        tokio::time::sleep(LOOK * 3).await;
        watching.abort();
        assert_ne!(served(), first);
        let stored = store.usable(&names, SystemTime::now()).unwrap();
        assert_eq!(served(), stored.cert[0]);
    }

    #[test]
    fn it_is_made_again_when_a_file_is_lost_or_broken() {
        let directory = Directory::new("broken");
        let first = directory.certificate(&["localhost"]);
        fs::remove_file(directory.store().key).unwrap();
        let second = directory.certificate(&["localhost"]);
        assert_ne!(second, first);
        fs::write(directory.store().certificate, "nothing").unwrap();
        assert_ne!(directory.certificate(&["localhost"]), second);
    }

    #[test]
    fn nobody_else_may_read_its_key() {
        let directory = Directory::new("mode");
        directory.certificate(&["localhost"]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
        assert_eq!(mode(&directory.store().key), 0);
        assert_eq!(mode(&directory.0), 0);
    }

    #[test]
    fn a_directory_that_can_not_be_written_is_named() {
        let directory = Directory::new("file");
        fs::create_dir_all(directory.0.parent().unwrap()).unwrap();
        fs::write(&directory.0, "").unwrap();
        let refused = load_or_make(&directory.0, &[]).unwrap_err().to_string();
        assert!(refused.contains("tls.directory"), "{refused}");
    }
}
