//! Several patches on one image: the scores of separate runs, whatever they share.

use graft_patches::records::Kinds;
use graft_patches::scale::ScaleRecord;
use graft_patches::writer::{Int8PatchWriter, PatchWriter};
use graft_runtime::{Backbone, Error, Image, Patch, Session};
use graft_tests::cases::demo;
use graft_tests::{blocks, every_operator, image, int8, patch_from_site, random_patch};

/// Two networks in f32, with and without fused blocks, and their twins in int8.
fn backbones() -> Vec<Backbone> {
    let float = [every_operator(32, 1), blocks(61, 3)];
    let float = float.map(|bytes| Backbone::from_bytes(&bytes).expect("the test network is valid"));
    let int8 = |float| Backbone::from_bytes(&int8::backbone(float)).expect("it is valid");
    float.iter().map(int8).chain(float.clone()).collect()
}

/// [`patch_from_site`], bound.
fn from_site(backbone: &Backbone, first: usize, seed: u64, is_half: bool) -> Patch {
    let bytes = patch_from_site(backbone, first, seed, is_half);
    Patch::from_bytes(&bytes, backbone).expect("it fits")
}

/// What separate runs score.
fn scores(session: &mut Session<'_>, patches: &[&Patch], values: &[f32]) -> Vec<Vec<f32>> {
    let run = |patch: &&Patch| {
        let scores = session.run(patch, Image::Values(values));
        scores.expect("the image fits").to_vec()
    };
    patches.iter().map(run).collect()
}

/// What they score in one call.
fn many(session: &mut Session<'_>, patches: &[&Patch], values: &[f32]) -> Vec<Vec<f32>> {
    let mut all = Vec::new();
    let run = session.run_many(patches, Image::Values(values), |index, scores| {
        assert_eq!(index, all.len());
        all.push(scores.to_vec());
    });
    run.expect("the image fits");
    all
}

/// Compares fused and unfused sessions of one and of two threads; returns the layers that are shared.
fn check(backbone: &Backbone, patches: &[&Patch]) -> usize {
    let values = image(patches[0], 5);
    for threads in [1, 2] {
        let session = || Session::with_threads(backbone, threads).expect("threads start");
        let unfused = session().unfused().expect("memory is there");
        for mut session in [session(), unfused] {
            let expected = scores(&mut session, patches, &values);
            for _ in 0..2 {
                assert_eq!(many(&mut session, patches, &values), expected);
            }
            assert_eq!(scores(&mut session, patches, &values), expected);
        }
    }
    backbone.shared_layers(patches)
}

/// The first layer of the step of the plan that a layer is in.
fn step(backbone: &Backbone, layer: usize) -> usize {
    let mut steps = backbone.image().steps();
    let step = steps.find(|step| step.layers().contains(&layer));
    step.expect("every layer is in one").first
}

#[test]
fn patches_share_what_is_before_their_first_difference() {
    let mut saved = 0;
    for backbone in backbones() {
        let own = backbone.identity();
        for first in 0..backbone.image().site_count() {
            let layer = backbone.image().site(first).layer;
            for is_half in [false, true] {
                let [one, other] = [7, 8].map(|seed| from_site(&backbone, first, seed, is_half));
                // Halves are not the backbone's own values, but alike in both.
                let patches = match is_half {
                    true => vec![&one, &other, &one],
                    false => vec![&own, &one, &other, &own, &one],
                };
                assert_eq!(check(&backbone, &patches), step(&backbone, layer));
            }
            let patch = from_site(&backbone, first, 7, false);
            assert_eq!(patch.receipt().first_patched_layer, Some(layer));
            let patches = [&own, &patch];
            saved += Session::many_arena_len(&backbone, &patches) - Session::arena_len(&backbone);
        }
    }
    assert!(saved > 0, "some network reads again what it wrote over");
}

