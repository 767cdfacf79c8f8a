//! Gives the linker the memory map of the board, and the program the keys that it trusts.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use graft_patches::minisign;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    if env::var_os("CARGO_FEATURE_TRUST").is_some() {
        fs::write(out.join("trust.rs"), trust()).expect("OUT_DIR is writable");
    }
    let is_an505 = env::var_os("CARGO_FEATURE_AN505").is_some();
    let map = if is_an505 {
        "memory/an505.x"
    } else {
        "memory/an38x.x"
    };
    fs::copy(map, out.join("memory.x")).expect("OUT_DIR is writable");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg=-Tlink.x");
    println!("cargo::rustc-link-arg=-Tdefmt.x");
    println!("cargo::rerun-if-changed=memory");
}

/// The policy as an expression: the public keys in the files that `GRAFT_TRUST` names, one or two with a comma between.
fn trust() -> String {
    println!("cargo::rerun-if-env-changed=GRAFT_TRUST");
    let names = env::var("GRAFT_TRUST").unwrap_or_default();
    let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
    let keys = names.iter().fold(String::new(), |mut keys, name| {
        println!("cargo::rerun-if-changed={name}");
        let text = fs::read_to_string(name);
        let text = text.unwrap_or_else(|error| panic!("cannot read {name}: {error}"));
        let key = minisign::parse_public_key(&text);
        let key = key.unwrap_or_else(|error| panic!("cannot use {name}: {error}"));
        let _ = write!(
            keys,
            "PublicKey::new(KeyId({:?}), {:?}),",
            key.id().0,
            key.bytes()
        );
        keys
    });
    match names.len() {
        1 => format!("Trust::one({keys})"),
        2 => format!("Trust::two({keys})"),
        more => panic!("GRAFT_TRUST names {more} keys, expected one or two"),
    }
}
