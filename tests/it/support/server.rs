//! A gateway inside the test's process, on ports of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tidegate::app::{self, App};
use tidegate::config::{Host, Settings};
use tidegate::shard::{ShardHandle, Snapshot};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running gateway. Dropping it ends it as SIGTERM would, without waiting for the end.
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    shards: Arc<[ShardHandle]>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), app::Error>>,
}

impl Server {
    /// The settings of a gateway for tests: loopback, one shard, no HLS.
    pub(crate) fn settings() -> Settings {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut settings = Settings::defaults(&Host {
            cores: 1,
            ipv6: true,
            state: std::env::temp_dir(),
        });
        settings.listen = SocketAddr::new(loopback, 0);
        settings.media.listen = settings.listen;
        settings.media.addresses = vec![loopback.into()];
        settings.hls.enabled = false;
        settings
    }

    pub(crate) async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Self::settings();
        change(&mut settings);
        let app = App::start(&settings).await.unwrap();
        let (http, shards) = (app.addresses().http, app.shards());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(app.serve(async {
            let _ = stopped.await;
        }));
        Self {
            http,
            shards,
            stop: Some(stop),
            served,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub(crate) fn whip(&self, stream: &str) -> String {
        self.url(&format!("/whip/{stream}"))
    }

    pub(crate) fn whep(&self, stream: &str) -> String {
        self.url(&format!("/whep/{stream}"))
    }

    /// Where accepted connections go.
    pub(crate) fn shards(&self) -> Arc<[ShardHandle]> {
        Arc::clone(&self.shards)
    }

    /// The counters of each shard.
    pub(crate) fn counters_by_shard(&self) -> Vec<Snapshot> {
        let shards = self.shards.iter();
        shards.map(|shard| shard.counters().snapshot()).collect()
    }

    /// The counters of all shards.
    pub(crate) fn counters(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for snapshot in self.counters_by_shard() {
            sum += snapshot;
        }
        sum
    }

    /// Ends it as SIGTERM would, and waits until it has ended.
    pub(crate) async fn stop(mut self) -> Result<(), app::Error> {
        self.stop.take();
        (&mut self.served).await.unwrap()
    }
}