#[test]
fn a_patchs_metadata_and_receipt_agree_on_its_first_layer() {
    for backbone in backbones() {
        let sites = backbone.image().site_count();
        for first in [0, 2, sites - 1, sites] {
            for is_half in [false, true] {
                let patch = from_site(&backbone, first, 7, is_half);
                let metadata = patch.image().expect("it has a file").metadata();
                let written = metadata.expect("it can be read").first_patched_layer;
                assert_eq!(
                    written.map(usize::from),
                    patch.receipt().first_patched_layer
                );
                let layer = (first < sites).then(|| backbone.image().site(first).layer);
                assert!(is_half || patch.receipt().first_patched_layer == layer);
            }
        }
    }
}

#[test]
fn the_last_step_is_run_for_each_even_of_the_same_patch() {
    for backbone in backbones() {
        let view = backbone.image();
        let last = view.layer_count() - 1;
        let patch = from_site(&backbone, 3, 7, false);
        let head = from_site(&backbone, view.site_count() - 1, 7, false);
        let own = backbone.identity();
        for patches in [&[&patch, &patch][..], &[&own, &head], &[&patch], &[&own]] {
            assert_eq!(check(&backbone, patches), last);
            let needed = Session::many_arena_len(&backbone, patches);
            assert_eq!(needed, Session::arena_len(&backbone), "nothing is saved");
        }
        assert_eq!(backbone.shared_layers(&[]), 0);
        let mut session = Session::new(&backbone).expect("kernels are there");
        let none = session.run_many(&[], &[0u8; 0], |_, _| panic!("there is no patch"));
        none.expect("nothing to do");
    }
}

#[test]
fn heads_of_different_classes_are_different_even_where_the_bytes_are_not() {
    let backbone = &backbones()[2];
    let head = backbone.image().head().expect("it has one");
    let depth = backbone.image().site(head).depth;
    let zeros = |classes: usize| {
        let mut writer = PatchWriter::new(backbone.image(), Kinds::HEAD);
        writer
            .weights(head, &vec![0.0; classes * depth])
            .expect("whole rows");
        let zeros = vec![0.0; classes];
        writer.epilogue(head, &zeros, &zeros).expect("one of each");
        let bytes = writer.finish(&Default::default()).expect("it is whole");
        Patch::from_bytes(&bytes, backbone).expect("it fits")
    };
    let [few, more] = [3, 7].map(zeros);
    check(backbone, &[&few, &more, &few]);
}

#[test]
fn other_scales_of_a_tensor_are_a_difference_in_the_layer_that_writes_it() {
    let backbone = &backbones()[1];
    let view = backbone.image();
    let own = backbone.identity();
    for tensor in [0, 1, 5, 9, view.layer_count()] {
        let mut writer = Int8PatchWriter::identity(view, Kinds::BN.with(Kinds::HEAD));
        let mut scales: Vec<_> = view.scales().iter().map(ScaleRecord::get).collect();
        scales[tensor].outer.scale *= 1.25;
        scales[tensor].inner.scale *= 1.25;
        writer.scales(scales).expect("one for each tensor");
        let bytes = writer.finish(&Default::default()).expect("it is whole");
        let patch = Patch::from_bytes(&bytes, backbone).expect("it fits");
        let layer = tensor.saturating_sub(1);
        assert_eq!(patch.receipt().first_patched_layer, Some(layer));
        assert_eq!(check(backbone, &[&own, &patch]), step(backbone, layer));
    }
}

