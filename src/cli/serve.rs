//! `tidegate serve`: the gateway, until a signal ends it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::settings::{self, SettingsArgs};
use super::{Error, demo};
use crate::app::{self, App};
use crate::config::{Secret, Settings, unknown_variables};
use crate::stream::StreamName;
use crate::telemetry;

/// The stream that the printed URLs name.
const EXAMPLE_STREAM: &str = "demo";
/// Exit status after a second Ctrl-C: 128 and the number of SIGINT, as shells count.
const INTERRUPTED: i32 = 130;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) fn run(args: Args) -> Result<(), Error> {
    let settings = args.settings.load()?;
    telemetry::init(&settings.log)?;
    let unknown = unknown_variables(settings::variables());
    if !unknown.is_empty() {
        tracing::warn!(
            names = unknown.join(" "),
            "these variables name no setting and are ignored"
        );
    }

    // The shards have threads of their own; what runs here is the control plane and HTTP.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.media.shards.clamp(1, 4))
        .enable_all()
        .build()
        .map_err(|source| Error::System {
            doing: "start the threads of the control plane",
            source,
        })?;
    runtime.block_on(async {
        let shutdown = shutdown()?;
        let (started, ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let token = demo_token(&settings);
        let demo = settings.demo.then(|| {
            tokio::spawn(async move {
                if let Ok(http) = ready.await {
                    demo::run(http, EXAMPLE_STREAM, token, stopped).await;
                }
            })
        });
        let shutdown = async {
            shutdown.await;
            // The test broadcast ends like any other, while the gateway still answers.
            drop(stop);
            if let Some(demo) = demo {
                // It can only have panicked, and then there is nothing to end.
                let _ = demo.await;
            }
        };
        let urls = settings.clone();
        let listening = move |app: &App| {
            let http = app.http_address();
            // Nobody reads it any more if this fails; that is no reason to stop.
            let _ = io::stdout().write_all(greeting(&urls, http, app.elsewhere()).as_bytes());
            // Without --demo nobody waits for it.
            let _ = started.send(reachable_here(http));
        };
        let result = app::run(settings, listening, shutdown).await;
        Ok(result?)
    })
}

fn demo_token(settings: &Settings) -> Option<String> {
    let name: StreamName = EXAMPLE_STREAM.parse().ok()?;
    settings
        .auth
        .publish_token(&name)
        .map(|token| token.expose().to_owned())
}

/// An address of this machine that leads to what listens on `http`.
fn reachable_here(http: SocketAddr) -> SocketAddr {
    let ip = match http.ip() {
        ip if !ip.is_unspecified() => ip,
        // The IPv6 wildcard takes IPv4 too.
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, http.port())
}

/// Ends at the first SIGINT or SIGTERM. A second one ends the process without goodbye.
fn shutdown() -> Result<impl Future<Output = ()>, Error> {
    let listen = |kind| {
        signal(kind).map_err(|source| Error::System {
            doing: "listen for signals",
            source,
        })
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        either(&mut interrupt, &mut terminate).await;
        tracing::info!("shutting down; a second signal ends at once");
        tokio::spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            process::exit(INTERRUPTED);
        });
    })
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

