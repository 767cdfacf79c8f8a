//! The committed header is the one that cbindgen makes of the sources. `GRAFT_WRITE_HEADER=1 cargo test -p graft-c --test header`
//! writes it.

use std::path::Path;
use std::{env, fs};

/// The sources with what C sees, in the order of the header.
const SOURCES: [&str; 5] = ["status", "error", "backbone", "patch", "session"];

fn header(root: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("it is valid");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(root.join("src").join(source).with_extension("rs"));
    }
    let mut header = Vec::new();
    builder
        .generate()
        .expect("the sources have a header")
        .write(&mut header);
    String::from_utf8(header).expect("the sources are UTF-8")
}

#[test]
fn the_header_is_that_of_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (path, expected) = (root.join("include/graft.h"), header(root));
    if env::var_os("GRAFT_WRITE_HEADER").is_some() {
        fs::write(&path, &expected).expect("the folder is writable");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differs = found
        .lines()
        .zip(expected.lines())
        .position(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "include/graft.h differs from the sources from line {} on: GRAFT_WRITE_HEADER=1 cargo test -p graft-c --test header",
        1 + differs.unwrap_or(found.lines().count().min(expected.lines().count()))
    );
}

#[test]
fn the_cmake_package_has_the_version_of_the_crate() {
    let version = include_str!("../cmake/GraftConfigVersion.cmake");
    let expected = concat!("set(PACKAGE_VERSION ", env!("CARGO_PKG_VERSION"), ")");
    assert_eq!(version.lines().next(), Some(expected));
}
