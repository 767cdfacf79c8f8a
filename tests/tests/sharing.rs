//! Two processes that run one backbone share its pages.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use graft_patches::geometry::{Activation, Shape, Window};
use graft_patches::metadata::BackboneMetadata;
use graft_patches::records::{Input, Layer, Op};
use graft_patches::writer::{BackboneWriter, SiteValues};
use graft_runtime::{Backbone, Session, Verify};

/// Set in the child processes: the backbone that they run.
const ROLE: &str = "GRAFT_TEST_BACKBONE";
/// Memory that a process may own besides its arena.
const OWN_BYTES: usize = 3_000_000;

/// 16 MB of weights, and an arena large enough for huge pages.
fn large_backbone() -> Vec<u8> {
    let mut writer = BackboneWriter::new(Input {
        shape: Shape::new(24, 24, 4),
        mean: [0.0; 4],
        std: [1.0; 4],
    });
    let mut input = 0;
    let mut inputs = 4;
    for _ in 0..5 {
        let weights: Vec<f32> = (0..1024 * inputs).map(|i| (i % 7) as f32 * 1e-3).collect();
        let layer = Layer {
            op: Op::Pointwise,
            inputs: [input; 2],
            site: None,
            window: Window::POINT,
            activation: Activation::RELU6,
            count_padding: false,
        };
        let values = SiteValues {
            weights: &weights,
            scale: &[1.0; 1024],
            bias: &[0.1; 1024],
        };
        (input, _) = writer.push(layer, Some(values)).expect("the layers fit");
        inputs = 1024;
    }
    writer
        .finish(1, &BackboneMetadata::default())
        .expect("the network fits the format")
}

/// Private bytes of a process, as a smaps line says: written ones and mapped pages that nobody else maps.
fn private_bytes(kind: &str) -> usize {
    let smaps = std::fs::read_to_string("/proc/self/smaps").expect("Linux tells");
    smaps
        .lines()
        .filter_map(|line| {
            line.strip_prefix(kind)?
                .split_whitespace()
                .next()?
                .parse::<usize>()
                .ok()
        })
        .sum::<usize>()
        * 1024
}

/// Runs in the child processes only: opens, runs, reports, and stays until its input closes.
#[test]
fn child() {
    let Some(path) = std::env::var_os(ROLE) else {
        return;
    };
    let own = || private_bytes("Private_Dirty:") + private_bytes("Private_Clean:");
    let before = own();
    // SAFETY: the parent, which wrote it, leaves it alone.
    let backbone = unsafe { Backbone::map(path, Verify::Full) }.expect("the parent wrote it");
    let mut session = Session::new(&backbone).expect("kernels are there");
    let scores = session
        .run(&backbone.identity(), &[9u8; 24 * 24 * 4])
        .expect("the image fits");
    assert!(scores[0] > 0.0);
    let arena = session.arena_bytes();
    println!("\nadded {} arena {arena}", own().saturating_sub(before));
    std::io::stdout().flush().expect("the parent listens");
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn start(backbone: &Path) -> (Child, usize, usize) {
    let mut child = Command::new(std::env::current_exe().expect("a running test"))
        .args(["--exact", "child", "--nocapture"])
        .env(ROLE, backbone)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test can start itself");
    let output = child.stdout.take().expect("piped");
    let line = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .find(|line| line.starts_with("added "))
        .expect("the child reports");
    let numbers: Vec<usize> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    (child, numbers[0], numbers[1])
}

#[test]
fn a_second_process_adds_its_arena_and_little_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large.backbone");
    let bytes = large_backbone();
    std::fs::write(&path, &bytes).expect("room on the disk");
    let (mut first, _, _) = start(&path);
    let (mut second, added, arena) = start(&path);
    for child in [&mut first, &mut second] {
        drop(child.stdin.take());
        child.wait().expect("the child ends");
    }
    println!(
        "second process: {added} private bytes with an arena of {arena}, for a backbone of {}",
        bytes.len()
    );
    assert!(
        bytes.len() > 4 * OWN_BYTES,
        "the backbone is large enough for the test to mean something"
    );
    assert!(
        added <= arena + OWN_BYTES,
        "{added} private bytes for an arena of {arena}"
    );
}
