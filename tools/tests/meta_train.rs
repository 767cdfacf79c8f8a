//! `patchtool meta-train` for the embedding of a frozen backbone, the demo's, and what its generator makes.
#![cfg(feature = "meta-train")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with the demo's backbones, and images to train on and to measure on.
struct Fixture(TempDir);

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
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
        Command::new(env!("CARGO_BIN_EXE_patchtool"))
            .current_dir(self.0.path())
            .args(arguments.split_whitespace())
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
fn a_generator_makes_heads_for_the_backbone_that_it_was_trained_on() {
    let fixture = Fixture::new();
    let folder = fixture.0.path();
    let measured = "--test signs.tar --test-settings 4x2 --test-settings 10x1 --test-episodes 5";
    for backbone in ["demo", "int8"] {
        let trained = fixture.json(&format!(
            "{TRAIN} --backbone {backbone}.backbone {measured} -o {backbone}.hyper"
        ));
        let rows = trained["test"].as_array().expect("rows");
        let settings = rows.iter().map(|row| (&row["ways"], &row["shots"]));
        let expected = [(4, 2), (4, 2), (10, 1), (10, 1)].map(|(w, s)| (w.into(), s.into()));
        let expected: Vec<(Value, Value)> = expected.to_vec();
        assert!(
            settings.eq(expected.iter().map(|(w, s)| (w, s))),
            "{rows:?}"
        );
    }
    assert_eq!(fs::read_dir(folder).expect("it is there").count(), 7);
    // The backbone must be named: none is written beside the generator. The f32 one and its int8 twin may take each other's.
    for (hyper, backbone) in [("demo", "demo"), ("demo", "int8"), ("int8", "demo")] {
        let made = fixture.json(&format!(
            "generate --hyper {hyper}.hyper --backbone {backbone}.backbone --support letters.tar \
             -o {hyper}-{backbone}.patch"
        ));
        assert_eq!(
            (&made["kinds"], &made["classes"]),
            (&"head".into(), &10.into())
        );
        let shown = fixture.json(&format!(
            "eval --backbone {backbone}.backbone --patch {hyper}-{backbone}.patch --data more-letters.tar"
        ));
        let accuracy = shown["accuracy"].as_f64().expect("a share");
        println!("{hyper}, {backbone}: {accuracy}");
        // One in ten is chance.
        assert!(accuracy > 0.25, "{hyper}, {backbone}: {accuracy}");
    }
}

#[test]
fn what_a_frozen_backbone_cannot_have_is_refused_before_training() {
    let fixture = Fixture::new();
    let train = format!("{TRAIN} --backbone demo.backbone");
    fixture.refused(&format!("{train} --generates all"), "stay as they are");
    fixture.refused(&format!("{train} --channels 8"), "cannot be used with");
    fixture.refused(&format!("{train} --continual 2"), "cannot be used with");
    fixture.refused(
        &format!("{train} --test signs.tar --test-settings 11x1"),
        "11-way 1-shot needs 11 classes: found 10",
    );
    fixture.refused(&format!("{train} --test nowhere"), "nowhere");
}
