//! Who may publish and play: static bearer tokens (RFC 6750), for every stream or for one.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::{ConnectInfo, Query};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use serde::Deserialize;
use subtle::{Choice, ConstantTimeEq};

use super::client::is_forwarded;
use crate::gateway::SessionKind;
use crate::stream::StreamName;

/// The rules of both directions.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Who may publish. A stream that asks for no token is open to clients of this machine only.
    pub publish: Rules,
    /// Who may publish as a backup, besides: never before those who may publish.
    pub backup: Rules,
    /// Who may play. A stream that asks for no token is open to everyone.
    pub play: Rules,
    /// Who may read the metrics: who has this token, or without one only this machine.
    pub metrics: Option<Token>,
}

/// The tokens of one direction.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Good for every stream that has no tokens of its own.
    pub every_stream: Vec<Token>,
    /// Good for the named stream, in the place of those for every stream.
    pub one_stream: HashMap<StreamName, Vec<Token>>,
}

/// A bearer token. It is compared in constant time and shows itself in no log.
#[derive(Clone)]
pub struct Token {
    bytes: [u8; Self::MAX_LEN],
    len: u16,
}

/// Why a text can't be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is empty.
    #[error(
        "the token is empty; leave it out, or choose one; 16 random characters are hard to guess"
    )]
    Empty,
    /// It is too long.
    #[error("the token has {0} characters; at most {max} are allowed", max = Token::MAX_LEN)]
    TooLong(usize),
    /// RFC 6750 doesn't allow one of its characters.
    #[error("the token holds {0:?}; allowed are letters, digits and - . _ ~ + / =")]
    BadCharacter(char),
}

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// All that its direction knows.
    Whole,
    /// Publish, at most with the priority of a backup.
    Backup,
}

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No token came.
    Missing,
    /// The token is none of ours.
    Unknown,
    /// The token is good for another stream.
    OtherStream,
    /// Publishing needs no token here, but is open to this machine only.
    NotLocal,
    /// The metrics need no token here, but are open to this machine only.
    MetricsNotLocal,
    /// Publishing needs none, and a page of another site asked, through a browser of this machine.
    OtherSite,
    /// The metrics need none, but the name in the URL may have been led here by another site.
    OtherName,
}

/// The address that a connection came to, as a request extension beside `ConnectInfo`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalAddress(pub(super) IpAddr);

impl Tokens {
    /// What the request may do with `stream` in this direction. `allow_query`: a token in the URL counts.
    pub(super) fn check(
        &self,
        kind: SessionKind,
        stream: &StreamName,
        request: &Parts,
        allow_query: bool,
    ) -> Result<Right, Denied> {
        let presented = presented(request, allow_query);
        let whole = match kind {
            SessionKind::Whip if !self.publish.ask(stream) => require_local(request),
            SessionKind::Whip => self.publish.check(stream, &presented),
            SessionKind::Whep => self.play.check(stream, &presented),
        };
        match (whole, kind) {
            (Ok(()), _) => Ok(Right::Whole),
            (Err(denied @ (Denied::Unknown | Denied::OtherStream)), SessionKind::Whip) => {
                match self.backup.search(Some(stream), &presented)? {
                    Found::Here => Ok(Right::Backup),
                    Found::Elsewhere => Err(Denied::OtherStream),
                    Found::Nowhere => Err(denied),
                }
            }
            (Err(denied), _) => Err(denied),
        }
    }

    /// Whether the request may read the metrics.
    pub(super) fn check_metrics(&self, request: &Parts, allow_query: bool) -> Result<(), Denied> {
        let Some(token) = &self.metrics else {
            return require_local(request).map_err(|denied| match denied {
                Denied::OtherName => denied,
                _ => Denied::MetricsNotLocal,
            });
        };
        match presented(request, allow_query) {
            Presented::Token(presented) if bool::from(token.is(&presented)) => Ok(()),
            Presented::Nothing => Err(Denied::Missing),
            Presented::NoToken | Presented::Token(_) => Err(Denied::Unknown),
        }
    }
}

