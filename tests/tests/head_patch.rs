//! Heads that were learned become the patches that the writers make, byte for byte, and keep their sums.

use graft_patches::container::SectionKind;
use graft_patches::head_patch::{HeadPatch, HeadPatchError};
use graft_patches::metadata::PatchMetadata;
use graft_patches::records::{Dtype, Kinds};
use graft_patches::scale::{ScaleRecord, TensorScale, quantize_weights};
use graft_patches::writer::{Int8PatchWriter, PatchWriter, seal};
use graft_patches::{BackboneImage, ImageError, PatchImage, Verify};
use graft_runtime::head_learner::{GD_PLUS_PLUS, HeadLearner};
use graft_runtime::{Backbone, Error, ImageBytes, Patch};
use graft_tests::learned::{LABELS, learner, patch};
use graft_tests::{Random, backbone, int8, run_if_small, section, without_head};

const CLASSES: usize = LABELS.len();
const SCORES: [f32; 2] = [-2.0, 3.0];

fn twins() -> [Backbone; 2] {
    let float = backbone(24, 1);
    let int8 = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    [float, int8]
}

/// Random weights and biases for the head of a backbone.
fn values(image: &BackboneImage<'_>) -> (usize, usize, Vec<f32>, Vec<f32>) {
    let head = image.head().expect("it has one");
    let depth = image.site(head).depth;
    let mut random = Random(4);
    (
        head,
        depth,
        random.values(CLASSES * depth, 0.3),
        random.values(CLASSES, 1.0),
    )
}

fn written(
    image: BackboneImage<'_>,
    dtype: Dtype,
    labels: &[&str],
    weight: &dyn Fn(usize, usize) -> f32,
) -> Result<Vec<u8>, HeadPatchError> {
    let (_, _, _, bias) = values(&image);
    let patch = HeadPatch {
        backbone: image,
        dtype,
        name: "winds",
        source: &"a test",
        labels,
        weight,
        bias: &|class| bias[class],
        scores: SCORES,
        sums: None,
    };
    let mut bytes = vec![0xaa; patch.length()? + 3];
    Ok(patch.write(&mut bytes)?.to_vec())
}

fn metadata(image: &BackboneImage<'_>) -> PatchMetadata {
    PatchMetadata {
        name: "winds".into(),
        source: "a test".into(),
        tool: concat!("graft ", env!("CARGO_PKG_VERSION")).into(),
        resize: image.metadata().expect("it is valid").resize.uncropped(),
        labels: LABELS.map(String::from).into(),
        ..PatchMetadata::default()
    }
}

#[test]
fn in_f32_and_in_half_precision_it_is_what_the_writer_makes() {
    let [float, _] = twins();
    let image = float.image();
    let (head, depth, weights, bias) = values(&image);
    for dtype in [Dtype::F32, Dtype::F16] {
        let mut writer = PatchWriter::new(image, Kinds::HEAD);
        writer.dtype(dtype);
        writer.weights(head, &weights).expect("it fits");
        writer
            .epilogue(head, &[1.0; CLASSES], &bias)
            .expect("it fits");
        let expected = writer.finish(&metadata(&image)).expect("it fits");
        let weight = |class: usize, input: usize| weights[class * depth + input];
        let found = written(image, dtype, &LABELS, &weight).expect("it fits");
        assert_eq!(found, expected, "{dtype}");
    }
}

#[test]
fn in_int8_it_is_what_the_writer_makes() {
    let [_, int8] = twins();
    let image = int8.image();
    let (head, depth, weights, bias) = values(&image);
    let layer = image.site(head).layer;
    let mut scales: Vec<TensorScale> = image.scales().iter().map(ScaleRecord::get).collect();
    let activation = image.layer(layer).activation;
    scales[layer + 1] = TensorScale::of_range(activation, SCORES[0], SCORES[1]);
    let mut bytes = vec![0; weights.len()];
    let rows = weights.chunks(depth).zip(bytes.chunks_mut(depth));
    let weight_scales = rows
        .map(|(row, bytes)| quantize_weights(row, bytes))
        .collect();
    let mut writer = Int8PatchWriter::new(image, Kinds::HEAD);
    writer.scales(scales).expect("as many as there are");
    writer.weights(head, bytes, weight_scales).expect("it fits");
    writer
        .epilogue(head, &[1.0; CLASSES], &bias)
        .expect("it fits");
    let expected = writer.finish(&metadata(&image)).expect("it fits");
    let weight = |class: usize, input: usize| weights[class * depth + input];
    let found = written(image, Dtype::I8, &LABELS, &weight).expect("it fits");
    assert_eq!(found, expected);
}

