//! The values of tensor messages.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use half::{bf16, f16};

use crate::proto::{DataLocation, DataType, TensorProto};

/// More values than any weight of a network for small devices; keeps hostile shapes from overflowing.
const MAX_VALUES: usize = 1 << 31;

/// A tensor with its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Shape.
    pub dims: Vec<usize>,
    /// Type of the values in the message.
    pub element: DataType,
    /// The values, as many as the shape says.
    pub values: Values,
}

/// Values, row-major. Every float type is held as f32, every integer type and bool as i64.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Values of a float type.
    Float(Vec<f32>),
    /// Values of an integer type, or of bool as 0 and 1.
    Int(Vec<i64>),
}

impl Values {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values at these indices.
    ///
    /// # Panics
    /// An index out of range.
    pub fn pick(&self, indices: impl Iterator<Item = usize>) -> Self {
        match self {
            Self::Float(values) => Self::Float(indices.map(|i| values[i]).collect()),
            Self::Int(values) => Self::Int(indices.map(|i| values[i]).collect()),
        }
    }
}

/// A tensor message that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// A shape, type or amount of data that is wrong or not supported.
    #[error("tensor {name:?}: found {found}, expected {expected}")]
    Wrong {
        /// The tensor.
        name: String,
        /// Contents of the message.
        found: String,
        /// Contents that it should have.
        expected: &'static str,
    },
    /// A file of values that is not there.
    #[error("tensor {name:?}: its external data file {} is missing", file.display())]
    MissingFile {
        /// The tensor.
        name: String,
        /// The file.
        file: PathBuf,
    },
}

impl Tensor {
    /// The tensor of a message. Values in another file are looked for in `folder`, the model's, and nowhere else;
    /// without a folder they are refused.
    ///
    /// # Errors
    /// A shape, type or amount of data that is wrong or not supported, and files that are missing or cannot be read.
    pub fn read(proto: &TensorProto, folder: Option<&Path>) -> Result<Self, TensorError> {
        let dims = shape(proto)
            .ok_or_else(|| wrong(proto, format!("shape {:?}", proto.dims), "a possible shape"))?;
        let count: usize = dims.iter().product();
        let element = DataType::try_from(proto.data_type).map_err(|_| {
            let found = format!("the unknown type {}", proto.data_type);
            wrong(proto, found, "float32")
        })?;
        if proto.segment.is_some() {
            let found = "a segment of a larger tensor".to_owned();
            return Err(wrong(proto, found, "the whole tensor"));
        }
        let format = format(element).ok_or_else(|| {
            let found = format!("type {element:?}");
            wrong(proto, found, "float32")
        })?;
        let bytes = bytes(proto, &format, count * format.size, folder)?;
        if bytes.len() != count * format.size {
            let found = format!("{} values", bytes.len() / format.size);
            return Err(wrong(proto, found, "data of its declared shape"));
        }
        Ok(Self {
            dims,
            element,
            values: format.values(&bytes).ok_or_else(|| {
                let found = "a value above the largest of int64".to_owned();
                wrong(proto, found, "smaller values")
            })?,
        })
    }
}

fn wrong(proto: &TensorProto, found: String, expected: &'static str) -> TensorError {
    TensorError::Wrong {
        name: proto.name.clone(),
        found,
        expected,
    }
}

fn shape(proto: &TensorProto) -> Option<Vec<usize>> {
    let dims = proto.dims.iter().map(|&dim| usize::try_from(dim).ok());
    let dims: Vec<usize> = dims.collect::<Option<_>>()?;
    // A zero must not hide an overflow of the other dimensions.
    dims.iter()
        .try_fold(1usize, |total, &dim| total.checked_mul(dim.max(1)))
        .filter(|&total| total <= MAX_VALUES)?;
    Some(dims)
}

/// The way that values of a type are stored.
struct Format {
    /// Bytes of a value.
    size: usize,
    /// Place of values that are not raw.
    field: Field,
    value: Value,
}

/// A field of [`TensorProto`] for values of some types.
enum Field {
    Float,
    Double,
    Int32,
    Int64,
    Uint64,
}

