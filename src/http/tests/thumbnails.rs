//! Still pictures as caches and browsers see them.

use super::*;

const ROWS: &[Row] = &[
    Row::new("a picture", "GET", "/streams/live/thumbnail.jpg", 200)
        .answers(&[
            ("content-type", "image/jpeg"),
            ("cache-control", "public, max-age=4"),
            ("etag", "\"7\""),
        ])
        .holds(&["jpeg"]),
    Row::new(
        "a picture that the browser has",
        "GET",
        "/streams/live/thumbnail.jpg",
        304,
    )
    .with(&[("if-none-match", "\"6\", W/\"7\"")])
    .answers(&[("etag", "\"7\"")]),
    Row::new(
        "too many at once",
        "GET",
        "/streams/busy/thumbnail.jpg",
        503,
    )
    .answers(&[("retry-after", "1"), ("cache-control", "no-store")])
    .holds(&["thumbnails.at_once"]),
    Row::new("of no stream", "GET", "/streams/none/thumbnail.jpg", 404)
        .answers(&[("retry-after", "2")])
        .holds(&["nobody publishes none"]),
    Row::new(
        "nothing else there",
        "GET",
        "/streams/live/thumbnail.png",
        404,
    ),
];

#[tokio::test]
async fn pictures_are_served_and_say_how_long_they_are_good() {
    check_all(&open_app(), ROWS).await;
}
