//! The commands against a simulated device.

#[path = "../../../firmware/app/tests/board/mod.rs"]
#[allow(dead_code)] // Its own host is not used here.
mod board;
#[path = "../../client/tests/device/models.rs"]
#[allow(dead_code)] // The commands push and run.
mod models;
#[allow(dead_code)] // Each test needs some of it.
mod shared;
#[path = "../../client/tests/device/simulator.rs"]
#[allow(dead_code)] // The line is good here.
mod simulator;

use models::Models;
use serde_json::Value;
use shared::{Folder, Outcome};
use simulator::Simulator;

/// A device, and a folder with its backbone, patches, another backbone and an image.
struct Fixture {
    folder: Folder,
    simulator: Simulator,
}

impl Fixture {
    fn new() -> Self {
        let models = Models::new();
        let folder = Folder::new();
        folder.write("b.backbone", models.backbone.image().bytes());
        folder.write("float.backbone", models.float.image().bytes());
        let patch = graft_tests::random_patch(&models.float, 7, 3);
        folder.write("float.patch", &patch);
        folder.write("p.patch", &models.patches[0]);
        folder.write("q.patch", &models.patches[1]);
        let pixel = |x: u32, y: u32| image::Rgb([x as u8 * 3, y as u8 * 5, 60]);
        image::RgbImage::from_fn(40, 30, pixel)
            .save(folder.path("image.png"))
            .expect("room on the disk");
        Self {
            folder,
            simulator: Simulator::start(&models.backbone),
        }
    }

    /// The arguments with the device's address in place of `PORT`.
    fn with_port(&self, arguments: &str) -> String {
        arguments.replace("PORT", &format!("--port {}", self.simulator.port))
    }

    fn run(&self, arguments: &str) -> Outcome {
        self.folder.run(&self.with_port(arguments))
    }

    fn json(&self, arguments: &str) -> Value {
        self.folder.json(&self.with_port(arguments))
    }

    fn refused(&self, arguments: &str, words: &str) {
        self.folder.refused(&self.with_port(arguments), words);
    }
}

#[test]
fn a_patch_is_pushed_activated_and_runs_as_on_the_host() {
    let f = Fixture::new();
    assert_eq!(f.json("device info PORT --wait 60")["serving"], "own");
    let pushed = f.json("push p.patch PORT --slot 1 --backbone b.backbone --activate");
    assert_eq!(
        (&pushed["slot"], &pushed["activated"]),
        (&1.into(), &true.into())
    );
    let info = f.json("device info PORT");
    assert_eq!(
        (&info["trial"], &info["serving"]),
        (&1.into(), &"slot 1".into())
    );
    assert_eq!(info["slots"][1]["has_answer"], true);
    assert_eq!(info["slots"][0]["state"], "empty");
    assert_eq!(f.json("device confirm PORT")["active"], "slot 1");

    let here = f.json("run -b b.backbone -p p.patch image.png --scores");
    let there = f.json("device run image.png PORT");
    for key in ["image", "top", "scores"] {
        assert_eq!(here["results"][0][key], there["results"][0][key], "{key}");
    }
    assert_eq!(there["results"][0]["patch"], "slot 1");
    let own = f.json("device run image.png PORT --own --top 2");
    let here = f.json("run -b b.backbone image.png --top 2 --scores");
    for key in ["top", "scores"] {
        assert_eq!(here["results"][0][key], own["results"][0][key], "{key}");
    }
    f.json("push q.patch PORT --slot 0");
    let other = f.json("device run image.png PORT --slot 0");
    assert_ne!(other["results"][0]["scores"], there["results"][0]["scores"]);
    assert_eq!(f.json("device activate PORT --slot 0")["trial"], 0);
    f.json("device restart PORT");
    let info = f.json("device info PORT");
    assert_eq!(info["serving"], "slot 1");
    assert!(
        info["ended"]
            .as_str()
            .is_some_and(|why| why.contains("reset"))
    );
    assert_eq!(f.json("device rollback PORT")["active"], "own");
}

#[test]
fn text_is_for_people() {
    let f = Fixture::new();
    let pushed = f.run("push p.patch PORT --activate").stdout;
    assert!(
        pushed.contains("slot 0: ") && pushed.contains("on trial"),
        "{pushed}"
    );
    let info = f.run("device info PORT").stdout;
    for words in ["test, firmware", "trial", "arena", "written"] {
        assert_eq!(info.contains(words), words != "written", "{words}: {info}");
    }
    let run = f.run("device run image.png PORT").stdout;
    assert!(run.starts_with("image"), "{run}");
    let profile = f
        .run("device profile image.png PORT --backbone b.backbone")
        .stdout;
    assert!(
        profile.contains("ticks/MAC") && profile.contains("pointwise"),
        "{profile}"
    );
}

#[test]
fn a_profile_names_layers_where_the_backbone_is_known() {
    let f = Fixture::new();
    let plain = f.json("device profile image.png PORT");
    let named = f.json("device profile image.png PORT --backbone b.backbone");
    let layers = |json: &Value| json["layers"].as_array().expect("an array").clone();
    assert_eq!(layers(&plain).len(), layers(&named).len());
    assert!(plain["layers"][0]["op"].is_null() && named["layers"][0]["op"].is_string());
    let bench = f.json("bench -b b.backbone --layers --runs 1");
    for (here, there) in layers(&bench).iter().zip(layers(&named)) {
        for key in ["name", "op", "macs"] {
            assert_eq!(here[key], there[key], "{key}");
        }
    }
}

#[test]
fn what_a_device_cannot_do_is_said_with_a_hint() {
    let f = Fixture::new();
    f.refused("push b.backbone PORT", "is a backbone");
    f.refused("push image.png PORT", "image.png");
    f.refused("push missing.patch PORT", "missing.patch");
    f.refused("push float.patch PORT", "the device has");
    f.refused(
        "push p.patch PORT --backbone float.backbone",
        "was made for backbone",
    );
    f.refused(
        "push float.patch PORT --backbone float.backbone",
        "no int8 backbone",
    );
    f.refused("push p.patch PORT --slot 9", "no such slot");
    f.refused("device activate PORT --slot 1", "slot 1 is empty");
    f.refused("device run image.png PORT --slot 1", "slot 1 is empty");
    f.refused("device run missing.png PORT", "missing.png");
    f.refused("device confirm PORT", "no patch is on trial");
    f.refused("device rollback PORT", "nothing to roll back to");
    f.refused(
        "device profile image.png PORT --backbone float.backbone",
        "the device has",
    );
    f.refused(
        "device info --port tcp:127.0.0.1:1",
        "cannot open tcp:127.0.0.1:1",
    );
    f.refused(
        "device info --port tcp:127.0.0.1:1 --wait 1",
        "cannot open tcp:127.0.0.1:1",
    );
    assert_eq!(f.run("device info --port tcp:nowhere").status, 2);
    f.run("push p.patch PORT --slot 0 --activate");
    f.refused("push q.patch PORT --slot 0", "slot 0 is in use");
}