/// What to open, for the user who has just started it.
fn greeting(settings: &Settings, http: SocketAddr, elsewhere: Option<IpAddr>) -> String {
    let base = format!("http://{}", reachable_here(http));
    let media_port = if settings.media.listen.port() == 0 {
        http.port()
    } else {
        settings.media.listen.port()
    };
    let name = EXAMPLE_STREAM;

    let mut text = format!(
        "tidegate: HTTP on {http}, media on UDP port {media_port}. Open for the stream \"{name}\":\n\n"
    );
    let (publish, play) = tokens(settings, name);
    for (what, path, token) in [
        ("Publish page", "publish", publish),
        ("Watch page", "watch", play),
        ("WHIP endpoint", "whip", None),
        ("WHEP endpoint", "whep", None),
    ] {
        // Browsers keep what is behind the # to themselves. Tokens have no characters to escape there but +.
        let token = token.map_or_else(String::new, |token| {
            format!("#token={}", token.expose().replace('+', "%2B"))
        });
        let _ = writeln!(text, "  {what:<14} {base}/{path}/{name}{token}");
    }
    if settings.hls.enabled {
        let _ = writeln!(
            text,
            "  {:<14} {base}/hls/{name}/index.m3u8",
            "HLS playlist"
        );
    }
    let for_obs = publish.map_or(
        "(leave it empty; without --publish-token only this machine may publish)",
        Secret::expose,
    );
    let for_viewers = play.map_or_else(
        || "open to all (--play-token T asks for a token)".to_owned(),
        |token| format!("with the bearer token {}", token.expose()),
    );
    let _ = writeln!(
        text,
        "\n  OBS: Settings > Stream, Service \"WHIP\", Server {base}/whip/{name}, Bearer Token {for_obs}\n  Watching: {for_viewers}"
    );
    if http.ip().is_unspecified()
        && let Some(address) = elsewhere
    {
        let elsewhere = SocketAddr::new(address, http.port());
        let _ = writeln!(
            text,
            "  From other machines: http://{elsewhere} (browsers give pages the camera only over HTTPS or on this machine)"
        );
    }
    text.push('\n');
    text
}

/// What publishing and playing the stream asks for.
fn tokens<'a>(settings: &'a Settings, name: &str) -> (Option<&'a Secret>, Option<&'a Secret>) {
    let Ok(name) = name.parse::<StreamName>() else {
        return (None, None);
    };
    (
        settings.auth.publish_token(&name),
        settings.auth.play_token(&name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Host;

    fn printed(change: impl FnOnce(&mut Settings), http: &str) -> String {
        let mut settings = Settings::defaults(&Host::example());
        change(&mut settings);
        greeting(
            &settings,
            http.parse().unwrap(),
            Some(IpAddr::from([198, 51, 100, 7])),
        )
    }

    #[test]
    fn every_url_is_printed() {
        let text = printed(|_| {}, "0.0.0.0:8080");
        for path in [
            "publish/demo",
            "watch/demo",
            "whip/demo",
            "whep/demo",
            "hls/demo/index.m3u8",
        ] {
            assert!(
                text.contains(&format!("http://127.0.0.1:8080/{path}\n")),
                "{text}"
            );
        }
        assert!(text.contains("http://198.51.100.7:8080 "), "{text}");
    }

    #[test]
    fn the_token_stands_where_obs_asks_for_it() {
        let token =
            |settings: &mut Settings| settings.auth.publish_token = Some(Secret::new("hunter2"));
        assert!(printed(token, "[::]:8080").contains("Bearer Token hunter2\n"));
        assert!(printed(|_| {}, "[::]:8080").contains("Bearer Token (leave it empty"));
    }

    #[test]
    fn the_pages_get_their_tokens_where_browsers_keep_them() {
        let tokens = |settings: &mut Settings| {
            settings.auth.publish_token = Some(Secret::new("one"));
            settings.auth.play_token = Some(Secret::new("a+b="));
        };
        let text = printed(tokens, "127.0.0.1:8080");
        assert!(text.contains("/publish/demo#token=one\n"), "{text}");
        assert!(text.contains("/watch/demo#token=a%2Bb=\n"), "{text}");
        assert!(text.contains("/whep/demo\n"), "{text}");
    }

    #[test]
    fn an_address_that_was_asked_for_is_used() {
        let text = printed(|settings| settings.hls.enabled = false, "[::1]:9000");
        assert!(
            text.contains("http://[::1]:9000/whep/demo") && !text.contains("hls"),
            "{text}"
        );
        assert!(!text.contains("other machines"), "{text}");
    }
}
