//! ICE servers in `Link` header fields (RFC 9725, section 4.6; syntax of RFC 8288, section 3).

use std::fmt;

use reqwest::header::{HeaderMap, LINK};

/// More servers than this are of no use to an ICE agent.
const MAX_SERVERS: usize = 8;

/// A STUN or TURN server, with the credentials to use it.
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    /// Such as `turn:example.org:3478?transport=udp`.
    pub url: String,
    /// The user name, for TURN.
    pub username: Option<String>,
    /// The password, for TURN.
    pub credential: Option<String>,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// The links of relation `ice-server`, in their order. What can't be read is passed over.
pub(super) fn ice_servers(headers: &HeaderMap) -> Vec<IceServer> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split(value, ','))
        .filter_map(ice_server)
        .take(MAX_SERVERS)
        .collect()
}

fn ice_server(link: &str) -> Option<IceServer> {
    let mut parts = split(link, ';').into_iter();
    let url = parts.next()?.strip_prefix('<')?.strip_suffix('>')?.trim();
    let mut server = IceServer {
        url: url.to_owned(),
        username: None,
        credential: None,
    };
    let mut is_ice_server = false;
    for part in parts {
        let (name, value) = part.split_once('=')?;
        let value = unquoted(value.trim());
        match name.trim().to_ascii_lowercase().as_str() {
            "rel" => is_ice_server = value.split(' ').any(|relation| relation == "ice-server"),
            "username" => server.username = Some(value),
            "credential" => server.credential = Some(value),
            _ => {}
        }
    }
    is_ice_server.then_some(server)
}

/// The pieces between separators that stand neither in quotes nor in angle brackets, trimmed.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    text.split(|c: char| {
        if escaped {
            escaped = false;
            return false;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' if !bracketed => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            _ => return c == separator && !quoted && !bracketed,
        }
        false
    })
    .map(str::trim)
    .filter(|piece| !piece.is_empty())
    .collect()
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut escaped = false;
    inner
        .chars()
        .filter(|&c| {
            escaped = c == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn parse(lines: &[&str]) -> Vec<IceServer> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(LINK, HeaderValue::from_str(line).unwrap());
        }
        ice_servers(&headers)
    }

    #[test]
    fn credentials_belong_to_their_server() {
        let servers = parse(&[
            r#"<stun:stun.example.org:3478>; rel="ice-server""#,
            r#"<turn:turn.example.org?transport=udp>; rel="ice-server"; username="1:a;b,c"; credential="p\"q"; credential-type="password""#,
        ]);
        assert_eq!(servers.len(), 2);
        assert_eq!(servers[0].url, "stun:stun.example.org:3478");
        assert_eq!(servers[0].username, None);
        assert_eq!(servers[1].username.as_deref(), Some("1:a;b,c"));
        assert_eq!(servers[1].credential.as_deref(), Some("p\"q"));
    }

    #[test]
    fn several_links_may_share_one_field() {
        let servers = parse(&["<stun:a>; rel=ice-server, <stun:b>; rel=ice-server"]);
        assert_eq!(servers.len(), 2);
    }

    #[test]
    fn other_relations_and_broken_links_are_passed_over() {
        let servers = parse(&[
            r#"<https://example.org/sse>; rel="urn:ietf:params:whep:ext:core:layer""#,
            "stun:a; rel=ice-server",
            "<stun:b; rel=ice-server",
            "<stun:c>; rel",
        ]);
        assert_eq!(servers, []);
    }

    #[test]
    fn debug_output_has_no_credentials() {
        let servers = parse(&["<turn:a>; rel=ice-server; username=secretive; credential=hush"]);
        let shown = format!("{servers:?}");
        assert!(shown.contains("turn:a"));
        assert!(!shown.contains("secretive") && !shown.contains("hush"));
    }
}
