//! Gives the linker the memory map of the board.

use std::path::PathBuf;

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let is_an505 = std::env::var_os("CARGO_FEATURE_AN505").is_some();
    let map = if is_an505 {
        "memory/an505.x"
    } else {
        "memory/an38x.x"
    };
    std::fs::copy(map, out.join("memory.x")).expect("OUT_DIR is writable");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg=-Tlink.x");
    println!("cargo::rustc-link-arg=-Tdefmt.x");
    println!("cargo::rerun-if-changed=memory");
}
