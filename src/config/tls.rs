//! The settings of HTTPS: from what is written to what is meant, and back. Pure.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use toml::Value;

use super::validate::ADDRESS_AND_PORT;
use super::value::{invalid, parsed, words};
use super::{Error, Host, Layer, printed, raw};

/// HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Where the certificate comes from.
    pub mode: TlsMode,
    /// A TCP address for HTTPS besides [`Settings::listen`](super::Settings::listen), where it is
    /// served in any case. Port 0 is the port of that.
    pub listen: Option<SocketAddr>,
    /// What becomes of requests without TLS.
    pub plain_http: PlainHttp,
    /// Where certificates are kept that were made or given to this server.
    pub directory: PathBuf,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// There is none, and no HTTPS.
    Off,
    /// From two PEM files.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// The server makes one.
    SelfSigned {
        /// The host names and addresses in it; those of this machine if there are none.
        names: Option<Vec<String>>,
    },
    /// An authority gives one (RFC 8555).
    Acme(TlsAcme),
}

/// What the authority is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsAcme {
    /// The host names of the certificate, in small letters; never empty.
    pub domains: Vec<String>,
    /// Mail addresses that the authority may write to.
    pub contact: Vec<String>,
    /// The authority.
    pub authority: Authority,
    /// A PEM file with roots for the authority's own server.
    pub root: Option<PathBuf>,
}

/// A certificate authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Let's Encrypt.
    LetsEncrypt,
    /// Its test system, whose certificates nobody trusts, and which gives many of them.
    LetsEncryptStaging,
    /// The one whose directory is at this URL.
    Url(String),
}

/// What becomes of requests without TLS where there is TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    /// They are sent to `https`, unless they come from this machine.
    Redirect,
    /// They are served.
    Serve,
    /// They are refused.
    Refuse,
}

const MODES: &str = "\"off\", \"files\", \"self-signed\" or \"acme\"";
const WITH_HTTPS: &str = "\"files\", \"self-signed\" or \"acme\"";
/// Keys that one mode alone has a use for.
const OF_ONE_MODE: [(&str, Kind); 4] = [
    ("tls.certificate", Kind::Files),
    ("tls.key", Kind::Files),
    ("tls.names", Kind::SelfSigned),
    ("tls.acme.domains", Kind::Acme),
];
const MAX_NAMES: usize = 64;
const MAX_CONTACTS: usize = 8;

/// What is written in the place of a mode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Off,
    Files,
    SelfSigned,
    Acme,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Off, Self::Files, Self::SelfSigned, Self::Acme];

    fn of(mode: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == mode)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Files => "files",
            Self::SelfSigned => "self-signed",
            Self::Acme => "acme",
        }
    }
}

/// A mode that the layer `over` names takes what it has no use for out of those below: `--tls off` for
/// once is no mistake in the file. `refuse` stays, as it must not get lost unseen.
pub(super) fn overrule(below: &mut Layer, over: &Layer) {
    let Some(kind) = over.text("tls.mode").and_then(Kind::of) else {
        return;
    };
    for (key, _) in OF_ONE_MODE.into_iter().filter(|(_, of)| *of != kind) {
        below.remove(key);
    }
    if kind == Kind::Off {
        below.remove("tls.listen");
    }
}

/// Checks what is written.
pub(super) fn validate(raw: raw::Tls, host: &Host) -> Result<Tls, Error> {
    let kind = kind(&raw)?;
    refuse_unused(&raw, kind)?;
    let mode = match kind {
        Kind::Off => TlsMode::Off,
        Kind::Files => TlsMode::Files {
            certificate: file("tls.certificate", raw.certificate)?.ok_or_else(|| {
                let allowed = "the PEM file of the certificate, when there is a `tls.key` or `tls.mode` is \"files\"";
                missing("tls.certificate", allowed)
            })?,
            key: file("tls.key", raw.key)?.ok_or_else(|| {
                let allowed = "the PEM file of the private key, when there is a `tls.certificate` or `tls.mode` is \"files\"";
                missing("tls.key", allowed)
            })?,
        },
        Kind::SelfSigned => TlsMode::SelfSigned {
            names: names(raw.names)?,
        },
        Kind::Acme => TlsMode::Acme(acme(raw.acme)?),
    };
    let listen = parsed("tls.listen", raw.listen, ADDRESS_AND_PORT)?;
    let plain_http = match raw.plain_http {
        None => PlainHttp::Redirect,
        Some(value) => match value.as_str() {
            Some("redirect") => PlainHttp::Redirect,
            Some("serve") => PlainHttp::Serve,
            Some("refuse") if kind == Kind::Off => {
                let allowed = format!(
                    "\"redirect\" or \"serve\" while there is no HTTPS; to have it, set `tls.mode` to {WITH_HTTPS}"
                );
                return Err(invalid("tls.plain_http", &value, allowed));
            }
            Some("refuse") => PlainHttp::Refuse,
            _ => {
                let allowed = "\"redirect\", \"serve\" or \"refuse\"";
                return Err(invalid("tls.plain_http", &value, allowed));
            }
        },
    };
    Ok(Tls {
        mode,
        listen,
        plain_http,
        directory: file("tls.directory", raw.directory)?.unwrap_or_else(|| host.state.clone()),
    })
}

