//! `penstock.h` says what is there: the same codes, structures and versions.

use std::mem::offset_of;

use penstock_capi::{
    Bytes, CODES, Claimed, Figures, Lease, Record, penstock_abi, penstock_layout, penstock_version,
};

const HEADER: &str = include_str!("../../../python/penstock/include/penstock.h");

/// What stands between the braces of a definition, its comments left out.
fn body(kind: &str, name: &str) -> Vec<String> {
    let start = format!("typedef {kind} {name} {{");
    let body = HEADER.split_once(&start).expect("it is defined").1;
    let mut rest = body.split_once('}').expect("and ends").0.to_owned();
    while let Some(open) = rest.find("/*") {
        let close = rest.find("*/").expect("comments end");
        rest.replace_range(open..close + 2, "");
    }
    let parts = rest.split([',', ';']).map(|part| part.trim().to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

fn fields(name: &str) -> Vec<String> {
    let last = |field: &String| field.rsplit([' ', '*']).next().unwrap().to_owned();
    body("struct", name).iter().map(last).collect()
}

/// `SHUT_DOWN` → `ShutDown`.
fn camel(name: &str) -> String {
    let word = |word: &str| word[..1].to_owned() + &word[1..].to_lowercase();
    name.split('_').map(word).collect()
}

#[test]
fn the_codes_are_those_of_the_header() {
    let codes = body("enum", "penstock_code");
    for (number, line) in codes.iter().enumerate() {
        let (name, value) = line.split_once(" = ").unwrap();
        assert_eq!(value.parse(), Ok(number), "{line}");
        let name = camel(name.strip_prefix("PENSTOCK_").unwrap());
        let code = CODES.iter().find(|&&code| code as usize == number);
        assert_eq!(code.map(|code| format!("{code:?}")), Some(name));
    }
    assert_eq!(codes.len(), CODES.len());
}

macro_rules! assert_layout {
    ($name:literal, $kind:ident { $($field:ident),+ }) => {
        assert_eq!(fields($name), [$(stringify!($field)),+], $name);
        let offsets = [$(offset_of!($kind, $field)),+];
        assert!(offsets.is_sorted(), $name);
    };
}

#[test]
fn the_structures_are_those_of_the_header() {
    assert_layout!("penstock_bytes", Bytes { bytes, length });
    assert_layout!(
        "penstock_claimed",
        Claimed {
            bytes,
            length,
            token
        }
    );
    assert_layout!("penstock_lease", Lease { entry, generation });
    assert_layout!(
        "penstock_record",
        Record {
            offset,
            length,
            lease,
            kind,
            buffers
        }
    );
    assert_layout!(
        "penstock_figures",
        Figures {
            items,
            bytes,
            leased,
            participants,
            dead,
            waiting_getters,
            waiting_putters,
            max_bytes,
            max_items,
            sent,
            taken,
            wakes,
            system_calls,
            burials
        }
    );
    // What programs were compiled with; whoever changes one raises the version of the interface.
    let sizes = [
        size_of::<Bytes>(),
        size_of::<Claimed>(),
        size_of::<Lease>(),
        size_of::<Record>(),
        size_of::<Figures>(),
    ];
    let word = size_of::<usize>();
    assert_eq!(sizes, [2 * word, 2 * word + 8, 16, 2 * word + 24, 14 * 8]);
}

#[test]
fn the_versions_are_those_of_the_header() {
    assert!(HEADER.contains(&format!("#define PENSTOCK_ABI {}\n", penstock_abi())));
    assert!(penstock_layout() > 0);
    // SAFETY: a string that ends.
    let version = unsafe { std::ffi::CStr::from_ptr(penstock_version()) };
    assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
}