/// The value of [`Format::size`] bytes.
enum Value {
    Float(fn(&[u8]) -> f32),
    Int(fn(&[u8]) -> i128),
}

impl Format {
    /// The values, unless one is too large for i64.
    fn values(&self, bytes: &[u8]) -> Option<Values> {
        let each = bytes.chunks_exact(self.size);
        Some(match self.value {
            Value::Float(value) => Values::Float(each.map(value).collect()),
            Value::Int(value) => {
                let each = each.map(|bytes| i64::try_from(value(bytes)).ok());
                Values::Int(each.collect::<Option<_>>()?)
            }
        })
    }
}

/// The format of a type; none of types that are not supported.
fn format(element: DataType) -> Option<Format> {
    /// The bytes of a chunk, which are `N`.
    fn of<const N: usize>(chunk: &[u8]) -> [u8; N] {
        std::array::from_fn(|at| chunk[at])
    }
    let float = |size, field, value| Some((size, field, Value::Float(value)));
    let int = |size, field, value| Some((size, field, Value::Int(value)));
    let format = match element {
        DataType::Float => float(4, Field::Float, |b| f32::from_le_bytes(of(b))),
        DataType::Float16 => float(2, Field::Int32, |b| f16::from_le_bytes(of(b)).to_f32()),
        DataType::Bfloat16 => float(2, Field::Int32, |b| bf16::from_le_bytes(of(b)).to_f32()),
        DataType::Double => float(8, Field::Double, |b| f64::from_le_bytes(of(b)) as f32),
        DataType::Bool => int(1, Field::Int32, |b| i128::from(b[0] != 0)),
        DataType::Int8 => int(1, Field::Int32, |b| i8::from_le_bytes(of(b)).into()),
        DataType::Uint8 => int(1, Field::Int32, |b| b[0].into()),
        DataType::Int16 => int(2, Field::Int32, |b| i16::from_le_bytes(of(b)).into()),
        DataType::Uint16 => int(2, Field::Int32, |b| u16::from_le_bytes(of(b)).into()),
        DataType::Int32 => int(4, Field::Int32, |b| i32::from_le_bytes(of(b)).into()),
        DataType::Uint32 => int(4, Field::Uint64, |b| u32::from_le_bytes(of(b)).into()),
        DataType::Int64 => int(8, Field::Int64, |b| i64::from_le_bytes(of(b)).into()),
        DataType::Uint64 => int(8, Field::Uint64, |b| u64::from_le_bytes(of(b)).into()),
        DataType::Undefined
        | DataType::String
        | DataType::Complex64
        | DataType::Complex128
        | DataType::Float8e4m3fn
        | DataType::Float8e4m3fnuz
        | DataType::Float8e5m2
        | DataType::Float8e5m2fnuz
        | DataType::Uint4
        | DataType::Int4
        | DataType::Float4e2m1
        | DataType::Float8e8m0
        | DataType::Uint2
        | DataType::Int2 => None,
    };
    format.map(|(size, field, value)| Format { size, field, value })
}

/// The bytes of the values, little endian, from the only place that has any; `length` are expected.
fn bytes<'a>(
    proto: &'a TensorProto,
    format: &Format,
    length: usize,
    folder: Option<&Path>,
) -> Result<Cow<'a, [u8]>, TensorError> {
    let typed = typed(proto, format)?;
    let is_external = proto.data_location == Some(DataLocation::External as i32);
    let places = [is_external, !proto.raw_data.is_empty(), !typed.is_empty()];
    match places {
        [false, false, _] => Ok(typed.into()),
        [false, true, false] => Ok(proto.raw_data.as_slice().into()),
        [true, false, false] => Ok(external(proto, length, folder)?.into()),
        [true, true, _] | [_, true, true] | [true, _, true] => {
            let found = "data in more than one place".to_owned();
            Err(wrong(proto, found, "raw, typed or external data"))
        }
    }
}

