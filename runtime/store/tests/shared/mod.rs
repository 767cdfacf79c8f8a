//! The demo's backbone, and as many small patches for it as a test needs.

use std::sync::LazyLock;

use graft_patches::metadata::PatchMetadata;
use graft_patches::records::Kinds;
use graft_patches::writer::PatchWriter;
use graft_runtime::Backbone;
use tempfile::TempDir;

pub(crate) fn backbone() -> Backbone {
    static BACKBONE: LazyLock<Backbone> = LazyLock::new(open);
    BACKBONE.clone()
}

fn open() -> Backbone {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tools/assets/demo/demo.backbone"
    );
    Backbone::open(path).expect("the demo's backbone")
}

/// A temporary folder in memory where there is one: waiting for a disk is most of what a store does.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

/// A head of the task whose every score is `score`.
pub(crate) fn patch(backbone: &Backbone, task: &str, score: f32) -> Vec<u8> {
    head(backbone, task, 0.0, score)
}

/// A head of the task with this epilogue.
pub(crate) fn head(backbone: &Backbone, task: &str, scale: f32, bias: f32) -> Vec<u8> {
    let image = backbone.image();
    let head = image.head().expect("the demo's backbone has a head");
    let outputs = image.site(head).outputs;
    let scale = vec![scale; outputs];
    let bias = vec![bias; outputs];
    let metadata = PatchMetadata {
        name: task.into(),
        ..PatchMetadata::default()
    };
    PatchWriter::identity(image, Kinds::HEAD)
        .epilogue(head, &scale, &bias)
        .and_then(|writer| writer.finish(&metadata))
        .expect("a patch")
}
