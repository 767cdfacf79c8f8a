//! Patches of int8 backbones with tables in half precision: half of their bytes, nearly the same network once widened, and
//! the same on all kernels.

use graft_patches::container::SectionKind;
use graft_patches::metadata::PatchMetadata;
use graft_patches::records::{Dtype, Kinds, What};
use graft_patches::writer::{self, Int8PatchWriter, WriteError};
use graft_patches::{ImageError, Verify};
use graft_runtime::{Backbone, Error, Image, LayerOutput, Patch, Session, kernel_names};
use graft_tests::{backbone, image, int8, kept, kept_copy, section};
use proptest::prelude::*;

const SIDE: usize = 24;

fn twins() -> [Backbone; 2] {
    let float = backbone(SIDE, 1);
    let int8 = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    [float, int8]
}

/// The same values with tables in full and in half precision.
fn patches([float, int8]: &[Backbone; 2], seed: u64) -> [Vec<u8>; 2] {
    [Dtype::I8, Dtype::I8Half].map(|dtype| int8::random_patch_as(dtype, float, int8, 7, seed))
}

/// The bytes of every layer, one after another.
fn layers(backbone: &Backbone, patch: &Patch, name: &str) -> Vec<i8> {
    let session = Session::new(backbone).expect("kernels are there");
    let mut session = session.unfused().expect("memory is there");
    session.use_kernels(name).expect("they are there");
    let mut found = Vec::new();
    let values = image(patch, 7);
    let run = session.run_observed(patch, Image::Values(&values), |_, output| match output {
        LayerOutput::I8(bytes, _) => found.extend_from_slice(bytes),
        LayerOutput::F32(_) => panic!("an f32 layer in an int8 backbone"),
    });
    run.expect("the image fits");
    found
}

fn scores(backbone: &Backbone, patch: &Patch) -> Vec<f32> {
    let mut session = Session::new(backbone).expect("kernels are there");
    let values = image(patch, 7);
    let scores = session.run(patch, Image::Values(&values));
    scores.expect("the image fits").to_vec()
}

/// The epilogues of a patch, in bytes as stored.
fn epilogue_bytes(patch: &Patch) -> usize {
    let image = patch.image().expect("it has a file");
    let replacements = image.replacements();
    replacements
        .filter(|replacement| replacement.what == What::Epilogue)
        .map(|replacement| replacement.values.bytes().len())
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_half_patch_scores_nearly_as_the_full_one(seed in any::<u64>()) {
        let twins = twins();
        let [float, int8] = &twins;
        let fits = int8::try_random_patch_as(Dtype::I8Half, float, int8, 7, seed).is_ok();
        prop_assume!(fits);
        let [full, half] = patches(&twins, seed)
            .map(|bytes| Patch::from_bytes(&bytes, int8).expect("it fits"));
        let [expected, found] = [&full, &half].map(|patch| scores(int8, patch));
        let step = int8.image().layer_count();
        let step = full.image().expect("it has a file").scales()[step].get().outer.scale;
        for (found, expected) in found.iter().zip(&expected) {
            // Where a layer rounds the other way, the layers after it add to the difference.
            prop_assert!((found - expected).abs() < 4.5 * step, "{found}, {expected}, step {step}");
        }
        prop_assert_eq!(epilogue_bytes(&full), 2 * epilogue_bytes(&half));
        // Of the patch with weights of 8 bits, only the tables are widened.
        let (receipt, exact) = (half.receipt(), full.receipt());
        prop_assert_eq!(receipt.bytes_widened, epilogue_bytes(&full));
        prop_assert_eq!(exact.bytes_widened, 0);
        prop_assert_eq!((receipt.kinds, receipt.sites), (exact.kinds, exact.sites));
    }
}

#[test]
fn every_kernel_computes_the_same_bytes() {
    let twins = twins();
    let [_, int8] = &twins;
    let [_, half] = patches(&twins, 5);
    let patch = Patch::from_bytes(&half, int8).expect("it fits");
    let expected = layers(int8, &patch, "reference");
    for name in kernel_names(Dtype::I8) {
        assert_eq!(layers(int8, &patch, name), expected, "{name}");
    }
}

