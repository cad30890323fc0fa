//! `tidegate check network`: can clients reach the gateway of this machine, and what is to mend?
//!
//! It takes the same settings as `serve`. Where the ports are free it binds them itself and answers its
//! own questions; where a gateway has them, it makes a session there and asks that.
//!
//! | file | what it looks at |
//! |---|---|
//! | `ports` | whether the ports can be bound, and who has them |
//! | `addresses` | what clients are told, why, and how the STUN server sees us |
//! | `reach` | whether questions to those addresses come in |
//! | `gateway` | a session at the running gateway, for the questions |
//! | `machine` | what the kernel gives |
//! | `report` | the findings, as text and as JSON |

mod addresses;
mod gateway;
mod machine;
mod ports;
mod reach;
mod report;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use crate::cli::settings::SettingsArgs;
use crate::config::Settings;
use crate::network::{Announcement, Listening, Search};

use ports::Ports;
use report::{Finding, Report, Section};

/// The flags of `tidegate check network`.
#[derive(Debug, clap::Args)]
pub(super) struct NetworkArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// Looks at everything and prints what it found. The exit status is 1 if something has to be mended.
pub(super) async fn run(args: NetworkArgs) -> ExitCode {
    let mut report = Report::default();
    match args.settings.load() {
        Ok(settings) => look(&settings, &mut report).await,
        Err(error) => report.add(
            Section::Listening,
            Finding::fail("settings", "settings", error)
                .remedy("mend the setting; `serve` refuses to start with it"),
        ),
    }
    let text = if args.json {
        report.to_json()
    } else {
        report.to_text(io::stdout().is_terminal())
    };
    // Whoever closed the pipe still gets the exit status.
    let _ = io::stdout().write_all(text.as_bytes());
    report.exit_code()
}

async fn look(settings: &Settings, report: &mut Report) {
    // Before the ports are taken: the STUN server is asked from the media port.
    let found = Search::from_media_port(&settings.media).run().await;
    let ports = Ports::look(settings, report).await;
    let listening = Listening {
        udp: ports.udp,
        tcp: ports.tcp,
    };
    let announcement = Announcement::new(&settings.media, &found, listening);
    addresses::look(settings, &found, &announcement, report);
    reach::look(ports.holder, &announcement, report).await;
    machine::look(ports.probe.as_ref(), &found.interfaces, report);
}
