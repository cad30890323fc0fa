//! What the log never holds: session ids, tokens, offers, addresses.

use super::*;
use crate::telemetry::capture::capture;

#[test]
fn the_tables_leave_no_secret_in_the_log() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ((), log) = capture(|| {
        runtime.block_on(async {
            let settings = || Settings {
                allow_query_token: true,
                ..Settings::default()
            };
            check_all(&open_app(), endpoint::ROWS).await;
            check_all(&open_app(), offers::ROWS).await;
            check_all(&open_app(), session::ROWS).await;
            check_all(&open_app(), leniency::ROWS).await;
            check_all(&open_app(), events::ROWS).await;
            check_all(&open_app(), access::OPEN).await;
            check_all(&app(access::tokens(), Settings::default()), access::CLOSED).await;
            check_all(&app(access::tokens(), settings()), access::QUERY).await;
        });
    });
    // The routes stand for the URLs.
    for route in [
        "/whip/{stream}",
        "/whep/{stream}/{session}",
        "/hls/{stream}",
    ] {
        assert!(log.text().contains(route), "{route} is not in the log");
    }
    log.assert_redacted(&[
        "000102030405060708090a0b0c0d0e0f",
        "101112131415161718191a1b1c1d1e1f",
        "ffffffffffffffffffffffffffffffff",
        "token=",
        "Bearer",
        "secret-of-live",
        "ice-ufrag",
        "0123456789012345678901",
    ]);
}
