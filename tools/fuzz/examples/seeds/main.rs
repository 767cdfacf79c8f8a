//! Writes the seed corpora of the fuzz targets: `cargo run --manifest-path tools/fuzz/Cargo.toml --example seeds`.

mod archives;
mod generators;
mod models;
mod pickle;
mod trained;

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let all = [
        ("onnx", models::all()),
        ("torch", pickle::all()),
        ("trained", trained::all()),
        ("generator", generators::all()),
        ("data_set", archives::all()),
    ];
    for (target, seeds) in all {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}

/// The seeds of a target, by name.
type Seeds = Vec<(&'static str, Vec<u8>)>;
