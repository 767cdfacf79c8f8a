//! The command line on good and bad input: what it prints, its exit status, and that bad input writes nothing.

#[allow(dead_code)] // Each test needs some of it.
mod shared;

use std::path::{Path, PathBuf};

use serde_json::Value;
use shared::images::Fixture;

fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/import/onnx/tests/tiny.onnx")
}

#[test]
fn an_extracted_patch_differs_nowhere_and_another_does() {
    let f = Fixture::new();
    f.json("extract -b b.backbone --kind bn+head -o own.patch");
    assert_eq!(f.run("diff b.backbone own.patch").status, 0);
    let outcome = f.run("diff own.patch p.patch --json");
    assert_eq!(outcome.status, 1);
    let json: Value = serde_json::from_str(&outcome.stdout).expect("one JSON object");
    assert!(
        json["differing"]
            .as_array()
            .is_some_and(|sites| !sites.is_empty())
    );
    assert_eq!(f.run("diff p.patch p.patch").status, 0);
    let scores = |patch: &str| {
        f.json(&format!("run -b b.backbone {patch} data/0/0.png --scores"))["results"][0]["scores"]
            .clone()
    };
    assert_eq!(scores(""), scores("-p own.patch"));
}

#[test]
fn inspect_has_the_keys_of_the_contract() {
    let f = Fixture::new();
    let keys = [
        "kind",
        "format_version",
        "id",
        "dtype",
        "layers",
        "sites",
        "bytes",
        "arena_bytes",
        "first_patched_layer",
        "signed_by",
    ];
    for file in ["b.backbone", "p.patch"] {
        let json = f.json(&format!("inspect {file}"));
        assert!(keys.iter().all(|key| json.get(key).is_some()), "{json}");
        let text = f.run(&format!("inspect {file}")).stdout;
        assert!(
            text.contains("epilogue") || text.contains("depthwise"),
            "{text}"
        );
    }
    assert_eq!(f.json("inspect b.backbone")["layers"], 15);
    let patch = f.json("inspect p.patch --backbone b.backbone");
    assert_eq!(patch["first_patched_layer"], 0);
    assert_eq!(patch["first_patched_layer_name"], "layer1");
}

#[test]
fn bench_has_the_keys_of_the_contract_and_measures_residents() {
    let f = Fixture::new();
    std::fs::create_dir(f.path("many")).expect("room on the disk");
    for number in 0..20 {
        std::fs::copy(f.path("p.patch"), f.path(format!("many/{number}.patch")))
            .expect("room on the disk");
    }
    let json = f.json("bench -b b.backbone -p many --runs 5 --layers --resident 2,20 --threads 2");
    let keys = [
        "latency_ms",
        "swap_ns",
        "switch_us",
        "open_us",
        "first_run_us",
        "arena_bytes",
        "backbone_bytes",
        "patch_bytes",
        "rss_bytes",
        "threads",
        "layers",
        "many_ms",
        "separate_ms",
        "shared_layers",
    ];
    assert!(keys.iter().all(|key| json.get(key).is_some()), "{json}");
    assert_eq!(json["layers"].as_array().map(Vec::len), Some(15));
    assert_eq!(json["resident"][1]["patches"], 20);
    // On one thread: how soon others wake up varies more than so small a network takes.
    let alone = f.json("bench -b b.backbone -p many --runs 50 --threads 1");
    assert!(
        alone["separate_ms"]["20"].as_f64() > alone["separate_ms"]["2"].as_f64(),
        "{alone}"
    );
    // Copies of one patch share all but the last layer.
    assert_eq!(alone["shared_layers"]["20"], 14);
    assert!(
        alone["many_ms"]["20"].as_f64() < alone["separate_ms"]["20"].as_f64(),
        "{alone}"
    );
    let patch = std::fs::metadata(f.path("p.patch"))
        .expect("it is there")
        .len();
    assert_eq!(json["patch_bytes"].as_u64(), Some(20 * patch));
    f.refused("bench -b b.backbone -p many --resident 21", "21");
}