/// The mode that is written, or what the other keys ask for.
fn kind(raw: &raw::Tls) -> Result<Kind, Error> {
    if let Some(value) = &raw.mode {
        let kind = value.as_str().and_then(Kind::of);
        return kind.ok_or_else(|| invalid("tls.mode", value, MODES));
    }
    let files = raw.certificate.is_some() || raw.key.is_some();
    match (files, raw.acme.domains.is_some()) {
        (true, false) => Ok(Kind::Files),
        (false, true) => Ok(Kind::Acme),
        (false, false) if raw.listen.is_none() => Ok(Kind::Off),
        (true, true) => Err(missing(
            "tls.mode",
            "\"files\" or \"acme\", without the keys of the other, as there are `tls.certificate` and `tls.acme.domains`",
        )),
        (false, false) => Err(missing(
            "tls.mode",
            &format!("{WITH_HTTPS}, as there is a `tls.listen`"),
        )),
    }
}

/// Who writes what the mode has no use for believes that it does something, such as HTTPS. An empty
/// value, as container platforms make of a variable that is not set, says nothing.
fn refuse_unused(raw: &raw::Tls, kind: Kind) -> Result<(), Error> {
    let refuse = |key: &str, value: &Option<Value>, useful: &str| {
        let empty = |value: &Value| words(value.clone()).is_some_and(|words| words.is_empty());
        match value {
            Some(value) if !empty(value) => {
                let mode = kind.name();
                let allowed = format!(
                    "nothing while `tls.mode` is \"{mode}\": take it out, or set `tls.mode` to {useful}"
                );
                Err(invalid(key, value, allowed))
            }
            _ => Ok(()),
        }
    };
    let values = [&raw.certificate, &raw.key, &raw.names, &raw.acme.domains];
    for ((key, of), value) in OF_ONE_MODE.into_iter().zip(values) {
        if of != kind {
            refuse(key, value, &format!("\"{}\"", of.name()))?;
        }
    }
    match kind {
        Kind::Off => refuse("tls.listen", &raw.listen, WITH_HTTPS),
        _ => Ok(()),
    }
}

fn acme(raw: raw::TlsAcme) -> Result<TlsAcme, Error> {
    let key = "tls.acme.domains";
    let allowed = format!(
        "a list of 1 to {MAX_NAMES} host names, such as live.example.org, without wildcards and addresses"
    );
    let domains = list(key, raw.domains, &allowed, |name| {
        let public = name.contains('.') && name.parse::<IpAddr>().is_err();
        (public && is_host_name(name)).then(|| name.to_ascii_lowercase())
    })?;
    let domains = domains.filter(|domains| (1..=MAX_NAMES).contains(&domains.len()));
    let domains = domains.ok_or_else(|| missing(key, &allowed))?;

    let key = "tls.acme.contact";
    let allowed = format!("a list of up to {MAX_CONTACTS} mail addresses");
    let contact = list(key, raw.contact, &allowed, |text| {
        let address = text.strip_prefix("mailto:").unwrap_or(text);
        let printable = address.bytes().all(|c| c.is_ascii_graphic());
        (printable && address.contains('@')).then(|| address.to_owned())
    })?;
    Ok(TlsAcme {
        domains,
        contact: contact.unwrap_or_default(),
        authority: parsed(
            "tls.acme.authority",
            raw.authority,
            "\"letsencrypt\", \"letsencrypt-staging\" or the https:// URL of an ACME directory",
        )?
        .unwrap_or(Authority::LetsEncrypt),
        root: file("tls.acme.root", raw.root)?,
    })
}

fn names(value: Option<Value>) -> Result<Option<Vec<String>>, Error> {
    let key = "tls.names";
    let allowed = format!("a list of 1 to {MAX_NAMES} host names and addresses");
    let names = list(key, value.clone(), &allowed, |name| {
        (name.parse::<IpAddr>().is_ok() || is_host_name(name)).then(|| name.to_owned())
    })?;
    match (names, value) {
        (Some(names), Some(value)) if !(1..=MAX_NAMES).contains(&names.len()) => {
            Err(invalid(key, &value, allowed))
        }
        (names, _) => Ok(names),
    }
}

