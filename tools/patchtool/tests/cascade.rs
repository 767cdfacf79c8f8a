//! `patchtool eval --cascade` and `calibrate`: growing resolutions until one is sure, and how sure that is.

use std::path::Path;

use shared::Folder;

#[allow(dead_code)] // Each test needs some of it.
mod shared;

/// The demo's backbone, hand signs, and patches of a few of them at two resolutions.
fn fixture() -> Folder {
    let folder = Folder::new();
    let demo = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo"));
    for name in [
        "demo.backbone",
        "fashion.patch",
        "sign-digits-train.tar",
        "sign-digits-test.tar",
    ] {
        folder.write(
            name,
            &std::fs::read(demo.join(name)).expect("the demo has it"),
        );
    }
    for side in [24, 48] {
        folder.json(&format!(
            "train --backbone demo.backbone --data sign-digits-train.tar --limit 200 --validation 0.25 --kind head \
             --epochs 3 --resolution {side} -o {side}.safetensors"
        ));
        folder.json(&format!(
            "export {side}.safetensors --backbone demo.backbone -o {side}.patch"
        ));
    }
    folder
}

const EVAL: &str = "eval --backbone demo.backbone --data sign-digits-test.tar";

#[test]
fn a_cascade_stops_where_it_is_sure() {
    let folder = fixture();
    let at = |confidence: f64| {
        folder.json(&format!(
            "{EVAL} --cascade 24.patch,48.patch --confidence {confidence} --curve {confidence}.png"
        ))
    };
    let [never, some, always] = [0.0, 0.5, 1.0].map(at);
    let alone = [24, 48].map(|side| folder.json(&format!("{EVAL} --patch {side}.patch")));
    assert_eq!(never["accuracy"], alone[0]["accuracy"]);
    assert_eq!(always["accuracy"], alone[1]["accuracy"]);
    let macs = |report: &serde_json::Value| report["macs"].as_f64().expect("a number");
    assert!(macs(&never) < macs(&some) && macs(&some) < macs(&always));
    let stages = some["stages"].as_array().expect("a list");
    let ends: f64 = stages
        .iter()
        .filter_map(|stage| stage["ends_here"].as_f64())
        .sum();
    assert!((ends - 1.0).abs() < 1e-9 && stages.len() == 2, "{some}");
    for (stage, side) in stages.iter().zip([24, 48]) {
        // Training has measured it, and it travels in the patch.
        let inspected = folder.json(&format!("inspect {side}.patch"));
        assert_eq!(inspected["temperature"], stage["temperature"]);
        assert!(
            stage["temperature"].as_f64().is_some_and(|t| t != 1.0),
            "{stage}"
        );
    }
    assert!(folder.read("0.5.png").starts_with(b"\x89PNG"));
    folder.refused(
        &format!("{EVAL} --cascade 48.patch,24.patch"),
        "more pixels",
    );
    folder.refused(
        &format!("{EVAL} --cascade 24.patch,fashion.patch"),
        "other classes",
    );
}

#[test]
fn calibration_changes_probabilities_and_nothing_else() {
    let folder = fixture();
    let calibrated = folder.json(
        "calibrate 48.patch --backbone demo.backbone --validation sign-digits-test.tar -o warm.patch",
    );
    let loss = |when: &str| calibrated[when]["loss"].as_f64().expect("a number");
    assert!(loss("after") <= loss("before"), "{calibrated}");
    let [plain, warm] =
        ["48.patch", "warm.patch"].map(|patch| folder.json(&format!("{EVAL} --patch {patch}")));
    assert_eq!(plain["accuracy"], warm["accuracy"]);
    assert_eq!(plain["confusion"], warm["confusion"]);
    let inspected = folder.json("inspect warm.patch");
    assert_eq!(inspected["temperature"], calibrated["temperature"]);
    // Again, from what it has now: the scores are the same, so is the temperature.
    let again = folder.json(
        "calibrate warm.patch --backbone demo.backbone --validation sign-digits-test.tar -o again.patch",
    );
    assert_eq!(again["temperature"], calibrated["temperature"]);
    assert_eq!(folder.read("again.patch"), folder.read("warm.patch"));
}