#[test]
fn bench_compares_layers_with_the_peak_and_draws_them() {
    let f = Fixture::new();
    let json = f.json("bench -b b.backbone --runs 5 --roofline roof.png");
    assert!(json["peak_gmacs"].as_f64() > Some(0.0), "{json}");
    let layers = json["layers"].as_array().expect("layers");
    for layer in layers {
        let has_macs = layer["macs"].as_u64() > Some(0);
        assert_eq!(
            layer["peak_share"].as_f64() > Some(0.0),
            has_macs,
            "{layer}"
        );
        assert!(layer["bytes"].as_u64() > Some(0), "{layer}");
    }
    let picture = image::open(f.path("roof.png")).expect("a picture");
    assert!(picture.width() > picture.height());
    f.refused("bench -b b.backbone --roofline roof.png", "roof.png");
    f.refused(
        "bench -b b.backbone --roofline b.backbone --force",
        "b.backbone",
    );
    let alone = f.json("bench -b b.backbone --runs 5 --peak");
    assert!(alone["peak_gmacs"].as_f64() > Some(0.0), "{alone}");
    assert_eq!(alone["layers"], serde_json::json!([]));
}

#[test]
fn bad_backbones_are_refused() {
    let f = Fixture::new();
    let bytes = std::fs::read(f.path("b.backbone")).expect("it is there");
    f.write("empty", b"");
    f.write("truncated", &bytes[..bytes.len() / 2]);
    f.write(
        "random",
        &(0..4000u32)
            .map(|i| ((i * i) >> 3) as u8)
            .collect::<Vec<_>>(),
    );
    let mut flipped = bytes.clone();
    flipped[bytes.len() - 5] ^= 1;
    f.write("flipped", &flipped);
    let cases = [
        ("missing", "No such file"),
        ("empty", "0 bytes"),
        ("truncated", "its header says"),
        ("random", "not a Graft image"),
        ("flipped", "does not match its digest"),
        ("data", "directory"),
        ("data/0/0.png", "not a Graft image"),
        ("p.patch", "this is a patch"),
    ];
    for (file, words) in cases {
        f.refused(&format!("run -b {file} data/0/0.png"), words);
        f.refused(&format!("bench -b {file}"), words);
        if file != "p.patch" {
            f.refused(&format!("inspect {file}"), words);
        }
    }
}

#[test]
fn bad_patches_images_and_data_are_refused() {
    let f = Fixture::new();
    f.write("text.png", b"not a picture");
    std::fs::create_dir_all(f.path("nothing/in/here")).expect("room on the disk");
    std::fs::create_dir(f.path("void")).expect("room on the disk");
    std::fs::create_dir_all(f.path("strange/zebra")).expect("room on the disk");
    std::fs::copy(f.path("data/0/0.png"), f.path("strange/zebra/0.png")).expect("room on the disk");
    f.refused(
        "run -b other.backbone -p p.patch data/0/0.png",
        "was made for backbone",
    );
    f.refused(
        "run -b b.backbone -p b.backbone data/0/0.png",
        "this is a backbone",
    );
    f.refused("run -b b.backbone -p void data/0/0.png", "no .patch file");
    f.refused("run -b b.backbone text.png", "text.png");
    f.refused("run -b b.backbone missing.png", "missing.png");
    f.refused("eval -b b.backbone --data missing", "missing");
    f.refused("eval -b b.backbone --data void", "void");
    f.refused("eval -b b.backbone --data strange", "zebra");
    f.refused("eval -b b.backbone --data text.png", "text.png");
    f.refused(
        "eval -b b.backbone -p p.patch -p q.patch --data data",
        "2 patches",
    );
    f.refused("run -b b.backbone data/0/0.png --threads 0", "0 threads");
    f.refused("diff p.patch other.backbone", "different backbones");
}

