//! Nothing that a file can hold makes the importer panic.

use std::path::Path;

use proptest::prelude::*;

use crate::import::onnx::{decode, import};

/// Made by `tiny.py`: every operator that the importer reads, with the arithmetic on shapes of an exporter.
const TINY: &[u8] = include_bytes!("tiny.onnx");

fn read(bytes: &[u8]) -> bool {
    decode(bytes).is_ok_and(|model| import(&model, Path::new(""), None).is_ok())
}

#[test]
fn the_untouched_model_is_read() {
    assert!(read(TINY));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((0..TINY.len(), any::<u8>()), 1..6)) {
        let mut bytes = TINY.to_vec();
        for (at, value) in changes {
            bytes[at] = value;
        }
        read(&bytes);
    }

    #[test]
    fn truncated_models_never_panic(length in 0..TINY.len()) {
        read(&TINY[..length]);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    #[test]
    fn exchanged_nodes_and_inputs_never_panic(seeds in prop::collection::vec(any::<(u16, u16, u16)>(), 1..8)) {
        let mut model = decode(TINY).unwrap();
        let graph = model.graph.as_mut().unwrap();
        let names: Vec<String> = graph.node.iter().flat_map(|n| n.output.clone())
            .chain(graph.initializer.iter().map(|t| t.name.clone())).collect();
        for (node, input, name) in seeds {
            let count = graph.node.len();
            let node = &mut graph.node[usize::from(node) % count];
            if node.input.is_empty() {
                continue;
            }
            let slot = usize::from(input) % node.input.len();
            node.input[slot] = names[usize::from(name) % names.len()].clone();
        }
        let _ = import(&model, Path::new(""), None);
    }

    #[test]
    fn hostile_numbers_never_panic(seeds in prop::collection::vec((any::<u16>(), any::<u16>(), 0..9usize), 1..4)) {
        const NUMBERS: [i64; 9] = [0, -1, 1, 2, 4097, i64::MAX, i64::MIN, 1 << 31, 1 << 62];
        let mut model = decode(TINY).unwrap();
        let graph = model.graph.as_mut().unwrap();
        for (at, slot, number) in seeds {
            let attributes = graph.node.iter_mut().flat_map(|n| &mut n.attribute);
            let in_attributes = attributes.flat_map(|a| a.ints.iter_mut().chain([&mut a.i]));
            let in_tensors = graph.initializer.iter_mut().flat_map(|t| t.dims.iter_mut().chain(&mut t.int64_data));
            let mut all: Vec<&mut i64> = if at % 2 == 0 { in_attributes.collect() } else { in_tensors.collect() };
            let count = all.len();
            *all[usize::from(slot) % count] = NUMBERS[number];
        }
        let _ = import(&model, Path::new(""), None);
    }
}