#[test]
fn nothing_is_shared_by_inputs_of_different_kinds() {
    let backbone = &backbones()[3];
    let own = backbone.identity();
    let with = |change: fn(&mut graft_patches::records::Input)| {
        let mut writer = PatchWriter::identity(backbone.image(), Kinds::HEAD);
        let mut input = backbone.image().input();
        change(&mut input);
        writer.input(input);
        let bytes = writer.finish(&Default::default()).expect("it is whole");
        Patch::from_bytes(&bytes, backbone).expect("it fits")
    };
    let darker = with(|input| input.mean[0] = 100.0);
    let narrower = with(|input| input.shape.width -= 1);
    let twin = with(|input| input.shape.width -= 1);
    let mut session = Session::new(backbone).expect("kernels are there");
    let pixels: Vec<u8> = (0..own.input().shape.len())
        .map(|i| (i * 37) as u8)
        .collect();
    let mut expected = Vec::new();
    for patch in [&own, &darker, &own] {
        expected.push(session.run(patch, &pixels).expect("it fits").to_vec());
    }
    assert_eq!(darker.receipt().first_patched_layer, None);
    assert_eq!(backbone.shared_layers(&[&own, &darker, &own]), 0);
    let run = session.run_many(&[&own, &darker, &own], &pixels, |index, scores| {
        assert_eq!(scores, expected[index]);
    });
    run.expect("the image fits");
    check(backbone, &[&narrower, &twin]);
    // No image is of both sizes: that is said before anything is run.
    let refused = session.run_many(&[&own, &narrower], &pixels, |_, _| panic!("it was run"));
    assert!(matches!(refused, Err(Error::InputLength { .. })));
    let foreign = backbones()[2].identity();
    assert_eq!(backbone.shared_layers(&[&own, &foreign]), 0);
    let refused = session.run_many(&[&own, &foreign], &pixels, |_, _| panic!("it was run"));
    assert!(matches!(refused, Err(Error::OtherBackbone { .. })));
}

#[test]
fn a_caller_can_bring_the_memory_for_what_is_saved() {
    let is_saved = |backbone: &Backbone, first: usize| {
        let patches = [7, 8].map(|seed| from_site(backbone, first, seed, false));
        let needed = Session::many_arena_len(backbone, &[&patches[0], &patches[1]]);
        (needed > Session::arena_len(backbone)).then_some((patches, needed))
    };
    for backbone in backbones() {
        let mut sites = 0..backbone.image().site_count();
        let Some((patches, needed)) = sites.find_map(|first| is_saved(&backbone, first)) else {
            continue;
        };
        let patches = [&patches[0], &patches[1]];
        let values = image(patches[0], 5);
        let mut session = Session::new(&backbone).expect("kernels are there");
        let expected = scores(&mut session, &patches, &values);
        let before = session.arena_bytes();
        assert_eq!(many(&mut session, &patches, &values), expected);
        let grown = needed - Session::arena_len(&backbone);
        assert_eq!(session.arena_bytes(), before + grown);

        let mut memory = vec![0u8; needed + 64];
        let start = memory.as_ptr().align_offset(64);
        let mut session =
            Session::in_arena(&backbone, &mut memory[start..start + needed]).expect("enough");
        assert_eq!(many(&mut session, &patches, &values), expected);
        let mut session =
            Session::in_arena(&backbone, &mut memory[start..start + needed - 1]).expect("enough");
        let refused = session.run_many(&patches, Image::Values(&values), |_, _| {});
        let Err(Error::Arena {
            found,
            expected: most,
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!((found, most), (needed - 1, needed));
        assert_eq!(scores(&mut session, &patches, &values), expected);
    }
}

#[test]
fn the_demos_patches_score_as_alone() {
    for folder in ["..", "."] {
        let file = |name: &str| demo(folder).join(name);
        let backbone = Backbone::open(file("demo.backbone")).expect("it is there");
        let [fashion, digits] = ["fashion.patch", "sign-digits.patch"]
            .map(|name| Patch::open(file(name), &backbone).expect("it is there"));
        check(
            &backbone,
            &[&fashion, &digits, &backbone.identity(), &fashion],
        );
    }
}

#[test]
fn a_random_patch_differs_from_the_first_layer_on() {
    let backbone = &backbones()[2];
    let patches = [1, 2].map(|seed| {
        Patch::from_bytes(&random_patch(backbone, 7, seed), backbone).expect("it fits")
    });
    assert_eq!(check(backbone, &[&patches[0], &patches[1]]), 0);
}