impl Rules {
    /// Whether `stream` asks for a token.
    pub(super) fn ask(&self, stream: &StreamName) -> bool {
        !self.every_stream.is_empty() || self.own(stream)
    }

    /// Whether what the request presented opens `stream`.
    pub(super) fn check(&self, stream: &StreamName, presented: &Presented) -> Result<(), Denied> {
        if !self.ask(stream) {
            return Ok(());
        }
        let key = self.own(stream).then_some(stream);
        match self.search(key, presented)? {
            Found::Here => Ok(()),
            Found::Elsewhere => Err(Denied::OtherStream),
            Found::Nowhere => Err(Denied::Unknown),
        }
    }

    /// Whether what the request presented is good for anything.
    pub(super) fn check_any(&self, presented: &Presented) -> Result<(), Denied> {
        if self.every_stream.is_empty() {
            return Ok(());
        }
        match self.search(None, presented)? {
            Found::Here | Found::Elsewhere => Ok(()),
            Found::Nowhere => Err(Denied::Unknown),
        }
    }

    fn own(&self, stream: &StreamName) -> bool {
        let tokens = self.one_stream.get(stream);
        tokens.is_some_and(|tokens| !tokens.is_empty())
    }

    /// Looks for the token among those of `stream`, or among those for every stream. All are
    /// compared, so that the time taken doesn't tell which one came close.
    fn search(&self, stream: Option<&StreamName>, presented: &Presented) -> Result<Found, Denied> {
        let presented = match presented {
            Presented::Nothing => return Err(Denied::Missing),
            Presented::NoToken => return Ok(Found::Nowhere),
            Presented::Token(token) => token,
        };
        let own = self.one_stream.iter().map(|(name, own)| (Some(name), own));
        let (mut here, mut elsewhere) = (Choice::from(0), Choice::from(0));
        for (name, tokens) in own.chain([(None, &self.every_stream)]) {
            for token in tokens {
                let same = token.is(presented);
                if name == stream {
                    here |= same;
                } else {
                    elsewhere |= same;
                }
            }
        }
        match (here.into(), elsewhere.into()) {
            (true, _) => Ok(Found::Here),
            (false, true) => Ok(Found::Elsewhere),
            (false, false) => Ok(Found::Nowhere),
        }
    }
}

/// Where a token is good.
enum Found {
    Here,
    Elsewhere,
    Nowhere,
}

impl Token {
    /// The longest token, in characters.
    pub const MAX_LEN: usize = 256;

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn is(&self, other: &Self) -> Choice {
        self.bytes.ct_eq(&other.bytes) & self.len.ct_eq(&other.len)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
            return Err(TokenError::BadCharacter(bad));
        }
        let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
        let mut bytes = [0; Self::MAX_LEN];
        match bytes.get_mut(..text.len()) {
            None => Err(TokenError::TooLong(text.len())),
            Some([]) => Err(TokenError::Empty),
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                Ok(Self { bytes, len })
            }
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What a request brought to show its right.
#[derive(Debug)]
pub(super) enum Presented {
    Nothing,
    /// Something that can't be a token of ours.
    NoToken,
    Token(Box<Token>),
}

impl Presented {
    pub(super) fn from_text(text: &str) -> Self {
        text.parse()
            .map_or(Self::NoToken, |token| Self::Token(Box::new(token)))
    }
}

/// The token of `Authorization: Bearer …`; the scheme's case doesn't matter (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Presented {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Presented::Nothing;
    };
    match value.to_str().unwrap_or_default().trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Presented::from_text(token.trim())
        }
        _ => Presented::NoToken,
    }
}

