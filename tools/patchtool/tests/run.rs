//! `patchtool run` and `patchtool eval`: what they say of images, and of those that cannot be read.

#[allow(dead_code)] // Each test needs some of it.
mod shared;

use serde_json::Value;
use shared::images::Fixture;

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
fn patches_score_together_as_each_alone() {
    let f = Fixture::new();
    f.json("extract -b b.backbone --kind head -o own.patch");
    f.json("extract -b b.backbone --kind bn+head -o all.patch");
    let run = |patches: &str| {
        let line = format!("run -b b.backbone {patches} data/0/0.png data/3/1.png --scores");
        let mut results = f.json(&line)["results"].take();
        std::mem::take(results.as_array_mut().expect("an array"))
    };
    let names = ["own", "all", "p", "own", "q"];
    let together = run(&names.map(|name| format!("-p {name}.patch")).join(" "));
    let alone = names.map(|name| run(&format!("-p {name}.patch")));
    for image in 0..2 {
        for (at, alone) in alone.iter().enumerate() {
            assert_eq!(together[image * names.len() + at], alone[image]);
        }
    }
    // Two that share all but the head.
    assert_eq!(run("-p all.patch -p own.patch")[0], alone[1][0]);
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
