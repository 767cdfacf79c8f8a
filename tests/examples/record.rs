//! Writes what the images and networks of `tests/cases` give: `cargo run --release -p graft-tests --example record`.
//!
//! The reference kernels decide. Run it after the demo's int8 files or the images have changed, and look at what
//! changed with them: labels should stay.

use std::fs;

use graft_patches::records::Dtype;
use graft_runtime::Session;
use graft_tests::cases::{self, Demo, TASKS};
use graft_tests::layers;

fn main() -> std::io::Result<()> {
    write("scores.tsv", cases::HEADER, &scores())?;
    let mut lines = layers::lines(Dtype::F32, "reference");
    lines.extend(layers::lines(Dtype::I8, "reference"));
    write("layers.tsv", layers::HEADER, &lines)
}

/// Tasks alternate, so that another patch serves every frame.
fn scores() -> Vec<String> {
    let demo = Demo::new();
    let mut session = Session::new(&demo.backbone).expect("kernels are there");
    session.use_kernels("reference").expect("always there");
    let turns = demo.labels(TASKS[0]).len();
    (0..turns)
        .flat_map(|turn| TASKS.map(|task| (task, &demo.labels(task)[turn])))
        .map(|(task, shows)| demo.run(&mut session, task, shows).line())
        .collect()
}

fn write(name: &str, header: &str, lines: &[String]) -> std::io::Result<()> {
    fs::write(
        cases::path(name),
        format!("{header}\n{}\n", lines.join("\n")),
    )
}
