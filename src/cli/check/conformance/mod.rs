//! `tidegate check whip` and `tidegate check whep`: a server against the documents, from outside.
//!
//! It runs against any server. [`gather`] tries what there is to try and keeps what came as
//! [`evidence`]; [`rules`] judge that, each by a pure function; [`report`] prints it. No rule opens a
//! socket, no probe judges.
//!
//! Whatever it makes on the server, it ends: at the end, after a failure, a panic, and Ctrl-C.
//!
//! # Exit status
//!
//! 0 when no MUST fails (with `--strict`: and no SHOULD), 1 when one does, 2 when the check could not be
//! run or not in full.

mod client;
mod evidence;
mod gather;
mod link_header;
mod media;
mod offer;
mod report;
mod rule;
mod rules;
mod sdp;
mod wire;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

pub(crate) use rule::Protocol;

use self::client::{Access, Client};
use self::evidence::Evidence;
use self::gather::{GatherError, Plan, Run};
use self::report::{Colours, Report};
use crate::cli::{duration, stop_signal};
use crate::config::Secret;

/// The exit status when the check could not be run.
const NOT_RUN: u8 = 2;

/// The flags of `tidegate check whip` and `whep`.
#[derive(clap::Args, Clone, Debug)]
pub struct ConformanceArgs {
    /// The URL to check, for example http://127.0.0.1:8080/whip/demo
    #[arg(value_name = "URL")]
    url: String,
    /// The bearer token that the server asks for; then what happens without it is checked too
    #[arg(
        long,
        value_name = "TOKEN",
        env = "TIDEGATE_TOKEN",
        hide_env_values = true
    )]
    token: Option<Secret>,
    /// Another header field to send with every request; may be given more than once
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// How long one answer may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Take any TLS certificate
    #[arg(long)]
    insecure: bool,
    /// Trust the certificates of this PEM file too
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Check only this rule, or this group of rules, such as `ice` or `offer.empty`; may be given more
    /// than once
    #[arg(long, value_name = "RULE")]
    only: Vec<String>,
    /// A SHOULD that fails counts too
    #[arg(long)]
    strict: bool,
    /// For a WHEP URL: publish a test broadcast at this WHIP URL while it is checked
    #[arg(long, value_name = "URL", alias = "publish")]
    via_whip: Option<String>,
    /// The bearer token of the --via-whip URL [default: that of --token]
    #[arg(long, value_name = "TOKEN", requires = "via_whip")]
    via_token: Option<Secret>,
    /// Check only what HTTP shows; no ICE, DTLS and media
    #[arg(long)]
    no_media: bool,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// Why a check could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// No URL of the kind that is needed.
    #[error(
        "`{0}` is no http or https URL; give a whole one such as http://127.0.0.1:8080/whip/demo"
    )]
    Url(String),
    /// The token can't be sent.
    #[error("the token has characters that a header can't carry; check how it was pasted")]
    Token,
    /// A header field that is none.
    #[error("`{0}` is no header field; write it as `Name: value`")]
    Header(String),
    /// A rule that is none.
    #[error(
        "`{0}` is no rule and no group of rules; docs/conformance.md lists them, as does a run without --only"
    )]
    Rule(String),
    /// `--via-whip` for WHIP.
    #[error("--via-whip is for `check whep`: a WHIP URL is published to anyway")]
    ViaWhip,
    /// The file of `--ca`.
    #[error("can't read certificates from {path}: {reason}")]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be set up.
    #[error("can't set up the HTTP client: {0}")]
    Client(#[source] reqwest::Error),
    /// The server can't be tried.
    #[error(transparent)]
    Gather(GatherError),
    /// Ctrl-C.
    #[error("interrupted; what was made on the server has been ended")]
    Interrupted,
    /// The report could not be printed.
    #[error("can't print the report: {0}")]
    Print(#[source] io::Error),
}

impl CheckError {
    /// The exit status: 2, apart from wrong flags.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Url(_)
            | Self::Token
            | Self::Header(_)
            | Self::Rule(_)
            | Self::ViaWhip
            | Self::Ca { .. } => crate::cli::Error::USAGE,
            Self::Client(_) | Self::Gather(_) | Self::Interrupted | Self::Print(_) => NOT_RUN,
        }
    }
}

