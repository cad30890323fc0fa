//! The findings, as text for people and as JSON for scripts.

use std::fmt::{Display, Write as _};
use std::process::ExitCode;

use serde::Serialize;

/// How wide the subjects are, at least and at most.
const SUBJECT: (usize, usize) = (16, 36);

/// All findings, by section, in the order in which they were made.
#[derive(Default)]
pub(super) struct Report(Vec<(Section, Finding)>);

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Listening,
    Addresses,
    Reach,
    Machine,
}

/// One line of the report.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at, for scripts: `listen.udp`.
    check: &'static str,
    /// The same for people: an address, a limit.
    subject: String,
    status: Status,
    text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// Neither good nor bad.
    Note,
    /// Works worse than it could, or can't be told from here.
    Warn,
    /// Clients will not get through.
    Fail,
}

impl Finding {
    pub(super) fn ok(check: &'static str, subject: impl Display, text: impl Display) -> Self {
        Self::new(Status::Ok, check, &subject, &text)
    }

    pub(super) fn note(check: &'static str, subject: impl Display, text: impl Display) -> Self {
        Self::new(Status::Note, check, &subject, &text)
    }

    pub(super) fn warn(check: &'static str, subject: impl Display, text: impl Display) -> Self {
        Self::new(Status::Warn, check, &subject, &text)
    }

    pub(super) fn fail(check: &'static str, subject: impl Display, text: impl Display) -> Self {
        Self::new(Status::Fail, check, &subject, &text)
    }

    fn new(status: Status, check: &'static str, subject: &dyn Display, text: &dyn Display) -> Self {
        Self {
            check,
            subject: subject.to_string(),
            status,
            text: text.to_string(),
            remedy: None,
        }
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "-",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    /// Green, grey, yellow, red (ECMA-48, SGR).
    fn colour(self) -> &'static str {
        match self {
            Self::Ok => "\x1b[32m",
            Self::Note => "\x1b[90m",
            Self::Warn => "\x1b[33m",
            Self::Fail => "\x1b[31m",
        }
    }
}

impl Section {
    fn title(self) -> &'static str {
        match self {
            Self::Listening => "Listening",
            Self::Addresses => "Addresses that clients are told, best first",
            Self::Reach => "Questions to these addresses, asked from this machine",
            Self::Machine => "This machine",
        }
    }
}

impl Report {
    pub(super) fn add(&mut self, section: Section, finding: Finding) {
        self.0.push((section, finding));
    }

    fn count(&self, status: Status) -> usize {
        let findings = self.0.iter();
        findings
            .filter(|(_, finding)| finding.status == status)
            .count()
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        if self.count(Status::Fail) == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    pub(super) fn to_text(&self, coloured: bool) -> String {
        let subjects = self.0.iter().map(|(_, finding)| finding.subject.len());
        let width = subjects.max().unwrap_or(0).clamp(SUBJECT.0, SUBJECT.1);
        let mut text = String::new();
        let mut last = None;
        // Writing to a string can't fail.
        for (section, finding) in &self.0 {
            if last != Some(*section) {
                let gap = if last.is_some() { "\n" } else { "" };
                let _ = writeln!(text, "{gap}{}", section.title());
                last = Some(*section);
            }
            let Finding {
                subject,
                status,
                text: said,
                remedy,
                ..
            } = finding;
            let (on, off) = if coloured {
                (status.colour(), "\x1b[0m")
            } else {
                ("", "")
            };
            let word = status.word();
            let _ = writeln!(text, "  {on}{word:<4}{off}  {subject:<width$}  {said}");
            if let Some(remedy) = remedy {
                let _ = writeln!(text, "        -> {remedy}");
            }
        }
        let counted = |status, one: &str, many: &str| match self.count(status) {
            0 => format!("no {many}"),
            1 => format!("1 {one}"),
            n => format!("{n} {many}"),
        };
        let failures = counted(Status::Fail, "failure", "failures");
        let warnings = counted(Status::Warn, "warning", "warnings");
        let _ = writeln!(text, "\n{failures}, {warnings}");
        text
    }

    pub(super) fn to_json(&self) -> String {
        let findings: Vec<_> = self.0.iter().map(|(_, finding)| finding).collect();
        let json = serde_json::json!({
            "passed": self.count(Status::Fail) == 0,
            "failures": self.count(Status::Fail),
            "warnings": self.count(Status::Warn),
            "findings": findings,
        });
        format!("{json:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.add(
            Section::Listening,
            Finding::ok("listen.udp", "UDP [::]:8080", "free"),
        );
        report.add(
            Section::Machine,
            Finding::warn("open_files", "open files", 1024).remedy("ulimit -n 65536"),
        );
        report
    }

    #[test]
    fn the_text_is_short_and_every_remedy_follows_its_finding() {
        assert_eq!(
            report().to_text(false),
            "Listening\n  \
             ok    UDP [::]:8080     free\n\n\
             This machine\n  \
             warn  open files        1024\n        \
             -> ulimit -n 65536\n\n\
             no failures, 1 warning\n"
        );
        assert!(
            report()
                .to_text(true)
                .contains("\x1b[33mwarn\x1b[0m  open files")
        );
    }

    #[test]
    fn the_json_says_the_same() {
        let json: serde_json::Value = serde_json::from_str(&report().to_json()).unwrap();
        assert_eq!(json["passed"], true);
        assert_eq!(json["warnings"], 1);
        assert_eq!(json["findings"][1]["check"], "open_files");
        assert_eq!(json["findings"][1]["status"], "warn");
        assert_eq!(json["findings"][1]["remedy"], "ulimit -n 65536");
    }

    #[test]
    fn only_a_failure_fails() {
        let mut report = report();
        assert_eq!(report.exit_code(), ExitCode::SUCCESS);
        report.add(Section::Reach, Finding::fail("reach", "x", "y"));
        assert_eq!(report.exit_code(), ExitCode::FAILURE);
    }
}
