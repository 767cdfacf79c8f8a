//! `patchtool quantize` and int8 patches, on the demo's backbone and real images: how much they lose, and what is refused.

#[allow(dead_code)] // Each test needs some of it.
mod shared;

use std::ops::Deref;
use std::path::Path;

use serde_json::Value;
use shared::Folder;

/// A folder with the demo's backbone, its int8 twin and its images.
struct Fixture(Folder);

impl Fixture {
    fn new() -> Self {
        let folder = Folder::new();
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo");
        for name in [
            "demo.backbone",
            "sign-digits-train.tar",
            "sign-digits-test.tar",
        ] {
            std::fs::copy(assets.join(name), folder.path(name)).expect("an asset");
        }
        let fixture = Self(folder);
        let arguments = "quantize demo.backbone --calibrate sign-digits-train.tar -o int8.backbone";
        fixture.json(arguments);
        fixture
    }

    /// As [`Folder::refused`], leaving no output.
    fn refused(&self, arguments: &str, words: &str) {
        self.0.refused(&format!("{arguments} -o new"), words);
        assert!(!self.path("new").exists(), "{arguments}");
    }

    fn accuracy(&self, task: &str) -> f64 {
        let report = self.json(&format!("eval {task} --data sign-digits-test.tar"));
        report["accuracy"].as_f64().expect("a share")
    }
}

impl Deref for Fixture {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

#[test]
fn a_trained_patch_keeps_its_accuracy_in_int8() {
    let fixture = Fixture::new();
    fixture.json(
        "train --backbone demo.backbone --data sign-digits-train.tar --test sign-digits-test.tar \
         --kind bn+head --epochs 8 --lr 5e-3 --seed 3 --threads 1 -o signs.safetensors",
    );
    fixture.json("export signs.safetensors --backbone demo.backbone -o signs.patch");
    let exported = fixture.json(
        "export signs.safetensors --backbone int8.backbone --calibrate sign-digits-train.tar -o signs8.patch",
    );
    let float = fixture.accuracy("--backbone demo.backbone --patch signs.patch");
    let int8 = fixture.accuracy("--backbone int8.backbone --patch signs8.patch");
    assert!(float > 0.6, "the patch has learnt: {float}");
    // Two of a hundred images.
    assert!(
        (float - int8).abs() <= 0.02,
        "{float} in f32, {int8} in int8"
    );
    assert_eq!(exported["dtype"], "int8");
    let noise = exported["snr_db"].as_array().expect("one for each layer");
    assert!(
        noise.iter().all(|ratio| ratio.as_f64() > Some(12.0)),
        "{noise:?}"
    );

    // A patch in f32 has all that the trained file has.
    fixture.json(
        "export signs.patch --backbone int8.backbone --calibrate sign-digits-train.tar -o again8.patch",
    );
    assert!(fixture.read("signs8.patch") == fixture.read("again8.patch"));

    let inspected = fixture.json("inspect signs8.patch");
    assert_eq!(inspected["dtype"], "int8");
    assert_eq!(inspected["calibration"]["images"], 200);
    let report =
        fixture.json("bench --backbone int8.backbone --patch signs8.patch --runs 2 --layers");
    assert_eq!(report["layers"][0]["kernel"], report["kernels"]);
}

#[test]
fn a_backbone_in_int8_is_a_quarter_and_says_which_layer_hurts() {
    let fixture = Fixture::new();
    let report = fixture.json(
        "quantize demo.backbone --calibrate sign-digits-train.tar --method mse --calibration-images 20 -o mse.backbone",
    );
    assert_eq!(
        (&report["images"], &report["method"]),
        (&20.into(), &"mse".into())
    );
    let float = fixture.json("inspect demo.backbone");
    let int8 = fixture.json("inspect mse.backbone");
    assert_eq!(
        (&float["dtype"], &int8["dtype"]),
        (&"f32".into(), &"int8".into())
    );
    assert_eq!(int8["quantized"]["from"], float["id"]);
    assert_eq!(
        report["layers"].as_array().map(Vec::len),
        int8["layers"].as_u64().map(|n| n as usize)
    );
    for layer in report["layers"].as_array().expect("layers") {
        assert!(layer["snr_db"].as_f64() > Some(12.0), "{layer}");
    }
    let size = |report: &Value, key: &str| report[key].as_f64().expect("a size");
    assert!(size(&int8, "bytes") < 0.35 * size(&float, "bytes"));
    assert!(size(&int8, "activation_bytes") * 4.0 <= size(&float, "activation_bytes") + 256.0);
}

#[test]
fn means_that_stay_beat_plain_rounding() {
    let fixture = Fixture::new();
    let last = |flags: &str| {
        let report = fixture.json(&format!(
            "quantize demo.backbone --calibrate sign-digits-train.tar {flags} --force -o again.backbone"
        ));
        let layers = report["layers"].as_array().cloned().expect("layers");
        layers
            .last()
            .and_then(|layer| layer["snr_db"].as_f64())
            .expect("a ratio")
    };
    let (plain, balanced) = (last("--plain-rounding"), last(""));
    assert!(balanced > plain + 1.0, "{plain} dB, {balanced} dB");
}

#[test]
fn the_same_images_give_the_same_bytes() {
    let fixture = Fixture::new();
    fixture.json("quantize demo.backbone --calibrate sign-digits-train.tar -o again.backbone");
    assert!(fixture.read("again.backbone") == fixture.read("int8.backbone"));
}

#[test]
fn own_values_are_no_difference() {
    let fixture = Fixture::new();
    fixture.json("extract --backbone int8.backbone --kind bn+head -o own.patch");
    let report = fixture.json("diff int8.backbone own.patch");
    assert_eq!(report["differing"], Value::Array(Vec::new()));
    assert_eq!(report["other"], Value::Array(Vec::new()));
}

#[test]
fn what_cannot_be_quantised_is_refused() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.path("empty")).expect("room on the disk");
    let calibrate = "--calibrate sign-digits-train.tar";
    fixture.refused(
        &format!("quantize int8.backbone {calibrate}"),
        "the backbone is int8, expected f32",
    );
    fixture.refused(
        &format!("quantize sign-digits-test.tar {calibrate}"),
        "not a Graft image",
    );
    fixture.refused("quantize demo.backbone --calibrate empty", "empty");
    fixture.refused("quantize demo.backbone --calibrate nowhere", "nowhere");
    let train = "train --data sign-digits-train.tar --epochs 1 --kind head";
    fixture.refused(
        &format!("{train} --backbone int8.backbone"),
        "the backbone is int8",
    );
    let output = fixture.run(&format!(
        "quantize demo.backbone {calibrate} -o int8.backbone"
    ));
    assert_eq!(output.status, 2, "it exists");
}

