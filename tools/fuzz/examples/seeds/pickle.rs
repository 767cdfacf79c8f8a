//! Checkpoints of the narrowest MobileNetV2: of `torch.save`, zip and legacy, and safetensors.

use std::io::{Cursor, Write as _};

use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::Seeds;

pub fn all() -> Seeds {
    let all = network();
    let few = all[..4].to_vec();
    vec![
        ("legacy", legacy(&all)),
        ("few-legacy", legacy(&few)),
        ("few-zip", zip(&few, CompressionMethod::STORE)),
        ("few-deflated-zip", zip(&few, CompressionMethod::DEFLATE)),
        ("safetensors", safetensors(&all)),
        ("few-safetensors", safetensors(&few)),
    ]
}

/// Keys and shapes.
type Shapes = Vec<(String, Vec<usize>)>;

/// Those of a network with one channel wherever there can be, and two classes.
fn network() -> Shapes {
    let mut shapes = Shapes::new();
    let mut add = |conv: String, norm: String, shape: [usize; 4]| {
        shapes.push((format!("{conv}.weight"), shape.to_vec()));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            shapes.push((format!("{norm}.{part}"), vec![shape[0]]));
        }
    };
    add("features.0.0".into(), "features.0.1".into(), [1, 3, 3, 3]);
    for block in 1..18 {
        let name = |part: &str| format!("features.{block}.conv.{part}");
        let (first, hidden) = if block == 1 { (0, 1) } else { (1, 6) };
        if block > 1 {
            add(name("0.0"), name("0.1"), [6, 1, 1, 1]);
        }
        let at = |i: usize| name(&(first + i).to_string());
        add(
            format!("{}.0", at(0)),
            format!("{}.1", at(0)),
            [hidden, 1, 3, 3],
        );
        add(at(1), at(2), [1, hidden, 1, 1]);
    }
    add("features.18.0".into(), "features.18.1".into(), [1, 1, 1, 1]);
    shapes.push(("classifier.1.weight".into(), vec![2, 1]));
    shapes.push(("classifier.1.bias".into(), vec![2]));
    shapes
}

/// The bytes of a tensor.
fn values(shape: &[usize]) -> Vec<u8> {
    let count = shape.iter().product::<usize>();
    (0..count)
        .flat_map(|at| (1.0 + at as f32).to_le_bytes())
        .collect()
}

/// A pickle of a dictionary of tensors, whose storages are 0, 1 and so on.
fn pickle(shapes: &Shapes) -> Vec<u8> {
    let mut bytes = b"\x80\x02}(".to_vec();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.push(b'X');
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    let tuple = |bytes: &mut Vec<u8>, values: &[usize]| {
        bytes.push(b'(');
        values
            .iter()
            .for_each(|&value| bytes.extend([b'K', value as u8]));
        bytes.push(b't');
    };
    for (index, (key, shape)) in shapes.iter().enumerate() {
        text(&mut bytes, key);
        // Classes once, then by number.
        match index {
            0 => bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\nq\x00"),
            _ => bytes.extend(b"h\x00"),
        }
        bytes.extend(b"((");
        text(&mut bytes, "storage");
        match index {
            0 => bytes.extend(b"ctorch\nFloatStorage\nq\x01"),
            _ => bytes.extend(b"h\x01"),
        }
        text(&mut bytes, &index.to_string());
        text(&mut bytes, "cpu");
        bytes.extend([b'K', shape.iter().product::<usize>() as u8]);
        bytes.extend(b"tQK\x00");
        tuple(&mut bytes, shape);
        let strides = (0..shape.len()).map(|at| shape[at + 1..].iter().product());
        tuple(&mut bytes, &strides.collect::<Vec<usize>>());
        bytes.extend(b"\x89}tR");
    }
    bytes.extend(b"u.");
    bytes
}

/// As `torch.save` wrote it before 1.6: pickles of a magic number, a version, the system, the value and the storage keys,
/// then the storages.
fn legacy(shapes: &Shapes) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\
        \x80\x02}(X\x10\x00\x00\x00protocol_versionM\xe9\x03X\x0d\x00\x00\x00little_endian\x88u."
        .to_vec();
    bytes.extend(pickle(shapes));
    bytes.extend(b"\x80\x02](");
    for key in (0..shapes.len()).map(|index| index.to_string()) {
        bytes.push(b'X');
        bytes.extend((key.len() as u32).to_le_bytes());
        bytes.extend(key.as_bytes());
    }
    bytes.extend(b"e.");
    for (_, shape) in shapes {
        bytes.extend(shape.iter().product::<usize>().to_le_bytes());
        bytes.extend(values(shape));
    }
    bytes
}

fn zip(shapes: &Shapes, method: CompressionMethod) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    let mut add = |name: &str, bytes: &[u8]| {
        writer.start_file(name, options).expect("a vector takes it");
        writer.write_all(bytes).expect("a vector takes it");
    };
    add("archive/data.pkl", &pickle(shapes));
    add("archive/byteorder", b"little");
    for (index, (_, shape)) in shapes.iter().enumerate() {
        add(&format!("archive/data/{index}"), &values(shape));
    }
    add("archive/version", b"3\n");
    writer.finish().expect("a vector takes it").into_inner()
}

fn safetensors(shapes: &Shapes) -> Vec<u8> {
    let mut data = Vec::new();
    let mut entries = Vec::new();
    for (key, shape) in shapes {
        let start = data.len();
        data.extend(values(shape));
        let end = data.len();
        entries.push(format!(
            r#""{key}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        ));
    }
    let header = format!("{{{}}}", entries.join(","));
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &data].concat()
}
