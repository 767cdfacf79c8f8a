//! Sparse updates: `patchtool train --sparse`, and `patchtool unlearn` on finished patches.

#[allow(dead_code)] // Each test needs some of it.
mod shared;

use serde_json::Value;
use shared::colours::{Fixture, TRAIN};

/// Trains on all images, with the last values.
const LAST: &str =
    "train --data data --batch 10 --backbone b.backbone --validation 0 --epochs 4 --seed 3";

/// The sum over all tensors of a report.
fn sum(tensors: &Value, key: &str) -> u64 {
    let tensors = tensors.as_array().expect("a list");
    tensors
        .iter()
        .filter_map(|tensor| tensor[key].as_u64())
        .sum()
}

/// A share of the values of each tensor, as far as so many changed in it.
fn rounded(tensors: &Value, share: f64) -> u64 {
    let tensors = tensors.as_array().expect("a list");
    let largest = tensors.iter().filter_map(|tensor| {
        let largest = (share * tensor["values"].as_f64()?).round() as u64;
        Some(largest.min(tensor["changed"].as_u64()?))
    });
    largest.sum()
}

fn differing(fixture: &Fixture, left: &str, right: &str) -> usize {
    let outcome = fixture.run(&format!("diff {left} {right} --json"));
    let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    report["differing"].as_array().expect("a list").len()
}

#[test]
fn what_is_kept_of_one_update_is_what_unlearn_keeps() {
    let fixture = Fixture::new();
    for kind in ["bn+head", "bn+dw+head"] {
        let train = |name: &str, flags: &str| {
            let report = fixture.json(&format!(
                "{LAST} --kind {kind} {flags} -o {name}.st --force"
            ));
            fixture.patch(&format!("{name}.st"));
            report
        };
        train("plain", "");
        for rule in ["keep-top", "drop-top"] {
            // One update, which is not over when the run is.
            let report = train(
                "sparse",
                &format!("--sparse {rule}:0.2 --sparse-every 1000"),
            );
            assert_eq!(sum(&report["sparse"], "reset"), 0, "no update is over");
            let report = fixture.json(&format!(
                "unlearn plain.st.patch -b b.backbone --{rule} 0.2 -o made.patch --force"
            ));
            assert_eq!(
                report["head_before"],
                "zero, as the backbone's is of other classes"
            );
            let tensors = &report["tensors"];
            let (changed, reset) = (sum(tensors, "changed"), sum(tensors, "reset"));
            let expected = match rule {
                "keep-top" => changed - rounded(tensors, 0.2),
                _ => rounded(tensors, 0.2),
            };
            assert_eq!(reset, expected, "{report}");
            assert_eq!(
                differing(&fixture, "made.patch", "sparse.st.patch"),
                0,
                "{kind} {rule}"
            );
            assert!(differing(&fixture, "made.patch", "plain.st.patch") > 0);
        }
    }
}

#[test]
fn updates_are_sparse_again_and_again_and_said_to_be() {
    let fixture = Fixture::new();
    let line = format!("{LAST} --sparse keep-top:0.25 --sparse-every 5");
    let report = fixture.json(&format!("{line} -o a.st --lr 0.01"));
    // 24 steps are four updates, and the rest of a fifth.
    let tensors = &report["sparse"];
    assert_eq!(
        sum(tensors, "changed") - sum(tensors, "reset"),
        4 * rounded(tensors, 0.25)
    );
    let share = tensors[0]["norm_lost"].as_f64().expect("a number");
    assert!(share > 0.0 && share < 1.0, "{report}");
    let text = fixture.run(&format!("{line} -o b.st")).stdout;
    assert!(
        text.contains("norm lost %") && text.contains("weights"),
        "{text}"
    );
    let learned = fixture.json(&format!(
        "{TRAIN} --epochs 30 --sparse keep-top:0.25 --sparse-every 5 --lr 0.01 -o c.st"
    ));
    assert!(
        learned["best"]["test_accuracy"].as_f64() > Some(0.8),
        "{learned}"
    );
}

#[test]
fn the_difference_begins_where_it_is_told_to() {
    let fixture = Fixture::new();
    for (name, more) in [("first", ""), ("second", "--seed 4")] {
        let line = LAST.replace("--seed 3", more);
        fixture.json(&format!("{line} -o {name}.st"));
        fixture.patch(&format!("{name}.st"));
    }
    let unlearn = "unlearn second.st.patch -b b.backbone --force --from";
    let same = fixture.json(&format!(
        "{unlearn} second.st.patch --keep-top 0.1 -o a.patch"
    ));
    assert_eq!(sum(&same["tensors"], "changed"), 0);
    assert_eq!(differing(&fixture, "a.patch", "second.st.patch"), 0);
    // Half a value of the largest tensor is none: all of it is the first patch again.
    let report = fixture.json(&format!(
        "{unlearn} first.st.patch --keep-top 0.000001 -o a.patch"
    ));
    assert_eq!(report["head_before"], "that of the patch it comes from");
    assert_eq!(differing(&fixture, "a.patch", "first.st.patch"), 0);
    // What a patch leaves out is the backbone's.
    fixture.json(&format!("{LAST} --kind head -o head.st"));
    fixture.patch("head.st");
    let report = fixture.json(&format!(
        "{unlearn} head.st.patch --keep-top 0.000001 -o a.patch"
    ));
    assert_eq!(report["head_before"], "that of the patch it comes from");
    fixture.json("extract -b b.backbone --kind bn -o own.patch");
    let of_the_backbone = fixture.json(&format!("{unlearn} own.patch --keep-top 0.1 -o b.patch"));
    let plain = fixture.json("unlearn second.st.patch -b b.backbone --keep-top 0.1 -o c.patch");
    assert_eq!(of_the_backbone["tensors"], plain["tensors"]);
    assert_eq!(fixture.read("b.patch"), fixture.read("c.patch"));
    // A head of the backbone's own classes.
    fixture.json("extract -b b.backbone --kind bn+head -o own-head.patch");
    let own = fixture.json("unlearn own-head.patch -b b.backbone --drop-top 0.5 -o d.patch");
    assert_eq!(
        (&own["head_before"], sum(&own["tensors"], "changed")),
        (&"the backbone's own".into(), 0)
    );
}

