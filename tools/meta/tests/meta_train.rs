//! `patchtool meta-train`, and what its generators make.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const OWN: &str = env!("CARGO_BIN_EXE_patchtool-meta-train");

/// The program `patchtool` of the same build.
fn patchtool() -> PathBuf {
    let name = format!("patchtool{}", std::env::consts::EXE_SUFFIX);
    let path = Path::new(OWN).with_file_name(name);
    assert!(path.exists(), "build it first: cargo build -p patchtool");
    path
}

/// A folder with the demo's backbone, and images to train on and to measure on.
struct Fixture(TempDir);

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo");
        for (asset, name) in [
            ("demo.backbone", "demo.backbone"),
            ("int8/demo.backbone", "int8.backbone"),
            ("greek-train.tar", "letters.tar"),
            ("greek-test.tar", "more-letters.tar"),
            ("sign-digits-test.tar", "signs.tar"),
        ] {
            fs::copy(assets.join(asset), folder.path().join(name)).expect("an asset");
        }
        Self(folder)
    }

    fn run(&self, arguments: &str) -> Output {
        let mut words = arguments.split_whitespace().peekable();
        let program = match words.next_if_eq(&"meta-train") {
            Some(_) => OWN.into(),
            None => patchtool(),
        };
        Command::new(program)
            .current_dir(self.0.path())
            .args(words)
            .output()
            .expect("it starts")
    }

    fn json(&self, arguments: &str) -> Value {
        let output = self.run(&format!("{arguments} --json"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments}: {errors}");
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    }

    /// Refused with status 2 and these words, and nothing is written.
    fn refused(&self, arguments: &str, words: &str) {
        let output = self.run(&format!("{arguments} -o new.hyper"));
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{arguments}: {errors}");
        assert!(errors.contains(words), "{arguments}: {errors}");
        for name in ["new.hyper", "new.backbone"] {
            assert!(!self.0.path().join(name).exists(), "{arguments}: {name}");
        }
    }
}

const TRAIN: &str = "meta-train --data letters.tar --episodes 5x1 --queries 2 --steps 3";

#[test]
fn related_classes_are_measured_on_their_own() {
    let fixture = Fixture::new();
    let measured = "--test signs.tar --test-settings 4x2 --test-settings 10x1 --test-episodes 2 --test-related";
    let trained = fixture.json(&format!(
        "{TRAIN} --related --features 6 --channels 4 {measured} -o a.hyper"
    ));
    let rows = trained["test"].as_array().expect("rows");
    let found: Vec<[&Value; 3]> = rows
        .iter()
        .map(|row| ["folder", "ways", "shots"].map(|name| &row[name]))
        .collect();
    // Each sign is a folder at the top, of one class.
    let alone = (0..10).map(|sign| json!([sign.to_string(), 1, 2]));
    println!("{found:?}");
    assert_eq!(json!(found[..2]), json!([[null, 4, 2], [null, 10, 1]]));
    for expected in alone {
        assert!(json!(found).as_array().expect("rows").contains(&expected));
    }
    let made = fixture.json("generate --hyper a.hyper --support letters.tar -o a.patch");
    assert_eq!(
        (&made["kinds"], &made["classes"]),
        (&"generated".into(), &10.into())
    );
}

#[test]
fn what_cannot_be_measured_is_refused_before_training() {
    let fixture = Fixture::new();
    fixture.refused(
        &format!("{TRAIN} --test signs.tar --test-settings 11x1"),
        "11-way 1-shot needs 11 classes: found 10",
    );
    fixture.refused(&format!("{TRAIN} --test nowhere"), "nowhere");
    fixture.refused(&format!("{TRAIN} --batch 0"), "0 is not in");
    fixture.refused(&format!("{TRAIN} --generates head"), "invalid value 'head'");
}

impl Fixture {
    /// Copies some classes of the letters into a folder: the images of these places of each.
    fn support(&self, name: &str, classes: &[&str], places: Range<usize>) {
        let archive = fs::File::open(self.0.path().join("letters.tar")).expect("it is there");
        let mut seen = BTreeMap::<String, usize>::new();
        for entry in tar::Archive::new(archive).entries().expect("an archive") {
            let mut entry = entry.expect("it is whole");
            let path = entry.path().expect("it has a name").into_owned();
            let class = path.parent().map(|class| class.display().to_string());
            let class = class.unwrap_or_default();
            if path.extension().is_none() || !classes.contains(&&*class) {
                continue;
            }
            let place = seen.entry(class).or_default();
            if places.contains(place) {
                let folder = self.0.path().join(name);
                fs::create_dir_all(&folder).expect("room on the disk");
                entry.unpack_in(folder).expect("room on the disk");
            }
            *place += 1;
        }
    }
}

