//! What could be opened must run.

use graft_patches::ImageError;
use graft_patches::geometry::Shape;
use graft_patches::metadata::PatchMetadata;
use graft_patches::records::{Dtype, Input, Kinds};
use graft_patches::writer::{Int8PatchWriter, PatchWriter, WriteError};
use graft_runtime::{Backbone, Error, Image, Patch, Session};

use crate::image;

/// Runs whatever could be opened, unless hostile records make it so large that it would take long.
pub fn run_if_small(backbone: &Backbone, patch: &Patch) {
    if !is_small(backbone) {
        return;
    }
    let mut session = Session::new(backbone).expect("kernels are there");
    session
        .run(patch, Image::Values(&image(patch, 1)))
        .expect("what was opened runs");
}

/// [`run_if_small`] of a backbone as it is and with patches of its own: they bind and run, too.
pub fn run_with_own_patches_if_small(backbone: &Backbone) {
    run_if_small(backbone, &backbone.identity());
    if !is_small(backbone) {
        return;
    }
    for bytes in own_patches(backbone)
        .into_iter()
        .chain(widest_head(backbone))
    {
        match Patch::from_bytes(&bytes, backbone) {
            Ok(patch) => run_if_small(backbone, &patch),
            // Not every backbone has sites of all kinds, or can reduce any input.
            Err(Error::Image(
                ImageError::NoSuchKind { .. }
                | ImageError::EmptyPatch
                | ImageError::TooSmall { .. },
            )) => {}
            Err(error) => panic!("a patch of its own does not bind: {error}"),
        }
    }
}

fn is_small(backbone: &Backbone) -> bool {
    let view = backbone.image();
    let work = |index| {
        let layer = view.layer(index);
        let window: usize = layer.window.kernel.iter().product();
        let depth = layer.site.map_or(window, |site| view.site(site).depth);
        view.tensor(index + 1).shape.len() as u64 * depth as u64
    };
    let all: u64 = (0..view.layer_count()).map(work).sum();
    all <= 20_000_000 && view.arena_bytes() <= 50_000_000
}

/// Its own values as patches, at the planned resolution and at one pixel.
fn own_patches(backbone: &Backbone) -> Vec<Vec<u8>> {
    let image = backbone.image();
    let own = image.input();
    let one_pixel = Input {
        shape: Shape::new(1, 1, own.shape.channels),
        ..own
    };
    let written = |kinds, input| {
        let metadata = PatchMetadata::default();
        match image.dtype() {
            Dtype::F32 | Dtype::F16 => PatchWriter::identity(image, kinds)
                .input(input)
                .finish(&metadata),
            Dtype::I8 | Dtype::I8Half => {
                let mut writer = Int8PatchWriter::identity(image, kinds);
                writer.input(input);
                writer.finish(&metadata)
            }
        }
    };
    [
        (Kinds::BN, own),
        (Kinds::HEAD, own),
        (Kinds::DW, own),
        (Kinds::BN, one_pixel),
    ]
    .into_iter()
    // The writer of int8 refuses values that it cannot make a table of.
    .filter_map(|(kinds, input)| written(kinds, input).ok())
    .collect()
}

/// A head of as many classes as the plan has room for.
fn widest_head(backbone: &Backbone) -> Option<Vec<u8>> {
    const MAX_WEIGHTS: usize = 1 << 20;
    let image = backbone.image();
    let head = image.head()?;
    let (classes, depth) = (image.max_classes(), image.site(head).depth);
    if classes * depth > MAX_WEIGHTS {
        return None;
    }
    let (ones, zeros) = (vec![1.0; classes], vec![0.0; classes]);
    let written = || -> Result<Vec<u8>, WriteError> {
        match image.dtype() {
            Dtype::F32 | Dtype::F16 => {
                let mut writer = PatchWriter::new(image, Kinds::HEAD);
                writer.epilogue(head, &ones, &zeros)?;
                writer.weights(head, &vec![0.0; classes * depth])?;
                writer.finish(&PatchMetadata::default())
            }
            Dtype::I8 | Dtype::I8Half => {
                let mut writer = Int8PatchWriter::new(image, Kinds::HEAD);
                writer.epilogue(head, &ones, &zeros)?;
                writer.weights(head, vec![0; classes * depth], ones)?;
                writer.finish(&PatchMetadata::default())
            }
        }
    };
    written().ok()
}
