//! What a state is for, as text: the same words in every process, or they must not share it.
//!
//! `window=count size=100 failure_rate=0.5 …`: names and values in a fixed order. It stands in the head of a table,
//! so that who comes with another one can be told what differs.

use std::fmt::{self, Write};

/// Bytes of the longest definition.
pub const TEXT_MAX: usize = 1024;

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition(String);

impl Definition {
    /// Of names and values, in the order in which they are shown.
    #[must_use]
    pub fn new<'a>(words: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let mut text = String::new();
        for (name, value) in words {
            let gap = if text.is_empty() { "" } else { " " };
            let value = value.replace(char::is_whitespace, "_");
            // Writing into a string cannot fail.
            let _ = write!(text, "{gap}{name}={value}");
        }
        Self(text)
    }

    /// As it stands in a table.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// FNV-1a over the text; equal texts are what counts, this only speeds up the comparison of others.
    #[must_use]
    pub fn digest(&self) -> u64 {
        digest(self.0.as_bytes())
    }

    /// What differs from another one: `size=100 here, 50 there`.
    #[must_use]
    pub fn differences(&self, there: &str) -> String {
        let mut shown = Vec::new();
        let value = |text: &str, name: &str| {
            text.split(' ')
                .filter_map(|word| word.split_once('='))
                .find(|word| word.0 == name)
                .map_or_else(|| "nothing".to_owned(), |word| word.1.to_owned())
        };
        let mut names: Vec<_> = Vec::new();
        for (name, _) in self
            .0
            .split(' ')
            .chain(there.split(' '))
            .filter_map(|word| word.split_once('='))
        {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            let (mine, theirs) = (value(&self.0, name), value(there, name));
            if mine != theirs {
                shown.push(format!("{name}={mine} here, {theirs} there"));
            }
        }
        shown.join("; ")
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// FNV-1a.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let mine = Definition::new([("window", "count".into()), ("size", "100".into())]);
        assert_eq!(mine.text(), "window=count size=100");
        assert_eq!(mine.differences("window=count size=100"), "");
        let differences = mine.differences("window=count size=50 probes=2");
        assert_eq!(
            differences,
            "size=100 here, 50 there; probes=nothing here, 2 there"
        );
    }
}
