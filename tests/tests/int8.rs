//! Int8 backbones and their patches: close to f32, the same bytes from all kernels, and what is refused.

use graft_patches::PatchImage;
use graft_patches::container::SectionKind;
use graft_patches::records::{Dtype, Kinds, What};
use graft_patches::writer::{self, Int8PatchWriter, PatchWriter};
use graft_runtime::{
    Backbone, Error, Image, ImageError, LayerOutput, Patch, Session, Verify, kernel_names,
};
use graft_tests::{Random, backbone, identity_patch, image, int8, patch, random_patch, section};

const SIDE: usize = 32;

fn twins() -> [Backbone; 2] {
    let float = backbone(SIDE, 1);
    let int8 = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    [float, int8]
}

fn scores(backbone: &Backbone, patch: &Patch, values: &[f32]) -> Vec<f32> {
    let mut session = Session::new(backbone).expect("kernels are there");
    session
        .run(patch, Image::Values(values))
        .expect("the image fits")
        .to_vec()
}

/// The bytes of every layer, by kernels of this name on `threads` threads.
fn layers(backbone: &Backbone, patch: &Patch, name: &str, threads: usize) -> Vec<Vec<i8>> {
    let session = Session::with_threads(backbone, threads).expect("threads start");
    let mut session = session.unfused().expect("memory is there");
    session.use_kernels(name).expect("they are there");
    let mut outputs = Vec::new();
    let values = image(patch, 7);
    let run = session.run_observed(patch, Image::Values(&values), |_, output| match output {
        LayerOutput::I8(bytes, _) => outputs.push(bytes.to_vec()),
        LayerOutput::F32(_) => panic!("an f32 layer in an int8 backbone"),
    });
    run.expect("the image fits");
    outputs
}

#[test]
fn int8_is_close_to_f32_with_and_without_a_patch() {
    let [float, int8] = twins();
    let [float_patch, int8_patch] = int8::random_patches(&float, &int8, 37, 5);
    let pairs = [
        (float.identity(), int8.identity()),
        (
            Patch::from_bytes(&float_patch, &float).expect("it fits"),
            Patch::from_bytes(&int8_patch, &int8).expect("it fits"),
        ),
    ];
    for (float_patch, int8_patch) in &pairs {
        let values = image(float_patch, 7);
        let expected = scores(&float, float_patch, &values);
        let found = scores(&int8, int8_patch, &values);
        let signal: f32 = expected.iter().map(|x| x * x).sum();
        let noise: f32 = expected
            .iter()
            .zip(&found)
            .map(|(x, y)| (x - y) * (x - y))
            .sum();
        assert!(noise * 30.0 < signal, "signal {signal}, noise {noise}");
    }
}

#[test]
fn every_kernel_computes_the_same_bytes_in_every_layer() {
    let [float, int8] = twins();
    let [_, int8_patch] = int8::random_patches(&float, &int8, 37, 5);
    let bound = Patch::from_bytes(&int8_patch, &int8).expect("it fits");
    for patch in [&int8.identity(), &bound] {
        let expected = layers(&int8, patch, "reference", 1);
        for name in kernel_names(Dtype::I8) {
            for threads in [1, 3] {
                assert_eq!(layers(&int8, patch, name, threads), expected, "{name}");
            }
        }
    }
}

#[test]
fn a_patch_of_the_backbones_own_values_changes_no_byte() {
    let [_, int8] = twins();
    let own = int8.identity();
    let expected = layers(&int8, &own, "reference", 1);
    for kinds in ["head", "bn", "dw", "bn+head", "bn+dw+head", "generated"] {
        let kinds: Kinds = kinds.parse().expect("known kinds");
        let bytes = int8::identity_patch(&int8, kinds);
        let patch = Patch::from_bytes(&bytes, &int8).expect("it fits");
        assert_eq!(layers(&int8, &patch, "reference", 1), expected, "{kinds}");
    }
}

