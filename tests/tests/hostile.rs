//! Hostile images with right digests: records of any content are refused, or what was opened runs.

use graft_patches::container::{HEADER_LEN, Header, SectionKind};
use graft_patches::records::Dtype;
use graft_patches::writer;
use graft_runtime::{Backbone, Patch};
use graft_tests::{
    backbone, blocks, every_operator, int8, random_patch_as, run_if_small,
    run_with_own_patches_if_small, section,
};
use proptest::prelude::*;
use proptest::sample::Index;

const SIDE: usize = 24;

/// The bytes with other values in some of these places.
fn reseal(mut bytes: Vec<u8>, changes: &[(Index, u8)], places: &[usize]) -> Vec<u8> {
    for (index, value) in changes {
        bytes[places[index.index(places.len())]] = *value;
    }
    writer::seal(&mut bytes);
    bytes
}

/// The backbone for patches of a dtype.
fn backbone_of(dtype: Dtype) -> Backbone {
    let float = backbone(SIDE, 1);
    match dtype.of_backbone() {
        Dtype::I8 | Dtype::I8Half => {
            Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid")
        }
        Dtype::F32 | Dtype::F16 => float,
    }
}

/// The same with fused blocks.
fn with_blocks(dtype: Dtype) -> Backbone {
    let float = Backbone::from_bytes(&blocks(SIDE, 1)).expect("it is valid");
    assert!(float.image().blocks().count() > 1);
    match dtype {
        Dtype::I8 | Dtype::I8Half => {
            Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid")
        }
        Dtype::F32 | Dtype::F16 => float,
    }
}

/// Places of the fixed-size records of an image, with the bytes between their sections.
fn records(bytes: &[u8]) -> Vec<usize> {
    let header = Header::parse(bytes).expect("a whole header");
    let kinds = [
        SectionKind::Input,
        SectionKind::Layers,
        SectionKind::Sites,
        SectionKind::Plan,
        SectionKind::Records,
        SectionKind::Scales,
    ];
    kinds
        .into_iter()
        .filter(|&kind| header.section(kind).is_some())
        .map(|kind| section(bytes, kind))
        .flat_map(|place| place.start..place.end.next_multiple_of(64).min(bytes.len()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_records_with_right_digests_are_refused_or_safe(
        dtype in prop::sample::select(vec![Dtype::F32, Dtype::I8]),
        has_blocks in any::<bool>(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let bytes = match has_blocks {
            true => with_blocks(dtype),
            false => backbone_of(dtype),
        };
        let bytes = bytes.image().bytes().to_vec();
        let places = records(&bytes);
        if let Ok(backbone) = Backbone::from_bytes(&reseal(bytes, &changes, &places)) {
            run_with_own_patches_if_small(&backbone);
        }
    }

    #[test]
    fn random_patch_records_with_right_digests_are_refused_or_safe(
        dtype in prop::sample::select(Dtype::ALL.to_vec()),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let backbone = backbone_of(dtype);
        let bytes = match dtype {
            Dtype::I8 | Dtype::I8Half => {
                int8::random_patch_as(dtype, &backbone_of(Dtype::F32), &backbone, 7, 2)
            }
            Dtype::F32 | Dtype::F16 => random_patch_as(dtype, &backbone, 7, 2),
        };
        let places = records(&bytes);
        if let Ok(patch) = Patch::from_bytes(&reseal(bytes, &changes, &places), &backbone) {
            run_if_small(&backbone, &patch);
        }
    }

    #[test]
    fn random_headers_with_right_digests_are_refused_or_safe(
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let bytes = every_operator(SIDE, 1);
        let places: Vec<usize> = (0..HEADER_LEN).collect();
        if let Ok(backbone) = Backbone::from_bytes(&reseal(bytes, &changes, &places)) {
            run_with_own_patches_if_small(&backbone);
        }
    }
}
