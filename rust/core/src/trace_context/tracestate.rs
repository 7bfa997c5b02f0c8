//! The `tracestate` header: a list of `key=value`, the one who wrote last in front.

/// More members than this make the whole list invalid.
const MAX_MEMBERS: usize = 32;
/// Passed on in full up to so many characters; the recommendation asks for 512 at least.
const MAX_LENGTH: usize = 8192;
/// Members longer than this go first when a list is cut.
const LONG_MEMBER: usize = 128;

/// A valid list, in the form in which it is sent; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracestate(Box<str>);

impl Tracestate {
    /// Reads all headers of a request as one list; `None` if any of it is malformed.
    ///
    /// Empty members are skipped, of members with the same key the first is kept.
    pub fn parse<'a>(headers: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut members: Vec<(&str, &str)> = Vec::new();
        let mut count = 0;
        for member in headers.flat_map(|header| header.split(|&byte| byte == b',')) {
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            count += 1;
            let (key, value) = valid_member(member)?;
            if !members.iter().any(|(known, _)| *known == key) {
                members.push((key, value));
            }
        }
        (count <= MAX_MEMBERS).then(|| Self::joined(&mut members))
    }

    /// The header's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn joined(members: &mut Vec<(&str, &str)>) -> Self {
        let length = |(key, value): &(&str, &str)| key.len() + 1 + value.len();
        let total = |members: &Vec<_>| {
            members.iter().map(length).sum::<usize>() + members.len().saturating_sub(1)
        };
        while total(members) > MAX_LENGTH {
            let long = members
                .iter()
                .rposition(|member| length(member) > LONG_MEMBER);
            members.remove(long.unwrap_or(members.len() - 1));
        }
        let mut text = String::with_capacity(total(members));
        for (key, value) in members {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(key);
            text.push('=');
            text.push_str(value);
        }
        Self(text.into())
    }
}

fn valid_member(member: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(member).ok()?;
    let (key, value) = text.split_once('=')?;
    (is_key(key.as_bytes()) && is_value(value.as_bytes())).then_some((key, value))
}

/// Level 2's grammar, which allows what level 1 does.
fn is_key(key: &[u8]) -> bool {
    let starts = key
        .first()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    starts
        && key.len() <= 256
        && key.iter().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(byte)
        })
}

fn is_value(value: &[u8]) -> bool {
    (1..=256).contains(&value.len())
        && value
            .iter()
            .all(|&byte| (0x20..=0x7e).contains(&byte) && byte != b'=')
        && value.last() != Some(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[&str]) -> Option<String> {
        Tracestate::parse(headers.iter().map(|header| header.as_bytes()))
            .map(|state| state.as_str().to_owned())
    }

    fn one(header: &str) -> Option<String> {
        read(&[header])
    }

    #[test]
    fn headers_are_joined_in_order() {
        assert_eq!(
            read(&["foo=1", "bar=2,baz=3"]).unwrap(),
            "foo=1,bar=2,baz=3"
        );
        assert_eq!(read(&["foo=1", "", " \t"]).unwrap(), "foo=1");
        assert_eq!(one("foo=1 \t , \t bar=2,,").unwrap(), "foo=1,bar=2");
        assert_eq!(one("").unwrap(), "");
    }

    #[test]
    fn of_equal_keys_the_first_is_kept() {
        assert_eq!(one("foo=1,bar=2,foo=3").unwrap(), "foo=1,bar=2");
    }

    #[test]
    fn keys_and_values_are_checked() {
        let long = "z".repeat(256);
        for good in [
            "a=b",
            "0=b",
            "fw529a3039@dt=FfffffeC",
            "a-_*/@0=x y~!",
            &format!("{long}={long}"),
        ] {
            assert_eq!(one(good).as_deref(), Some(good));
        }
        for bad in [
            "a",
            "a=",
            "=b",
            "A=b",
            "a b=c",
            "@a=b",
            "-a=b",
            "a=b=c",
            "a=\u{e9}",
            "\u{e9}=a",
            "a=b\u{7f}",
            "a =b",
            &format!("z{long}=1"),
            &format!("a=z{long}"),
        ] {
            assert_eq!(one(bad), None, "{bad}");
            assert_eq!(one(&format!("ok=1,{bad}")), None, "{bad}");
        }
    }

    #[test]
    fn more_than_32_members_are_none() {
        let members = |n: usize| {
            (0..n)
                .map(|n| format!("k{n}=v"))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(one(&members(32)).unwrap(), members(32));
        assert_eq!(one(&members(33)), None);
    }

    #[test]
    fn a_list_that_is_too_long_loses_long_members_first_and_whole() {
        let long = |n: usize| format!("long{n}={}", "x".repeat(250));
        let mut members = vec!["first=1".to_owned()];
        members.extend((0..31).map(long));
        assert_eq!(one(&members.join(",")).unwrap(), members.join(","));
        let full = "y".repeat(256);
        let mut members: Vec<_> = (0..31).map(|n| format!("k{n:0>30}={full}")).collect();
        members.push("short=1".to_owned());
        let cut = one(&members.join(",")).unwrap();
        assert!(cut.len() <= MAX_LENGTH);
        assert!(cut.ends_with(",short=1"));
        assert!(cut.starts_with(&members[0]));
    }
}
