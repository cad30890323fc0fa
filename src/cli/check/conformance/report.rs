//! What is printed: one line a rule in groups, or JSON.
//!
//! Pure: it writes to whatever it is given.
//!
//! # The JSON object
//!
//! One object; keys are only ever added.
//!
//! | key | |
//! |---|---|
//! | `schema` | 1 |
//! | `tool` | name and version |
//! | `protocol` | `whip` or `whep` |
//! | `host` | host and port of the URL; paths can hold secrets |
//! | `ok` | whether no MUST failed (with `--strict`: and no SHOULD) |
//! | `summary` | how many rules: `pass`, `must_failed`, `should_failed`, `not_offered`, `not_applicable`, `not_tested` |
//! | `incomplete` | why the check ended early, or `null` |
//! | `leftovers` | what the server said to each `DELETE` that it refused |
//! | `rules` | one object a rule, in the order of the report |
//!
//! A rule has `id`, `group`, `level` (`MUST`, `SHOULD`), `source`, `title` and `verdict` (`pass`, `fail`,
//! `not_offered`, `not_applicable`, `not_tested`); a failure has `expected` and `got`, the others may have a
//! `note`.

use std::io::{self, Write};

use serde_json::json;

use super::client::Leftover;
use super::rule::{Group, Level, Protocol, Rule, Verdict};

/// The longest text of a server's that is shown, in characters.
const MAX_TEXT: usize = 400;

/// Everything that came of a check.
pub(super) struct Report {
    pub(super) protocol: Protocol,
    pub(super) host: String,
    pub(super) rules: Vec<(&'static Rule, Verdict)>,
    pub(super) leftovers: Vec<Leftover>,
    /// Why it ended early.
    pub(super) incomplete: Option<String>,
    pub(super) strict: bool,
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Summary {
    pass: usize,
    must_failed: usize,
    should_failed: usize,
    not_offered: usize,
    not_applicable: usize,
    not_tested: usize,
}

impl Report {
    fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for (rule, verdict) in &self.rules {
            *match (verdict, rule.level) {
                (Verdict::Pass(_), _) => &mut summary.pass,
                (Verdict::Fail { .. }, Level::Must) => &mut summary.must_failed,
                (Verdict::Fail { .. }, Level::Should) => &mut summary.should_failed,
                (Verdict::NotOffered(_), _) => &mut summary.not_offered,
                (Verdict::NotApplicable(_), _) => &mut summary.not_applicable,
                (Verdict::NotTested(_), _) => &mut summary.not_tested,
            } += 1;
        }
        summary
    }

    /// Whether nothing failed that has to hold.
    pub(super) fn is_ok(&self) -> bool {
        let summary = self.summary();
        summary.must_failed == 0 && (!self.strict || summary.should_failed == 0)
    }

    /// Prints the table.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write_text(&self, out: &mut dyn Write, colours: Colours) -> io::Result<()> {
        writeln!(
            out,
            "{} conformance of {}",
            self.protocol.name().to_ascii_uppercase(),
            self.host
        )?;
        let id = self.width(|rule| rule.id.len());
        let source = self.width(|rule| self.source(rule).chars().count());
        for group in Group::ALL {
            let rules = self.rules.iter().filter(|(rule, _)| rule.group == group);
            let mut rules = rules.peekable();
            if rules.peek().is_none() {
                continue;
            }
            writeln!(out, "\n{}", colours.bold(group.title()))?;
            let mut last = Vec::new();
            for (rule, verdict) in rules {
                let (mark, colour) = mark(verdict, rule.level);
                writeln!(
                    out,
                    "  {} {:<6} {:<id$}  {:<source$}  {}",
                    colours.paint(&format!("{mark:<14}"), colour),
                    rule.level,
                    rule.id,
                    self.source(rule),
                    rule.title,
                )?;
                // A reason that many share is told once.
                let lines = details(verdict);
                for line in lines.iter().filter(|_| lines != last) {
                    writeln!(out, "{:17}{}", "", colours.paint(line, colour))?;
                }
                last = lines;
            }
        }
        self.write_summary(out, colours)
    }

    fn write_summary(&self, out: &mut dyn Write, colours: Colours) -> io::Result<()> {
        let summary = self.summary();
        writeln!(
            out,
            "\n{} passed, {} MUST failed, {} SHOULD failed, {} not offered, {} not applicable, {} not tested",
            summary.pass,
            summary.must_failed,
            summary.should_failed,
            summary.not_offered,
            summary.not_applicable,
            summary.not_tested,
        )?;
        for leftover in &self.leftovers {
            writeln!(
                out,
                "A session is left behind: the server answered its DELETE with: {}",
                printable(&leftover.reason)
            )?;
        }
        if let Some(why) = &self.incomplete {
            writeln!(out, "Incomplete: {}", printable(why))?;
        }
        let (text, colour) = match (&self.incomplete, self.is_ok()) {
            (_, false) => ("The server does not conform.", RED),
            (Some(_), true) => ("The check could not be done in full.", YELLOW),
            (None, true) => ("The server conforms, as far as was tested.", GREEN),
        };
        writeln!(out, "{}", colours.paint(text, colour))
    }

    fn width(&self, len: impl Fn(&Rule) -> usize) -> usize {
        self.rules
            .iter()
            .map(|(rule, _)| len(rule))
            .max()
            .unwrap_or(0)
    }

    fn source(&self, rule: &Rule) -> String {
        rule.source.of(self.protocol).unwrap_or_default()
    }

