//! `patchtool generate`: patches of a few images on the demo's backbone, f32 and int8, and what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use patchtool::hyper::{Convolution, target};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with the demo's backbones, its test images, and five images of each class to learn from.
struct Fixture(TempDir);

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo");
        for (asset, name) in [
            ("demo.backbone", "demo.backbone"),
            ("int8/demo.backbone", "int8.backbone"),
            ("sign-digits-test.tar", "test.tar"),
        ] {
            fs::copy(assets.join(asset), folder.path().join(name)).expect("an asset");
        }
        let archive = fs::File::open(assets.join("sign-digits-train.tar")).expect("an asset");
        let support = folder.path().join("support");
        fs::create_dir(&support).expect("room on the disk");
        let mut taken = BTreeMap::<_, usize>::new();
        for entry in tar::Archive::new(archive).entries().expect("an archive") {
            let mut entry = entry.expect("it is whole");
            let path = entry.path().expect("it has a name").into_owned();
            let count = taken.entry(path.parent().map(Path::to_owned)).or_default();
            if path.extension().is_some() && *count < 5 {
                *count += 1;
                entry.unpack_in(&support).expect("room on the disk");
            }
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

    /// A support set that must be refused with status 2, these words and a hint, and write nothing.
    fn refused(&self, support: &str, words: &str) {
        let arguments = format!(
            "generate --method prototype --backbone demo.backbone --support {support} -o new"
        );
        let output = self.run(&arguments);
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{support}: {errors}");
        assert!(
            errors.contains(words),
            "{support}: {words:?} is not in {errors}"
        );
        let last = errors.lines().last().unwrap_or_default();
        assert!(last.starts_with("hint: "), "{support}: {errors}");
        assert!(!self.0.path().join("new").exists(), "{support}");
    }

    fn accuracy(&self, task: &str) -> f64 {
        let report = self.json(&format!("eval {task} --data test.tar"));
        report["accuracy"].as_f64().expect("a share")
    }
}

#[test]
fn class_means_recognise_what_they_are_of() {
    let fixture = Fixture::new();
    let generate = "generate --method prototype --support support";
    let made = fixture.json(&format!(
        "{generate} --backbone demo.backbone -o signs.patch"
    ));
    assert_eq!(made["kinds"], "head");
    assert_eq!(
        (&made["images"], &made["classes"]),
        (&50.into(), &10.into())
    );
    let shown = fixture.json("inspect signs.patch");
    assert_eq!(shown["name"], "support");
    assert_eq!(shown["labels"], 10);
    assert_eq!(shown["learned"], Value::Null);
    let text = fixture.run("inspect signs.patch").stdout;
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(
        text.contains("generated from 50 images of 10 classes by class means"),
        "{text}"
    );
    fixture.json(&format!(
        "{generate} --backbone demo.backbone --f16 --name half -o half.patch"
    ));
    assert_eq!(fixture.json("inspect half.patch")["dtype"], "f16");
    fixture.json(&format!(
        "{generate} --backbone int8.backbone -o signs8.patch"
    ));
    assert_eq!(fixture.json("inspect signs8.patch")["dtype"], "int8");
    let float = fixture.accuracy("--backbone demo.backbone --patch signs.patch");
    let half = fixture.accuracy("--backbone demo.backbone --patch half.patch");
    let int8 = fixture.accuracy("--backbone int8.backbone --patch signs8.patch");
    println!("{float} in f32, {half} in half precision, {int8} in int8");
    // One in ten is chance.
    assert!(float > 0.25, "{float}");
    assert!(
        (float - half).abs() <= 0.02,
        "{float} in f32, {half} in half precision"
    );
    assert!(
        (float - int8).abs() <= 0.05,
        "{float} in f32, {int8} in int8"
    );
}

#[test]
fn support_sets_that_are_not_whole_are_refused() {
    let fixture = Fixture::new();
    let support = fixture.0.path().join("support");
    fixture.refused("nowhere", "does not exist");
    fixture.refused("support/0", "no class folders");
    fs::create_dir(support.join("eleven")).expect("room on the disk");
    fixture.refused("support", "class folders without images");
    fs::write(support.join("eleven/1.png"), "no image").expect("room on the disk");
    fixture.refused("support", "1 of 51 support images cannot be read");
    fs::remove_dir_all(support.join("eleven")).expect("it is there");
    fs::create_dir(fixture.0.path().join("one")).expect("room on the disk");
    fs::rename(support.join("0"), fixture.0.path().join("one/0")).expect("it is there");
    fixture.refused("one", "all images are of one class: 0");
    // An output that is there stays as it is.
    fs::write(fixture.0.path().join("old"), "old").expect("room on the disk");
    let output = fixture
        .run("generate --method prototype --backbone demo.backbone --support support -o old");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        fs::read(fixture.0.path().join("old")).expect("it is there"),
        b"old"
    );
}