#[test]
fn what_belongs_to_the_values_before_is_left_out() {
    let fixture = Fixture::new();
    // Validation gives it a temperature.
    fixture.json(&format!("{TRAIN} --epochs 3 -o a.st"));
    fixture.json("keygen -o fleet");
    fixture.json("export a.st -b b.backbone -o a.patch --f16");
    let key = ["fleet.key", "fleet"]
        .into_iter()
        .find(|name| fixture.path(name).exists());
    let key = key.expect("a secret key");
    fixture.json(&format!("sign a.patch --key {key} -o signed.patch"));
    let report = fixture.json("unlearn signed.patch -b b.backbone --drop-top 0.1 -o b.patch");
    assert_eq!(
        report["left_out"],
        serde_json::json!(["signature", "temperature"])
    );
    let [before, after] =
        ["signed.patch", "b.patch"].map(|patch| fixture.json(&format!("inspect {patch}")));
    assert!(
        !before["signed_by"].is_null() && after["signed_by"].is_null(),
        "{after}"
    );
    assert_eq!(
        (&before["dtype"], &after["dtype"]),
        (&"f16".into(), &"f16".into())
    );
    assert_eq!(before["labels"], after["labels"]);
    assert_eq!(after["training"]["test_images"], 0, "{after}");
    let text = fixture.run("inspect b.patch").stdout;
    assert!(text.contains("unlearned drop-top:0.1"), "{text}");
    let text = fixture
        .run("unlearn signed.patch -b b.backbone --drop-top 0.1 -o c.patch")
        .stdout;
    assert!(
        text.contains("signature, temperature") && text.contains("zero"),
        "{text}"
    );
    fixture.json("eval -b b.backbone -p b.patch --data test");
    // Sums from which all could be learned again.
    fixture.json("generate --method gd --keep-sums -b b.backbone --support data -o sums.patch");
    let report = fixture.json("unlearn sums.patch -b b.backbone --drop-top 0.1 -o d.patch");
    assert_eq!(report["left_out"], serde_json::json!(["sums of the head"]));
    assert!(fixture.json("inspect d.patch")["sums_bytes"].is_null());
}

#[test]
fn patches_whose_difference_cannot_be_told_are_refused() {
    let fixture = Fixture::new();
    fixture.json(&format!("{LAST} -o a.st"));
    fixture.patch("a.st");
    fixture.json("quantize b.backbone --calibrate data -o int8.backbone");
    fixture.json("export a.st -b int8.backbone --calibrate data -o int8.patch");
    fixture.json("extract -b b.backbone -o own.patch");
    fixture.json("extract -b b.backbone --kind bn+dw+head -o more.patch");
    for class in ["cyan", "red", "green"] {
        fixture.images("others", class, [90, 120, 150], 4);
    }
    fixture.json(&format!(
        "{} -o other.st",
        LAST.replace("data data", "data others")
    ));
    fixture.patch("other.st");
    let cases = [
        (
            "int8.patch -b int8.backbone --keep-top 0.1",
            "hold no differences of what was learned",
        ),
        ("a.st.patch -b norms.backbone --keep-top 0.1", "a.st.patch"),
        (
            "a.st.patch -b b.backbone --keep-top 0.1 --from own.patch",
            "has 120 weights",
        ),
        (
            "a.st.patch -b b.backbone --keep-top 0.1 --from other.st.patch",
            "has labels",
        ),
        (
            "own.patch -b b.backbone --keep-top 0.1 --from more.patch",
            "replaces the weights",
        ),
        (
            "b.backbone -b b.backbone --keep-top 0.1",
            "b.backbone is a backbone",
        ),
        (
            "norms.backbone -b b.backbone --keep-top 0.1",
            "is a backbone",
        ),
        ("a.st -b b.backbone --keep-top 0.1", "a.st"),
        ("nowhere -b b.backbone --keep-top 0.1", "nowhere"),
    ];
    for (arguments, words) in cases {
        fixture.refused(&format!("unlearn {arguments}"), words);
    }
    for flags in [
        "",
        "--keep-top 0.1 --drop-top 0.1",
        "--keep-top 1",
        "--drop-top x",
    ] {
        let outcome = fixture.run(&format!(
            "unlearn a.st.patch -b b.backbone {flags} -o c.patch"
        ));
        assert_eq!(outcome.status, 2, "{flags}");
    }
}
