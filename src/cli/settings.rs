//! The flags that are settings, for the commands that need them.

use std::path::PathBuf;

use crate::config::{self, Host, Layer, Secret, Settings};

/// Flags overrule variables, variables overrule the file.
#[derive(Debug, clap::Args)]
pub(super) struct SettingsArgs {
    /// Read settings from this TOML file [keys: see deploy/tidegate.example.toml].
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Serve HTTP, HTTPS (TCP) and media (UDP, TCP) on this address and port [default: [::]:8080, all addresses].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Where the certificate for HTTPS comes from: self-signed, files, acme or off [default: off].
    #[arg(long, value_name = "MODE")]
    tls: Option<String>,
    /// Serve HTTPS with the certificates in this PEM file, and read it again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<String>,
    /// The PEM file with the private key of --tls-cert.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<String>,
    /// Ask publishers for this bearer token [default: none, only this machine may publish].
    ///
    /// Other users of this machine can see flags; TIDEGATE_AUTH_PUBLISH_TOKEN keeps it from them.
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    publish_token: Option<Secret>,
    /// Ask viewers for this bearer token [default: none, all may watch].
    ///
    /// Other users of this machine can see flags; TIDEGATE_AUTH_PLAY_TOKEN keeps it from them.
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    play_token: Option<Secret>,
    /// Run this many event loops for media [default: one for each core].
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// Publish a test broadcast as the stream "demo".
    #[arg(long)]
    demo: bool,
}

impl SettingsArgs {
    /// Reads file and environment, and puts the flags over them.
    pub(super) fn load(self) -> Result<Settings, config::Error> {
        let mut flags = Layer::default();
        // Who names files wants them, whatever the file says.
        let files = self.tls_cert.as_ref().map(|_| "files".to_owned());
        let token = |secret: Option<Secret>| secret.map(|secret| secret.expose().to_owned());
        for (key, value) in [
            ("listen", self.listen),
            ("tls.mode", self.tls.or(files)),
            ("tls.certificate", self.tls_cert),
            ("tls.key", self.tls_key),
            ("media.shards", self.shards),
            ("auth.publish_token", token(self.publish_token)),
            ("auth.play_token", token(self.play_token)),
            ("demo", self.demo.then(|| "true".to_owned())),
        ] {
            if let Some(value) = value {
                flags.set(key, value);
            }
        }
        config::load(self.config.as_deref(), variables(), flags, &Host::read())
    }
}

/// The variables that can be ours: names and values that are text.
pub(super) fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// As a [`Secret`] from the first moment, so that no `Debug` of the arguments shows it.
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}