#[test]
fn a_target_cnn_is_a_backbone_like_any_other() {
    let fixture = Fixture::new();
    let mut random = graft_tests::Random(3);
    let convolutions: Vec<_> = [9, 72, 72, 72]
        .map(|depth: usize| Convolution {
            weights: Some(random.values(8 * depth, (6.0 / depth as f32).sqrt())),
            scale: vec![1.0; 8],
            bias: vec![0.1; 8],
        })
        .into();
    let bytes = target::backbone("cnn", "a test", 28, &convolutions).expect("it fits");
    fs::write(fixture.0.path().join("cnn.backbone"), bytes).expect("room on the disk");
    let shown = fixture.json("inspect cnn.backbone");
    assert_eq!((&shown["layers"], &shown["sites"]), (&9.into(), &5.into()));
    fixture.json("quantize cnn.backbone --calibrate support -o cnn8.backbone");
    let image = fs::read_dir(fixture.0.path().join("support/3")).expect("it is there");
    let image = image.flatten().next().expect("it has an image").path();
    for (backbone, dtype) in [("cnn.backbone", "f32"), ("cnn8.backbone", "int8")] {
        let run = format!("run --backbone {backbone} {}", image.display());
        let own = fixture.json(&run);
        assert_eq!(own["results"][0]["top"][0]["label"], "class 0");
        fixture.json(&format!(
            "generate --method prototype --backbone {backbone} --support support -o {dtype}.patch"
        ));
        assert_eq!(
            fixture.json(&format!("inspect {dtype}.patch"))["dtype"],
            dtype
        );
        let found = fixture.json(&format!("{run} --patch {dtype}.patch"));
        let label = found["results"][0]["top"][0]["label"].as_str();
        assert!(label.is_some_and(|label| label.len() == 1), "{label:?}");
    }
}

#[test]
fn a_generator_makes_a_network_of_five_drawings() {
    let fixture = Fixture::new();
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets");
    for name in [
        "omniglot.hyper",
        "omniglot.backbone",
        "demo/sanskrit-1.tar",
        "demo/sanskrit-test.tar",
    ] {
        let asset = assets.join(name);
        let to = fixture.0.path().join(asset.file_name().expect("a file"));
        fs::copy(asset, to).expect("room on the disk");
    }
    let inspected = fixture.json("inspect omniglot.hyper");
    assert_eq!(
        (&inspected["kind"], &inspected["dtype"]),
        (&"generator".into(), &"f16".into())
    );
    let backbone = &fixture.json("inspect omniglot.backbone")["id"];
    assert_eq!(&inspected["backbone"], backbone);
    let made =
        fixture.json("generate --hyper omniglot.hyper --support sanskrit-1.tar -o new.patch");
    assert_eq!(
        (&made["kinds"], &made["images"], &made["classes"]),
        (&"generated".into(), &5.into(), &5.into())
    );
    let report = fixture
        .json("eval --backbone omniglot.backbone --patch new.patch --data sanskrit-test.tar");
    // Of five classes: guessing is right one time in five.
    assert!(
        report["accuracy"].as_f64().expect("a share") > 0.6,
        "{report}"
    );

    let whole = fs::read(fixture.0.path().join("omniglot.hyper")).expect("it is there");
    fs::write(
        fixture.0.path().join("cut.hyper"),
        &whole[..whole.len() / 2],
    )
    .expect("room");
    let output = fixture.run("inspect cut.hyper");
    let errors = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("cannot use cut.hyper"), "{errors}");
    for (arguments, words) in [
        ("", "no generator"),
        ("--hyper none.hyper", "cannot open none.hyper"),
        ("--hyper new.patch", "not an ONNX model"),
        ("--hyper cut.hyper", "truncated or damaged"),
        (
            "--hyper omniglot.hyper --backbone demo.backbone",
            "is for backbone",
        ),
        ("--method prototype", "no backbone"),
    ] {
        let output = fixture.run(&format!(
            "generate {arguments} --support sanskrit-1.tar -o no.patch"
        ));
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{arguments}: {errors}");
        assert!(errors.contains(words), "{arguments}: {errors}");
        assert!(errors.contains("hint: "), "{arguments}: {errors}");
        assert!(!fixture.0.path().join("no.patch").exists());
    }
}

#[test]
fn a_learned_head_is_good_in_f32_f16_and_int8() {
    let fixture = Fixture::new();
    for (backbone, option) in [("demo", ""), ("demo", "--f16"), ("int8", "")] {
        for method in ["gd", "gd++", "ridge"] {
            let made = fixture.json(&format!(
                "generate --method {method} -b {backbone}.backbone --support support {option} -o learned --force"
            ));
            assert_eq!(
                (made["images"].as_u64(), made["classes"].as_u64()),
                (Some(50), Some(10))
            );
            assert_eq!(made["sums_bytes"], 0);
            let found = fixture.accuracy(&format!("-b {backbone}.backbone -p learned"));
            // One in ten is chance.
            assert!(found > 0.25, "{method} on {backbone} {option}: {found}");
        }
    }
}

