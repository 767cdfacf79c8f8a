//! Patches in half precision: half of the bytes, the same network once widened.

use graft_patches::container::SectionKind;
use graft_patches::metadata::PatchMetadata;
use graft_patches::records::{Dtype, Kinds, What};
use graft_patches::writer::{self, PatchWriter, WriteError};
use graft_patches::{ImageError, Verify};
use graft_runtime::{Backbone, Error, Image, Patch, Session};
use graft_tests::{backbone, image, kept, kept_copy, random_patch, random_patch_as, section};
use proptest::prelude::*;

const SIDE: usize = 24;

fn half(backbone: &Backbone, seed: u64) -> Vec<u8> {
    random_patch_as(Dtype::F16, backbone, 7, seed)
}

/// The patch with its values as they come back from half precision, in single precision.
fn widened(patch: &Patch, backbone: &Backbone) -> Vec<u8> {
    let image = patch.image().expect("it has a file");
    let mut writer = PatchWriter::new(backbone.image(), image.kinds());
    for replacement in image.replacements() {
        let values = replacement.values.to_vec();
        let site = backbone.image().site(replacement.site);
        let outputs = replacement.outputs;
        match replacement.what {
            What::Epilogue => {
                let (scale, bias) = graft_patches::layout::unpack_epilogue(&values, outputs);
                writer.epilogue(replacement.site, &scale, &bias)
            }
            What::Weights => {
                let weights = graft_patches::layout::unpack_weights(
                    &values,
                    outputs,
                    site.depth,
                    site.is_depthwise,
                );
                writer.weights(replacement.site, &weights)
            }
        }
        .expect("values of its own site");
    }
    writer
        .finish(&PatchMetadata::default())
        .expect("metadata can be encoded")
}

fn scores(backbone: &Backbone, patch: &Patch) -> Vec<f32> {
    let mut session = Session::new(backbone).expect("kernels are there");
    let image = image(patch, 5);
    session
        .run(patch, Image::Values(&image))
        .expect("the image fits")
        .to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_half_patch_scores_as_its_rounded_values_do(seed in any::<u64>()) {
        let backbone = backbone(SIDE, 1);
        let patch = Patch::from_bytes(&half(&backbone, seed), &backbone).expect("it fits");
        let wide = Patch::from_bytes(&widened(&patch, &backbone), &backbone).expect("it fits");
        prop_assert_eq!(scores(&backbone, &patch), scores(&backbone, &wide));
        let (receipt, exact) = (patch.receipt(), wide.receipt());
        prop_assert_eq!((receipt.kinds, receipt.sites), (exact.kinds, exact.sites));
        prop_assert_eq!(exact.bytes_widened, 0);
        prop_assert!(receipt.bytes_widened > receipt.bytes_mapped);
        prop_assert!(receipt.bytes_mapped < exact.bytes_mapped * 2 / 3);
    }
}

#[test]
fn what_half_precision_cannot_hold_is_refused_with_its_site() {
    let backbone = backbone(SIDE, 1);
    for value in [65_505.0, -1e9, f32::INFINITY, f32::NAN] {
        let mut writer = PatchWriter::identity(backbone.image(), Kinds::BN);
        let mut scale = [1.0; 36];
        scale[20] = value;
        writer
            .dtype(Dtype::F16)
            .epilogue(1, &scale, &[65_504.0; 36])
            .expect("as many biases as scales");
        let error = writer.finish(&PatchMetadata::default());
        assert!(
            matches!(
                error,
                Err(WriteError::Half {
                    site: 1,
                    what: What::Epilogue,
                    ..
                })
            ),
            "{value}: {error:?}"
        );
    }
}

#[test]
fn the_caller_may_give_the_memory() {
    let backbone = backbone(SIDE, 1);
    let bytes = half(&backbone, 3);
    let file = kept_copy(&bytes);
    let open = |memory| Patch::from_static_in(file, &backbone, Verify::Full, memory);

    let Err(Error::Widen {
        found: 64,
        expected,
    }) = open(kept(64))
    else {
        panic!("64 bytes were enough");
    };
    let askew = open(&mut kept(1 << 16)[4..]);
    assert!(matches!(askew, Err(Error::Widen { found: 0, .. })));
    let patch = open(kept(expected)).expect("enough memory");
    let own = Patch::from_bytes(&bytes, &backbone).expect("it fits");
    assert_eq!(scores(&backbone, &patch), scores(&backbone, &own));
}

#[test]
fn a_patch_has_one_dtype() {
    let backbone = backbone(SIDE, 1);
    let bytes = random_patch(&backbone, 7, 3);
    let records = section(&bytes, SectionKind::Records).start;
    for (record, code) in [(1, 2), (0, 2), (0, 4), (0, 9)] {
        let mut mixed = bytes.clone();
        mixed[records + 16 * record + 3] = code;
        writer::seal(&mut mixed);
        let error = Patch::from_bytes(&mixed, &backbone);
        assert!(
            matches!(error, Err(Error::Image(ImageError::Dtype { .. }))),
            "{error:?}"
        );
    }
}

#[test]
#[should_panic(expected = "values for an int8 backbone")]
fn it_is_of_no_int8_dtype() {
    let backbone = backbone(SIDE, 1);
    PatchWriter::identity(backbone.image(), Kinds::BN).dtype(Dtype::I8);
}
