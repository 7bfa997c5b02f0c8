//! The `baggage` header: `key=value;property`, values percent-encoded.

/// Members beyond this are not taken in. The recommendation asks for 64 at least.
const MAX_MEMBERS: usize = 180;
/// Nor are those that would make the header longer than this.
const MAX_LENGTH: usize = 8192;

/// One thing that travels along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// A token.
    pub key: Box<str>,
    /// Any text.
    pub value: Box<str>,
    /// What came behind the value, as it came, without the first semicolon; mostly empty.
    pub properties: Box<str>,
}

/// Members in the order in which they came, with distinct keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage(Vec<Member>);

impl Baggage {
    /// Reads all headers of a request as one list; also how many members were left out.
    pub fn parse<'a>(headers: impl Iterator<Item = &'a [u8]>) -> (Self, usize) {
        let mut baggage = Self::default();
        let mut refused = 0;
        let mut length = 0;
        for member in headers.flat_map(|header| header.split(|&byte| byte == b',')) {
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            length += member.len() + 1;
            let taken = length <= MAX_LENGTH + 1
                && parse_member(member).is_some_and(|member| baggage.insert(member));
            refused += usize::from(!taken);
        }
        (baggage, refused)
    }

    /// Adds a member, or replaces the one of that key. False: there are too many.
    pub fn insert(&mut self, member: Member) -> bool {
        if let Some(known) = self.0.iter_mut().find(|known| known.key == member.key) {
            *known = member;
            return true;
        }
        let room = self.0.len() < MAX_MEMBERS;
        if room {
            self.0.push(member);
        }
        room
    }

    /// The members.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The header's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for member in &self.0 {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(&member.key);
            text.push('=');
            encode(&member.value, &mut text);
            if !member.properties.is_empty() {
                text.push(';');
                text.push_str(&member.properties);
            }
        }
        text
    }
}

impl Member {
    /// A member without properties; `None` if `key` is no token.
    #[must_use]
    pub fn new(key: &str, value: &str) -> Option<Self> {
        is_token(key.as_bytes()).then(|| Self {
            key: key.into(),
            value: value.into(),
            properties: "".into(),
        })
    }
}

fn parse_member(member: &[u8]) -> Option<Member> {
    let text = std::str::from_utf8(member).ok()?;
    let (pair, properties) = text.split_once(';').unwrap_or((text, ""));
    let (key, value) = pair.split_once('=')?;
    let (key, value) = (key.trim_ascii(), value.trim_ascii());
    let fits = is_token(key.as_bytes())
        && value.bytes().all(is_octet)
        && properties
            .bytes()
            .all(|byte| is_octet(byte) || b" \t;".contains(&byte));
    fits.then(|| Member {
        key: key.into(),
        value: decode(value.as_bytes()).into(),
        properties: properties.trim_ascii().into(),
    })
}

/// RFC 7230's token.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

/// A stray percent sign stands for itself; bytes that are no UTF-8 become U+FFFD.
fn decode(text: &[u8]) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let coded = (byte == b'%')
            .then(|| Some(16 * digit(*text.get(at + 1)?)? + digit(*text.get(at + 2)?)?))
            .flatten();
        bytes.push(coded.map_or(byte, |coded| coded as u8));
        at += if coded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if is_octet(byte) && byte != b'%' {
            out.push(byte.into());
        } else {
            out.push('%');
            for half in [byte >> 4, byte & 0xf] {
                out.push(b"0123456789ABCDEF"[half as usize].into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[&str]) -> (Vec<(String, String, String)>, usize) {
        let (baggage, refused) = Baggage::parse(headers.iter().map(|header| header.as_bytes()));
        let told = |member: &Member| {
            let Member {
                key,
                value,
                properties,
            } = member;
            (key.to_string(), value.to_string(), properties.to_string())
        };
        (baggage.members().iter().map(told).collect(), refused)
    }

    fn member(key: &str, value: &str, properties: &str) -> (String, String, String) {
        (key.to_owned(), value.to_owned(), properties.to_owned())
    }

    #[test]
    fn members_properties_and_headers_are_read() {
        let (members, refused) = read(&["a = 1 ; p1;p2=x , b=2", "c=x=y,d="]);
        let expected = [
            member("a", "1", "p1;p2=x"),
            member("b", "2", ""),
            member("c", "x=y", ""),
            member("d", "", ""),
        ];
        assert_eq!((members, refused), (expected.to_vec(), 0));
    }

    #[test]
    fn values_are_percent_encoded() {
        let (members, _) = read(&["a=Am%C3%A9lie%20%2C%25,b=%ff%zz%4"]);
        assert_eq!(
            members,
            [
                member("a", "Am\u{e9}lie ,%", ""),
                member("b", "\u{fffd}%zz%4", "")
            ]
        );
        let mut baggage = Baggage::default();
        assert!(baggage.insert(Member::new("a", "Am\u{e9}lie ,%\"\\;").unwrap()));
        assert_eq!(baggage.text(), "a=Am%C3%A9lie%20%2C%25%22%5C%3B");
        assert_eq!(
            Baggage::parse([baggage.text().as_bytes()].into_iter()),
            (baggage, 0)
        );
    }

    #[test]
    fn what_is_malformed_is_left_out_and_counted() {
        let (members, refused) = read(&["a=1,b,=c,d e=f,g=\"h\",i=\u{e9},j=2,\u{e9}=k"]);
        assert_eq!(members, [member("a", "1", ""), member("j", "2", "")]);
        assert_eq!(refused, 6);
        assert_eq!(Member::new("a b", "c"), None);
    }

    #[test]
    fn the_last_of_equal_keys_wins() {
        assert_eq!(
            read(&["a=1,b=2,a=3"]).0,
            [member("a", "3", ""), member("b", "2", "")]
        );
    }

    #[test]
    fn its_size_is_bounded_and_64_members_or_8192_bytes_pass() {
        let members = |n: usize, width: usize| {
            let each = |n| format!("k{n:0>4}={}", "v".repeat(width));
            (0..n).map(each).collect::<Vec<_>>().join(",")
        };
        assert_eq!(read(&[&members(64, 121)]).0.len(), 64);
        assert_eq!(members(64, 121).len(), 8191);
        assert_eq!(read(&[&members(200, 1)]).1, 20);
        assert_eq!(read(&[&members(10, 1000)]).1, 2);
    }
}