#[test]
fn exports_for_int8_say_what_they_need() {
    let fixture = Fixture::new();
    fixture.json(
        "train --backbone demo.backbone --data sign-digits-train.tar --epochs 1 --kind head -o t.safetensors",
    );
    fixture.refused(
        "export t.safetensors --backbone int8.backbone",
        "--calibrate",
    );
    fixture.refused(
        "export t.safetensors --backbone demo.backbone --calibrate sign-digits-train.tar",
        "this one is f32",
    );
    let output = fixture.run("export t.safetensors --backbone demo.backbone --method mse -o new");
    let errors = output.stderr;
    assert!(errors.contains("--calibrate"), "{errors}");
    std::fs::copy(
        fixture.path("sign-digits-test.tar"),
        fixture.path("own.tar"),
    )
    .expect("room on the disk");
    let output = fixture.run(
        "export t.safetensors --backbone int8.backbone --calibrate own.tar -o own.tar --force",
    );
    assert_eq!(output.status, 2, "the images are not overwritten");
    let other = "quantize demo.backbone --calibrate sign-digits-test.tar --plain-rounding -o other.backbone";
    fixture.json(other);
    let export = "export t.safetensors --calibrate sign-digits-train.tar -o";
    let report = fixture.json(&format!("{export} head.patch --backbone int8.backbone"));
    assert_eq!(
        report["sites"], 1,
        "a new head leaves all other tables as they are"
    );
    let output = fixture
        .run("eval --backbone other.backbone --patch head.patch --data sign-digits-test.tar");
    let errors = output.stderr;
    assert!(
        errors.contains("the patch was made for backbone"),
        "{errors}"
    );
}
