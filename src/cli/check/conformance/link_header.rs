//! `Link` header fields (RFC 8288), as far as WHIP and WHEP use them.
//!
//! Pure.

use reqwest::header::HeaderMap;

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) target: String,
    parameters: Vec<(String, String)>,
}

impl Link {
    /// A target attribute.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether it has this relation type.
    pub(super) fn is(&self, rel: &str) -> bool {
        let rels = self.parameter("rel").unwrap_or_default();
        rels.split_whitespace()
            .any(|found| found.eq_ignore_ascii_case(rel))
    }
}

/// What the `Link` fields of an answer hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    pub(super) all: Vec<Link>,
    /// Fields that are no links.
    pub(super) broken: Vec<String>,
    /// Fields with more than one link.
    pub(super) joined: usize,
}

impl Links {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut links = Self::default();
        for value in headers.get_all(reqwest::header::LINK) {
            let Ok(text) = value.to_str() else {
                links.broken.push("bytes that are no text".to_owned());
                continue;
            };
            match field(text) {
                Some(found) => {
                    links.joined += usize::from(found.len() > 1);
                    links.all.extend(found);
                }
                None => links.broken.push(text.to_owned()),
            }
        }
        links
    }

    pub(super) fn find(&self, rel: &str) -> Option<&Link> {
        self.all.iter().find(|link| link.is(rel))
    }
}

/// The links of one field.
fn field(text: &str) -> Option<Vec<Link>> {
    let mut links = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (target, after) = rest.strip_prefix('<')?.split_once('>')?;
        let mut link = Link {
            target: target.to_owned(),
            parameters: Vec::new(),
        };
        rest = after.trim_start();
        while let Some(after) = rest.strip_prefix(';') {
            let (name, value, after) = parameter(after.trim_start())?;
            link.parameters.push((name, value));
            rest = after.trim_start();
        }
        links.push(link);
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() => {}
            None => return None,
        }
    }
    (!links.is_empty()).then_some(links)
}

/// A parameter, and what follows it.
fn parameter(text: &str) -> Option<(String, String, &str)> {
    let end = text.find(['=', ';', ',']).unwrap_or(text.len());
    let name = text[..end].trim().to_ascii_lowercase();
    let Some(value) = text[end..].strip_prefix('=') else {
        return Some((name, String::new(), &text[end..]));
    };
    let value = value.trim_start();
    let Some(quoted) = value.strip_prefix('"') else {
        let end = value.find([';', ',']).unwrap_or(value.len());
        return Some((name, value[..end].trim().to_owned(), &value[end..]));
    };
    let mut content = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((name, content, &quoted[at + 1..])),
            '\\' => content.push(chars.next()?.1),
            c => content.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use reqwest::header::LINK;

    use super::*;

    fn links(values: &[&str]) -> Links {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, value.parse().unwrap());
        }
        Links::of(&headers)
    }

    #[test]
    fn links_and_their_attributes_are_read() {
        let found = links(&[
            "<stun:stun.example.net>; rel=\"ice-server\"",
            "<turn:turn.example.net?transport=udp>; rel=ice-server; username=\"u;,\"; credential=\"a\\\"b\"",
        ]);
        assert_eq!(
            (found.broken.len(), found.joined, found.all.len()),
            (0, 0, 2)
        );
        let turn = &found.all[1];
        assert!(turn.is("ice-server") && !turn.is("ice"));
        assert_eq!(turn.target, "turn:turn.example.net?transport=udp");
        assert_eq!(turn.parameter("username"), Some("u;,"));
        assert_eq!(turn.parameter("credential"), Some("a\"b"));
    }

    #[test]
    fn fields_with_two_links_are_counted_and_broken_ones_kept() {
        let found = links(&[
            "<a>; rel=\"x\", <b>; rel=\"y\"",
            "stun:a; rel=x",
            "<a>; rel=\"x",
        ]);
        assert_eq!(
            (found.all.len(), found.joined, found.broken.len()),
            (2, 1, 2)
        );
        assert!(found.find("y").is_some_and(|link| link.target == "b"));
    }
}