#[test]
fn a_bn_patch_takes_eight_bytes_a_channel() {
    let [_, int8] = twins();
    let bytes = int8::identity_patch(&int8, Kinds::BN);
    let image = PatchImage::open(
        Patch::from_bytes(&bytes, &int8)
            .expect("it fits")
            .image()
            .expect("it has a file")
            .bytes(),
        Verify::Full,
    )
    .expect("it is valid")
    .replacements()
    .map(|replacement| (replacement.outputs, replacement.values.bytes().len()))
    .collect::<Vec<_>>();
    for (outputs, length) in image {
        assert_eq!(length, outputs.div_ceil(16) * 16 * 8);
    }
}

#[test]
fn swapping_leaves_nothing_behind() {
    let [float, int8] = twins();
    let [_, bytes] = int8::random_patches(&float, &int8, 37, 5);
    let patch = Patch::from_bytes(&bytes, &int8).expect("it fits");
    let own = int8.identity();
    let values = image(&own, 7);
    let expected = [scores(&int8, &own, &values), scores(&int8, &patch, &values)];
    let mut session = Session::new(&int8).expect("kernels are there");
    for turn in 0..4 {
        let patch = [&own, &patch][turn % 2];
        let found = session.run(patch, Image::Values(&values)).expect("it runs");
        assert_eq!(found, expected[turn % 2]);
    }
}

#[test]
fn patches_of_the_other_dtype_are_refused() {
    let [float, int8] = twins();
    let own = [
        random_patch(&float, 37, 5),
        int8::identity_patch(&int8, Kinds::BN),
    ];
    for (bytes, other) in own.into_iter().zip([&int8, &float]) {
        let error = Patch::from_bytes(&bytes, other).expect_err("made for the other backbone");
        assert!(
            matches!(error, Error::Image(ImageError::WrongBackbone { .. })),
            "{error}"
        );
        // The id alone is not what keeps them apart.
        let mut forged = bytes;
        forged[64..96].copy_from_slice(&other.id().0);
        writer::seal(&mut forged);
        let error = Patch::from_bytes(&forged, other).expect_err("values of the other dtype");
        assert!(
            matches!(error, Error::Image(ImageError::OtherDtype { .. })),
            "{error}"
        );
    }
}

#[test]
fn a_patch_of_a_smaller_input_runs_on_every_kernel() {
    let [float, int8] = twins();
    let image = float.image();
    let mut input = image.input();
    (input.shape.height, input.shape.width) = (24, 21);
    let mut writer = PatchWriter::identity(image, Kinds::BN);
    writer.input(input);
    let bytes = writer
        .finish(&Default::default())
        .expect("it fits the format");
    let small = Patch::from_bytes(&bytes, &float).expect("it fits");
    let twin = Patch::from_bytes(&int8::twin(&float, &int8, &small), &int8).expect("it fits");
    let expected = layers(&int8, &twin, "reference", 1);
    assert!(expected[0].len() < layers(&int8, &int8.identity(), "reference", 1)[0].len());
    for name in kernel_names(Dtype::I8) {
        for threads in [1, 3] {
            assert_eq!(layers(&int8, &twin, name, threads), expected, "{name}");
        }
    }
    // Larger, smaller, larger: shapes follow the patch.
    let values = graft_tests::image(&twin, 7);
    let mut session = Session::new(&int8).expect("kernels are there");
    let first = session
        .run(&twin, Image::Values(&values))
        .expect("it runs")
        .to_vec();
    let own = graft_tests::image(&int8.identity(), 7);
    session
        .run(&int8.identity(), Image::Values(&own))
        .expect("it runs");
    let again = session.run(&twin, Image::Values(&values)).expect("it runs");
    assert_eq!(again, first);
}

