//! Colours to learn.

use std::fs;
use std::ops::Deref;

use graft_tests::Random;
use image::{Rgb, RgbImage};

use super::Folder;

/// Trains on the colours in steps of 10.
pub(crate) const TRAIN: &str = "train --data data --test test --batch 10 --backbone b.backbone";

/// A folder with a small backbone and photographs of three colours.
pub(crate) struct Fixture(Folder);

impl Fixture {
    pub(crate) fn new() -> Self {
        let fixture = Self(Folder::new());
        let backbones = [
            ("b.backbone", graft_tests::every_operator(24, 1)),
            ("norms.backbone", graft_tests::operators::with_batch_norm()),
        ];
        for (name, bytes) in backbones {
            fixture.write(name, &bytes);
        }
        for (class, colour) in [
            ("red", [200, 60, 60]),
            ("green", [60, 200, 60]),
            ("blue", [60, 60, 200]),
        ] {
            fixture.images("data", class, colour, 20);
            fixture.images("test", class, colour, 6);
        }
        fixture
    }

    /// Noisy images around a colour.
    pub(crate) fn images(&self, set: &str, class: &str, colour: [u8; 3], count: u64) {
        let folder = self.path(set).join(class);
        fs::create_dir_all(&folder).expect("room on the disk");
        for number in 0..count {
            let set: u64 = set.bytes().map(u64::from).sum();
            let mut random = Random(number + 1000 * set);
            let mut pixel = |_, _| {
                Rgb(colour.map(|level| level.saturating_add_signed((random.value() * 55.0) as i8)))
            };
            RgbImage::from_fn(30, 26, &mut pixel)
                .save(folder.join(format!("{number}.png")))
                .expect("room on the disk");
        }
    }

    /// As [`Folder::refused`], leaving no output.
    pub(crate) fn refused(&self, arguments: &str, words: &str) {
        self.0
            .refused(&format!("{arguments} -o refused.safetensors"), words);
        assert!(!self.path("refused.safetensors").exists());
    }

    /// The patch of a trained file.
    pub(crate) fn patch(&self, trained: &str) -> Vec<u8> {
        self.patch_of("b.backbone", trained)
    }

    pub(crate) fn patch_of(&self, backbone: &str, trained: &str) -> Vec<u8> {
        self.json(&format!(
            "export {trained} --backbone {backbone} -o {trained}.patch --force"
        ));
        self.read(&format!("{trained}.patch"))
    }
}

impl Deref for Fixture {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}
