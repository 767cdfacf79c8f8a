//! Running patches: identity, exactness of a change, resolutions, classes, threads, kernels.

use graft_patches::records::{Dtype, Kinds, What};
use graft_patches::writer::PatchWriter;
use graft_runtime::{Backbone, Error, Image, Patch, Session, kernel_names};
use graft_tests::{
    Random, backbone, identity_patch, image, int8, patch, random_patch, wide_linear,
};

const SIDE: usize = 32;

fn scores(backbone: &Backbone, patch: &Patch, values: &[f32]) -> Vec<f32> {
    let mut session = Session::new(backbone).expect("kernels are there");
    session
        .run(patch, Image::Values(values))
        .expect("the image fits")
        .to_vec()
}

fn layer_outputs(backbone: &Backbone, patch: &Patch, values: &[f32]) -> Vec<Vec<f32>> {
    let session = Session::new(backbone).expect("kernels are there");
    let mut session = session.unfused().expect("memory is there");
    let mut outputs = Vec::new();
    let run = session.run_observed(patch, Image::Values(values), |_, output| {
        outputs.push(output.to_vec())
    });
    run.expect("the image fits");
    outputs
}

#[test]
fn a_patch_of_the_backbones_own_values_changes_no_bit() {
    let backbone = backbone(SIDE, 1);
    let own = backbone.identity();
    let values = image(&own, 7);
    let expected = scores(&backbone, &own, &values);
    assert!(
        expected.iter().any(|score| score.abs() > 1e-3),
        "the network does something: {expected:?}"
    );
    for kinds in ["head", "bn", "dw", "bn+head", "bn+dw+head", "generated"] {
        let kinds: Kinds = kinds.parse().expect("known kinds");
        let patch =
            Patch::from_bytes(&identity_patch(&backbone, kinds), &backbone).expect("it fits");
        assert_eq!(scores(&backbone, &patch, &values), expected, "{kinds}");
    }
}

#[test]
fn one_changed_channel_changes_that_channel_and_nothing_before_it() {
    let backbone = backbone(SIDE, 1);
    let own = backbone.identity();
    let values = image(&own, 7);
    let before = layer_outputs(&backbone, &own, &values);
    for (site_index, channel) in [(0, 3), (1, 35), (2, 17), (7, 11)] {
        let image = backbone.image();
        let site = image.site(site_index);
        let mut writer = PatchWriter::identity(image, Kinds::BN);
        let (scale, mut bias) =
            graft_patches::layout::unpack_epilogue(image.epilogue(&site), site.outputs);
        bias[channel] += 1.5;
        writer
            .epilogue(site_index, &scale, &bias)
            .expect("as many biases as scales");
        let bytes = writer
            .finish(&Default::default())
            .expect("metadata can be encoded");
        let changed = Patch::from_bytes(&bytes, &backbone).expect("it fits");
        let after = layer_outputs(&backbone, &changed, &values);
        for layer in 0..site.layer {
            assert_eq!(
                before[layer], after[layer],
                "layer {layer} comes before the change"
            );
        }
        let pairs = before[site.layer]
            .iter()
            .zip(&after[site.layer])
            .enumerate();
        let differing: Vec<usize> = pairs
            .filter(|(_, (old, new))| old != new)
            .map(|(index, _)| index % site.outputs)
            .collect();
        assert!(
            !differing.is_empty() && differing.iter().all(|&c| c == channel),
            "site {site_index}"
        );
        assert_ne!(
            before.last(),
            after.last(),
            "site {site_index} reaches the scores"
        );
    }
}

#[test]
fn a_receipt_says_what_binding_did() {
    let backbone = backbone(SIDE, 1);
    let bytes = random_patch(&backbone, 10, 3);
    let receipt = Patch::from_bytes(&bytes, &backbone)
        .expect("it fits")
        .receipt();
    let sites = backbone.image().site_count();
    assert_eq!(
        (receipt.sites, receipt.epilogues, receipt.weights),
        (sites, sites, 1)
    );
    assert_eq!(
        (receipt.bytes_mapped, receipt.first_patched_layer),
        (bytes.len(), Some(0))
    );
    let own = Patch::from_bytes(&identity_patch(&backbone, Kinds::BN), &backbone).expect("it fits");
    assert_eq!(own.receipt().epilogues, sites - 1);
    for patch in [own, backbone.identity()] {
        assert_eq!(patch.receipt().first_patched_layer, None);
    }
}

