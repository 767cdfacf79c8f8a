//! Tensors as other programs write them, and damaged ones.

use super::*;
use crate::build;

fn values(proto: &TensorProto) -> Result<Values, TensorError> {
    Tensor::read(proto, None).map(|tensor| tensor.values)
}

#[test]
fn each_type_is_read_from_raw_bytes_and_from_its_field() {
    let all = [
        (DataType::Float, 4),
        (DataType::Float16, 2),
        (DataType::Bfloat16, 2),
        (DataType::Double, 8),
        (DataType::Bool, 1),
        (DataType::Int8, 1),
        (DataType::Uint8, 1),
        (DataType::Int16, 2),
        (DataType::Uint16, 2),
        (DataType::Int32, 4),
        (DataType::Uint32, 4),
        (DataType::Int64, 8),
        (DataType::Uint64, 8),
    ];
    for (element, size) in all {
        let is_bfloat = element == DataType::Bfloat16;
        let half = if is_bfloat {
            bf16::from_f32(1.0).to_bits()
        } else {
            f16::from_f32(1.0).to_bits()
        };
        let half = i32::from(half);
        let is_half = is_bfloat || element == DataType::Float16;
        let field = TensorProto {
            dims: vec![1],
            data_type: element as i32,
            float_data: vec![1.0],
            int32_data: vec![if is_half { half } else { 1 }],
            int64_data: vec![1],
            double_data: vec![1.0],
            uint64_data: vec![1],
            ..TensorProto::default()
        };
        let raw = match format(element).expect("it is supported").field {
            Field::Float => 1f32.to_le_bytes().to_vec(),
            Field::Double => 1f64.to_le_bytes().to_vec(),
            Field::Int32 | Field::Int64 | Field::Uint64 if is_half => {
                half.to_le_bytes()[..2].to_vec()
            }
            Field::Int32 | Field::Int64 | Field::Uint64 => 1u64.to_le_bytes()[..size].to_vec(),
        };
        let expected = match format(element).expect("it is supported").value {
            Value::Float(_) => Values::Float(vec![1.0]),
            Value::Int(_) => Values::Int(vec![1]),
        };
        assert_eq!(values(&field).expect("one value"), expected, "{element:?}");
        let raw = build::raw("", &[1], element, raw);
        assert_eq!(values(&raw).expect("one value"), expected, "{element:?}");
    }
}

#[test]
fn signs_survive() {
    let raw = build::raw("", &[2], DataType::Int8, vec![0xff, 0x80]);
    assert_eq!(values(&raw).expect("bytes"), Values::Int(vec![-1, -128]));
    let field = TensorProto {
        dims: vec![2],
        data_type: DataType::Int16 as i32,
        int32_data: vec![-1, -300],
        ..TensorProto::default()
    };
    assert_eq!(values(&field).expect("values"), Values::Int(vec![-1, -300]));
}

#[test]
fn what_is_not_one_whole_tensor_is_refused() {
    let good = build::floats("t", &[2, 2], &[1.0; 4]);
    let refused = |change: fn(&mut TensorProto)| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = values(&bad).expect_err("it is wrong").to_string();
        assert!(error.starts_with("tensor \"t\": found "), "{error}");
        error
    };
    assert!(values(&good).is_ok());
    assert!(refused(|bad| bad.dims[0] = -2).contains("shape [-2, 2]"));
    refused(|bad| bad.dims = vec![0, i64::MAX, i64::MAX]);
    refused(|bad| bad.dims = vec![3]);
    refused(|bad| bad.raw_data.truncate(7));
    refused(|bad| bad.raw_data.clear());
    let both = refused(|bad| bad.float_data = vec![1.0; 4]);
    assert!(both.contains("more than one place"), "{both}");
    let both = refused(|bad| bad.data_location = Some(DataLocation::External as i32));
    assert!(both.contains("more than one place"), "{both}");
    let part = refused(|bad| bad.segment = Some(crate::proto::Segment { begin: 0, end: 4 }));
    assert!(part.contains("segment"), "{part}");
    let unknown = refused(|bad| bad.data_type = DataType::Complex64 as i32);
    assert!(unknown.contains("Complex64"), "{unknown}");
    let unknown = refused(|bad| bad.data_type = 999);
    assert!(unknown.contains("type 999"), "{unknown}");
}

