//! Data sets of tiny images, tar and zip.

use std::io::{Cursor, Write as _};

use tar::EntryType;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::Seeds;

pub fn all() -> Seeds {
    vec![
        ("tar", tar()),
        ("links.tar", links()),
        ("long-names.tar", long_names()),
        ("stored.zip", zip(CompressionMethod::STORE)),
        ("deflated.zip", zip(CompressionMethod::DEFLATE)),
    ]
}

/// An image of one pixel.
fn png(grey: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("a vector takes it");
    writer.write_image_data(&[grey; 3]).expect("it is a pixel");
    drop(writer);
    bytes
}

fn file(builder: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    if name.len() > 100 {
        header = tar::Header::new_gnu();
    }
    header.set_size(bytes.len() as u64);
    builder
        .append_data(&mut header, name, bytes)
        .expect("a vector takes it");
}

fn link(builder: &mut tar::Builder<Vec<u8>>, name: &str, kind: EntryType, target: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    builder
        .append_link(&mut header, name, target)
        .expect("a vector takes it");
}

fn tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    file(&mut builder, "set/a/1.png", &png(1));
    file(&mut builder, "set/b/2.png", &png(2));
    file(&mut builder, "set/LICENSE", b"text");
    builder.into_inner().expect("a vector takes it")
}

fn links() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    file(&mut builder, "a/1.png", &png(1));
    link(&mut builder, "b/1.png", EntryType::Link, "a/1.png");
    link(&mut builder, "b/2.png", EntryType::Symlink, "../a/./1.png");
    link(&mut builder, "b/3.png", EntryType::Symlink, "3.png");
    link(&mut builder, "c", EntryType::Symlink, "a");
    builder.into_inner().expect("a vector takes it")
}

fn long_names() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let name = format!("{}/{}.png", "c".repeat(60), "i".repeat(50));
    file(&mut builder, &name, &png(1));
    let pairs = [("path", b"caf\xC3\xA9/1.png".as_slice())];
    builder
        .append_pax_extensions(pairs)
        .expect("a vector takes it");
    file(&mut builder, "d/1.png", &png(3));
    builder.into_inner().expect("a vector takes it")
}

fn zip(method: CompressionMethod) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in [
        ("a/1.png", png(1)),
        ("b/2.png", png(2)),
        ("README", b"text".to_vec()),
    ] {
        writer.start_file(name, options).expect("a vector takes it");
        writer.write_all(&bytes).expect("a vector takes it");
    }
    writer
        .add_symlink("b/3.png", "../a/1.png", options)
        .expect("a vector takes it");
    writer.finish().expect("a vector takes it").into_inner()
}
