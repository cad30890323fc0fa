//! Configuration: a TOML file, then the environment, then flags; each overrules the one before.
//!
//! The way is `Layer`s of unchecked keys -> `Raw` (serde, unknown keys refused) ->
//! `validate` (pure) -> [`Settings`] (typed, every default filled in). Nothing is bound, started or
//! logged before the settings are whole. What depends on the machine comes in as a [`Host`].

mod auth;
mod bandwidth;
mod duration;
mod endpoint;
mod environment;
mod hls;
mod host;
mod http;
mod ladder;
mod layer;
mod media;
mod printed;
mod raw;
mod secret;
mod settings;
mod thumbnails;
mod streams;
mod tls;
mod validate;
mod value;

pub use endpoint::{Endpoint, EndpointError, HostName};
pub use host::Host;
pub use http::{Compatibility, IceLogin, IceServer, LenientPatch, Whep};
pub use ladder::Rung;
pub use layer::Layer;
pub use secret::Secret;
pub use settings::{
    Auth, Bandwidth, CorsOrigins, Hls, Http, Limits, Log, LogFormat, Media, RetransmissionPackets,
    Settings, StreamAuth,
};
pub use streams::{SecondPublisher, StreamRules, Streams};
pub use thumbnails::Thumbnails;
pub use tls::{Authority, PlainHttp, Tls, TlsAcme, TlsMode};

use std::io;
use std::path::{Path, PathBuf};

use validate::validate;

/// Why there are no settings. The text names what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration file can't be read.
    #[error("can't read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration file is no TOML, or has a key that does not exist.
    #[error("{}, line {line}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A value is not allowed.
    #[error("`{key}` is {value}; allowed is {allowed}")]
    Invalid {
        /// The key, such as `limits.sessions`.
        key: String,
        /// The value as it was written; of a secret only what is wrong with it.
        value: String,
        /// What is allowed.
        allowed: String,
    },
}

/// Reads the layers and checks them: the file at `path` if there is one, the variables, the flags.
///
/// # Errors
///
/// See [`Error`]. The first mistake found is reported.
pub fn load(
    path: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: Layer,
    host: &Host,
) -> Result<Settings, Error> {
    let mut merged = match path {
        Some(path) => Layer::from_file(path)?,
        None => Layer::default(),
    };
    for over in [environment::layer(variables), flags] {
        tls::overrule(&mut merged, &over);
        merged.overlay(over);
    }
    validate(merged.into_raw()?, host)
}

/// The variables that begin as ours do and name no setting: misspelt, or meant for something else.
pub fn unknown_variables(variables: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    environment::unknown(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../deploy/tidegate.example.toml");

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn flags_overrule_the_environment_and_that_the_file() {
        let directory =
            std::env::temp_dir().join(format!("tidegate-config-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("tidegate.toml");
        std::fs::write(
            &path,
            "[limits]\nsessions = 1\nstreams = 1\nhalf_open_sessions = 1\n",
        )
        .unwrap();
        let environment = variables(&[
            ("TIDEGATE_LIMITS_STREAMS", "2"),
            ("TIDEGATE_LIMITS_HALF_OPEN_SESSIONS", "2"),
        ]);
        let mut flags = Layer::default();
        flags.set("limits.half_open_sessions", "3");

        let limits = load(Some(&path), environment, flags, &Host::example())
            .unwrap()
            .limits;

        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(
            (limits.sessions, limits.streams, limits.half_open_sessions),
            (1, 2, 3)
        );
    }

    #[test]
    fn a_mode_of_tls_overrules_the_keys_of_others_in_the_layers_below() {
        let files = &[
            ("TIDEGATE_TLS_CERTIFICATE", "a"),
            ("TIDEGATE_TLS_KEY", "b"),
            ("TIDEGATE_TLS_LISTEN", "[::]:443"),
        ];
        let load = |pairs: &[(&str, &str)], mode: &str| {
            let mut flags = Layer::default();
            flags.set("tls.mode", mode);
            let tls = load(None, variables(pairs), flags, &Host::example());
            tls.map(|settings| settings.tls)
                .map_err(|error| error.to_string())
        };
        let off = load(files, "off").unwrap();
        assert_eq!((off.mode, off.listen), (TlsMode::Off, None));
        let own = load(files, "self-signed").unwrap();
        assert_eq!(own.mode, TlsMode::SelfSigned { names: None });
        assert!(own.listen.is_some());
        assert!(matches!(
            load(files, "files").unwrap().mode,
            TlsMode::Files { .. }
        ));
        let refused = load(&[("TIDEGATE_TLS_PLAIN_HTTP", "refuse")], "off").unwrap_err();
        assert!(refused.contains("`tls.plain_http`"), "{refused}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(
            Some(Path::new("/nowhere/t.toml")),
            [],
            Layer::default(),
            &Host::example(),
        );
        assert!(error.unwrap_err().to_string().contains("/nowhere/t.toml"));
    }

    #[test]
    fn the_example_file_says_the_defaults() {
        let example = Layer::from_text(EXAMPLE, Path::new("example")).unwrap();
        let settings = validate(example.into_raw().unwrap(), &Host::example()).unwrap();
        assert_eq!(settings, Settings::defaults(&Host::example()));
    }

    #[test]
    fn the_readme_names_every_key() {
        let readme = include_str!("../../README.md");
        let missing: Vec<_> = raw::KEYS
            .iter()
            .filter(|key| !readme.contains(&format!("| `{key}` |")))
            .collect();
        assert!(
            missing.is_empty(),
            "not in the table of README.md: {missing:?}"
        );
    }

    /// Keys without a default stand there as a comment, with a value that is allowed; those of a mode
    /// of TLS with that mode.
    #[test]
    fn the_example_file_names_every_key_and_the_commented_ones_are_valid() {
        let text: String = EXAMPLE
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        let mut keys: Vec<_> = raw::KEYS.to_vec();
        let layer = Layer::from_text(&text, Path::new("example")).unwrap();
        keys.retain(|key| !layer.has(key));
        assert_eq!(keys, [""; 0], "not in deploy/tidegate.example.toml");
        for mode in ["off", "files", "self-signed", "acme"] {
            let mut layer = Layer::from_text(&text, Path::new("example")).unwrap();
            let mut flags = Layer::default();
            flags.set("tls.mode", mode);
            tls::overrule(&mut layer, &flags);
            layer.overlay(flags);
            validate(layer.into_raw().unwrap(), &Host::example()).unwrap();
        }
    }
}
