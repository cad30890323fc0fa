//! XML as a manifest needs it: elements with attributes, and no text.

/// A document that is being written.
#[derive(Debug)]
pub(super) struct Xml {
    text: String,
    /// The elements that are open, the outermost first.
    open: Vec<&'static str>,
}

/// The attributes of an element, in order.
pub(super) type Attributes<'a> = &'a [(&'static str, String)];

impl Xml {
    pub(super) fn new() -> Self {
        Self {
            text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(),
            open: Vec::new(),
        }
    }

    /// Opens an element, which [`Self::close`] closes.
    pub(super) fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.tag(name, attributes, ">");
        self.open.push(name);
    }

    /// An element without content.
    pub(super) fn empty(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.tag(name, attributes, "/>");
    }

    /// Closes the element that was opened last.
    pub(super) fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.indent();
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push_str(">\n");
        }
    }

    /// The document; what is open is closed.
    pub(super) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }

    fn tag(&mut self, name: &str, attributes: Attributes<'_>, end: &str) {
        self.indent();
        self.text.push('<');
        self.text.push_str(name);
        for (name, value) in attributes {
            self.text.push(' ');
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(value, &mut self.text);
            self.text.push('"');
        }
        self.text.push_str(end);
        self.text.push('\n');
    }

    fn indent(&mut self) {
        self.text.extend(self.open.iter().map(|_| ' '));
    }
}

/// The value of an attribute (XML 1.0, section 2.3); control characters have no place in one.
fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            other if other.is_control() => text.push(' '),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_nested_and_values_escaped() {
        let mut xml = Xml::new();
        xml.open("a", &[("x", "1".into()), ("y", "<\"&\n'>".into())]);
        xml.empty("b", &[]);
        xml.open("c", &[]);
        xml.close();
        xml.open("d", &[]);
        assert_eq!(
            xml.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a x=\"1\" y=\"&lt;&quot;&amp; '&gt;\">\n <b/>\n \
             <c>\n </c>\n <d>\n </d>\n</a>\n"
        );
    }
}
