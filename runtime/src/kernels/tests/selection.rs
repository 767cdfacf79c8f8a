//! Which kernels are chosen.

use graft_patches::records::Dtype;

use crate::kernels::{KernelError, available, by_name};

#[test]
fn every_available_name_is_found() {
    for kernels in available() {
        assert!(by_name(kernels.name).is_some_and(|found| core::ptr::eq(found, kernels)));
    }
}

#[test]
fn the_reference_is_available_and_last() {
    assert_eq!(available().last().unwrap().name, "reference");
}

#[test]
fn unknown_names_are_not_found() {
    assert!(by_name("mmx").is_none());
}

#[test]
fn the_error_lists_what_is_available() {
    for dtype in [Dtype::F32, Dtype::I8] {
        let name = "mmx".into();
        let message = KernelError::Unavailable { name, dtype }.to_string();
        assert!(
            message.contains("`mmx`") && message.contains("reference"),
            "{message}"
        );
    }
}
