//! Flags, configuration, log, run, exit status.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use tidegate::cli::{Cli, Error};

/// Takes less of a core than that of the C library, most of all where requests are answered: see `docs/benchmarks.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version come this way too. If the terminal is gone, so is the reader.
            let _ = error.print();
            return if error.use_stderr() {
                Error::USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match cli.run() {
        Ok(status) => status,
        Err(error) => {
            let _ = writeln!(io::stderr(), "tidegate: {error}");
            error.exit_status().into()
        }
    }
}
