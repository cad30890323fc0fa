//! The priority of a publisher among those of its stream, as its WHIP URL says it.
//!
//! In the URL, as programs such as OBS let their user set nothing else besides the token.

use axum::extract::Query;
use axum::http::Uri;
use serde::Deserialize;

use super::auth::Right;
use super::problem::Problem;
use crate::gateway::{Priority, Rank};

#[derive(Deserialize)]
struct PriorityQuery {
    priority: Option<String>,
    backup: Option<String>,
}

/// The rank of `?priority=…`, or of `?backup`, as far as the publisher's right goes.
pub(super) fn rank(uri: &Uri, right: Right) -> Result<Rank, Problem> {
    let asked = asked(uri)?;
    Ok(match right {
        Right::Whole => asked,
        Right::Backup => asked.min(Rank::Publisher(Priority::BACKUP)),
    })
}

fn asked(uri: &Uri) -> Result<Rank, Problem> {
    // What is no query at all holds no priority either.
    let Ok(Query(query)) = Query::<PriorityQuery>::try_from_uri(uri) else {
        return Ok(Rank::default());
    };
    match (query.priority, query.backup) {
        (Some(text), _) => text
            .parse()
            .map(Rank::Publisher)
            .map_err(|_| Problem::Priority),
        (None, Some(_)) => Ok(Rank::Publisher(Priority::BACKUP)),
        (None, None) => Ok(Rank::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &'static str) -> Result<Rank, Problem> {
        rank(&Uri::from_static(uri), Right::Whole)
    }

    #[test]
    fn who_may_only_be_a_backup_is_no_more() {
        for (uri, priority) in [
            ("/whip/a", 50),
            ("/whip/a?backup", 50),
            ("/whip/a?priority=255", 50),
            ("/whip/a?priority=7", 7),
        ] {
            let rank = rank(&Uri::from_static(uri), Right::Backup).unwrap();
            assert_eq!(rank, Rank::Publisher(Priority(priority)), "{uri}");
        }
        let malformed = Uri::from_static("/whip/a?priority=high");
        assert!(matches!(
            rank(&malformed, Right::Backup),
            Err(Problem::Priority)
        ));
    }

    #[test]
    fn a_publisher_says_its_priority_in_its_url() {
        for (uri, priority) in [
            ("/whip/a", 100),
            ("/whip/a?token=x", 100),
            ("/whip/a?backup", 50),
            ("/whip/a?token=x&backup", 50),
            ("/whip/a?priority=7", 7),
            ("/whip/a?priority=255&backup", 255),
        ] {
            let rank = read(uri).unwrap();
            assert_eq!(rank, Rank::Publisher(Priority(priority)), "{uri}");
        }
        for uri in [
            "/whip/a?priority=",
            "/whip/a?priority=256",
            "/whip/a?priority=high",
        ] {
            assert!(matches!(read(uri), Err(Problem::Priority)), "{uri}");
        }
    }
}
