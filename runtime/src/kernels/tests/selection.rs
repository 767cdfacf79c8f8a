//! The selection of kernels: by speed, and by name.

use graft_patches::records::Dtype;

use crate::kernels::select::is_about;
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

/// The names of `order` that are available, in its order.
fn available(order: &[&'static str], dtype: Dtype) -> Vec<&'static str> {
    let found = names(dtype);
    let order = order.iter().copied();
    order.filter(|name| found.contains(name)).collect()
}

#[test]
fn the_fastest_come_first() {
    let f32 = ["avx512", "avx2", "neon", "reference"];
    let int8 = [
        "avx512-vbmi",
        "avx512-vnni",
        "avx-vnni",
        "avx2",
        "neon-i8mm",
        "neon-dotprod",
        "neon",
        "portable",
        "cortex-m, emulated",
        "reference",
    ];
    for dtype in DTYPES {
        let order: &[_] = match dtype {
            Dtype::F32 | Dtype::F16 => &f32,
            Dtype::I8 | Dtype::I8Half => &int8,
        };
        assert_eq!(names(dtype), available(order, dtype));
    }
}

#[test]
fn a_name_asks_for_the_kernels_of_its_dtypes() {
    let [f32, int8] = [Dtype::F32, Dtype::I8].map(names);
    for (dtype, own, other) in [(Dtype::F32, &f32, &int8), (Dtype::I8, &int8, &f32)] {
        assert!(own.iter().all(|name| is_about(dtype, name)));
        let foreign = other.iter().filter(|name| !own.contains(name));
        assert!(foreign.clone().all(|name| !is_about(dtype, name)));
        // An unknown name is refused, whatever the dtype.
        assert!(is_about(dtype, "mmx"));
    }
}
