//! `patchtool export` on good and bad input: what it writes, what others make of that, and that bad input writes
//! nothing.

use std::collections::BTreeMap;

use assert_cmd::Command;
use graft_patches::metadata::Resize;
use graft_patches::records::What;
use graft_patches::{BackboneImage, Digest};
use graft_runtime::Backbone;
use graft_runtime::gradient::{Norm, SiteParameters};
use patchtool::trained::{BackboneRef, ClassWeights, DataRef, Metrics, TrainKind, Trained};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Values of 1 for everything that the kind trains; 10 classes.
fn trained(backbone: &BackboneImage<'_>, kind: TrainKind) -> Trained {
    let mut sites = BTreeMap::new();
    for index in 0..backbone.site_count() {
        let site = backbone.site(index);
        let ones = |count: usize| vec![1.0; count];
        let values = SiteParameters {
            weights: kind
                .replaces(&site, What::Weights)
                .then(|| ones(site.outputs * site.depth)),
            norm: kind.replaces(&site, What::Epilogue).then(|| Norm::Affine {
                scale: ones(site.outputs).iter().map(|one| one * 1.5).collect(),
                bias: ones(site.outputs),
            }),
        };
        if values != SiteParameters::default() {
            sites.insert(index, values);
        }
    }
    Trained {
        kind,
        name: "flowers".into(),
        tool: "patchtool 0.1.0".into(),
        backbone: BackboneRef {
            name: "test".into(),
            id: backbone.id(),
        },
        from_layer: 0,
        input: backbone.input(),
        resize: Resize::default(),
        labels: (0..10).map(|class| format!("flower {class}")).collect(),
        seed: 42,
        class_weights: ClassWeights::None,
        data: DataRef {
            path: "/data/flowers".into(),
            digest: Digest::of(b"flowers"),
            images: 1000,
            test_images: 80,
            ..DataRef::default()
        },
        metrics: Metrics {
            epochs: 9,
            best_epoch: 7,
            test_accuracy: 0.875,
            trainable_params: 777,
            seconds: 12.5,
            ..Metrics::default()
        },
        sites,
    }
}

/// A folder with two backbones and a trained file of each kind for the first.
struct Fixture(TempDir);

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).expect("room on the disk");
        };
        let backbone = graft_tests::backbone(24, 1);
        write("b.backbone", backbone.image().bytes());
        write("other.backbone", &graft_tests::every_operator(24, 2));
        write("int8.backbone", &graft_tests::int8::backbone(&backbone));
        for kind in TrainKind::ALL {
            let trained = trained(&backbone.image(), kind);
            let bytes = trained.to_bytes(&backbone.image()).expect("it fits");
            write(&format!("{kind}.safetensors"), &bytes);
        }
        Self(folder)
    }

    fn run(&self, arguments: &str) -> std::process::Output {
        Command::cargo_bin("patchtool")
            .expect("cargo built it")
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

    /// Runs a command that must fail with status 2, these words and a hint, and write nothing.
    fn refused(&self, arguments: &str, words: &str) {
        let before = self.names();
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{arguments}: {errors}");
        assert!(
            errors.contains(words),
            "{arguments}: {words:?} is not in {errors}"
        );
        let last = errors.lines().last().unwrap_or_default();
        assert!(last.starts_with("hint: "), "{arguments}: {errors}");
        assert_eq!(self.names(), before, "{arguments}");
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("it is there");
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort_unstable();
        names
    }
}

