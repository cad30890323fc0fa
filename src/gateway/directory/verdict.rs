//! How publishers do, as their shards report it.

use std::sync::Arc;

use super::Directory;
use crate::ingest::Finding;
use crate::ingest::verdict::Report;
use crate::shard::{SessionKey, StreamKey};
use crate::stream::StreamName;

impl Directory {
    /// Keeps the newest report on a broadcast. Returns what is wrong with it and was not before: each
    /// defect of a publisher once, whether it comes and goes or not.
    pub(in crate::gateway) fn set_report(
        &mut self,
        broadcast: StreamKey,
        report: Arc<Report>,
    ) -> Option<(StreamName, Vec<Finding>)> {
        // A broadcast has the number of its publisher's session.
        let name = &self.sessions.get(&SessionKey(broadcast.0))?.stream;
        let entry = self.streams.get_mut(name)?.lineup.entry_mut(broadcast)?;
        let is_new = |finding: &&Finding| !entry.told.iter().any(|told| told.is_same(finding));
        let news: Vec<_> = report.findings.iter().filter(is_new).cloned().collect();
        entry.told.extend(news.iter().cloned());
        entry.report = Some(report);
        (!news.is_empty()).then(|| (name.clone(), news))
    }
}
