//! `tidegate serve`: the gateway, until a signal ends it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::settings::{self, SettingsArgs};
use super::{Error, demo};
use crate::app::{self, Addresses, App};
use crate::config::{PlainHttp, Secret, Settings, TlsMode, unknown_variables};
use crate::front::Certificate;
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
        let (started, ready) = oneshot::channel::<String>();
        let (stop, stopped) = oneshot::channel::<()>();
        let token = demo_token(&settings);
        let demo = settings.demo.then(|| {
            tokio::spawn(async move {
                if let Ok(url) = ready.await {
                    demo::run(&url, token, stopped).await;
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
            let addresses = app.addresses();
            // Nobody reads it any more if this fails; that is no reason to stop.
            let text = greeting(&urls, addresses, app.elsewhere());
            let _ = io::stdout().write_all(text.as_bytes());
            // Without --demo nobody waits for it.
            let _ = started.send(demo_url(&urls, addresses));
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

/// Where the test broadcast is published. Without TLS if that is allowed, as it is from this machine.
fn demo_url(settings: &Settings, addresses: Addresses) -> String {
    let (scheme, address) = match addresses.https {
        Some(https) if settings.tls.plain_http == PlainHttp::Refuse => ("https", https),
        _ => ("http", addresses.http),
    };
    let address = reachable_here(address);
    format!("{scheme}://{address}/whip/{EXAMPLE_STREAM}")
}

/// An address of this machine that leads to what listens on `bound`.
fn reachable_here(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        // The IPv6 wildcard takes IPv4 too.
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, bound.port())
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
fn greeting(settings: &Settings, addresses: Addresses, elsewhere: Option<IpAddr>) -> String {
    let Addresses { http, https } = addresses;
    let base = base_url(settings, addresses);
    let listening = match https {
        None => format!("HTTP on {http}"),
        Some(https) if https == http => format!("HTTPS and HTTP on {http}"),
        Some(https) => format!("HTTPS on {https}, HTTP on {http}"),
    };
    let media_port = if settings.media.listen.port() == 0 {
        http.port()
    } else {
        settings.media.listen.port()
    };
    let name = EXAMPLE_STREAM;

    let mut text = format!(
        "tidegate: {listening}, media on UDP port {media_port}. Open for the stream \"{name}\":\n\n"
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
    let web = https.unwrap_or(http);
    if web.ip().is_unspecified()
        && let Some(address) = elsewhere
    {
        let elsewhere = SocketAddr::new(address, web.port());
        let _ = match https {
            Some(_) => writeln!(text, "  From other machines: https://{elsewhere}"),
            None => writeln!(
                text,
                "  From other machines: http://{elsewhere} (browsers give pages the camera only over HTTPS, see --tls, or on this machine)"
            ),
        };
    }
    if let TlsMode::SelfSigned { .. } = settings.tls.mode {
        let file = settings.tls.directory.join(Certificate::SELF_SIGNED);
        let _ = writeln!(
            text,
            "  Certificate: self-signed, so browsers ask whether to go on; clients trust it with --ca {}",
            file.display()
        );
    }
    text.push('\n');
    text
}

/// What the URLs begin with. A certificate by ACME is for its name only, so that is used.
fn base_url(settings: &Settings, addresses: Addresses) -> String {
    match (addresses.https, &settings.tls.mode) {
        (None, _) => format!("http://{}", reachable_here(addresses.http)),
        // Authorities come to port 443, so whatever the port is here, that one leads to it.
        (Some(_), TlsMode::Acme(acme)) if !acme.domains.is_empty() => {
            format!("https://{}", acme.domains[0])
        }
        (Some(https), _) => format!("https://{}", reachable_here(https)),
    }
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
        let http = http.parse().unwrap();
        let https = (settings.tls.mode != TlsMode::Off).then_some(http);
        let elsewhere = Some(IpAddr::from([198, 51, 100, 7]));
        greeting(&settings, Addresses { http, https }, elsewhere)
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
    fn with_tls_the_urls_are_of_https() {
        let own = |settings: &mut Settings| {
            settings.tls.mode = TlsMode::SelfSigned { names: None };
        };
        let text = printed(own, "0.0.0.0:8443");
        for part in [
            "HTTPS and HTTP on 0.0.0.0:8443",
            " https://127.0.0.1:8443/whip/demo\n",
            "machines: https://198.51.100.7:8443\n",
            "--ca /var/lib/tidegate/self-signed.crt\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("http://"), "{text}");
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