    /// Prints the JSON object of the module's head, on one line.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let summary = self.summary();
        let rules = self.rules.iter().map(|(rule, verdict)| {
            let mut object = json!({
                "id": rule.id,
                "group": rule.group.name(),
                "level": rule.level.to_string(),
                "source": self.source(rule),
                "title": rule.title.trim_start_matches('…'),
                "verdict": verdict.name(),
            });
            match verdict {
                Verdict::Fail { expected, got } => {
                    object["expected"] = json!(printable(expected));
                    object["got"] = json!(printable(got));
                }
                Verdict::Pass(None) => {}
                Verdict::Pass(Some(note))
                | Verdict::NotOffered(note)
                | Verdict::NotApplicable(note)
                | Verdict::NotTested(note) => object["note"] = json!(printable(note)),
            }
            object
        });
        let leftovers = self.leftovers.iter().map(|left| printable(&left.reason));
        let report = json!({
            "schema": 1,
            "tool": concat!("tidegate ", env!("CARGO_PKG_VERSION")),
            "protocol": self.protocol.name(),
            "host": self.host,
            "ok": self.is_ok() && self.incomplete.is_none(),
            "incomplete": self.incomplete.as_deref().map(printable),
            "summary": {
                "pass": summary.pass,
                "must_failed": summary.must_failed,
                "should_failed": summary.should_failed,
                "not_offered": summary.not_offered,
                "not_applicable": summary.not_applicable,
                "not_tested": summary.not_tested,
            },
            "leftovers": leftovers.collect::<Vec<_>>(),
            "rules": rules.collect::<Vec<_>>(),
        });
        writeln!(out, "{report}")
    }
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const GREY: &str = "2";

impl Colours {
    fn paint(self, text: &str, colour: &str) -> String {
        match self {
            Self::On => format!("\x1b[{colour}m{text}\x1b[0m"),
            Self::Off => text.to_owned(),
        }
    }

    fn bold(self, text: &str) -> String {
        self.paint(text, "1")
    }
}

fn mark(verdict: &Verdict, level: Level) -> (&'static str, &'static str) {
    match (verdict, level) {
        (Verdict::Pass(_), _) => ("pass", GREEN),
        (Verdict::Fail { .. }, Level::Must) => ("FAIL", RED),
        (Verdict::Fail { .. }, Level::Should) => ("fail", YELLOW),
        (Verdict::NotOffered(_), _) => ("not offered", GREY),
        (Verdict::NotApplicable(_), _) => ("not applicable", GREY),
        (Verdict::NotTested(_), _) => ("not tested", GREY),
    }
}

fn details(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Pass(None) => Vec::new(),
        Verdict::Fail { expected, got } => vec![
            format!("expected: {}", printable(expected)),
            format!("got:      {}", printable(got)),
        ],
        Verdict::Pass(Some(note))
        | Verdict::NotOffered(note)
        | Verdict::NotApplicable(note)
        | Verdict::NotTested(note) => vec![printable(note)],
    }
}

/// One line of bounded length without control characters: what a server says goes to a terminal.
fn printable(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = chars.by_ref().take(MAX_TEXT).collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::rules;
    use super::*;

    fn report(verdicts: &[Verdict]) -> Report {
        let rules = rules::select(Protocol::Whip, &[]).unwrap();
        Report {
            protocol: Protocol::Whip,
            host: "a.example:8080".to_owned(),
            rules: rules.into_iter().zip(verdicts.iter().cloned()).collect(),
            leftovers: Vec::new(),
            incomplete: None,
            strict: false,
        }
    }

    fn text(report: &Report, colours: Colours) -> String {
        let mut out = Vec::new();
        report.write_text(&mut out, colours).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_verdict_is_a_line_with_its_reason() {
        let report = report(&[
            Verdict::fail("201 Created", "500 \x1b[2Jboom\nmore"),
            Verdict::PASS,
            Verdict::not_offered("it has none"),
        ]);
        let text = text(&report, Colours::Off);
        assert!(
            text.contains("FAIL           MUST   endpoint.created"),
            "{text}"
        );
        assert!(text.contains("expected: 201 Created"), "{text}");
        assert!(text.contains("got:      500  [2Jboom more"), "{text}");
        assert!(text.contains("it has none"), "{text}");
        assert!(text.contains("1 passed, 1 MUST failed, 0 SHOULD failed, 1 not offered"));
        assert!(!text.contains('\x1b'));
        assert!(!report.is_ok());
    }

    #[test]
    fn a_should_counts_only_when_strict() {
        let mut report = report(&[
            Verdict::PASS,
            Verdict::PASS,
            Verdict::PASS,
            Verdict::fail("a", "b"),
        ]);
        assert_eq!(report.rules[3].0.level, Level::Should);
        assert!(report.is_ok());
        report.strict = true;
        assert!(!report.is_ok());
        assert!(text(&report, Colours::On).contains("\x1b[33m"));
    }

    #[test]
    fn the_json_object_has_what_it_promises() {
        let mut report = report(&[Verdict::fail("a", "b"), Verdict::pass_with("c")]);
        report.leftovers.push(Leftover {
            reason: "500".to_owned(),
        });
        let mut out = Vec::new();
        report.write_json(&mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(
            (&json["ok"], &json["incomplete"]),
            (&json!(false), &json!(null))
        );
        assert_eq!(json["summary"]["must_failed"], 1);
        assert_eq!(json["leftovers"], json!(["500"]));
        assert_eq!(
            json["rules"][0],
            json!({
                "id": "endpoint.created",
                "group": "endpoint",
                "level": "MUST",
                "source": "RFC 9725, 4.2",
                "title": "A POST of an SDP offer is answered with 201",
                "verdict": "fail",
                "expected": "a",
                "got": "b",
            })
        );
        assert_eq!(json["rules"][1]["note"], "c");
    }
}
