//! Fused blocks: computed in rows they give what their layers give one after the other.

use std::mem::{offset_of, size_of};

use graft_patches::container::SectionKind;
use graft_patches::records::{BlockRecord, Dtype, Kinds, PlanRecord, TensorRecord};
use graft_patches::writer::{Int8PatchWriter, PatchWriter, seal};
use graft_patches::{BackboneImage, ImageError, Verify};
use graft_runtime::{Backbone, Error, Image, Patch, Session, kernel_names};
use graft_tests::{blocks, image, int8, section};

/// A network in f32 and its twin in int8.
fn twins(side: usize) -> [Backbone; 2] {
    let float = Backbone::from_bytes(&blocks(side, 3)).expect("the test network is valid");
    let int8 = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    [float, int8]
}

/// A patch of the backbone's own values for an image of this height.
fn lower(backbone: &Backbone, height: usize) -> Patch {
    let view = backbone.image();
    let mut input = view.input();
    input.shape.height = height;
    let bytes = match view.dtype() {
        Dtype::F32 | Dtype::F16 => {
            let mut writer = PatchWriter::identity(view, Kinds::HEAD);
            writer.input(input);
            writer.finish(&Default::default())
        }
        Dtype::I8 | Dtype::I8Half => {
            let mut writer = Int8PatchWriter::identity(view, Kinds::HEAD);
            writer.input(input);
            writer.finish(&Default::default())
        }
    };
    let bytes = bytes.expect("it is whole");
    Patch::from_bytes(&bytes, backbone).expect("it fits")
}

#[test]
fn rows_give_the_scores_of_whole_layers_to_the_bit() {
    for side in [61, 96] {
        for backbone in twins(side) {
            let patches = [backbone.identity(), lower(&backbone, side / 2)];
            for name in kernel_names(backbone.image().dtype()) {
                for threads in [1, 3] {
                    check(&backbone, &patches, name, threads);
                }
            }
        }
    }
}

fn check(backbone: &Backbone, patches: &[Patch], name: &str, threads: usize) {
    let session = || {
        let mut session = Session::with_threads(backbone, threads).expect("threads start");
        session.use_kernels(name).expect("they are there");
        session
    };
    let [mut rows, mut whole] = [session(), session().unfused().expect("memory is there")];
    assert!(rows.arena_bytes() < whole.arena_bytes());
    for patch in patches {
        let values = image(patch, 5);
        let expected = whole.run(patch, Image::Values(&values)).expect("it fits");
        assert!(
            expected.iter().any(|&score| score != expected[0]),
            "{expected:?}"
        );
        let found = rows.run(patch, Image::Values(&values)).expect("it fits");
        assert_eq!(found, expected, "{name}, {threads} threads");
    }
}

#[test]
fn a_session_shows_what_is_whole_and_an_unfused_one_every_layer() {
    let [backbone, _] = twins(96);
    let own = backbone.identity();
    let values = image(&own, 5);
    let layers = backbone.image().layer_count();
    let inner: Vec<usize> = backbone
        .image()
        .blocks()
        .flat_map(|block| block.first..block.last)
        .collect();
    let session = || Session::new(&backbone).expect("kernels are there");
    let seen = |mut session: Session<'_>| {
        let mut seen = Vec::new();
        let run = session.run_observed(&own, Image::Values(&values), |layer, _| seen.push(layer));
        run.expect("it fits");
        seen
    };
    let all: Vec<usize> = (0..layers).collect();
    assert_eq!(seen(session().unfused().expect("memory is there")), all);
    let whole: Vec<usize> = all
        .into_iter()
        .filter(|layer| !inner.contains(layer))
        .collect();
    assert!(!inner.is_empty());
    assert_eq!(seen(session()), whole);
}

/// The error of a plan with one field of two bytes changed.
fn refused(image: &[u8], at: usize, value: u16) -> ImageError {
    let mut bytes = image.to_vec();
    let start = section(image, SectionKind::Plan).start + at;
    bytes[start..start + 2].copy_from_slice(&value.to_le_bytes());
    seal(&mut bytes);
    match Backbone::from_bytes(&bytes) {
        Err(Error::Image(error)) => error,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn blocks_that_do_not_fit_their_layers_are_refused() {
    let image = blocks(96, 3);
    let backbone = Backbone::from_bytes(&image).expect("it is valid");
    let view: BackboneImage<'_> = backbone.image();
    let first = view.blocks().next().expect("it has blocks");
    let records = size_of::<PlanRecord>() + (view.layer_count() + 1) * size_of::<TensorRecord>();
    let tensor = |index: usize| size_of::<PlanRecord>() + index * size_of::<TensorRecord>();
    let inner = tensor(first.first + 1);
    let input = tensor(view.layer(first.first).inputs[0]);
    for (at, value, what) in [
        (offset_of!(PlanRecord, blocks), 1, "number"),
        (records + offset_of!(BlockRecord, rows), 0, "no rows"),
        (records + offset_of!(BlockRecord, reserved), 1, "reserved"),
        (
            records + offset_of!(BlockRecord, last),
            first.first as u16,
            "one layer",
        ),
        (
            records + offset_of!(BlockRecord, last),
            first.last as u16 + 1,
            "two blocks",
        ),
        (
            records + offset_of!(BlockRecord, last),
            view.layer_count() as u16,
            "scores",
        ),
        (
            inner + offset_of!(TensorRecord, last),
            first.last as u16 + 1,
            "lives on",
        ),
        (inner + offset_of!(TensorRecord, offset), 64, "in the arena"),
        (
            input + offset_of!(TensorRecord, last),
            first.first as u16,
            "dies early",
        ),
    ] {
        let error = refused(&image, at, value);
        let is_of_plan = matches!(
            error,
            ImageError::Record {
                section: SectionKind::Plan,
                ..
            } | ImageError::Record {
                section: SectionKind::Layers,
                ..
            } | ImageError::Section {
                section: SectionKind::Plan,
                ..
            }
        );
        assert!(is_of_plan, "{what}: {error}");
    }
    assert!(BackboneImage::open(view.bytes(), Verify::Full).is_ok());
}