#[test]
fn what_makes_no_patch_is_refused() {
    let [float, int8] = twins();
    let image = float.image();
    let one = |_, _| 1.0;
    let refused = |image, dtype, labels: &[&str], weight: &dyn Fn(usize, usize) -> f32| {
        written(image, dtype, labels, weight).expect_err("it makes no patch")
    };
    let error = refused(int8.image(), Dtype::F32, &LABELS, &one);
    assert!(matches!(error, HeadPatchError::Dtype { .. }), "{error}");
    let error = refused(int8.image(), Dtype::I8Half, &LABELS, &one);
    assert!(matches!(error, HeadPatchError::Dtype { .. }), "{error}");
    let error = refused(image, Dtype::F32, &[], &one);
    assert!(
        matches!(error, HeadPatchError::Classes { found: 0, .. }),
        "{error}"
    );
    let many = vec!["x"; image.max_classes() + 1];
    let error = refused(image, Dtype::F32, &many, &one);
    assert!(matches!(error, HeadPatchError::Classes { .. }), "{error}");
    for (dtype, value) in [(Dtype::F32, f32::NAN), (Dtype::F16, 7e4)] {
        let error = refused(image, dtype, &LABELS, &|class, _| [0.0, value, 0.0][class]);
        let is_of_class = matches!(error, HeadPatchError::Weight { class: 1, .. });
        assert!(is_of_class, "{error}");
    }
    let headless = without_head();
    let patch = HeadPatch {
        backbone: headless.image(),
        dtype: Dtype::F32,
        name: "",
        source: &"",
        labels: &LABELS,
        weight: &one,
        bias: &|_| 0.0,
        scores: SCORES,
        sums: None,
    };
    assert_eq!(patch.length(), Err(HeadPatchError::NoHead));
    let own = HeadPatch {
        backbone: image,
        ..patch
    };
    let expected = own.length().expect("it can be written");
    let found = expected - 1;
    let error = own.write(&mut vec![0; found]).expect_err("it is too short");
    assert_eq!(error, HeadPatchError::Memory { found, expected });
}

#[test]
fn sums_come_back_and_go_on() {
    for backbone in twins() {
        let bytes = patch(&backbone, backbone.image().dtype(), true);
        let bound = Patch::from_bytes(&bytes, &backbone).expect("it fits");
        run_if_small(&backbone, &bound);
        let image = bound.image().expect("it has a file");
        let sums = image.head_sums().expect("it has kept them");
        let (mut memory, mut again) = (Vec::new(), Vec::new());
        let first = learner(&backbone, &mut memory);
        again.resize(memory_len(&first), 0);
        let resumed = HeadLearner::resume(&sums, &mut again).expect("there is memory");
        assert_eq!(resumed.sums(), first.sums());
        assert_eq!(sums.confidence(), GD_PLUS_PLUS.confidence);
        assert_eq!(resumed.projection(), first.projection());
        let mut short = vec![0; memory_len(&first) - 1];
        assert!(HeadLearner::resume(&sums, &mut short).is_err());
        let without = patch(&backbone, backbone.image().dtype(), false);
        let bound = Patch::from_bytes(&without, &backbone).expect("it fits");
        assert!(bound.image().expect("it has a file").head_sums().is_none());
    }
}

fn memory_len(learner: &HeadLearner<'_>) -> usize {
    HeadLearner::words_len(learner.projection().dimensions(), learner.classes())
}

#[test]
fn damage_to_sums_is_refused_and_never_panics() {
    let [float, _] = twins();
    let bytes = patch(&float, Dtype::F32, true);
    let sums = section(&bytes, SectionKind::HeadSums);
    assert_eq!(sums.end, bytes.len());
    let refused = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = bytes.clone();
        change(&mut bytes[sums.clone()]);
        seal(&mut bytes);
        match Patch::from_bytes(&bytes, &float) {
            Err(Error::Image(ImageError::Section { section, .. })) => {
                assert_eq!(section, SectionKind::HeadSums);
            }
            other => panic!("expected a refusal of the sums, found {other:?}"),
        }
    };
    let put = |at: usize, word: u32| {
        move |sums: &mut [u8]| sums[at..at + 4].copy_from_slice(&word.to_le_bytes())
    };
    let dimensions = u32::from_le_bytes(bytes[sums.start + 4..][..4].try_into().unwrap());
    // Inputs, dimensions, unit, classes, steps, a gamma, confidence, reserved, examples of the first class, its first square.
    for (at, word) in [
        (0, 1),
        (4, 0),
        (4, dimensions + 1),
        (12, f32::NAN.to_bits()),
        (16, 4),
        (16, u32::MAX),
        (20, 0),
        (20, 7),
        (28, f32::NAN.to_bits()),
        (72, 0),
        (76, 1),
        (80, 0),
        (80, u32::MAX),
        (80 + 4 * (1 + dimensions as usize), u32::MAX),
        (80 + 4 * (1 + dimensions as usize), 0),
    ] {
        refused(&put(at, word));
    }
    // Whatever a byte becomes: it is refused, or can be gone on from.
    for at in sums.clone() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x55;
        seal(&mut bytes);
        let aligned = ImageBytes::copied(&bytes);
        if let Ok(image) = PatchImage::open(aligned.as_slice(), Verify::Full) {
            let sums = image.head_sums().expect("it has kept them");
            let words = HeadLearner::words_len(sums.dimensions(), sums.classes());
            HeadLearner::resume(&sums, &mut vec![0; words]).expect("there is memory");
        }
    }
}
