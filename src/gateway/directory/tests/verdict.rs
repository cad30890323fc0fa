//! What is told of how publishers do.

use super::*;
use crate::ingest::verdict::Report;
use crate::ingest::{Defect, Finding};
use crate::stream::LayerId;

fn report(defects: &[Defect]) -> Arc<Report> {
    let finding = |defect: &Defect| Finding {
        track: TrackId(0),
        layer: LayerId(0),
        defect: defect.clone(),
    };
    Arc::new(Report {
        findings: defects.iter().map(finding).collect(),
        ..Report::default()
    })
}

#[test]
fn each_defect_of_a_publisher_is_news_once() {
    let mut office = Office::new(LIMITS, POLICY);
    let (key, _) = office.publish("a");
    let broadcast = StreamKey(key.0);
    let jitter = |millis| Defect::Jitter {
        jitter: Duration::from_millis(millis),
    };
    let mut news = |defects: &[Defect]| {
        let news = office.directory.set_report(broadcast, report(defects));
        news.map_or(0, |(_, findings)| findings.len())
    };
    assert_eq!(news(&[]), 0);
    assert_eq!(news(&[jitter(40), Defect::NoRepair]), 2);
    assert_eq!(news(&[jitter(50), Defect::NoSenderReports]), 1);
    assert_eq!(news(&[]), 0);
    assert_eq!(news(&[Defect::NoRepair]), 0);
    let listed = office.directory.streams();
    let shown = listed[0].publishers[0].report.as_ref().unwrap();
    assert_eq!(shown.findings.len(), 1);
}

#[test]
fn nobody_is_told_of_who_has_gone() {
    let mut office = Office::new(LIMITS, POLICY);
    let gone = StreamKey(77);
    let report = report(&[Defect::NoRepair]);
    assert!(office.directory.set_report(gone, report).is_none());
}
