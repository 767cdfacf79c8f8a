//! Small data sets for tests.

use image::{Rgb, RgbImage};

/// A square image of this size with a pattern of its own.
pub(super) fn image(side: u32, seed: u8) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| {
        let value = (x * 37 + y * 91) as u8;
        Rgb([value.wrapping_add(seed), value ^ seed, seed])
    })
}

/// `class0`, `class1` and so on, with this number of images each: `0.png`, `1.png` and so on, no two of them alike.
pub(super) fn folder(counts: &[u8], side: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut seed = 0;
    for (class, &count) in counts.iter().enumerate() {
        let class = folder.path().join(format!("class{class}"));
        std::fs::create_dir(&class).unwrap();
        for index in 0..count {
            let path = class.join(format!("{index}.png"));
            image(side, seed).save(path).unwrap();
            seed += 1;
        }
    }
    folder
}

/// A PNG of this grey.
pub(super) fn png(value: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    RgbImage::from_pixel(2, 2, Rgb([value; 3]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// A file of these bytes.
pub(super) fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

/// A zip archive of these files.
pub(super) fn zip_of(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        std::io::Write::write_all(&mut writer, bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