#[test]
fn a_patch_says_how_it_was_trained() {
    let f = Fixture::new();
    let json = f.json("export bn+head.safetensors -b b.backbone -o p.patch --name roses");
    assert_eq!(json["kinds"], "bn+head");
    let inspected = f.json("inspect p.patch");
    assert_eq!(inspected["name"], "roses");
    assert_eq!(inspected["dtype"], "f32");
    let training = &inspected["training"];
    assert_eq!(training["kind"], "bn+head");
    assert_eq!(training["seed"], 42);
    assert_eq!(training["best_epoch"], 7);
    assert_eq!(training["test_accuracy"], 0.875);
    assert_eq!(training["data"], Digest::of(b"flowers").to_string());
    let text = String::from_utf8(f.run("inspect p.patch").stdout).expect("UTF-8");
    assert!(
        text.contains("87.50 % of 80 test images right after epoch 7"),
        "{text}"
    );
    assert!(!text.contains("/data"), "{text}");
}

#[test]
fn a_patch_may_run_at_another_resolution() {
    let f = Fixture::new();
    let small =
        f.json("export bn+head.safetensors -b b.backbone -o small.patch --resolution 20x16");
    assert_eq!(small["kinds"], "bn+head");
    assert_eq!(
        f.json("inspect small.patch")["input"]["shape"],
        json!([20, 16, 3])
    );
    let text = String::from_utf8(f.run("inspect small.patch").stdout).expect("UTF-8");
    assert!(text.contains("not tested"), "{text}");
    f.json("export bn+head.safetensors -b b.backbone --onnx small.onnx --resolution 20x16");
    f.json("export --from-onnx small.onnx -b b.backbone -o again.patch");
    assert_eq!(f.run("diff small.patch again.patch").status.code(), Some(0));
    f.refused(
        "export bn+head.safetensors -b b.backbone -o large.patch --resolution 4096",
        "4096",
    );
}

#[test]
fn half_precision_halves_the_payload() {
    let f = Fixture::new();
    let wide = f.json("export bn+head.safetensors -b b.backbone -o p.patch");
    let half = f.json("export bn+head.safetensors -b b.backbone -o h.patch --f16");
    let payload = |json: &Value| json["payload_bytes"].as_u64().expect("a number");
    assert_eq!(payload(&wide), 2 * payload(&half));
    assert_eq!(f.json("inspect h.patch")["dtype"], "f16");
    // 1 and 1.5 are halves too.
    assert_eq!(f.run("diff p.patch h.patch").status.code(), Some(0));
}

#[test]
fn a_model_gives_the_same_patch() {
    let f = Fixture::new();
    for kind in ["head", "bn+head", "dw+head", "bn+dw+head"] {
        f.json(&format!(
            "export {kind}.safetensors -b b.backbone -o p.patch --onnx t.onnx --force"
        ));
        f.json("export --from-onnx t.onnx -b b.backbone -o q.patch --force");
        let diff = f.run("diff p.patch q.patch");
        assert_eq!(
            diff.status.code(),
            Some(0),
            "{kind}: {}",
            String::from_utf8_lossy(&diff.stdout)
        );
    }
    let weights = f
        .names()
        .into_iter()
        .filter(|name| name.ends_with(".weights"));
    assert_eq!(weights.count(), 1, "all kinds share one file");
    f.json("export full.safetensors -b b.backbone --onnx full.onnx");
    f.json("import full.onnx -o full.backbone");
}

#[test]
fn an_int8_backbone_is_a_model_and_back() {
    let f = Fixture::new();
    f.json("export -b int8.backbone --onnx int8.onnx");
    f.json("import int8.onnx -o again.backbone");
    let dtype = f.json("inspect again.backbone")["dtype"].clone();
    assert_eq!(dtype, f.json("inspect int8.backbone")["dtype"]);
    f.refused("export -b int8.backbone --onnx int8.onnx", "already exists");
    f.refused("export -b b.backbone --onnx x.onnx", "expected int8");
    f.refused(
        "export -b int8.backbone --onnx x.onnx -o x.patch",
        "no patch",
    );
    f.refused(
        "export --from-onnx int8.onnx -b b.backbone -o x.patch",
        "quantised",
    );
}