#[test]
fn a_patch_brings_its_own_number_of_classes() {
    let backbone = backbone(SIDE, 1);
    let mut session = Session::new(&backbone).expect("kernels are there");
    for classes in [1, 5, 16, 17, 64, 10] {
        let patch = patch(&backbone, classes, classes as u64);
        let values = image(&patch, 7);
        let scores = session
            .run(&patch, Image::Values(&values))
            .expect("the image fits");
        assert_eq!((scores.len(), patch.classes()), (classes, classes));
        let own = session
            .run(&backbone.identity(), Image::Values(&values))
            .expect("the image fits");
        assert_eq!(own.len(), 10, "the backbone's own head is untouched");
    }
}

#[test]
fn a_patch_brings_its_own_resolution() {
    let large = backbone(SIDE, 1);
    for side in [9, 16, 31] {
        let mut writer = PatchWriter::identity(large.image(), Kinds::HEAD);
        let mut input = large.image().input();
        (input.shape.height, input.shape.width) = (side, side);
        writer.input(input);
        let bytes = writer
            .finish(&Default::default())
            .expect("metadata can be encoded");
        let patch = Patch::from_bytes(&bytes, &large).expect("it is smaller than planned");
        // The same network planned for this side is the same backbone, and gives the same scores.
        let small = backbone(side, 1);
        assert_eq!(small.id(), large.id());
        let values = image(&patch, 7);
        assert_eq!(
            scores(&large, &patch, &values),
            scores(&small, &small.identity(), &values),
            "{side}"
        );
    }
}

#[test]
fn all_kernels_agree_with_the_reference() {
    let backbone = backbone(SIDE, 1);
    let patch = patch(&backbone, 37, 5);
    let values = image(&patch, 7);
    let mut session = Session::new(&backbone).expect("kernels are there");
    session.use_kernels("reference").expect("always there");
    let expected = session
        .run(&patch, Image::Values(&values))
        .expect("the image fits")
        .to_vec();
    let (low, high) = expected
        .iter()
        .fold((f32::MAX, f32::MIN), |(low, high), &score| {
            (low.min(score), high.max(score))
        });
    for name in kernel_names(Dtype::F32) {
        session.use_kernels(name).expect("it is there");
        let scores = session
            .run(&patch, Image::Values(&values))
            .expect("the image fits");
        for (score, expected) in scores.iter().zip(&expected) {
            assert!(
                (score - expected).abs() <= 1e-4 * (high - low),
                "{name}: {score} for {expected}"
            );
        }
    }
}

#[test]
fn threads_change_no_bit() {
    // Large enough that every operator is worth sharing: one with large maps, one with wide linear layers.
    let maps = backbone(224, 1);
    let patched = patch(&maps, 37, 5);
    threads_agree(&maps, &patched);
    let bytes = Backbone::from_bytes(&int8::backbone(&maps)).expect("it is valid");
    threads_agree(&bytes, &bytes.identity());
    let wide = wide_linear();
    threads_agree(&wide, &wide.identity());
    let refused = Session::with_threads(&wide, 0);
    assert!(matches!(refused, Err(Error::Threads { threads: 0, .. })));
}

fn threads_agree(backbone: &Backbone, patch: &Patch) {
    let values = image(patch, 7);
    let pixels: Vec<u8> = (0..values.len()).map(|i| (i * 37 % 256) as u8).collect();
    for image in [Image::Values(&values), Image::Pixels(&pixels)] {
        let mut session = Session::new(backbone).expect("kernels are there");
        let expected = session.run(patch, image).expect("the image fits");
        for threads in [2, 3, 8] {
            let mut session = Session::with_threads(backbone, threads).expect("threads start");
            for _ in 0..5 {
                let scores = session.run(patch, image).expect("the image fits");
                assert_eq!(scores, expected, "{threads} threads");
            }
        }
    }
}

