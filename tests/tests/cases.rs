//! Every kernel set of this machine gives what `tests/cases` has on record.

use graft_patches::records::Dtype;
use graft_runtime::{Session, kernel_names};
use graft_tests::cases::{Demo, lines, recorded};
use graft_tests::layers;

#[test]
fn every_kernel_gives_the_recorded_scores_with_a_swap_before_every_frame() {
    let demo = Demo::new();
    let cases = recorded();
    assert!(cases.len() >= 40);
    assert!(cases.windows(2).all(|pair| pair[0].task != pair[1].task));
    for name in kernel_names(Dtype::I8) {
        let mut session = Session::new(&demo.backbone).expect("kernels are there");
        session.use_kernels(name).expect("they are there");
        for case in &cases {
            let found = demo.run(&mut session, &case.task, &case.shows);
            assert_eq!(found, *case, "{name}");
        }
    }
}

#[test]
fn the_demo_sees_what_most_images_show() {
    let cases = recorded();
    let right = cases.iter().filter(|case| case.sees == case.shows).count();
    assert!(right * 10 >= cases.len() * 8, "{right} of {}", cases.len());
}

#[test]
fn every_int8_kernel_gives_the_recorded_layers() {
    for name in kernel_names(Dtype::I8) {
        assert_eq!(layers::lines(Dtype::I8, name), on_record("int8"), "{name}");
    }
}

#[test]
fn reference_kernels_give_the_recorded_layers_in_f32() {
    assert_eq!(layers::lines(Dtype::F32, "reference"), on_record("f32"));
}

/// The recorded lines of a dtype.
fn on_record(dtype: &str) -> Vec<String> {
    let mut lines = lines("layers.tsv", layers::HEADER);
    lines.retain(|line| line.split('\t').next() == Some(dtype));
    lines
}
