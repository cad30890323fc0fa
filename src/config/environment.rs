//! The environment as a layer: `TIDEGATE_LIMITS_SESSIONS=100` is `limits.sessions = 100`.

use super::layer::Layer;
use super::raw::KEYS;

const PREFIX: &str = "TIDEGATE_";

/// Variables that the command line reads; they name no key of the file.
const OF_THE_COMMANDS: &[&str] = &["TIDEGATE_CONFIG", "TIDEGATE_TOKEN"];

pub(super) fn layer(variables: impl IntoIterator<Item = (String, String)>) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in variables {
        if let Some(key) = KEYS.iter().find(|key| variable(key) == name) {
            layer.set(key, value);
        }
    }
    layer
}

/// Not an error: container platforms make variables of services that are called as we are.
pub(super) fn unknown(variables: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut names: Vec<_> = variables
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with(PREFIX) && !OF_THE_COMMANDS.contains(&name.as_str()))
        .filter(|name| !KEYS.iter().any(|key| variable(key) == *name))
        .collect();
    names.sort();
    names
}

/// The variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str) -> [(String, String); 1] {
        [(name.to_owned(), "1".to_owned())]
    }

    #[test]
    fn a_variable_sets_its_key() {
        assert!(
            layer(one("TIDEGATE_MEDIA_RETRANSMISSION_PACKETS_VIDEO"))
                .has("media.retransmission_packets.video")
        );
    }

    #[test]
    fn no_two_keys_share_a_variable() {
        let mut names: Vec<_> = KEYS.iter().map(|key| variable(key)).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }

    #[test]
    fn a_misspelt_variable_is_reported() {
        assert_eq!(
            unknown(one("TIDEGATE_LIMITS_SESIONS")),
            ["TIDEGATE_LIMITS_SESIONS"]
        );
        assert!(unknown(one("TIDEGATE_CONFIG")).is_empty());
        assert!(unknown(one("HOME")).is_empty());
    }
}
