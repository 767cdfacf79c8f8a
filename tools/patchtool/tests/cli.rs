//! The command line on good and bad input: what it prints, its exit status, and that bad input writes nothing.

#[allow(dead_code)] // Each test needs some of it.
mod shared;

use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde_json::Value;
use shared::Folder;

/// A folder with a backbone of 10 classes, two patches, an image and a labelled data set.
struct Fixture(Folder);

impl Fixture {
    fn new() -> Self {
        let folder = Folder::new();
        let backbone = graft_tests::backbone(24, 1);
        folder.write("b.backbone", backbone.image().bytes());
        folder.write("other.backbone", &graft_tests::every_operator(24, 2));
        folder.write("p.patch", &graft_tests::random_patch(&backbone, 7, 3));
        folder.write("q.patch", &graft_tests::random_patch(&backbone, 7, 4));
        for class in ["0", "3", "9"] {
            for number in 0..4u8 {
                let pixel = |x: u32, y: u32| image::Rgb([x as u8 * 3, y as u8 * 5, number * 60]);
                let path = folder.path(format!("data/{class}/{number}.png"));
                std::fs::create_dir_all(path.parent().expect("it has a folder"))
                    .expect("room on the disk");
                image::RgbImage::from_fn(40, 30, pixel)
                    .save(path)
                    .expect("room on the disk");
            }
        }
        Self(folder)
    }

    /// As [`Folder::refused`], with the cause in the first line.
    fn refused(&self, arguments: &str, words: &str) {
        let stderr = self.0.refused(arguments, words);
        assert!(stderr.starts_with("error: "), "{arguments}: {stderr}");
    }
}