#[test]
fn values_that_kernels_disagree_on_are_refused() {
    let [_, int8] = twins();
    let bytes = int8.image().bytes();
    let at = |kind| section(bytes, kind).start;
    let infinite = f32::INFINITY.to_le_bytes();
    let changes: [(usize, &[u8]); 3] = [
        (at(SectionKind::Epilogues), &infinite),
        (at(SectionKind::Frozen), &[0x80]),
        // The first layer has 27 inputs: of the last quad of each channel, one byte is padding.
        (at(SectionKind::Frozen) + 6 * 64 + 3, &[1]),
    ];
    for (at, new) in changes {
        let mut changed = bytes.to_vec();
        changed[at..at + new.len()].copy_from_slice(new);
        writer::seal(&mut changed);
        let error = Backbone::from_bytes(&changed).expect_err("kernels rely on it");
        assert!(
            matches!(error, Error::Image(ImageError::Record { .. })),
            "{at}: {error}"
        );
    }
}

#[test]
fn a_site_with_other_scales_around_it_needs_its_table() {
    let [float, int8] = twins();
    // Scales of another task, with the tables of nothing but the head.
    let other = patch(&float, 10, 3);
    let scales = int8::scales(&float, &other);
    let mut writer = Int8PatchWriter::new(int8.image(), Kinds::HEAD);
    writer.scales(scales).expect("one for each tensor");
    let bytes = writer
        .finish(&Default::default())
        .expect("it fits the format");
    let patch = Patch::from_bytes(&bytes, &int8);
    // The writer put all tables in, and a head patch must have the head's weights.
    assert!(matches!(
        patch.expect_err("no weights"),
        Error::Image(ImageError::MissingSite {
            what: What::Weights,
            ..
        })
    ));
    let error = without_first_table(&int8);
    assert!(
        matches!(error, Error::Image(ImageError::Scale { site: 0 })),
        "{error}"
    );
}

/// The error of a head patch that scales the input anew but has no table of the first layer.
fn without_first_table(int8: &Backbone) -> Error {
    let mut bytes = int8::identity_patch(int8, Kinds::HEAD);
    let scales = section(&bytes, SectionKind::Scales).start;
    bytes[scales..scales + 4].copy_from_slice(&0.125f32.to_le_bytes());
    bytes[scales + 4..scales + 8].copy_from_slice(&0.125f32.to_le_bytes());
    writer::seal(&mut bytes);
    Patch::from_bytes(&bytes, int8).expect_err("the table is for another scale")
}

#[test]
fn scales_are_checked() {
    let [float, int8] = twins();
    for (at, value) in [(0, f32::NAN), (0, 0.0), (0, -1.0), (0, 1e30), (4, 0.5)] {
        let mut bytes = int8.image().bytes().to_vec();
        let scales = section(&bytes, SectionKind::Scales).start;
        bytes[scales + at..scales + at + 4].copy_from_slice(&value.to_le_bytes());
        writer::seal(&mut bytes);
        let error = Backbone::from_bytes(&bytes).expect_err("a scale is wrong");
        assert!(
            matches!(error, Error::Image(ImageError::Record { .. })),
            "{value}: {error}"
        );
    }
    // An f32 patch has no scales.
    let bytes = identity_patch(&float, Kinds::BN);
    assert!(Patch::from_bytes(&bytes, &float).is_ok());
}

#[test]
fn pixels_are_quantised_as_values_are() {
    let [_, int8] = twins();
    let own = int8.identity();
    let mut random = Random(5);
    let pixels: Vec<u8> = (0..own.input().shape.len())
        .map(|_| (random.value() * 127.0 + 128.0) as u8)
        .collect();
    let input = own.input();
    let values: Vec<f32> = pixels
        .iter()
        .enumerate()
        .map(|(i, &pixel)| (f32::from(pixel) - input.mean[i % 3]) / input.std[i % 3])
        .collect();
    let mut session = Session::new(&int8).expect("kernels are there");
    let from_pixels = session.run(&own, &pixels).expect("it runs").to_vec();
    assert_eq!(from_pixels, scores(&int8, &own, &values));
}