#[test]
fn a_continual_generator_learns_on_from_its_patches() {
    let fixture = Fixture::new();
    let made = fixture.json(
        "generate --method prototype --backbone demo.backbone --support letters.tar -o own.patch",
    );
    let letters = made["labels"].as_array().expect("labels");
    let all: Vec<&str> = letters.iter().filter_map(Value::as_str).collect();
    let (first, second) = (&all[..2], &all[2..4]);
    fixture.support("first", first, 0..2);
    fixture.support("more", first, 2..5);
    fixture.support("second", second, 0..2);
    fixture.support("mixed", &all[1..3], 0..2);
    for scenario in ["tasks", "mini-batch"] {
        let trained = fixture.json(&format!(
            "meta-train --data letters.tar --test more-letters.tar --channels 4 --continual 2 --scenario {scenario} \
             --episodes 2x1 --queries 1 --steps 4 --every 2 --test-tasks 2 --test-episodes 2 --test-queries 1 \
             --curves {scenario}.png -o {scenario}.hyper"
        ));
        let found: Vec<_> = trained["continual"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| {
                (
                    row["strategy"].as_str().unwrap_or(""),
                    row["scenario"].as_str().unwrap_or(""),
                )
            })
            .collect();
        let expected = [
            ("continual", "task"),
            ("continual", "class"),
            ("naive", "task"),
            ("naive", "class"),
            ("continual", "mini-batch"),
            ("naive", "mini-batch"),
            ("merged", "mini-batch"),
        ];
        assert_eq!(found, expected);
        assert_eq!(trained["history"].as_array().map(Vec::len), Some(2));
        let picture =
            fs::read(fixture.0.path().join(format!("{scenario}.png"))).expect("a picture");
        assert!(picture.starts_with(b"\x89PNG"));

        let patch = |name: &str| format!("{scenario}-{name}.patch");
        fixture.json(&format!(
            "generate --hyper {scenario}.hyper --support first -o {}",
            patch("first")
        ));
        let learn = |from: &str, support: &str, to: &str| {
            format!(
                "learn --hyper {scenario}.hyper --patch {} --support {support} -o {}",
                patch(from),
                patch(to)
            )
        };
        let next = fixture.json(&format!("{} --f16", learn("first", "second", "second")));
        assert_eq!(
            (&next["counter"], &next["labels"]),
            (&2.into(), &Value::from(&all[..4]))
        );
        let more = fixture.json(&learn("second", "more", "more"));
        assert_eq!(
            (&more["counter"], &more["labels"]),
            (&3.into(), &Value::from(&all[..4]))
        );
        let second = fixture.json(&format!("inspect {}", patch("second")));
        assert_eq!(second["dtype"], "f16");
        let shown = fixture.json(&format!("inspect {}", patch("more")));
        assert_eq!(shown["learned"]["counter"], 3, "{shown}");
        // Rolling back is to use the patch before, which is as it was.
        let before = fixture.json(&format!("inspect {}", patch("first")));
        assert_eq!(before["learned"]["counter"], 1, "{before}");

        let refused = fixture.run(&learn("first", "mixed", "mixed"));
        let errors = String::from_utf8(refused.stderr).expect("UTF-8");
        assert_eq!(refused.status.code(), Some(2), "{errors}");
        assert!(
            errors.contains("are in the patch already") && errors.contains("hint: "),
            "{errors}"
        );
        assert!(!fixture.0.path().join(patch("mixed")).exists());

        fixture.json(&format!(
            "quantize {scenario}.backbone --calibrate first -o {scenario}8.backbone"
        ));
        for command in [
            format!(
                "generate --hyper {scenario}.hyper --backbone {scenario}8.backbone --support first -o no.patch"
            ),
            format!(
                "{} --backbone {scenario}8.backbone",
                learn("first", "second", "no")
            ),
        ] {
            let output = fixture.run(&command);
            let errors = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!(output.status.code(), Some(2), "{command}: {errors}");
            assert!(errors.contains("in f32"), "{command}: {errors}");
        }
        // What was learned in f32 is exported for the int8 backbone, and only for that of the same one.
        let export = |backbone: &str| {
            format!(
                "export {} --backbone {backbone} --calibrate first -o {scenario}8.patch",
                patch("more")
            )
        };
        let output = fixture.run(&export("int8.backbone"));
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains("the patch is for backbone"), "{errors}");
        let exported = fixture.json(&export(&format!("{scenario}8.backbone")));
        assert_eq!(exported["dtype"], "int8");
        for (command, words) in [
            (
                format!(
                    "learn --hyper {scenario}.hyper --patch {scenario}8.patch --support second -o no.patch"
                ),
                "go on from weights in f32, found int8",
            ),
            (
                format!(
                    "export {scenario}8.patch --backbone {scenario}8.backbone --calibrate first -o no.patch"
                ),
                "is an int8 patch already",
            ),
            (
                format!(
                    "export {} --backbone {scenario}.backbone -o no.patch",
                    patch("more")
                ),
                "is a patch, not a file that `train` wrote",
            ),
        ] {
            let output = fixture.run(&command);
            let errors = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!(output.status.code(), Some(2), "{command}: {errors}");
            let is_told = errors.contains(words) && errors.contains("hint: ");
            assert!(is_told, "{command}: {errors}");
            assert!(!fixture.0.path().join("no.patch").exists(), "{command}");
        }
        let shown = fixture.json(&format!("inspect {scenario}.hyper"));
        let measured = &shown["training"]["accuracy"];
        for kind in [
            "2 tasks of 2-way 1-shot, task-incremental",
            "2 mini-batches of 2-way 1-shot",
        ] {
            assert!(measured[kind].is_f64(), "{measured}");
        }
    }
}

