//! The STUN and TURN servers that clients are told of, one `Link` field each (RFC 9725, section 4.6).
//!
//! Credentials are fixed ones, or made for each client from a secret that the TURN server has too and
//! good for a limited time (the scheme that coturn calls `use-auth-secret`).

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

use crate::config::{IceLogin, IceServer};

/// The values of the `Link` fields, with credentials that `id` tells apart from those of others.
pub(super) fn links(servers: &[IceServer], now: SystemTime, id: u64) -> Vec<HeaderValue> {
    let links = servers.iter().flat_map(|server| {
        let login = server.login.as_ref().map(|it| login(it, now, id));
        let urls = server.urls.iter();
        urls.map(move |url| link(url, login.as_ref()))
    });
    // Configured text was checked to fit into a field.
    let values = links.filter_map(|link| HeaderValue::from_str(&link).ok());
    values
        .map(|mut value| {
            value.set_sensitive(true);
            value
        })
        .collect()
}

struct Login {
    username: String,
    credential: String,
}

fn login(login: &IceLogin, now: SystemTime, id: u64) -> Login {
    let (secret, lifetime) = match login {
        IceLogin::Fixed {
            username,
            credential,
        } => {
            return Login {
                username: username.clone(),
                credential: credential.expose().to_owned(),
            };
        }
        IceLogin::Limited { secret, lifetime } => (secret.expose(), *lifetime),
    };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let username = format!("{}:{id:016x}", (now + lifetime).as_secs());
    let credential = match Hmac::<Sha1>::new_from_slice(secret.as_bytes()) {
        Ok(mac) => STANDARD.encode(mac.chain_update(&username).finalize().into_bytes()),
        // HMAC takes keys of every length (RFC 2104, section 2).
        Err(_) => String::new(),
    };
    Login {
        username,
        credential,
    }
}

/// The form that publishers are known to read: parameters quoted, each server in a field of its own.
fn link(url: &str, login: Option<&Login>) -> String {
    let mut link = format!("<{url}>; rel=\"ice-server\"");
    if let (true, Some(login)) = (url.starts_with("turn"), login) {
        link.push_str("; username=\"");
        push_quoted(&mut link, &login.username);
        link.push_str("\"; credential=\"");
        push_quoted(&mut link, &login.credential);
        link.push_str("\"; credential-type=\"password\"");
    }
    link
}

/// The inside of a quoted string (RFC 9110, section 5.6.4).
fn push_quoted(link: &mut String, text: &str) {
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            link.push('\\');
        }
        link.push(c);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Secret;

    fn texts(servers: &[IceServer], now: SystemTime) -> Vec<String> {
        let links = links(servers, now, 7);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        links.iter().map(text).collect()
    }

    fn limited() -> IceLogin {
        IceLogin::Limited {
            secret: Secret::new("north"),
            lifetime: Duration::from_secs(3600),
        }
    }

    #[test]
    fn each_url_has_a_link_of_its_own_and_stun_no_credentials() {
        let urls = ["stun:a.example:3478", "turn:a.example:3478?transport=udp"];
        let server = IceServer {
            urls: urls.map(str::to_owned).to_vec(),
            login: Some(IceLogin::Fixed {
                username: "u\"1".into(),
                credential: Secret::new("p\\2"),
            }),
        };
        assert_eq!(
            texts(&[server], UNIX_EPOCH),
            [
                "<stun:a.example:3478>; rel=\"ice-server\"",
                "<turn:a.example:3478?transport=udp>; rel=\"ice-server\"; username=\"u\\\"1\"; \
                 credential=\"p\\\\2\"; credential-type=\"password\"",
            ]
        );
    }

    /// The expected value is what `openssl dgst -sha1 -hmac north -binary | base64` says.
    #[test]
    fn limited_credentials_are_what_the_turn_server_computes() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let login = login(&limited(), now, 7);
        assert_eq!(login.username, "1700003600:0000000000000007");
        assert_eq!(login.credential, "apurd8kP135VICTXAxW18K8Hl4Y=");
    }

    #[test]
    fn limited_credentials_differ_between_sessions_and_are_marked_as_secret() {
        let now = UNIX_EPOCH;
        let (one, other) = (login(&limited(), now, 1), login(&limited(), now, 2));
        assert_ne!(one.username, other.username);
        assert_ne!(one.credential, other.credential);
        let server = IceServer {
            urls: vec!["turn:a.example".into()],
            login: Some(limited()),
        };
        let links = links(&[server], now, 1);
        assert!(links[0].to_str().unwrap().contains(&one.credential));
        assert!(!format!("{links:?}").contains(&one.credential));
    }
}
