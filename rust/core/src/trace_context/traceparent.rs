//! The `traceparent` header: `00-<trace id>-<span id>-<flags>`.

use super::{KNOWN, TraceContext, hex};

const LENGTH: usize = 55;

impl TraceContext {
    /// Reads a header. Version 00 has exactly 55 characters; a later one may go on behind a dash,
    /// and of its flags only those known here are believed. Version ff and ids of zeros are invalid.
    #[must_use]
    pub fn from_traceparent(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let (head, rest) = text.split_at_checked(LENGTH)?;
        if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
            return None;
        }
        let version = hex::parse(&head[..2])?;
        let fits = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        let trace_id = hex::parse(&head[3..35])?;
        let span_id = hex::parse(&head[36..52])? as u64;
        let flags = hex::parse(&head[53..])? as u8 & KNOWN;
        (fits && trace_id != 0 && span_id != 0).then_some(Self {
            trace_id,
            span_id,
            flags,
            extras: None,
        })
    }

    /// The header, always as version 00.
    #[inline]
    #[must_use]
    pub fn traceparent(&self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex::write(self.trace_id, &mut text[3..35]);
        hex::write(self.span_id.into(), &mut text[36..52]);
        hex::write(self.flags.into(), &mut text[53..]);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(text: &str) -> Option<TraceContext> {
        TraceContext::from_traceparent(text.as_bytes())
    }

    #[test]
    fn it_reads_what_it_writes() {
        let context = read(VALID).unwrap();
        assert_eq!(context.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.span_id, 0x00f0_67aa_0ba9_02b7);
        assert!(context.is_sampled());
        assert_eq!(context.traceparent(), VALID.as_bytes());
    }

    #[test]
    fn a_later_version_may_go_on_behind_a_dash() {
        let later = VALID.replacen("00", "cc", 1);
        assert!(read(&later).is_some());
        assert!(read(&format!("{later}-what-the-future-will-be-like")).is_some());
        assert!(read(&format!("{later}-")).is_some());
        assert!(read(&format!("{later}.what")).is_none());
        assert!(read(&VALID.replacen("00", "ff", 1)).is_none());
    }

    #[test]
    fn only_flags_with_a_meaning_are_kept() {
        let context = read(&VALID.replace("-01", "-ff")).unwrap();
        assert_eq!(context.flags, 3);
        assert!(!read(&VALID.replace("-01", "-fe")).unwrap().is_sampled());
    }

    #[test]
    fn whatever_else_is_nothing() {
        let long = format!("{VALID}-");
        let zero_trace = VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = VALID.replace("00f067aa0ba902b7", &"0".repeat(16));
        let capitals = VALID.to_uppercase();
        let bad = [
            "",
            "00",
            "-",
            &VALID[..54],
            &long,
            &zero_trace,
            &zero_span,
            &capitals,
        ];
        for text in bad {
            assert_eq!(read(text), None, "{text}");
        }
        for at in 0..VALID.len() {
            let mut text = VALID.as_bytes().to_vec();
            for wrong in [b'.', b'g', b'G', 0xe9, 0] {
                text[at] = wrong;
                assert_eq!(TraceContext::from_traceparent(&text), None, "{text:?}");
            }
        }
    }

    #[test]
    fn space_around_it_is_none_of_it() {
        assert!(read(&format!(" \t{VALID}\t ")).is_some());
    }
}