#[test]
fn values_outside_of_their_type_are_refused() {
    for (element, value, is_inside) in [
        (DataType::Uint8, 255, true),
        (DataType::Uint8, 300, false),
        (DataType::Uint8, -1, false),
        (DataType::Int8, -128, true),
        (DataType::Int8, 128, false),
        (DataType::Int16, 40_000, false),
        (DataType::Uint16, 65_536, false),
        (DataType::Bool, 256, false),
        (DataType::Float16, 65_536, false),
        (DataType::Int32, i32::MIN, true),
    ] {
        let proto = TensorProto {
            dims: vec![1],
            data_type: element as i32,
            int32_data: vec![value],
            ..TensorProto::default()
        };
        assert_eq!(values(&proto).is_ok(), is_inside, "{value} as {element:?}");
    }
    for (element, value, is_inside) in [
        (DataType::Uint32, u64::from(u32::MAX), true),
        (DataType::Uint32, 1 << 32, false),
        (DataType::Uint64, i64::MAX as u64, true),
        (DataType::Uint64, 1 << 63, false),
    ] {
        let proto = TensorProto {
            dims: vec![1],
            data_type: element as i32,
            uint64_data: vec![value],
            ..TensorProto::default()
        };
        assert_eq!(values(&proto).is_ok(), is_inside, "{value} as {element:?}");
    }
    let raw = build::raw("", &[1], DataType::Uint64, vec![0xff; 8]);
    assert!(values(&raw).is_err());
}

#[test]
fn external_data_is_in_the_folder_of_the_model_and_of_the_right_length() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("model");
    std::fs::create_dir(&model).expect("a folder");
    let bytes: Vec<u8> = [1f32, 2.0, 3.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    std::fs::write(model.join("w.bin"), &bytes).expect("a file");
    std::fs::write(folder.path().join("out.bin"), &bytes).expect("a file");
    let read = |file: &str, place| {
        let proto = build::external("t", &[2], DataType::Float, file, place);
        Tensor::read(&proto, Some(&model)).map(|tensor| tensor.values)
    };
    let found = read("w.bin", [4, 8]).expect("it is there");
    assert_eq!(found, Values::Float(vec![2.0, 3.0]));
    let missing = read("no.bin", [0, 8]);
    assert!(matches!(missing, Err(TensorError::MissingFile { .. })));
    for (file, place) in [
        ("w.bin", [8, 8]),
        ("w.bin", [0, 12]),
        ("w.bin", [usize::MAX, 8]),
        (".", [0, 8]),
        ("../out.bin", [0, 8]),
        ("../model/w.bin", [0, 8]),
    ] {
        assert!(read(file, place).is_err(), "{file} {place:?}");
    }
    let proto = build::external("t", &[2], DataType::Float, "w.bin", [0, 8]);
    let error = Tensor::read(&proto, None).expect_err("there is no folder");
    assert!(error.to_string().contains("without a file"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_of_the_file_is_followed_but_not_one_of_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("model");
    std::fs::create_dir(&model).expect("a folder");
    let blobs = folder.path().join("blobs");
    std::fs::create_dir(&blobs).expect("a folder");
    std::fs::write(blobs.join("w"), [0; 8]).expect("a file");
    std::os::unix::fs::symlink(blobs.join("w"), model.join("w.bin")).expect("a link");
    std::os::unix::fs::symlink(&blobs, model.join("sub")).expect("a link");
    let read = |file: &str| {
        let proto = build::external("t", &[2], DataType::Float, file, [0, 8]);
        Tensor::read(&proto, Some(&model)).map(|tensor| tensor.values)
    };
    assert_eq!(read("w.bin").expect("a file"), Values::Float(vec![0.0; 2]));
    let error = read("sub/w").expect_err("it is outside");
    assert!(error.to_string().contains("model's folder"), "{error}");
}
