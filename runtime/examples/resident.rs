//! Keeps tasks in memory, for somebody to look at how much that takes: `resident BACKBONE FOLDER`, FOLDER with patches. Maps
//! backbone and patches, runs a frame with each patch, says so, and ends when its input does.

use std::error::Error;
use std::io::Read as _;
use std::path::PathBuf;

use graft_runtime::{Backbone, Patch, Session, Verify};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [backbone, folder] = &arguments[..] else {
        return Err("usage: resident BACKBONE FOLDER".into());
    };
    // SAFETY: nobody writes to the files while the example runs.
    let backbone = unsafe { Backbone::map(backbone, Verify::Full) }?;
    let files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let files = files.collect::<Result<Vec<PathBuf>, std::io::Error>>()?;
    let patches = files
        .iter()
        // SAFETY: as above.
        .map(|file| unsafe { Patch::map(file, &backbone, Verify::Full) })
        .collect::<Result<Vec<Patch>, _>>()?;
    let mut session = Session::new(&backbone)?;
    for patch in &patches {
        session.run(patch, &vec![128u8; patch.input().shape.len()])?;
    }
    println!("{} tasks", patches.len());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
