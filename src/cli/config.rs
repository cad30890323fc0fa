//! `tidegate config`: the settings as `serve` would use them.

use std::io::{self, Write as _};

use super::Error;
use super::settings::SettingsArgs;

/// The same flags as `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) fn run(args: Args) -> Result<(), Error> {
    let settings = args.settings.load()?;
    io::stdout()
        .write_all(settings.to_toml().as_bytes())
        .map_err(|source| Error::System {
            doing: "write to stdout",
            source,
        })
}
