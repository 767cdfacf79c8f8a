//! `patchtool import --verify`: what it prints, and that an import that is not what the model computes is not written.

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

/// A folder with a quantised model and images: flat ones, and a labelled set.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let backbone = graft_tests::backbone(24, 1);
    let int8 = graft_tests::int8::backbone(&backbone);
    std::fs::write(folder.path().join("int8.backbone"), int8).expect("room on the disk");
    for number in 0..4u8 {
        let pixel = |x: u32, y: u32| image::Rgb([x as u8 * 3, y as u8 * 5, number * 60]);
        for name in ["flat", "set/a"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).expect("room on the disk");
            image::RgbImage::from_fn(40, 30, pixel)
                .save(path.join(format!("{number}.png")))
                .expect("room on the disk");
        }
    }
    let arguments = "export --backbone int8.backbone --onnx m.onnx";
    assert_eq!(run(folder.path(), arguments).0, 0);
    folder
}

/// Status, stdout, stderr.
fn run(folder: &Path, arguments: &str) -> (i32, String, String) {
    let output = Command::cargo_bin("patchtool")
        .expect("cargo built it")
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .expect("it starts");
    (
        output.status.code().expect("it exits"),
        String::from_utf8(output.stdout).expect("UTF-8"),
        String::from_utf8(output.stderr).expect("UTF-8"),
    )
}

const IMPORT: &str = "import m.onnx -o new.backbone --mean 127 --std 64 --verify";

#[cfg(not(feature = "verify"))]
#[test]
fn a_build_without_the_judge_says_how_to_get_it() {
    let folder = folder();
    let (status, _, errors) = run(folder.path(), &format!("{IMPORT} flat"));
    assert_eq!(status, 2, "{errors}");
    assert!(
        errors.contains("judge") && errors.contains("hint: build it with `cargo install"),
        "{errors}"
    );
    assert!(!folder.path().join("new.backbone").exists());
}

#[cfg(feature = "verify")]
#[test]
fn a_good_import_is_written_with_its_verdict() {
    let folder = folder();
    // Random weights leave many products between two steps.
    let all = "--verify set --verify flat/0.png --force --tolerance 3";
    let (status, text, errors) = run(folder.path(), &format!("{IMPORT} flat {all}"));
    assert_eq!(status, 0, "{errors}");
    assert!(text.starts_with("verified on 9 images by tract"), "{text}");
    assert!(folder.path().join("new.backbone").exists());
    let (_, json, _) = run(
        folder.path(),
        &format!("{IMPORT} flat --force --json --tolerance 3"),
    );
    let json: serde_json::Value = serde_json::from_str(&json).expect("one JSON object");
    let verdict = &json["verify"];
    assert_eq!(
        (&verdict["images"], &verdict["passed"]),
        (&4.into(), &true.into())
    );
    for key in ["max_difference", "max_relative", "equal_top1", "tolerance"] {
        assert!(verdict[key].is_number(), "{key} in {json}");
    }
    assert_eq!(verdict["unreadable"], 0);
    assert!(verdict["least_equal_top1"].is_null());
    assert!(json["id"].is_string());
}

#[cfg(feature = "verify")]
#[test]
fn unreadable_images_are_left_out_and_counted() {
    let folder = folder();
    let broken = folder.path().join("broken");
    std::fs::create_dir(&broken).expect("room on the disk");
    std::fs::write(broken.join("0.png"), "broken").expect("room on the disk");
    let import = format!("{IMPORT} broken --tolerance 3");
    let (status, _, errors) = run(folder.path(), &import);
    assert_eq!(status, 2, "{errors}");
    assert!(errors.contains("no image to verify"), "{errors}");
    assert!(!folder.path().join("new.backbone").exists());
    let (status, text, errors) = run(folder.path(), &format!("{import} --verify flat"));
    assert_eq!(status, 0, "{text}{errors}");
    assert!(
        text.contains("on 4 images") && text.contains("left out: 1 unreadable"),
        "{text}"
    );
}

/// A float classifier of 24 x 24 pixels.
#[cfg(feature = "verify")]
fn float_model() -> Vec<u8> {
    use graft_onnx::Message as _;
    use graft_onnx::build::{Dim, floats, interface, model, node};
    use graft_onnx::graph::GraphBuilder;
    use graft_onnx::proto::GraphProto;

    let mut graph = GraphBuilder::default();
    let mut constant = |name: &str, dims: &[usize]| {
        let count = dims.iter().product();
        let values: Vec<f32> = (0..count).map(|at: usize| (at as f32).sin()).collect();
        graph.constant(floats(name, dims, &values))
    };
    let steps = [
        ("Conv", Some(constant("w", &[8, 3, 1, 1]))),
        ("GlobalAveragePool", None),
        ("Flatten", None),
        ("Gemm", Some(constant("fc", &[8, 5]))),
    ];
    let mut before = "Image".to_owned();
    for (op, weights) in steps {
        let inputs = [before].into_iter().chain(weights).collect();
        graph.node(op, op, node(op, inputs, Vec::new()));
        before = op.to_owned();
    }
    let (node, initializer) = graph.finish().expect("each has its own name");
    let graph = GraphProto {
        node,
        initializer,
        input: vec![interface("Image", "", &[1, 3, 24, 24].map(Dim::Of))],
        output: vec![interface("Gemm", "", &[1, 5].map(Dim::Of))],
        ..GraphProto::default()
    };
    model("test", "1", graph, Vec::new()).encode_to_vec()
}

#[cfg(feature = "verify")]
#[test]
fn what_is_above_the_tolerance_is_not_written() {
    let folder = folder();
    let written = folder.path().join("new.backbone");
    std::fs::write(folder.path().join("float.onnx"), float_model()).expect("room on the disk");
    // Sums in another order are not the same to the last bit.
    let import = format!("{IMPORT} flat --force --tolerance 1e-30").replace("m.onnx", "float.onnx");
    let (status, text, errors) = run(folder.path(), &import);
    assert_eq!(status, 1, "{text}{errors}");
    assert!(
        text.contains("above the tolerance") && text.contains("new.backbone was not written"),
        "{text}"
    );
    assert!(!written.exists());
    let (status, json, _) = run(folder.path(), &format!("{import} --json"));
    let json: serde_json::Value = serde_json::from_str(&json).expect("one JSON object");
    assert_eq!((status, &json["verify"]["passed"]), (1, &false.into()));
    assert!(!written.exists());
    let (status, _, errors) = run(folder.path(), &format!("{IMPORT} no"));
    assert_eq!(status, 2);
    assert!(errors.contains("does not exist"), "{errors}");
}