/// A host name of letters, digits, `-` and `.` (RFC 1123, section 2.1).
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        let inside = label
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'-');
        (1..=63).contains(&label.len())
            && inside
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Each word as `read` makes it; `None` if nothing is written.
fn list(
    key: &str,
    value: Option<Value>,
    allowed: &str,
    read: impl Fn(&str) -> Option<String>,
) -> Result<Option<Vec<String>>, Error> {
    let Some(value) = value else { return Ok(None) };
    let refuse = || invalid(key, &value, allowed);
    let words = words(value.clone()).ok_or_else(refuse)?;
    let read = words.iter().map(|word| read(word).ok_or_else(refuse));
    let mut read: Vec<_> = read.collect::<Result<_, _>>()?;
    let mut seen = std::collections::HashSet::new();
    read.retain(|word| seen.insert(word.clone()));
    Ok(Some(read))
}

fn file(key: &str, value: Option<Value>) -> Result<Option<PathBuf>, Error> {
    let Some(value) = value else { return Ok(None) };
    let path = value.as_str().filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| invalid(key, &value, "a path in quotes"))?;
    Ok(Some(path.into()))
}

fn missing(key: &str, allowed: &str) -> Error {
    Error::Invalid {
        key: key.to_owned(),
        value: "not set".to_owned(),
        allowed: allowed.to_owned(),
    }
}

impl FromStr for Authority {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "letsencrypt" => Ok(Self::LetsEncrypt),
            "letsencrypt-staging" => Ok(Self::LetsEncryptStaging),
            url if url.len() > "https://".len()
                && url.starts_with("https://")
                && url.bytes().all(|c| c.is_ascii_graphic()) =>
            {
                Ok(Self::Url(url.to_owned()))
            }
            _ => Err(()),
        }
    }
}

