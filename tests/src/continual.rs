//! Patches with a continual state.

use graft_patches::metadata::PatchMetadata;
use graft_patches::records::Kinds;
use graft_patches::writer::{Int8PatchWriter, PatchWriter};
use graft_patches::{ContinualClass, ContinualState};
use graft_runtime::Backbone;

/// The state of `classes` classes, two a task.
pub fn state(classes: u16) -> ContinualState {
    ContinualState {
        counter: 7,
        classes: (0..classes)
            .map(|class| ContinualClass {
                task: class / 2,
                examples: 1 + u32::from(class),
            })
            .collect(),
    }
}

/// An f32 backbone's own head, with a continual state.
pub fn patch(backbone: &Backbone, state: ContinualState) -> Vec<u8> {
    PatchWriter::identity(backbone.image(), Kinds::HEAD)
        .continual_state(state)
        .finish(&PatchMetadata::default())
        .expect("metadata can be encoded")
}

/// [`patch`] for an int8 backbone.
pub fn int8_patch(backbone: &Backbone, state: ContinualState) -> Vec<u8> {
    let mut writer = Int8PatchWriter::identity(backbone.image(), Kinds::HEAD);
    writer.continual_state(state);
    let bytes = writer.finish(&PatchMetadata::default());
    bytes.expect("metadata can be encoded")
}
