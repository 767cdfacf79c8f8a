//! `patchtool federate`: clients in one process.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../assets/demo")
        .join(name)
}

/// Three clients that learn clothes for two rounds, with these arguments besides.
fn federate(arguments: &[&str]) -> Command {
    let defaults = [
        ["--clients", "3"],
        ["--public", "0.2"],
        ["--rounds", "2"],
        ["--kind", "head"],
        ["--augment", "none"],
    ];
    let mut command = Command::cargo_bin("patchtool-federate").unwrap();
    command
        .args(["federate", "--json", "--backbone"])
        .arg(asset("demo.backbone"))
        .arg("--data")
        .arg(asset("fashion-train.tar"))
        .arg("--test")
        .arg(asset("fashion-test.tar"))
        .args(
            defaults
                .into_iter()
                .filter(|[flag, _]| !arguments.contains(flag))
                .flatten(),
        )
        .args(arguments);
    command
}

fn report(arguments: &[&str]) -> Value {
    let output = federate(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn accuracies(report: &Value, of: &str) -> Vec<f64> {
    let values = report[of].as_array().unwrap().iter();
    values.map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn the_last_head_knows_what_others_know_and_the_main_one_what_its_own_images_say() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().to_str().unwrap();
    let learning = [
        "--rounds", "30", "--batch", "4", "--lr", "0.01", "--skew", "inf",
    ];
    let distilled = report(&[&learning[..], &["--output", output]].concat());
    let isolated = report(&[&learning[..], &["--method", "isolated"]].concat());
    let of = |report: &Value| (accuracies(report, "private"), accuracies(report, "shared"));
    let ((private, shared), (private_alone, alone)) = (of(&distilled), of(&isolated));
    // Three or four of ten classes are all that a client sees: it cannot name the others.
    assert!(alone[0] <= 0.4, "{alone:?}");
    assert!(shared[2] > alone[0] + 0.1, "{shared:?} {alone:?}");
    // The last layer alone is trained: the main head does not even notice the others.
    assert_eq!(private[0], private_alone[0]);
    // Patches are what was measured.
    for (at, client) in distilled["clients"].as_array().unwrap().iter().enumerate() {
        for (role, head) in [("main", 0), ("shared", 2)] {
            let patch = folder.path().join(format!("{at}.{role}.patch"));
            assert!(patch.with_extension("safetensors").exists());
            let arguments = ["patchtool", "eval", "--quiet", "--backbone"].map(Into::into);
            let arguments = arguments.into_iter().chain([
                asset("demo.backbone").into(),
                "--patch".into(),
                patch.into(),
                "--data".into(),
                asset("fashion-test.tar").into(),
            ]);
            let evaluated = patchtool::cli::Cli::read(arguments)
                .unwrap()
                .report()
                .unwrap();
            let expected = client["shared"][head].as_f64().unwrap();
            let found = evaluated.json["accuracy"].as_f64().unwrap();
            assert!(
                (found - expected).abs() < 1e-9,
                "{at} {role}: {found} {expected}"
            );
        }
    }
    let bytes = distilled["bytes_per_round"].as_u64().unwrap();
    assert_eq!(
        bytes,
        2 * (45 + 60 * 4 * 2),
        "60 images, two heads that speak"
    );
}

#[test]
fn the_same_seed_ends_the_same() {
    let of = |seed| {
        let mut report = report(&["--topology", "ring", "--seed", seed]);
        report.as_object_mut().unwrap().remove("round_seconds");
        report
    };
    let first = of("3");
    assert_eq!(first, of("3"));
    assert_ne!(first["clients"], of("4")["clients"]);
}

#[test]
fn there_is_something_to_compare_with() {
    for method in ["pooled", "average"] {
        let report = report(&["--method", method]);
        assert_eq!(report["clients"].as_array().unwrap().len(), 3, "{method}");
        assert_eq!(accuracies(&report, "shared").len(), 1, "{method}");
    }
    let learning = [
        "--rounds", "20", "--batch", "4", "--lr", "0.01", "--skew", "inf",
    ];
    let of = |more: &[&str]| accuracies(&report(&[&learning[..], more].concat()), "shared")[1];
    let unbounded = of(&["--lie", "sure", "--trust", "probability"]);
    assert!(unbounded < of(&[]) - 0.1);
    // By rank a liar is believed about a third of the images.
    assert!(unbounded < of(&["--lie", "informed"]));
}

#[test]
fn wrong_arguments_say_what_to_do() {
    let cases: [(&[&str], &str); 9] = [
        (&["--kind", "full"], "clients share a frozen backbone"),
        (&["--topology", "/no/such/file"], "cannot read the topology"),
        (&["--public", "0"], "give a larger share"),
        (&["--skew=-1"], "expected 0 or more"),
        (
            &["--lie", "sure", "--method", "isolated"],
            "nobody is there to be lied to",
        ),
        (&["--lr", "1e30"], "learning diverged in round"),
        (&["--clients", "200", "--batch", "2"], "make no batch of 2"),
        (
            &[
                "--output",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ],
            "cannot make",
        ),
        (&["--client", "a=b", "--labels", "c"], "cannot be used with"),
    ];
    for (arguments, expected) in cases {
        let output = federate(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
}
