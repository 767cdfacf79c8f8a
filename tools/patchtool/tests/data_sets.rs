//! What the commands say of data sets that are not as they should be, and that they count no image wrongly.

#[allow(dead_code)] // Each test needs some of it.
mod shared;

use std::fs;
use std::io::Write as _;
use std::ops::Deref;

use image::{Rgb, RgbImage};
use serde_json::Value;
use shared::Folder;

/// A folder with a small backbone.
struct Fixture(Folder);

impl Fixture {
    fn new() -> Self {
        let folder = Folder::new();
        let backbone = graft_tests::backbone(24, 1);
        folder.write("b.backbone", backbone.image().bytes());
        Self(folder)
    }

    /// Images of these classes.
    fn images(&self, set: &str, classes: &[&str], count: u8) {
        for (shade, class) in (1..).zip(classes) {
            let folder = self.path(set).join(class);
            fs::create_dir_all(&folder).expect("room on the disk");
            for number in 0..count {
                let pixel = Rgb([60 * shade, 7 * number, 255 - 60 * shade]);
                RgbImage::from_pixel(24, 24, pixel)
                    .save(folder.join(format!("{number}.png")))
                    .expect("room on the disk");
            }
        }
    }

    fn generate(&self, set: &str) -> Value {
        self.json(&format!(
            "generate --method prototype -b b.backbone --support {set} -o p.patch --force"
        ))
    }
}

impl Deref for Fixture {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

const TRAIN: &str = "train -b b.backbone --kind head --batch 4 --epochs 1 --force -o t.safetensors";

#[test]
fn every_reader_says_what_it_left_out() {
    let f = Fixture::new();
    f.images("data", &["green", "red"], 12);
    for (number, other) in ["webp", "bmp", "tiff", "GIF", "heic"].iter().enumerate() {
        let from = f.path(format!("data/green/{number}.png"));
        fs::rename(from, f.path(format!("data/green/{number}.{other}"))).expect("it is there");
    }
    f.write("data/README.md", b"colours");
    f.write("data/red/.hidden", b"");
    let expected = serde_json::json!({
        "other_format": { "count": 5, "first": "green/0.webp" },
        "other": { "count": 1, "first": "README.md" },
        "hidden": { "count": 1, "first": "red/.hidden" },
    });
    for command in [
        "generate --method prototype -b b.backbone --support data -o p.patch --force",
        "eval -b b.backbone -p p.patch --data data",
        "quantize b.backbone --calibrate data -o q.backbone --force",
        &format!("{TRAIN} --data data"),
        "export t.safetensors -b q.backbone --calibrate data -o q.patch --force",
    ] {
        let stderr = f.run(command).stderr;
        let note = "left out: 5 files that are no JPEG or PNG, such as green/0.webp; 1 other file: README.md";
        assert!(stderr.contains(note), "{command}: {stderr}");
        assert_eq!(f.json(command)["left_out"], expected, "{command}");
    }
    let report = f.run("eval -b b.backbone -p p.patch --data data").stdout;
    assert!(report.contains("left out: 5 files that are"), "{report}");
}

#[test]
fn a_number_in_front_of_a_name_is_no_class_where_folders_go_by_name() {
    let f = Fixture::new();
    f.images("train", &["1 euro", "10 euro", "5 euro"], 3);
    f.generate("train");
    f.images("test", &["1 euro", "2 euro", "5 euro"], 2);
    let eval = "eval -b b.backbone -p p.patch --data test";
    f.refused(eval, "no label for 1 of 3 class folders: 2 euro");
    fs::remove_dir_all(f.path("test/2 euro")).expect("it is there");
    assert_eq!(f.json(eval)["count"], 4);
}

#[test]
fn a_name_is_one_class_however_its_accents_are_spelled() {
    let f = Fixture::new();
    f.images("train", &["caf\u{e9}", "tea"], 4);
    f.images("test", &["cafe\u{301}", "tea"], 2);
    assert_eq!(f.generate("train")["labels"][0], "caf\u{e9}");
    assert_eq!(
        f.json("eval -b b.backbone -p p.patch --data test")["count"],
        4
    );
    f.json(&format!("{TRAIN} --data train --test test"));
    f.images("train", &["cafe\u{301}"], 4);
    let both = f.generate("train");
    assert_eq!((&both["classes"], &both["images"]), (&2.into(), &12.into()));
}

#[test]
fn only_a_set_to_test_with_may_have_an_empty_class_folder() {
    let f = Fixture::new();
    f.images("train", &["a", "b"], 4);
    f.images("test", &["a"], 2);
    fs::create_dir(f.path("test/b")).expect("room on the disk");
    f.generate("train");
    let report = f.json("eval -b b.backbone -p p.patch --data test");
    assert_eq!(report["left_out"]["empty"]["first"], "b");
    f.json(&format!("{TRAIN} --data train --test test"));
    let refused = "class folders without images";
    f.refused(&format!("{TRAIN} --data test"), refused);
    f.refused(
        "generate --method prototype -b b.backbone --support test -o n.patch",
        refused,
    );
}

#[test]
fn an_archive_that_cannot_be_read_is_refused_once_with_the_cause() {
    let f = Fixture::new();
    f.images("train", &["a", "b"], 3);
    f.generate("train");
    let mut bytes = zip(&["a/1.png", "a/2.png", "b/1.png"]);
    for at in 4..bytes.len() {
        // The flag of encryption, in the header of each file and in the list of files.
        match &bytes[at - 4..at] {
            b"PK\x03\x04" => bytes[at + 2] |= 1,
            b"PK\x01\x02" => bytes[at + 4] |= 1,
            _ => {}
        }
    }
    f.write("x.zip", &bytes);
    for command in [
        "eval -b b.backbone -p p.patch --data x.zip",
        "generate --method prototype -b b.backbone --support x.zip -o n.patch",
        "quantize b.backbone --calibrate x.zip -o q.backbone",
        &format!("{TRAIN} --data x.zip"),
        &format!("{TRAIN} --data train --test x.zip"),
    ] {
        let stderr = f.refused(command, "x.zip has encrypted files, such as a/1.png");
        assert_eq!(stderr.matches("a/1.png").count(), 1, "{command}: {stderr}");
    }
}

#[test]
fn a_set_of_which_nothing_can_be_read_is_refused_with_the_cause() {
    let f = Fixture::new();
    f.images("train", &["a", "b"], 3);
    f.generate("train");
    f.write("x.zip", &zip(&["a/1.png", "b/1.png"]));
    let stderr = f.refused(
        "eval -b b.backbone -p p.patch --data x.zip",
        "none of 2 images can be read",
    );
    assert!(stderr.contains("expected a JPEG or PNG"), "{stderr}");
}

/// A zip archive of files with these names, which are no images.
fn zip(names: &[&str]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in names {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).expect("memory");
        writer.write_all(b"no image").expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}