/// Checks a server and prints the report.
pub(super) async fn run(protocol: Protocol, args: ConformanceArgs) -> Result<ExitCode, CheckError> {
    let report = check(protocol, &args).await?;
    let mut out = io::stdout().lock();
    let colours = match out.is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        true => Colours::On,
        false => Colours::Off,
    };
    match args.json {
        true => report.write_json(&mut out),
        false => report.write_text(&mut out, colours),
    }
    .and_then(|()| out.flush())
    .map_err(CheckError::Print)?;
    Ok(match (report.is_ok(), &report.incomplete) {
        (false, _) => ExitCode::FAILURE,
        (true, Some(_)) => ExitCode::from(NOT_RUN),
        (true, None) => ExitCode::SUCCESS,
    })
}

/// Checks a server.
async fn check(protocol: Protocol, args: &ConformanceArgs) -> Result<Report, CheckError> {
    let rules = rules::select(protocol, &args.only).map_err(CheckError::Rule)?;
    let url = url(&args.url)?;
    let client = client(args, &url, args.token.as_ref())?;
    let publish_to = match &args.via_whip {
        Some(_) if protocol == Protocol::Whip => return Err(CheckError::ViaWhip),
        Some(text) => {
            let url = self::url(text)?;
            let token = args.via_token.as_ref().or(args.token.as_ref());
            let client = self::client(args, &url, token)?;
            Some((url, client))
        }
        None => None,
    };
    let plan = Arc::new(Plan {
        groups: rules::groups(&rules),
        media: !args.no_media,
        publish_to,
    });
    let client = Arc::new(client);
    let evidence = Evidence::new(protocol, url.clone());
    let (tried, leftovers) = try_all(&client, &plan, &url, evidence).await;
    let (evidence, outcome) = tried?;
    let incomplete = match outcome {
        Ok(()) => None,
        Err(GatherError::NoSession(why)) => Some(why),
        Err(error) => return Err(CheckError::Gather(error)),
    };
    Ok(Report {
        protocol,
        host: host(&url),
        rules: rules
            .into_iter()
            .map(|rule| (rule, rule.verdict(&evidence)))
            .collect(),
        leftovers,
        incomplete,
        strict: args.strict,
    })
}

type Tried = Result<(Evidence, Result<(), GatherError>), CheckError>;

/// Tries the server in a task of its own, so that whatever ends it, Ctrl-C or a panic, what it made is
/// ended too.
async fn try_all(
    client: &Arc<Client>,
    plan: &Arc<Plan>,
    url: &Url,
    evidence: Evidence,
) -> (Tried, Vec<client::Leftover>) {
    let task = {
        let (client, plan, url) = (Arc::clone(client), Arc::clone(plan), url.clone());
        tokio::spawn(async move {
            let mut run = Run {
                client: &client,
                plan: &plan,
                url: &url,
                evidence,
            };
            let outcome = run.run().await;
            (run.evidence, outcome)
        })
    };
    let abort = task.abort_handle();
    let (tried, panic) = tokio::select! {
        finished = task => match finished {
            Ok(found) => (Ok(found), None),
            Err(error) => (Err(CheckError::Interrupted), error.try_into_panic().ok()),
        },
        () = stop_signal() => {
            abort.abort();
            (Err(CheckError::Interrupted), None)
        }
    };
    let mut leftovers = client.clean_up().await;
    if let Some((_, publisher)) = &plan.publish_to {
        leftovers.extend(publisher.clean_up().await);
    }
    if let Some(panic) = panic {
        std::panic::resume_unwind(panic);
    }
    (tried, leftovers)
}

fn url(text: &str) -> Result<Url, CheckError> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| CheckError::Url(text.to_owned()))
}

fn client(args: &ConformanceArgs, url: &Url, token: Option<&Secret>) -> Result<Client, CheckError> {
    let token = token
        .map(|token| {
            let text = format!("Bearer {}", token.expose().trim());
            let mut value = HeaderValue::from_str(&text).map_err(|_| CheckError::Token)?;
            value.set_sensitive(true);
            Ok(value)
        })
        .transpose()?;
    let roots = match &args.ca {
        Some(path) => certificates(path).map_err(|reason| CheckError::Ca {
            path: path.clone(),
            reason,
        })?,
        None => Vec::new(),
    };
    let access = Access {
        token,
        headers: client::headers(&args.headers).map_err(CheckError::Header)?,
        timeout: args.timeout,
        insecure: args.insecure,
        roots,
    };
    Client::new(url, access).map_err(CheckError::Client)
}

fn certificates(path: &std::path::Path) -> Result<Vec<reqwest::Certificate>, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| error.to_string())?;
    match found.is_empty() {
        true => Err("it holds no certificate in PEM form".to_owned()),
        false => Ok(found),
    }
}

/// Host and port: what may be shown.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