impl From<&Tls> for raw::Tls {
    fn from(tls: &Tls) -> Self {
        let path = |path: &PathBuf| printed::text(path.display());
        let mut raw = Self {
            listen: tls.listen.and_then(printed::text),
            plain_http: printed::text(match tls.plain_http {
                PlainHttp::Redirect => "redirect",
                PlainHttp::Serve => "serve",
                PlainHttp::Refuse => "refuse",
            }),
            directory: path(&tls.directory),
            ..Self::default()
        };
        let mode = match &tls.mode {
            TlsMode::Off => "off",
            TlsMode::Files { certificate, key } => {
                raw.certificate = path(certificate);
                raw.key = path(key);
                "files"
            }
            TlsMode::SelfSigned { names } => {
                raw.names = names.as_deref().and_then(printed::list);
                "self-signed"
            }
            TlsMode::Acme(acme) => {
                raw.acme = raw::TlsAcme {
                    domains: printed::list(&acme.domains),
                    contact: printed::list(&acme.contact),
                    authority: printed::text(match &acme.authority {
                        Authority::LetsEncrypt => "letsencrypt",
                        Authority::LetsEncryptStaging => "letsencrypt-staging",
                        Authority::Url(url) => url,
                    }),
                    root: acme.root.as_ref().and_then(path),
                };
                "acme"
            }
        };
        raw.mode = printed::text(mode);
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn tls(text: &str) -> Result<Tls, String> {
        let text = format!("[tls]\n{text}");
        let raw: raw::Raw = toml::from_str(&text).unwrap();
        let settings = super::super::validate::validate(raw, &Host::example());
        settings
            .map(|settings| settings.tls)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_mode_follows_from_what_is_there() {
        let files = TlsMode::Files {
            certificate: "a".into(),
            key: "b".into(),
        };
        for (text, mode) in [
            ("", TlsMode::Off),
            ("certificate = \"a\"\nkey = \"b\"", files.clone()),
            (
                "certificate = \"a\"\nkey = \"b\"\nplain_http = \"refuse\"\nlisten = \"[::]:1\"",
                files,
            ),
            (
                "mode = \"off\"\nplain_http = \"redirect\"\ndirectory = \"a\"\nnames = \"\"",
                TlsMode::Off,
            ),
        ] {
            assert_eq!(tls(text).unwrap().mode, mode, "{text}");
        }
        let acme =
            tls("acme.domains = \"A.example, b.example,a.example\"\nacme.contact = \"mailto:a@b\"");
        let acme_is = TlsAcme {
            domains: vec!["a.example".to_owned(), "b.example".to_owned()],
            contact: vec!["a@b".to_owned()],
            authority: Authority::LetsEncrypt,
            root: None,
        };
        assert_eq!(acme.unwrap().mode, TlsMode::Acme(acme_is));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (text, parts) in [
            ("mode = \"on\"", ["`tls.mode`", "self-signed"]),
            ("certificate = \"a\"", ["`tls.key`", "not set"]),
            ("key = \"a\"", ["`tls.certificate`", "not set"]),
            ("mode = \"files\"", ["`tls.certificate`", "not set"]),
            ("mode = \"acme\"", ["`tls.acme.domains`", "not set"]),
            ("acme.domains = []", ["`tls.acme.domains`", "1 to 64"]),
            (
                "acme.domains = [\"*.a.example\"]",
                ["`tls.acme.domains`", "wildcards"],
            ),
            (
                "acme.domains = [\"192.0.2.1\"]",
                ["`tls.acme.domains`", "192.0.2.1"],
            ),
            (
                "acme.domains = [\"localhost\"]",
                ["`tls.acme.domains`", "localhost"],
            ),
            (
                "acme.domains = [\"a.example\"]\nacme.contact = [\"me\"]",
                ["`tls.acme.contact`", "mail addresses"],
            ),
            (
                "acme.domains = [\"a.example\"]\nacme.authority = \"http://a\"",
                ["`tls.acme.authority`", "https://"],
            ),
            (
                "acme.domains = [\"a.example\"]\ncertificate = \"a\"",
                ["`tls.mode`", "\"files\" or \"acme\""],
            ),
            ("listen = \"[::]:443\"", ["`tls.mode`", "`tls.listen`"]),
            ("plain_http = \"no\"", ["`tls.plain_http`", "refuse"]),
            ("directory = \"\"", ["`tls.directory`", "a path"]),
            ("plain_http = \"refuse\"", ["`tls.plain_http`", "no HTTPS"]),
            (
                "mode = \"off\"\nplain_http = \"refuse\"",
                ["`tls.plain_http`", "set `tls.mode`"],
            ),
            (
                "names = [\"a\"]",
                ["`tls.names`", "set `tls.mode` to \"self-signed\""],
            ),
            (
                "certificate = \"a\"\nkey = \"b\"\nnames = [\"a\"]",
                ["`tls.names`", "while `tls.mode` is \"files\""],
            ),
            (
                "mode = \"off\"\ncertificate = \"a\"\nkey = \"b\"",
                ["`tls.certificate`", "set `tls.mode` to \"files\""],
            ),
            (
                "mode = \"self-signed\"\nkey = \"b\"",
                ["`tls.key`", "while `tls.mode` is \"self-signed\""],
            ),
            (
                "mode = \"off\"\nlisten = \"[::]:443\"",
                ["`tls.listen`", "\"files\", \"self-signed\" or"],
            ),
            (
                "mode = \"off\"\nacme.domains = [\"a.example\"]",
                ["`tls.acme.domains`", "set `tls.mode` to \"acme\""],
            ),
            (
                "mode = \"self-signed\"\nnames = [\"a b\"]",
                ["`tls.names`", "a b"],
            ),
            (
                "mode = \"self-signed\"\nnames = []",
                ["`tls.names`", "1 to 64"],
            ),
        ] {
            let message = tls(text).expect_err(text);
            for part in parts {
                assert!(message.contains(part), "{text}: {message}");
            }
        }
    }

    #[test]
    fn every_mode_is_printed_as_it_is_read() {
        let mut printed = String::new();
        for text in [
            "listen = \"[::]:443\"\nmode = \"files\"\ncertificate = \"a\"\nkey = \"b\"",
            "mode = \"self-signed\"\nnames = [\"a\", \"::1\"]\nplain_http = \"refuse\"",
            "acme = { domains = [\"a.example\"], contact = [\"a@b\"], root = \"r\" }",
            "acme.domains = [\"a.example\"]\nacme.authority = \"https://a.example/dir\"",
            "mode = \"off\"\nplain_http = \"serve\"",
            "",
        ] {
            let tls = tls(text).unwrap();
            let mut settings = Settings::defaults(&Host::example());
            settings.tls = tls.clone();
            let text = settings.to_toml();
            let raw = toml::from_str(&text).unwrap();
            let read = super::super::validate::validate(raw, &Host::example()).unwrap();
            assert_eq!(read.tls, tls, "{text}");
            printed += &text;
        }
        for key in raw::KEYS.iter().filter_map(|key| key.strip_prefix("tls.")) {
            let key = key.trim_start_matches("acme.");
            assert!(printed.contains(&format!("\n{key} = ")), "{key}");
        }
    }
}
