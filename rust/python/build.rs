//! Builds `libpenstock.so`: the C interface for programs that have no Python in them.
//!
//! The extension exports the same functions, but whoever opens it needs every symbol of a Python
//! interpreter. A package has one library target, so a second cargo builds this one, in a folder of its own;
//! maturin puts it into the wheel (`include` in `pyproject.toml`). Only wheels need it: a feature asks.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const SONAME: &str = "libpenstock.so";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_C_LIBRARY").is_none() {
        return;
    }
    let of = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let here = PathBuf::from(of("CARGO_MANIFEST_DIR"));
    let rust = here.parent().expect("this crate is in a folder");
    for path in ["capi", "core"] {
        println!("cargo::rerun-if-changed={}", rust.join(path).display());
    }
    let (out, target) = (PathBuf::from(of("OUT_DIR")), of("TARGET"));
    let built = out.join("cargo").join(&target).join("release");
    let status = Command::new(of("CARGO"))
        .args([
            "rustc",
            "--locked",
            "--release",
            "--lib",
            "--crate-type",
            "cdylib",
        ])
        .arg("--manifest-path")
        .arg(rust.join("capi").join("Cargo.toml"))
        .arg("--target-dir")
        .arg(out.join("cargo"))
        .args(["--target", &target])
        .args(["--config", "profile.release.strip=\"symbols\""])
        .arg("--")
        // Threads of its own run in it, and handlers of forks lie in it: once opened it stays.
        .arg(format!("-Clink-args=-Wl,-soname,{SONAME} -Wl,-z,nodelete"))
        .status()
        .expect("cargo runs");
    assert!(
        status.success(),
        "the C interface does not build: see above"
    );
    place(&built, &out);
}

fn place(built: &Path, out: &Path) {
    let from = built.join("libpenstock_capi.so");
    if let Err(error) = fs::copy(&from, out.join(SONAME)) {
        panic!("{}: {error}", from.display());
    }
}