#[test]
fn unlabelled_images_are_measured_beside_none() {
    let fixture = Fixture::new();
    let trained = fixture.json(
        "meta-train --data letters.tar --test more-letters.tar --channels 4 --episodes 2x1 --queries 1 --unlabelled 2 \
         --steps 2 --test-episodes 2 --test-queries 1 --methods generated -o semi.hyper",
    );
    let rows = trained["test"].as_array().expect("rows");
    let unlabelled: Vec<_> = rows.iter().map(|row| &row["unlabelled"]).collect();
    assert_eq!(unlabelled, [&Value::from(0), &Value::from(2)]);
    let classes = ["alpha", "beta"];
    fixture.support("few", &classes, 0..1);
    fixture.support("more", &["beta"], 1..4);
    let mut digests = Vec::new();
    for unlabelled in ["", "--unlabelled more/beta"] {
        fixture.json(&format!(
            "generate --hyper semi.hyper --support few {unlabelled} -o new.patch --force"
        ));
        digests.push(fixture.json("inspect new.patch")["id"].clone());
    }
    assert_ne!(digests[0], digests[1]);
    fixture.json(
        "meta-train --data letters.tar --channels 4 --episodes 2x1 --queries 1 --steps 2 -o plain.hyper",
    );
    fs::create_dir(fixture.0.path().join("empty")).expect("room on the disk");
    for (arguments, words) in [
        (
            "--hyper plain.hyper --unlabelled more/beta",
            "not trained with unlabelled images",
        ),
        ("--hyper semi.hyper --unlabelled empty", "found no files"),
    ] {
        fixture.refused(&format!("generate --support few {arguments}"), words);
    }
    let output = fixture.run("generate --support few --hyper semi.hyper -o semi.hyper --force");
    let errors = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("is an input of this command"), "{errors}");
}

#[test]
fn what_continual_tests_need_is_checked_before_training() {
    let fixture = Fixture::new();
    let train = "meta-train --data letters.tar --test more-letters.tar --episodes 5x1 --queries 1 --steps 2";
    fixture.refused(
        &format!("{train} --test-tasks 3"),
        "3 tasks of 5-way 1-shot are drawn as one: 15-way 1-shot needs 15 classes: found 10",
    );
    // Ten classes are too few for three tasks, not for three mini-batches of one.
    let slices = fixture.json(&format!(
        "{train} --channels 4 --continual 3 --scenario mini-batch --episodes 4x1 --test-settings 4x1 --test-episodes 2 \
         --test-queries 1 -o slices.hyper"
    ));
    let rows = slices["continual"].as_array().expect("rows");
    assert!(rows.len() == 3 && rows.iter().all(|row| row["scenario"] == "mini-batch"));
    let alone = "meta-train --data letters.tar --episodes 5x1 --queries 1 --steps 2";
    for (flags, words) in [
        ("--test-tasks 2", "no classes to measure on"),
        ("--continual 2 --generates prototypes", "not generated here"),
        ("--scenario mini-batch", "an ordinary task"),
        ("--continual 0", "0 is not in"),
        ("--continual 2 --unlabelled 1", "learn from labelled images"),
        ("--continual 2 --methods generated", "task after task"),
        ("--test-queries 0", "0 is not in"),
        ("--lr nan", "a number above zero"),
        ("--curves new.backbone", "named for two outputs"),
    ] {
        fixture.refused(&format!("{alone} {flags}"), words);
    }
    fixture.refused("meta-train --data letters.tar --queries 0", "0 is not in");
    fs::write(fixture.0.path().join("new.hyper.checkpoint"), "of a run").expect("room on the disk");
    fixture.refused(alone, "the checkpoint of a run that was stopped");
}

#[test]
fn patchtool_runs_this_program() {
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let output = output.expect("it starts");
        let texts =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
        (output.status.code(), texts)
    };
    for (arguments, status) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["--data", "nowhere", "-o", "new.hyper"], 2),
        (&["--no-such-option"], 2),
    ] {
        let own = run(Path::new(OWN), arguments);
        assert_eq!(own.0, Some(status), "{own:?}");
        let command = [&["meta-train"], arguments].concat();
        assert_eq!(run(&patchtool(), &command), own);
    }
}
