//! A patch that was generated from a few drawings, all of an int8 network, on the M4.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use graft_client::{Task, Upload, answer};
use graft_patches::records::Input;
use graft_runtime::{Backbone, Patch, Session};
use graft_tests::cases::digest;

use crate::device::Device;
use crate::machine::M4;
use crate::report::Report;

/// Of five classes, of which guessing finds one in five.
const LEAST: f64 = 0.6;

/// Generates with the generator of the assets, pushes, and runs test drawings.
pub(crate) fn run(verbose: bool, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [backbone, patch] =
        ["omniglot8.backbone", "characters.patch"].map(|name| folder.path().join(name));
    make(&backbone, &patch)?;
    let backbone_bytes = Backbone::open(&backbone)?;
    let bytes = std::fs::read(&patch)?;
    let bound = Patch::from_bytes(&bytes, &backbone_bytes)?;
    let inputs = folder.path().join("inputs");
    patchtool(&[
        "eval".as_ref(),
        "--backbone".as_ref(),
        &backbone,
        "--patch".as_ref(),
        &patch,
        "--data".as_ref(),
        &asset("demo/sanskrit-test.tar"),
        "--dump-inputs".as_ref(),
        &inputs,
    ])?;
    let test = drawings(&inputs, &bound.input())?;

    let mut device = Device::with_backbone(M4, backbone, verbose)?;
    device.upload(Upload {
        slot: 0,
        bytes: &bytes,
        answer: answer(&backbone_bytes, &bound)?,
        all: false,
    })?;
    let mut client = device.client()?;
    client.activate(0)?;
    client.confirm()?;
    let mut session = Session::new(&backbone_bytes)?;
    let (mut same, mut right) = (0, 0);
    for Drawing { pixels, class } in &test {
        let found = client.run(pixels, Some(Task::Slot(0)))?.scores;
        let expected = session.run(&bound, &pixels[..])?;
        same += usize::from(digest(&found) == digest(expected));
        let best = (0..found.len()).max_by(|&a, &b| found[a].total_cmp(&found[b]));
        right += usize::from(best == Some(*class));
    }
    let count = test.len();
    report.check(
        same == count && count > 0,
        format_args!(
            "a patch generated from 25 drawings ({} bytes): {same} of {count} drawings as on the host",
            bytes.len()
        ),
    );
    report.check(
        right as f64 >= LEAST * count as f64,
        format_args!("{right} of {count} drawings of others are recognised"),
    );
    Ok(())
}

/// A drawing as the network takes it.
pub(crate) struct Drawing {
    pub(crate) pixels: Vec<u8>,
    pub(crate) class: usize,
}

/// The drawings that `eval --dump-inputs` wrote as values of this input.
pub(crate) fn drawings(folder: &Path, input: &Input) -> Result<Vec<Drawing>> {
    let classes = std::fs::read_to_string(folder.join("labels.txt"))?;
    let drawing = |(index, class): (usize, &str)| {
        let path = folder.join(format!("{index:04}.f32"));
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let (values, _) = bytes.as_chunks();
        let channels = (0..input.shape.channels).cycle();
        let pixels = values.iter().zip(channels).map(|(&value, channel)| {
            (f32::from_le_bytes(value) * input.std[channel] + input.mean[channel]).round() as u8
        });
        Ok(Drawing {
            pixels: pixels.collect(),
            class: class.parse()?,
        })
    };
    classes.lines().enumerate().map(drawing).collect()
}

/// The generator's backbone in int8, and a patch for it.
fn make(backbone: &Path, patch: &Path) -> Result<()> {
    let support = asset("demo/sanskrit-5.tar");
    patchtool(&[
        "quantize".as_ref(),
        asset("omniglot.backbone").as_path(),
        "--calibrate".as_ref(),
        &support,
        "-o".as_ref(),
        backbone,
    ])?;
    patchtool(&[
        "generate".as_ref(),
        "--hyper".as_ref(),
        &asset("omniglot.hyper"),
        "--backbone".as_ref(),
        backbone,
        "--support".as_ref(),
        &support,
        "-o".as_ref(),
        patch,
    ])
}

/// Runs the command that was built together with this program.
pub(crate) fn patchtool(arguments: &[&Path]) -> Result<()> {
    let program = std::env::current_exe()?.with_file_name("patchtool");
    let done = Command::new(&program).args(arguments).output();
    let done = done.with_context(|| {
        format!(
            "cannot start {}: `firmware/mps2/build` makes it",
            program.display()
        )
    })?;
    ensure!(
        done.status.success(),
        "patchtool: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

pub(crate) fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tools/assets")
        .join(name)
}