#[test]
fn bad_models_are_refused_and_nothing_is_written() {
    let f = Fixture::new();
    f.write("empty.onnx", b"");
    f.write("text.onnx", b"this is no model");
    let model = std::fs::read(tiny_model()).expect("it is in the repository");
    f.write("half.onnx", &model[..model.len() / 2]);
    // The same length, so the rest of the protobuf stays valid.
    let mut unsupported = model.clone();
    let operator = model
        .windows(4)
        .position(|bytes| bytes == b"Conv")
        .expect("it has a convolution");
    unsupported[operator..operator + 4].copy_from_slice(b"Conw");
    f.write("unsupported.onnx", &unsupported);
    let cases = [
        ("missing.onnx", "missing.onnx"),
        ("empty.onnx", "empty"),
        ("text.onnx", "text.onnx"),
        ("data", "data"),
        ("data/0/0.png", "0.png"),
        ("half.onnx", "is not an ONNX model"),
        ("unsupported.onnx", "Conw"),
        ("/dev/zero", "regular file"),
        ("--torch text.onnx --arch mobilenet-v2", "text.onnx"),
        ("--torch missing.pth --arch mobilenet-v2", "missing.pth"),
    ];
    for (model, words) in cases {
        f.refused(&format!("import {model} -o out.backbone"), words);
        assert!(!f.path("out.backbone").exists(), "{model}");
    }
}

#[test]
fn outputs_are_not_overwritten_unless_forced() {
    let f = Fixture::new();
    f.json("extract -b b.backbone -o own.patch");
    f.refused("extract -b b.backbone -o own.patch", "own.patch");
    f.json("extract -b b.backbone -o own.patch --force");
    f.refused(
        "extract -b b.backbone -o no/such/folder/own.patch",
        "folder",
    );
    f.refused("extract -b b.backbone -o /dev/full", "No space left");
}

#[test]
fn an_input_is_never_overwritten_even_by_force() {
    let f = Fixture::new();
    std::fs::copy(tiny_model(), f.path("m.onnx")).expect("room on the disk");
    f.refused(
        "import m.onnx -o m.onnx --force",
        "is an input of this command",
    );
    f.refused(
        "extract -b b.backbone -o b.backbone --force",
        "is an input of this command",
    );
    let model = std::fs::read(tiny_model()).ok();
    assert_eq!(std::fs::read(f.path("m.onnx")).ok(), model);
}

