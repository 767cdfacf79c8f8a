//! Which kernels are chosen.

use graft_patches::records::Dtype;

use crate::kernels::{KernelError, KernelSet, f32, names};

const DTYPES: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::I8, Dtype::I8Half];

#[test]
fn every_available_name_is_found() {
    for dtype in DTYPES {
        for name in names(dtype) {
            assert!(KernelSet::by_name(dtype, name).is_ok_and(|found| found.name() == name));
        }
    }
    for kernels in f32::available() {
        let found = KernelSet::by_name(Dtype::F32, kernels.name);
        assert!(matches!(found, Ok(KernelSet::F32(found)) if core::ptr::eq(found, kernels)));
    }
}

#[test]
fn the_reference_is_available_and_last() {
    for dtype in DTYPES {
        assert_eq!(names(dtype).last(), Some(&"reference"));
    }
}

#[test]
fn unknown_names_are_not_found() {
    assert!(
        DTYPES
            .iter()
            .all(|&dtype| KernelSet::by_name(dtype, "mmx").is_err())
    );
}

#[test]
fn the_error_lists_what_is_available() {
    for dtype in DTYPES {
        let name = "mmx".into();
        let message = KernelError::Unavailable { name, dtype }.to_string();
        assert!(
            message.contains("`mmx`") && message.contains("reference"),
            "{message}"
        );
    }
}
