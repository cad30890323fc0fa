//! The test broadcast of `serve --demo`: a `tidegate publish` of its own, like any other client.
//!
//! A process apart, so that an encoder that crashes takes nothing else with it.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

/// How long to wait before a broadcast that broke down begins again.
const RESTART: Duration = Duration::from_secs(2);
/// How long it may take to end in order.
const GRACE: Duration = Duration::from_secs(3);

/// Publishes the test picture to the WHIP endpoint `url`, which is ours whatever certificate it has,
/// until `stop` fires or is dropped.
pub(super) async fn run(url: &str, token: Option<String>, mut stop: oneshot::Receiver<()>) {
    loop {
        let mut child = match spawn(url, token.as_deref()) {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(%error, "the test broadcast can't be started");
                return;
            }
        };
        tokio::select! {
            status = child.wait() => tracing::warn!(status = describe(status), "the test broadcast ended; it begins again"),
            _ = &mut stop => return end(child).await,
        }
        tokio::select! {
            () = tokio::time::sleep(RESTART) => {}
            _ = &mut stop => return,
        }
    }
}

fn spawn(url: &str, token: Option<&str>) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["publish", "--insecure", "--url", url])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    // By the environment: the arguments of a process can be read by everyone on the machine.
    match token {
        Some(token) => command.env("TIDEGATE_TOKEN", token),
        None => command.env_remove("TIDEGATE_TOKEN"),
    };
    command.spawn()
}

/// Asks it to end in order; what does not end is ended.
async fn end(mut child: Child) {
    let pid = child
        .id()
        .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
    if asked && tokio::time::timeout(GRACE, child.wait()).await.is_ok() {
        return;
    }
    if let Err(error) = child.kill().await {
        tracing::warn!(%error, "the test broadcast did not end");
    }
}

fn describe(status: io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}