#[test]
fn diff_sees_input_and_all_values_of_backbones() {
    let f = Fixture::new();
    let import = |out: &str, std: &str| {
        f.json(&format!(
            "import {} -o {out} --mean 127 --std {std}",
            tiny_model().display()
        ));
    };
    import("one.backbone", "128");
    import("same.backbone", "128");
    import("other.backbone2", "1");
    let same = f.json("diff one.backbone same.backbone");
    assert!(same["compared"].as_u64() > Some(1), "{same}");
    let outcome = f.run("diff one.backbone other.backbone2");
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.stdout.contains("input differs"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn a_file_on_stdout_is_alone_there() {
    let f = Fixture::new();
    f.json("extract -b b.backbone -o own.patch");
    let own = f.read("own.patch");
    for line in [
        "extract -b b.backbone -o -",
        "extract -b b.backbone -o /dev/stdout",
        "extract -b b.backbone -o - --json",
    ] {
        let output = f.command(line).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert_eq!(output.stdout, own, "{line}");
        let report = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(report.contains("sites"), "{line}: {report}");
    }
    // A file that stdout was sent to is not in the way.
    let sent = std::fs::File::create(f.path("sent.patch")).expect("room on the disk");
    let status = f
        .command("extract -q -b b.backbone -o /dev/stdout")
        .stdout(sent)
        .status();
    assert!(status.is_ok_and(|status| status.success()));
    assert_eq!(f.read("sent.patch"), own);
    // Nothing of an output that fails.
    let refused = f
        .command("extract -b p.patch -o -")
        .output()
        .expect("it starts");
    assert_eq!(
        (refused.status.code(), refused.stdout),
        (Some(2), Vec::new())
    );
    assert!(!f.path("-").exists());
}

#[test]
fn a_file_in_the_wrong_place_is_named_for_what_it_is() {
    let f = Fixture::new();
    f.write("foreign.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    std::fs::copy(tiny_model(), f.path("m.onnx")).expect("room on the disk");
    for (line, words) in [
        (
            "run -b b.backbone -p foreign.safetensors data",
            "by another tool",
        ),
        ("inspect foreign.safetensors", "by another tool"),
        ("inspect m.onnx", "an ONNX model"),
        ("eval -b m.onnx --data data", "an ONNX model"),
        ("diff p.patch data/0/0.png", "a photograph"),
        (
            "generate --hyper data/0/0.png -b b.backbone --support data -o o.patch",
            "a photograph",
        ),
    ] {
        f.refused(line, words);
    }
    f.refused("bench -b m.onnx", "patchtool import");
    for hyper in ["foreign.safetensors", "m.onnx", "data/0/0.png"] {
        f.refused(
            &format!("generate --hyper {hyper} -b b.backbone --support data -o o.patch"),
            "hint: give a .hyper file",
        );
        f.refused(
            &format!("export {hyper} -b b.backbone -o o.patch"),
            "hint: give the file that `patchtool train",
        );
    }
}

#[test]
fn bad_normalisation_is_a_usage_error() {
    let f = Fixture::new();
    for flags in [
        "--std 0",
        "--std nan",
        "--std=-5",
        "--mean inf",
        "--resize crop:7",
        "--resolution 0",
    ] {
        let outcome = f.run(&format!(
            "import {} -o out.backbone {flags}",
            tiny_model().display()
        ));
        assert_eq!(outcome.status, 2, "{flags}: {}", outcome.stderr);
        assert!(!f.path("out.backbone").exists(), "{flags}");
    }
    f.refused(
        &format!(
            "import {} -o out.backbone -q --mean 1,2,3,4,5",
            tiny_model().display()
        ),
        "values",
    );
    for (flags, words) in [
        (
            "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
            "123.675,116.28,103.53",
        ),
        ("--mean 127 --std 0.5", "127.5"),
        ("--mean 0.5", "127.5"),
    ] {
        let import = format!(
            "import {} -o out.backbone -q {flags}",
            tiny_model().display()
        );
        f.refused(&import, words);
        assert!(!f.path("out.backbone").exists(), "{flags}");
    }
}

#[test]
fn a_tiny_model_is_imported_and_runs() {
    let f = Fixture::new();
    let model = tiny_model();
    let json = f.json(&format!("import {} -o tiny.backbone", model.display()));
    assert!(json["layers"].as_u64() > Some(1), "{json}");
    let run = f.json("run -b tiny.backbone data/0/0.png --scores");
    let scores = run["results"][0]["scores"].as_array().expect("scores");
    assert!(
        scores
            .iter()
            .all(|score| score.as_f64().is_some_and(f64::is_finite)),
        "{run}"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let f = Fixture::new();
    let tool = env!("CARGO_BIN_EXE_patchtool");
    let script = format!("{tool} inspect b.backbone | true; exit ${{PIPESTATUS[0]}}");
    let status = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(f.path(""))
        .status()
        .expect("bash is there");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn help_is_as_wide_as_the_terminal_and_commands_have_manual_pages() {
    let f = Fixture::new();
    let help = |arguments: &str| {
        let output = f.command(arguments).env("COLUMNS", "60").output();
        String::from_utf8(output.expect("it starts").stdout).expect("UTF-8")
    };
    for text in [help("--help"), help("-h")] {
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest.is_some_and(|longest| longest <= 60), "{text}");
        assert!(text.contains("Make a patch:\n  train "), "{text}");
    }
    let page = f.run("man train").stdout;
    assert!(
        page.contains(".TH") && page.contains("patchtool\\-train"),
        "{page}"
    );
    assert!(f.run("man device info").stdout.contains("device\\-info"));
    assert!(f.run("man").stdout.contains("meta\\-train"));
    f.refused("man nothing", "\"nothing\"");
}