#[test]
fn what_is_learned_later_is_what_is_learned_at_once() {
    let fixture = Fixture::new();
    let folder = fixture.0.path();
    let classes: Vec<_> = fs::read_dir(folder.join("support"))
        .expect("it is there")
        .collect();
    let mut names: Vec<String> = classes
        .into_iter()
        .map(|entry| {
            entry
                .expect("it is there")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    for (set, own) in [("early", &names[..6]), ("late", &names[6..])] {
        for name in own {
            let to = folder.join(set).join(name);
            fs::create_dir_all(&to).expect("room on the disk");
            for file in fs::read_dir(folder.join("support").join(name)).expect("it is there") {
                let file = file.expect("it is there");
                fs::copy(file.path(), to.join(file.file_name())).expect("room on the disk");
            }
        }
    }
    let bytes = |name: &str| fs::read(folder.join(name)).expect("it was written");
    let late = names[6..].iter().map(|name| format!("--class {name}"));
    let late = late.collect::<Vec<_>>().join(" ");
    for backbone in ["demo.backbone", "int8.backbone"] {
        let run = |arguments: &str| fixture.json(&format!("{arguments} -b {backbone} --force"));
        let generate = "generate --method ridge --keep-sums --name signs";
        let whole = run(&format!("{generate} --support support -o whole"));
        // 10 classes of 1 + 128 + 128 * 129 / 2 words, after the record.
        let words = 10 * (1 + 128 + 128 * 129 / 2);
        assert_eq!(whole["sums_bytes"], 80 + 4 * words);
        run(&format!("{generate} --support early -o first"));
        // The recipe is that of the patch.
        let learned = run("learn -p first --support late -o second");
        assert_eq!(
            (&learned["classes"], &learned["method"]),
            (&10.into(), &"ridge".into())
        );
        assert_eq!(bytes("second"), bytes("whole"));
        run(&format!("forget -p whole {late} -o third"));
        assert_eq!(bytes("third"), bytes("first"));
        run("forget -p whole --support late -o fourth");
        assert_eq!(bytes("fourth"), bytes("first"));
        run(&format!(
            "forget -p whole --support late {late} --drop-sums -o fifth"
        ));
        assert_eq!(fixture.json("inspect fifth")["sums_bytes"], Value::Null);
        assert_eq!(
            fixture.json("inspect whole")["sums_bytes"],
            whole["sums_bytes"]
        );
    }
}

#[test]
fn what_cannot_be_learned_or_forgotten_is_refused() {
    let fixture = Fixture::new();
    fixture.json("generate --method gd++ -b int8.backbone --support support -o without-sums");
    fixture.json("generate --method gd++ --keep-sums --dimensions 8 -b int8.backbone --support support -o sums");
    fs::write(fixture.0.path().join("recipe.json"), r#"{"confidence": 1}"#)
        .expect("room on the disk");
    fs::write(
        fixture.0.path().join("sgd.json"),
        r#"{"steps": 50, "rate": 1}"#,
    )
    .expect("room on the disk");
    for (arguments, words) in [
        (
            "generate --method gd --recipe sgd.json -b int8.backbone --support support",
            "hint: give a recipe of the method",
        ),
        (
            "learn -b int8.backbone -p without-sums --support support",
            "kept no sums",
        ),
        (
            "learn -b demo.backbone -p sums --support support",
            "was made for backbone",
        ),
        ("forget -b int8.backbone -p sums", "nothing to forget"),
        (
            "forget -b int8.backbone -p sums --class none",
            "no class \"none\"",
        ),
        (
            "generate --method gd++ --dimensions 400 -b int8.backbone --support missing",
            "missing",
        ),
        (
            "generate --method gd++ --recipe recipe.json -b int8.backbone --support support",
            "either steps or a lambda",
        ),
        (
            "generate --method gd++ --f16 -b int8.backbone --support support",
            "stored in int8",
        ),
        (
            "generate --method prototype --keep-sums -b int8.backbone --support support",
            "for heads that learn",
        ),
    ] {
        let output = fixture.run(&format!("{arguments} -o new"));
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{arguments}: {errors}");
        assert!(
            errors.contains(words),
            "{arguments}: {words:?} is not in {errors}"
        );
        assert!(errors.contains("\nhint: "), "{arguments}: {errors}");
        assert!(!fixture.0.path().join("new").exists(), "{arguments}");
    }
}