#[test]
fn of_all_kinds_a_patch_of_the_backbones_own_values_changes_little() {
    let [_, int8] = twins();
    let expected = layers(&int8, &int8.identity(), "reference");
    for kinds in ["head", "bn", "dw", "bn+dw+head", "generated"] {
        let kinds: Kinds = kinds.parse().expect("known kinds");
        let mut writer = Int8PatchWriter::identity(int8.image(), kinds);
        writer.dtype(Dtype::I8Half);
        let bytes = writer.finish(&PatchMetadata::default()).expect("it fits");
        let patch = Patch::from_bytes(&bytes, &int8).expect("it fits");
        let found = layers(&int8, &patch, "reference");
        let differ = found.iter().zip(&expected).filter(|(l, r)| l != r);
        assert!(differ.count() * 20 < expected.len(), "{kinds}");
    }
}

#[test]
fn swapping_leaves_nothing_behind() {
    let twins = twins();
    let [_, int8] = &twins;
    let [full, half] = patches(&twins, 5);
    let patches = [
        int8.identity(),
        Patch::from_bytes(&half, int8).expect("it fits"),
        Patch::from_bytes(&full, int8).expect("it fits"),
    ];
    let expected = patches.each_ref().map(|patch| scores(int8, patch));
    let mut session = Session::new(int8).expect("kernels are there");
    for turn in 0..9 {
        let patch = &patches[turn % 3];
        let values = image(patch, 7);
        let found = session.run(patch, Image::Values(&values)).expect("it runs");
        assert_eq!(found, expected[turn % 3]);
    }
}

#[test]
fn what_half_precision_cannot_hold_is_refused_with_its_site() {
    let [_, int8] = twins();
    // A multiplier beyond 511, and a bias beyond 65,504 steps of the output.
    for (scale, bias) in [(1e8, 0.0), (1.0, 1e7)] {
        let mut writer = Int8PatchWriter::identity(int8.image(), Kinds::BN);
        writer
            .dtype(Dtype::I8Half)
            .epilogue(1, &[scale; 36], &[bias; 36])
            .expect("it is a site");
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
            "{scale}, {bias}: {error:?}"
        );
    }
}

#[test]
fn the_caller_may_give_the_memory() {
    let twins = twins();
    let [_, int8] = &twins;
    let [_, bytes] = patches(&twins, 3);
    let file = kept_copy(&bytes);
    let open = |memory| Patch::from_static_in(file, int8, Verify::Full, memory);

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
    assert_eq!(patch.receipt().bytes_widened, expected);
    let own = Patch::from_bytes(&bytes, int8).expect("it fits");
    assert_eq!(
        layers(int8, &patch, "reference"),
        layers(int8, &own, "reference")
    );
}

/// A patch with another value of this byte of its records.
fn changed(bytes: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let records = section(&bytes, SectionKind::Records).start;
    bytes[records + at] = value;
    writer::seal(&mut bytes);
    bytes
}

#[test]
fn wrong_sizes_are_refused() {
    let twins = twins();
    let [_, int8] = &twins;
    let [_, bytes] = patches(&twins, 3);
    // The first epilogue has one panel of 64 bytes: half a panel, two panels in the place of one, none.
    for (length, is_whole) in [(32, false), (96, false), (128, true), (0, true)] {
        let error = Patch::from_bytes(&changed(&bytes, 12, length), int8);
        let error = error.expect_err("not the length of the table");
        if let Error::Image(ImageError::SiteLength {
            expected: 64,
            found,
            ..
        }) = error
        {
            assert_eq!((true, found), (is_whole, usize::from(length)));
        } else {
            let is_record = matches!(error, Error::Image(ImageError::Record { .. }));
            assert!(is_record, "{length}: {error}");
        }
    }
}

#[test]
fn it_is_for_int8_backbones_only() {
    let twins = twins();
    let [float, int8] = &twins;
    let [full, half] = patches(&twins, 3);
    // The second record is of another dtype than the first.
    for (bytes, code) in [(&full, 4), (&half, 3)] {
        let error = Patch::from_bytes(&changed(bytes, 16 + 3, code), int8);
        assert!(
            matches!(error, Err(Error::Image(ImageError::Dtype { .. }))),
            "{error:?}"
        );
    }
    // Made out to be for the f32 backbone.
    let mut bytes = half;
    bytes[64..96].copy_from_slice(&float.id().0);
    writer::seal(&mut bytes);
    let error = Patch::from_bytes(&bytes, float).expect_err("the backbone is f32");
    assert!(
        matches!(
            error,
            Error::Image(ImageError::OtherDtype {
                found: Dtype::I8Half,
                expected: Dtype::F32
            })
        ),
        "{error}"
    );
}

#[test]
#[should_panic(expected = "values for an f32 backbone")]
fn it_is_of_no_float_dtype() {
    let [_, int8] = twins();
    Int8PatchWriter::identity(int8.image(), Kinds::BN).dtype(Dtype::F16);
}