impl Deref for Fixture {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

#[test]
fn run_ranks_the_labels_of_every_image_and_patch() {
    let f = Fixture::new();
    let json = f
        .json("run -b b.backbone -p p.patch -p q.patch data/0/0.png data/3/1.png --top 3 --scores");
    let results = json["results"].as_array().expect("an array");
    assert_eq!(results.len(), 4);
    for result in results {
        let scores: Vec<f64> = result["scores"]
            .as_array()
            .expect("scores")
            .iter()
            .filter_map(Value::as_f64)
            .collect();
        assert_eq!(scores.len(), 7);
        let best = scores.iter().copied().fold(f64::MIN, f64::max);
        assert_eq!(result["top"][0]["score"].as_f64(), Some(best));
        assert_eq!(result["top"].as_array().map(Vec::len), Some(3));
    }
    assert_ne!(
        results[0]["scores"], results[1]["scores"],
        "two patches, two answers"
    );
    let text = f.run("run -b b.backbone data/0/0.png").stdout;
    assert!(
        text.starts_with("image") && text.contains("class "),
        "{text}"
    );
}

#[test]
fn eval_counts_what_run_ranks_first() {
    let f = Fixture::new();
    let json = f.json("eval -b b.backbone --data data --dump-inputs inputs");
    assert_eq!(json["count"], 12);
    let mut right = 0;
    for class in [0, 3, 9] {
        for number in 0..4 {
            let top = f.json(&format!(
                "run -b b.backbone data/{class}/{number}.png --top 1"
            ));
            right += usize::from(top["results"][0]["top"][0]["index"] == class);
        }
    }
    assert_eq!(json["accuracy"].as_f64(), Some(right as f64 / 12.0));
    assert_eq!(json["per_class"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        std::fs::metadata(f.path("inputs/0011.f32"))
            .map(|file| file.len())
            .ok(),
        Some(24 * 24 * 3 * 4)
    );
    let labels = std::fs::read_to_string(f.path("inputs/labels.txt")).expect("it is written");
    assert_eq!(labels, "0\n0\n0\n0\n3\n3\n3\n3\n9\n9\n9\n9\n");
}

#[test]
fn eval_says_what_is_taken_for_what() {
    let f = Fixture::new();
    let line = "eval -b b.backbone --data data --confusion c.png";
    let json = f.json(line);
    let size = |value: &Value| value.as_array().map(Vec::len);
    let (classes, counts) = (&json["confusion"]["classes"], &json["confusion"]["counts"]);
    let (mut right, mut all) = (0, 0);
    for (row, counts) in counts.as_array().expect("a matrix").iter().enumerate() {
        assert_eq!(size(counts), size(classes));
        right += counts[row].as_u64().expect("a count");
        let counts = counts.as_array().expect("a row").iter();
        all += counts.filter_map(Value::as_u64).sum::<u64>();
    }
    assert_eq!(all, 12);
    assert_eq!(json["accuracy"].as_f64(), Some(right as f64 / 12.0));
    let picture = image::open(f.path("c.png")).expect("a picture").into_rgb8();
    let (width, height) = picture.dimensions();
    let is_margin = |x: u32, y: u32| x.min(width - 1 - x).min(y).min(height - 1 - y) < 8;
    let margin = picture
        .enumerate_pixels()
        .filter(|&(x, y, _)| is_margin(x, y));
    // Text that has no room is cut off there.
    assert!(width > 100 && margin.into_iter().all(|(.., pixel)| pixel.0 == [255; 3]));
    f.refused(line, "c.png already exists");
    let text = f.run(&format!("{line} --force")).stdout;
    assert!(text.contains("is predicted as"), "{text}");
}

#[test]
fn unreadable_images_are_counted_and_left_out() {
    let f = Fixture::new();
    f.write("data/3/broken.png", b"no image");
    let json = f.json("eval -b b.backbone --data data");
    assert_eq!(
        (&json["count"], &json["unreadable"]),
        (&12.into(), &1.into())
    );
    let outcome = f.run("eval -b b.backbone --data data");
    assert!(outcome.stderr.contains("broken.png"), "{}", outcome.stderr);
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
    assert_eq!(f.json("inspect p.patch")["first_patched_layer"], 0);
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
        "open_us",
        "first_run_us",
        "arena_bytes",
        "backbone_bytes",
        "patch_bytes",
        "rss_bytes",
        "threads",
        "layers",
        "many_ms",
    ];
    assert!(keys.iter().all(|key| json.get(key).is_some()), "{json}");
    assert_eq!(json["layers"].as_array().map(Vec::len), Some(15));
    assert_eq!(json["resident"][1]["patches"], 20);
    // On one thread: how soon others wake up varies more than so small a network takes.
    let alone = f.json("bench -b b.backbone -p many --runs 50 --threads 1");
    assert!(
        alone["many_ms"]["16"].as_f64() > alone["many_ms"]["2"].as_f64(),
        "{alone}"
    );
    let patch = std::fs::metadata(f.path("p.patch"))
        .expect("it is there")
        .len();
    assert_eq!(json["patch_bytes"].as_u64(), Some(20 * patch));
    f.refused("bench -b b.backbone -p many --resident 21", "21");
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

fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/import/onnx/tests/tiny.onnx")
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
fn dumped_inputs_are_never_mixed_with_older_ones() {
    let f = Fixture::new();
    f.json("run -b b.backbone data/0/0.png --dump-inputs inputs");
    f.refused(
        "run -b b.backbone data/0/1.png --dump-inputs inputs",
        "not empty",
    );
}

#[test]
fn run_takes_folders_and_leaves_out_what_cannot_be_read() {
    let f = Fixture::new();
    let whole = std::fs::read(f.path("data/0/1.png")).expect("it is there");
    f.write("data/0/1.png", &whole[..whole.len() / 2]);
    let line = "run -b b.backbone data/0 missing.png data/3/0.png --top 2";
    let text = f.run(line);
    assert_eq!(text.status, 2, "{}", text.stderr);
    let rows: Vec<&str> = text.stdout.lines().skip(1).collect();
    let names = rows
        .iter()
        .map(|row| row.split(' ').next().unwrap_or_default());
    let read = [
        "data/0/0.png",
        "data/0/2.png",
        "data/0/3.png",
        "data/3/0.png",
    ];
    assert_eq!(names.collect::<Vec<_>>(), read);
    for words in [
        "2 of 6 images cannot be read",
        "data/0/1.png is truncated",
        "missing.png",
        "hint: ",
    ] {
        assert!(text.stderr.contains(words), "{words:?}: {}", text.stderr);
    }
    let outcome = f.run(&format!("{line} --json"));
    assert_eq!(outcome.status, 2);
    let json: Value = serde_json::from_str(&outcome.stdout).expect("one JSON object");
    assert_eq!(json["results"].as_array().map(Vec::len), Some(4));
    assert_eq!(json["unreadable"][1]["image"], "missing.png");
    f.write("data/0/x.webp", b"");
    let json = f.json("run -b b.backbone data/3 data/0/0.png");
    assert_eq!(json["left_out"], serde_json::json!({}));
    let outcome = f.run(&format!("{line} --json"));
    let json: Value = serde_json::from_str(&outcome.stdout).expect("one JSON object");
    assert_eq!(json["left_out"]["other_format"]["first"], "x.webp");
    assert!(
        outcome.stderr.contains("no JPEG or PNG: x.webp"),
        "{}",
        outcome.stderr
    );
    let all = f.json("run -b b.backbone data/3/0.png --top 10");
    let top = all["results"][0]["top"].as_array().expect("labels");
    let sum: f64 = top
        .iter()
        .filter_map(|one| one["probability"].as_f64())
        .sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    // Each is named before the error.
    f.0.refused("run -b b.backbone missing.png data/0/1.png", "2 of 2");
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
fn stdin_is_a_file_of_the_name_minus() {
    let f = Fixture::new();
    let open = |name: &str| std::fs::File::open(f.path(name)).expect("it is there");
    let text = |line: &str, input: &str| {
        let output = f
            .command(line)
            .stdin(open(input))
            .output()
            .expect("it starts");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let expected = f.run("run -b b.backbone -p p.patch data/0/0.png").stdout;
    let scores = |text: &str| text.split_once('%').map(|(_, rest)| rest.to_owned());
    assert!(scores(&expected).is_some());
    for (line, input) in [
        ("run -b - -p p.patch data/0/0.png", "b.backbone"),
        ("run -b b.backbone -p - data/0/0.png", "p.patch"),
        ("run -b b.backbone -p p.patch -", "data/0/0.png"),
    ] {
        assert_eq!(scores(&text(line, input)), scores(&expected), "{line}");
    }
    let inspected = f.run("inspect p.patch").stdout;
    assert_eq!(text("inspect -", "p.patch"), inspected);
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
fn unknown_kernels_are_refused_with_the_names_of_those_that_are_there() {
    let f = Fixture::new();
    let output = f
        .command("run -b b.backbone data/0/0.png")
        .env("GRAFT_KERNELS", "sse9")
        .output()
        .expect("it starts");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr.contains("sse9") && stderr.contains("reference"),
        "{stderr}"
    );
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

#[test]
fn the_first_five_of_five_classes_are_not_shown() {
    let f = Fixture::new();
    f.write(
        "few.patch",
        &graft_tests::random_patch(&graft_tests::backbone(24, 1), 5, 6),
    );
    std::fs::remove_dir_all(f.path("data/9")).expect("it is there");
    let text = |patch: &str| {
        f.run(&format!("eval -b b.backbone -p {patch} --data data"))
            .stdout
    };
    let (few, many) = (text("few.patch"), text("p.patch"));
    assert!(few.contains("top-1") && !few.contains("top-5"), "{few}");
    assert!(many.contains("top-5"), "{many}");
}
