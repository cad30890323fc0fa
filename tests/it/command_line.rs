//! The program as a script sees it: exit status, stdout, stderr.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The program, without variables that could set anything.
fn tidegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_wrong_setting_ends_it_with_64_and_says_what_is_allowed() {
    let output = tidegate(&["serve", "--listen", "8080"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(
        stderr(&output).contains("`listen` is \"8080\"; allowed is an address and a port"),
        "{}",
        stderr(&output)
    );
    assert!(output.stdout.is_empty());

    let output = tidegate(&["serve"])
        .env("TIDEGATE_LIMITS_SESSIONS", "none")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(
        stderr(&output).contains("`limits.sessions` is \"none\""),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_unknown_key_ends_it_with_64_and_is_named_with_its_line() {
    let path = file("unknown_key.toml", "[hls]\nwindows = 3\n");
    let output = tidegate(&["serve", "--config", path.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(
        stderr(&output).contains("line 2") && stderr(&output).contains("windows"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_unknown_flag_ends_it_with_64_and_help_with_0() {
    assert_eq!(
        tidegate(&["serve", "--nonsense"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(64)
    );
    let help = tidegate(&["serve", "--help"]).output().unwrap();
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    for flag in [
        "--listen",
        "--tls",
        "--tls-cert",
        "--tls-key",
        "--config",
        "--publish-token",
        "--play-token",
        "--shards",
        "--demo",
    ] {
        assert!(text.contains(flag), "{flag} is not in the help:\n{text}");
    }
}

#[test]
fn the_settings_in_force_are_printed_without_their_secrets() {
    let path = file("printed.toml", "[hls]\nwindow = 3\nlinger = \"1s\"\n");
    let output = tidegate(&[
        "config",
        "--config",
        path.to_str().unwrap(),
        "--publish-token",
        "hunter2",
    ])
    .env("TIDEGATE_HLS_WINDOW", "4")
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("window = 4") && text.contains("linger = \"1s\""),
        "{text}"
    );
    assert!(
        text.contains("publish_token = \"(hidden)\"") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn it_prints_its_urls_once_it_listens_and_ends_with_0_when_told_to() {
    for signal in ["TERM", "INT"] {
        let mut child = tidegate(&["serve", "--listen", "127.0.0.1:0", "--shards", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let whip = lines.find(|line| line.as_ref().unwrap().contains("WHIP endpoint"));
        let told = Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status()
            .unwrap();
        let status = child.wait().unwrap();
        let mut log = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        assert!(told.success());
        assert!(whip.is_some(), "it ended before it listened:\n{log}");
        assert_eq!(status.code(), Some(0), "{log}");
    }
}
