//! Writes the cases of `tests/cases` for programs in other languages: `frames FOLDER`.
//!
//! `frames.txt` has a line "PATCH FRAME" for each, `-` where the patch is the backbone's own; the frames themselves are files of
//! pixels. `scores.txt` has the lines that `runtime/c/examples/classify.c` prints for them: frame, label, bits of the scores,
//! of which this program checks the recorded digest.

use std::fmt::Write as _;
use std::{env, fs, io, path::PathBuf};

use graft_runtime::Session;
use graft_tests::cases::{self, Demo, TASKS};

fn main() -> io::Result<()> {
    let folder = PathBuf::from(env::args_os().nth(1).expect("usage: frames FOLDER"));
    let demo = Demo::new();
    let mut session = Session::new(&demo.backbone).expect("kernels are there");
    let (mut frames, mut expected) = (String::new(), String::new());
    for case in cases::recorded() {
        let frame = format!("{}-{}.rgb", case.task, case.shows);
        fs::write(folder.join(&frame), case.pixels())?;
        let patch = match case.task == TASKS[0] {
            true => "-".into(),
            false => format!("{}.patch", case.task),
        };
        writeln!(frames, "{patch} {frame}").expect("strings grow");
        let scores = demo.scores(&mut session, &case.task, &case.shows);
        assert_eq!(cases::digest(&scores), case.scores, "{frame}");
        let bits: String = scores
            .iter()
            .map(|score| format!("{:08x}", score.to_bits()))
            .collect();
        writeln!(expected, "{frame}\t{}\t{bits}", case.sees).expect("strings grow");
    }
    fs::write(folder.join("frames.txt"), frames)?;
    fs::write(folder.join("scores.txt"), expected)?;
    for file in TASKS[1..].iter().map(|task| format!("{task}.patch")) {
        fs::copy(cases::demo(&file), folder.join(&file))?;
    }
    fs::copy(cases::demo("demo.backbone"), folder.join("demo.backbone"))?;
    Ok(())
}