/// The bytes of the values that are in the field of their type.
fn typed(proto: &TensorProto, format: &Format) -> Result<Vec<u8>, TensorError> {
    fn all<const N: usize, T: Copy>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(|&value| bytes(value)).collect()
    }
    match format.field {
        Field::Float => Ok(all(&proto.float_data, f32::to_le_bytes)),
        Field::Double => Ok(all(&proto.double_data, f64::to_le_bytes)),
        Field::Int64 => Ok(all(&proto.int64_data, i64::to_le_bytes)),
        Field::Int32 => low_bytes(proto, format, &proto.int32_data, i32::to_le_bytes),
        Field::Uint64 => low_bytes(proto, format, &proto.uint64_data, u64::to_le_bytes),
    }
}

/// The bytes of values of a small type, which stand in the low bytes of larger ones.
fn low_bytes<const N: usize, T: Copy + Into<i128>>(
    proto: &TensorProto,
    format: &Format,
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> Result<Vec<u8>, TensorError> {
    let mut all = Vec::with_capacity(values.len() * format.size);
    for &value in values {
        let (bytes, whole) = (bytes(value), value.into());
        let is_inside = match format.value {
            Value::Int(value) => value(&bytes) == whole,
            // The bits of a half.
            Value::Float(_) => u16::try_from(whole).is_ok(),
        };
        if !is_inside {
            let found = format!("the value {whole}");
            return Err(wrong(proto, found, "values of its type"));
        }
        all.extend_from_slice(&bytes[..format.size]);
    }
    Ok(all)
}

/// `length` bytes of the file that the message names.
fn external(
    proto: &TensorProto,
    length: usize,
    folder: Option<&Path>,
) -> Result<Vec<u8>, TensorError> {
    let value = |key: &str| {
        let entry = proto.external_data.iter().find(|entry| entry.key == key);
        entry.map(|entry| entry.value.as_str())
    };
    let number = |key: &str| match value(key).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => {
            let found = format!("the {key} {:?}", value(key).unwrap_or_default());
            Err(wrong(proto, found, "a number of bytes"))
        }
    };
    let (Some(folder), Some(location)) = (folder, value("location")) else {
        let found = "external data without a file".to_owned();
        return Err(wrong(proto, found, "data in the model"));
    };
    let file = file(proto, folder, Path::new(location))?;
    let unreadable = |error: io::Error| {
        let found = format!("the file {location:?} that cannot be read ({error})");
        wrong(proto, found, "external data")
    };
    let (offset, stored) = (number("offset")?.unwrap_or(0), number("length")?);
    // A pipe or device might never end.
    let found = std::fs::metadata(&file).map_err(unreadable)?;
    let rest = found.len().checked_sub(offset).filter(|_| found.is_file());
    let stored = stored.or(rest).unwrap_or(0);
    if stored != length as u64 || rest.is_none_or(|rest| rest < stored) {
        let found = format!(
            "{stored} bytes at {offset} of the {} bytes of {location:?}",
            found.len()
        );
        return Err(wrong(proto, found, "data of its declared shape"));
    }
    let mut bytes = vec![0; length];
    let mut open = File::open(&file).map_err(unreadable)?;
    open.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
    open.read_exact(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The path of a file in `folder`. The file may be a link to anywhere, as in caches that keep the bytes of all models in one
/// place, but the location does not lead out of the folder.
fn file(proto: &TensorProto, folder: &Path, location: &Path) -> Result<PathBuf, TensorError> {
    let outside = || {
        let found = format!("the file {location:?}");
        wrong(proto, found, "a file in the model's folder")
    };
    let mut parts = location.components();
    if !parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(outside());
    }
    let missing = |_| TensorError::MissingFile {
        name: proto.name.clone(),
        file: folder.join(location),
    };
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let root = folder.canonicalize().map_err(missing)?;
    let path = root.join(location);
    let (Some(parent), Some(name)) = (path.parent(), location.file_name()) else {
        return Err(outside());
    };
    let parent = parent.canonicalize().map_err(missing)?;
    match parent.starts_with(&root) {
        true => parent.join(name).canonicalize().map_err(missing),
        false => Err(outside()),
    }
}

#[cfg(test)]
mod tests;