#[test]
fn pixels_are_normalised_by_the_patch() {
    let backbone = backbone(SIDE, 1);
    let patch = backbone.identity();
    let pixels: Vec<u8> = (0..patch.input().shape.len())
        .map(|i| (i * 37 % 256) as u8)
        .collect();
    let values: Vec<f32> = pixels
        .iter()
        .map(|&pixel| (f32::from(pixel) - 127.0) / 128.0)
        .collect();
    let mut session = Session::new(&backbone).expect("kernels are there");
    let from_pixels = session
        .run(&patch, &pixels)
        .expect("the image fits")
        .to_vec();
    assert_eq!(from_pixels, scores(&backbone, &patch, &values));
}

#[test]
fn wrong_images_and_foreign_patches_are_refused() {
    let (one, other) = (backbone(SIDE, 1), backbone(SIDE, 2));
    let mut session = Session::new(&one).expect("kernels are there");
    let short = session.run(&one.identity(), &[0u8; 5]);
    assert!(matches!(
        short,
        Err(Error::InputLength {
            found: 5,
            expected: 3072
        })
    ));
    let foreign = session.run(&other.identity(), &[0u8; 3072]);
    assert!(matches!(foreign, Err(Error::OtherBackbone { .. })));
}

#[test]
fn a_caller_can_bring_the_arena() {
    let backbone = backbone(SIDE, 1);
    let needed = Session::arena_len(&backbone);
    let mut memory = vec![0u8; needed + 64];
    let start = memory.as_ptr().align_offset(64);
    let patch = patch(&backbone, 12, 3);
    let values = image(&patch, 7);
    let expected = scores(&backbone, &patch, &values);
    let mut session = Session::in_arena(&backbone, &mut memory[start..start + needed])
        .expect("it is large enough");
    assert_eq!(
        session
            .run(&patch, Image::Values(&values))
            .expect("the image fits"),
        expected
    );
    let small = Session::in_arena(&backbone, &mut memory[start..start + needed - 1]);
    assert!(matches!(small.err(), Some(Error::Arena { .. })));
    let askew = Session::in_arena(&backbone, &mut memory[start + 4..]);
    assert!(matches!(askew.err(), Some(Error::Arena { found: 0, .. })));
}

#[test]
fn values_are_read_in_place() {
    let backbone = backbone(SIDE, 1);
    let patch =
        Patch::from_bytes(&identity_patch(&backbone, Kinds::BN), &backbone).expect("it fits");
    let image = patch.image().expect("it has a file");
    let range = image.bytes().as_ptr_range();
    for replacement in image.replacements() {
        let values = replacement.values.bytes().as_ptr();
        assert!(range.contains(&values));
        assert!(values.addr().is_multiple_of(64));
    }
    assert!(image.find(0, What::Epilogue).is_some() && image.find(0, What::Weights).is_none());
}

#[test]
fn random_numbers_are_the_same_on_every_target() {
    assert_eq!(
        Random(1).values(3, 1.0),
        [0.13312304, 0.49156344, 0.9420054]
    );
}

#[test]
fn a_patch_bound_to_an_import_with_more_room_is_refused() {
    use graft_tests::every_operator_with_classes;
    let large =
        Backbone::from_bytes(&every_operator_with_classes(SIDE, 1, 64)).expect("it is valid");
    let small =
        Backbone::from_bytes(&every_operator_with_classes(SIDE, 1, 10)).expect("it is valid");
    assert_eq!(large.id(), small.id());
    let many = patch(&large, 50, 1);
    let values = image(&many, 7);
    let mut session = Session::new(&small).expect("kernels are there");
    let refused = session.run(&many, Image::Values(&values));
    assert!(matches!(
        refused,
        Err(Error::Image(
            graft_runtime::ImageError::TooManyClasses { .. }
        ))
    ));
}