#[test]
fn a_patch_is_signed_as_it_is_written() {
    let f = Fixture::new();
    f.json("keygen -o fleet.key");
    let written =
        f.json("export bn+head.safetensors -b b.backbone -o p.patch --sign fleet.key --counter 3");
    let verified = f.json("verify p.patch --key fleet.pub");
    assert_eq!(verified["counter"], 3);
    assert_eq!(verified["signed_by"], written["signed_by"]);
    f.refused(
        "export bn+head.safetensors -b b.backbone -o q.patch --sign fleet.pub",
        "is no secret key",
    );
    assert!(!f.0.path().join("q.patch").exists());
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let f = Fixture::new();
    f.refused(
        "export full.safetensors -b b.backbone -o p.patch",
        "baseline only",
    );
    f.refused(
        "export random+head.safetensors -b b.backbone -o p.patch",
        "baseline only",
    );
    let id = graft_tests::backbone(24, 1).id().to_string();
    f.refused("export head.safetensors -b other.backbone -o p.patch", &id);
    f.refused(
        "export b.backbone -b b.backbone -o p.patch",
        "not a whole safetensors file",
    );
    f.refused(
        "export missing.safetensors -b b.backbone -o p.patch",
        "missing.safetensors",
    );
    f.refused(
        "export head.safetensors -b b.backbone -o head.safetensors --force",
        "is an input of this command",
    );
    f.json("export head.safetensors -b b.backbone -o p.patch --onnx t.onnx");
    f.refused(
        "export head.safetensors -b b.backbone -o p.patch",
        "already exists",
    );
    f.refused(
        "export --from-onnx t.onnx -b other.backbone -o q.patch",
        "differ from the backbone's",
    );
}

#[test]
fn an_exported_model_says_how_its_input_is_made() {
    let own = Fixture::new();
    own.json("export full.safetensors --backbone b.backbone --onnx full.onnx");
    let imported = own.run("import full.onnx -o full.backbone");
    let errors = String::from_utf8_lossy(&imported.stderr);
    assert!(
        imported.status.success() && !errors.contains("--mean"),
        "{errors}"
    );
    let open = |name: &str| Backbone::open(own.0.path().join(name)).expect("a backbone");
    let (found, from) = (open("full.backbone"), open("b.backbone"));
    let [input, of] = [&found, &from].map(|backbone| backbone.image().input());
    assert_eq!(input.shape, of.shape);
    assert_eq!(
        [&input.mean[..3], &input.std[..3]],
        [&of.mean[..3], &of.std[..3]]
    );
    let metadata = found.image().metadata().expect("it has metadata");
    assert_eq!(metadata.resize, Resize::default());
    assert_eq!(metadata.labels[9], "flower 9");
    // What the user says counts more.
    own.json("import full.onnx -o resized.backbone --mean 3 --std 7 --resize stretch");
    let found = open("resized.backbone");
    assert_eq!(found.image().input().mean[..3], [3.0; 3]);
    assert_eq!(found.image().input().std[..3], [7.0; 3]);
    let resize = found.image().metadata().expect("it has metadata").resize;
    assert_eq!(resize.to_string(), "stretch:bilinear");
}

#[test]
fn a_trained_file_is_inspected_and_named_where_a_patch_is_expected() {
    let f = Fixture::new();
    let json = f.json("inspect bn+head.safetensors");
    assert_eq!(
        (&json["kind"], &json["kinds"]),
        (&"trained".into(), &"bn+head".into())
    );
    let text = f.run("inspect bn+head.safetensors").stdout;
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(
        text.contains("kind bn+head") && text.contains("patchtool export"),
        "{text}"
    );
    for line in [
        "bench -b b.backbone -p head.safetensors",
        "diff head.safetensors b.backbone",
        "push head.safetensors --port tcp:127.0.0.1:1",
        "extract -b head.safetensors -o own.patch",
    ] {
        f.refused(line, "a file that `train` wrote");
        f.refused(line, "hint: make a patch of it first: patchtool export");
    }
}