/// The token of the header or, where that is missing and it is allowed, of the URL.
pub(super) fn presented(request: &Parts, allow_query: bool) -> Presented {
    match bearer(&request.headers) {
        Presented::Nothing if allow_query => query_token(&request.uri),
        presented => presented,
    }
}

/// The token of `?token=…`.
fn query_token(uri: &Uri) -> Presented {
    #[derive(Deserialize)]
    struct TokenQuery {
        token: Option<String>,
    }
    match Query::<TokenQuery>::try_from_uri(uri) {
        Ok(Query(TokenQuery { token: Some(token) })) => Presented::from_text(&token),
        _ => Presented::Nothing,
    }
}

/// Lets a client of this machine pass, unless it is a browser that shows a page of another site: any
/// page that the user visits may send requests to this machine, and read the answers to those that it
/// makes to its own name once that leads here. A request that came through a proxy is not of this
/// machine, though the proxy itself may be.
fn require_local(request: &Parts) -> Result<(), Denied> {
    let here = |ip: IpAddr| {
        let ip = ip.to_canonical();
        let local = request.extensions.get::<LocalAddress>();
        // Only this machine can connect to one of its addresses from the same address.
        ip.is_loopback() || local.is_some_and(|local| local.0.to_canonical() == ip)
    };
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
    if is_forwarded(&request.headers) || !peer.is_some_and(|peer| here(peer.ip())) {
        return Err(Denied::NotLocal);
    }
    let mut origins = request.headers.get_all(header::ORIGIN).iter().peekable();
    // Browsers name the origin with every method but these two: a page that asks its own origin need not.
    let need_not_say = matches!(request.method, Method::GET | Method::HEAD);
    if origins.peek().is_none()
        && need_not_say
        && !asked(request).is_some_and(|to| is_ours(&to, here))
    {
        return Err(Denied::OtherName);
    }
    match origins.all(|origin| is_own_page(origin, request, here)) {
        true => Ok(()),
        false => Err(Denied::OtherSite),
    }
}

/// Whether `origin` is where this request went, by a name that nobody else can lead here.
fn is_own_page(origin: &HeaderValue, request: &Parts, here: impl Fn(IpAddr) -> bool) -> bool {
    let origin = origin.to_str().ok();
    let origin = origin.and_then(|origin| origin.parse::<Uri>().ok());
    let Some(origin) = origin.and_then(|origin| origin.into_parts().authority) else {
        return false;
    };
    is_ours(&origin, here) && asked(request).is_some_and(|asked| asked == origin)
}

/// Host and port of the request. HTTP/2 has `:authority` in the place of `Host`.
fn asked(request: &Parts) -> Option<Authority> {
    if let Some(authority) = request.uri.authority() {
        return Some(authority.clone());
    }
    let host = request.headers.get(header::HOST)?;
    host.to_str().ok()?.parse().ok()
}

/// Whether nobody else can lead this name here: another site may let its own name point to this machine after its page
/// has loaded.
fn is_ours(authority: &Authority, here: impl Fn(IpAddr) -> bool) -> bool {
    let name = authority.host();
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_compared_whole() {
        let token = |text: &str| text.parse::<Token>().unwrap();
        assert!(bool::from(token("secret").is(&token("secret"))));
        for other in ["secre", "secrets", "Secret", "x"] {
            assert!(!bool::from(token("secret").is(&token(other))), "{other}");
        }
    }

    #[test]
    fn a_text_that_can_not_be_a_token_is_refused() {
        for (text, error) in [
            ("", TokenError::Empty),
            ("a b", TokenError::BadCharacter(' ')),
            ("a\0", TokenError::BadCharacter('\0')),
            (&"x".repeat(257), TokenError::TooLong(257)),
        ] {
            assert_eq!(text.parse::<Token>().unwrap_err(), error);
        }
        assert!("x".repeat(256).parse::<Token>().is_ok());
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let token: Token = "secret".parse().unwrap();
        assert!(!format!("{token:?}").contains("secret"));
    }
}
