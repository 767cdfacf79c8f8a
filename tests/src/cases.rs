//! The cases in `tests/cases`: real images, and what the demo's int8 backbone and patches see in them.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use graft_patches::Digest;
use graft_runtime::{Backbone, Patch, Session};

/// The demo's tasks, in the order in which they alternate. The first is the backbone's own.
pub const TASKS: [&str; 4] = ["own", "sign-digits", "fashion", "greek"];

/// First line of `scores.tsv`.
pub const HEADER: &str = "task\tshows\tsees\tscores";

/// One image of one task, and what comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// One of [`TASKS`].
    pub task: String,
    /// Label of what the image shows, and its file name.
    pub shows: String,
    /// Label of the greatest score.
    pub sees: String,
    /// [`digest`] of the scores.
    pub scores: String,
}

impl Case {
    /// Its line in `scores.tsv`.
    pub fn line(&self) -> String {
        [&self.task, &self.shows, &self.sees, &self.scores]
            .map(String::as_str)
            .join("\t")
    }

    /// The image: 8-bit pixels, NHWC.
    pub fn pixels(&self) -> Vec<u8> {
        pixels(&self.task, &self.shows)
    }
}

/// A file of the cases.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("cases")
        .join(name)
}

/// A file of the demo in int8.
pub fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tools/assets/demo/int8")
        .join(name)
}

/// All cases, in the order in which they are to run.
pub fn recorded() -> Vec<Case> {
    let lines = lines("scores.tsv", HEADER);
    let case = |line: &String| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [task, shows, sees, scores] = fields[..] else {
            panic!("a line of scores.tsv has 4 fields: {line}");
        };
        Case {
            task: task.into(),
            shows: shows.into(),
            sees: sees.into(),
            scores: scores.into(),
        }
    };
    lines.iter().map(case).collect()
}

/// The lines of a file of the cases, after its header.
pub fn lines(name: &str, header: &str) -> Vec<String> {
    let text = fs::read_to_string(path(name)).expect("the cases are there");
    let mut lines = text.lines().map(String::from);
    assert_eq!(lines.next().as_deref(), Some(header), "{name}");
    lines.collect()
}

/// The first 16 hex digits of the BLAKE3 digest of scores: f32, little endian.
pub fn digest(scores: &[f32]) -> String {
    let bytes: Vec<u8> = scores
        .iter()
        .flat_map(|score| score.to_le_bytes())
        .collect();
    format!("{:.16}", Digest::of(&bytes))
}

fn pixels(task: &str, shows: &str) -> Vec<u8> {
    let path = path(&format!("images/{task}/{shows}.png"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = png::Decoder::new(BufReader::new(file))
        .read_info()
        .expect("it is a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it is small")];
    let info = reader.next_frame(&mut pixels).expect("it is whole");
    assert_eq!(
        (info.color_type, info.bit_depth),
        (png::ColorType::Rgb, png::BitDepth::Eight)
    );
    pixels
}

/// The demo's int8 backbone, and the patches of all tasks with their labels.
pub struct Demo {
    /// The backbone.
    pub backbone: Backbone,
    tasks: Vec<(Patch, Vec<String>)>,
}

impl Demo {
    /// Opens the files.
    #[expect(clippy::new_without_default, reason = "it reads files")]
    pub fn new() -> Self {
        let backbone = Backbone::open(demo("demo.backbone")).expect("it is valid");
        let own = backbone.image().metadata().expect("it is valid").labels;
        let mut tasks = vec![(backbone.identity(), own)];
        for task in &TASKS[1..] {
            let file = demo(&format!("{task}.patch"));
            let patch = Patch::open(file, &backbone).expect("it fits");
            let image = patch.image().expect("it has a file");
            let labels = image.metadata().expect("it is valid").labels;
            tasks.push((patch, labels));
        }
        Self { backbone, tasks }
    }

    /// Labels of a task.
    pub fn labels(&self, task: &str) -> &[String] {
        &self.task(task).1
    }

    /// Runs an image of a task.
    pub fn run(&self, session: &mut Session<'_>, task: &str, shows: &str) -> Case {
        let scores = self.scores(session, task, shows);
        Case {
            task: task.into(),
            shows: shows.into(),
            sees: self.labels(task)[greatest(&scores)].clone(),
            scores: digest(&scores),
        }
    }

    /// The scores of an image of a task.
    pub fn scores(&self, session: &mut Session<'_>, task: &str, shows: &str) -> Vec<f32> {
        let scores = session.run(&self.task(task).0, &pixels(task, shows));
        scores.expect("the image fits").to_vec()
    }

    fn task(&self, task: &str) -> &(Patch, Vec<String>) {
        let index = TASKS.iter().position(|&name| name == task);
        &self.tasks[index.expect("it is one of the demo's tasks")]
    }
}

/// Index of the greatest score.
pub fn greatest(scores: &[f32]) -> usize {
    let by_score = |a: &(usize, &f32), b: &(usize, &f32)| a.1.total_cmp(b.1);
    let (index, _) = scores
        .iter()
        .enumerate()
        .max_by(by_score)
        .expect("there are scores");
    index
}
