//! The project's own files as text, for the tests about their form.

use std::fs;
use std::path::Path;

/// One file of the repository.
pub(crate) struct Source {
    /// Its path from the top of the repository, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

/// The files under `directory` whose names end with `extension`, by path.
pub(crate) fn files(directory: &str, extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join(directory), extension, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(directory: &Path, extension: &str, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            if !path.ends_with("node_modules") {
                collect(&path, extension, found);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(Source {
                text: fs::read_to_string(&path).unwrap(),
                path: name(&path),
            });
        }
    }
}

fn name(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap()
        .to_str()
        .unwrap()
        .replace('\\', "/")
}

impl Source {
    /// The text before the file's `#[cfg(test)] mod tests`.
    pub(crate) fn without_tests(&self) -> &str {
        let end = self
            .text
            .find("#[cfg(test)]\nmod tests")
            .unwrap_or(self.text.len());
        &self.text[..end]
    }

    /// Whether the file is compiled for tests only.
    pub(crate) fn is_test(&self) -> bool {
        is_test(Path::new(&self.path))
    }
}

fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let folder = path.parent().unwrap();
    if stem == "tests" || folder.ends_with("tests") {
        return true;
    }
    // The line that declares it stands in the folder's `mod.rs`, or in the file called as the folder.
    let owner = folder.with_extension("rs");
    let parents = [folder.join("mod.rs"), owner.clone(), folder.join("lib.rs")];
    let declared = ["", "pub ", "pub(crate) ", "pub(super) "]
        .map(|visibility| format!("#[cfg(test)]\n{visibility}mod {stem};"));
    let is_declared = parents
        .iter()
        .filter_map(|parent| fs::read_to_string(root().join(parent)).ok())
        .any(|text| declared.iter().any(|line| text.contains(line)));
    // What is part of a file for tests is for tests.
    is_declared || (root().join(&owner).is_file() && is_test(&owner))
}

/// `text` with comments and the contents of literals blanked out; lines stay where they are.
pub(crate) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let len = opaque_len(rest, out.chars().next_back());
        if len == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(
                rest[..len]
                    .chars()
                    .map(|c| if c == '\n' { '\n' } else { ' ' }),
            );
            rest = &rest[len..];
        }
    }
    out
}

/// How many bytes a comment or a literal at the start of `text` takes; 0 if there is none.
fn opaque_len(text: &str, before: Option<char>) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return text.find("*/").map_or(text.len(), |end| end + 2);
    }
    if text.starts_with('"') {
        return quoted_len(text, '"');
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !in_word && (text.starts_with('r') || text.starts_with("br")) {
        let hashes = text.trim_start_matches('b').trim_start_matches('r');
        let count = hashes.len() - hashes.trim_start_matches('#').len();
        if hashes[count..].starts_with('"') {
            let start = text.len() - hashes.len() + count + 1;
            let close = format!("\"{}", "#".repeat(count));
            return text[start..]
                .find(&close)
                .map_or(text.len(), |end| start + end + close.len());
        }
    }
    // A lifetime has no closing quote after its first character.
    let mut after = text.chars().skip(1);
    if text.starts_with('\'') && (after.next() == Some('\\') || after.next() == Some('\'')) {
        return quoted_len(text, '\'');
    }
    0
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Whether `word` stands in `code` as a whole word.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(part_of_word)
            && !code[at + word.len()..]
                .chars()
                .next()
                .is_some_and(part_of_word)
    })
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "a(\"x // y\\\"\", 'z', '\\'', r#\"raw \"q\"\"#); // note\nfn b<'c>() {} /* d */ e";
    let code = code(text);
    for gone in ["x", "y", "z", "raw", "q", "note", "d"] {
        assert!(!has_word(&code, gone), "{gone}: {code}");
    }
    for kept in ["a", "fn", "b", "c", "e"] {
        assert!(has_word(&code, kept), "{kept}: {code}");
    }
    assert_eq!(code.lines().count(), text.lines().count());
}
