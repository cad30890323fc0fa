//! Every case of an offer, one after the other; what they make is ended at once.

use super::super::evidence::Probe;
use super::super::offer::Case;
use super::Run;

pub(super) async fn gather(run: &mut Run<'_>) {
    for case in Case::ALL {
        let request = run.post(case.content_type(), case.body(run.evidence.protocol));
        let exchange = run.client.send(request).await;
        run.end(exchange.as_ref().ok()).await;
        run.evidence.add(Probe::Offer(case), exchange);
    }
}
