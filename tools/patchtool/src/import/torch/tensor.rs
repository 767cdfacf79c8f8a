//! A tensor of a file, whose values are read when they are asked for.

use std::fmt;

use half::{bf16, f16};
use pytorch_reader::DType;
use safetensors::tensor::{Dtype, TensorView};

/// A tensor.
pub(super) struct Tensor {
    shape: Vec<usize>,
    element: Element,
    bytes: Bytes,
}

/// The type of its values.
enum Element {
    F16,
    BF16,
    F32,
    F64,
    /// One that no parameter has, by its name.
    Other(String),
}

/// Row-major and little-endian.
enum Bytes {
    InFile(pytorch_reader::Tensor),
    Read(Vec<u8>),
}

impl Tensor {
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values as f32, or why there are none.
    pub(super) fn floats(&self) -> Result<Vec<f32>, String> {
        let read;
        let bytes = match &self.bytes {
            Bytes::InFile(tensor) => {
                read = tensor.read().map_err(|error| one_line(&error))?;
                &read
            }
            Bytes::Read(bytes) => bytes,
        };
        match self.element {
            Element::F16 => Ok(each(bytes, |value| f16::from_le_bytes(value).to_f32())),
            Element::BF16 => Ok(each(bytes, |value| bf16::from_le_bytes(value).to_f32())),
            Element::F32 => Ok(each(bytes, f32::from_le_bytes)),
            Element::F64 => Ok(each(bytes, |value| f64::from_le_bytes(value) as f32)),
            Element::Other(_) => Err(self.to_string()),
        }
    }

    /// Whether the values are of a type that parameters have.
    pub(super) fn is_float(&self) -> bool {
        !matches!(self.element, Element::Other(_))
    }
}

fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().copied().map(value).collect()
}

impl From<pytorch_reader::Tensor> for Tensor {
    fn from(tensor: pytorch_reader::Tensor) -> Self {
        let element = match tensor.dtype() {
            DType::F16 => Element::F16,
            DType::BF16 => Element::BF16,
            DType::F32 => Element::F32,
            DType::F64 => Element::F64,
            other @ (DType::I64
            | DType::I32
            | DType::I16
            | DType::I8
            | DType::U64
            | DType::U32
            | DType::U16
            | DType::U8
            | DType::Bool) => Element::Other(format!("{other:?}")),
        };
        Self {
            shape: tensor.shape().into(),
            element,
            bytes: Bytes::InFile(tensor),
        }
    }
}

impl From<TensorView<'_>> for Tensor {
    fn from(tensor: TensorView<'_>) -> Self {
        // Safetensors' list of types is open.
        #[expect(clippy::wildcard_enum_match_arm)]
        let element = match tensor.dtype() {
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::BF16,
            Dtype::F32 => Element::F32,
            Dtype::F64 => Element::F64,
            other => Element::Other(format!("{other:?}")),
        };
        Self {
            shape: tensor.shape().into(),
            element,
            bytes: Bytes::Read(tensor.data().into()),
        }
    }
}

impl fmt::Display for Tensor {
    /// Type and shape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element = match &self.element {
            Element::F16 => "F16",
            Element::BF16 => "BF16",
            Element::F32 => "F32",
            Element::F64 => "F64",
            Element::Other(name) => name,
        };
        write!(f, "{element} {:?}", self.shape)
    }
}

/// A reader's error, which may quote anything of the file.
pub(super) fn one_line(error: &impl ToString) -> String {
    let text = error.to_string();
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).take(200).collect()
}
