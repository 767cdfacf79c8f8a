//! The model's input and output: one image in, one row of scores out.

use std::collections::HashSet;

use graft_onnx::proto::{DataType, DimensionValue, GraphProto, ValueInfoProto};
use graft_patches::geometry::Shape;

use super::folding;
use super::node::Node;
use crate::import::error::ImportError;

/// The image that the model reads.
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    pub(super) shape: Shape,
    /// 1 for NCHW, 3 for NHWC.
    pub(super) channel_axis: usize,
    /// Whether it reads pixels as bytes.
    pub(super) is_bytes: bool,
}

/// Name of the model's only output.
pub(super) fn output(graph: &GraphProto) -> Result<&str, ImportError> {
    match graph.output.as_slice() {
        [output] => Ok(&output.name),
        other => Err(ImportError::Interface {
            found: format!("{} outputs", other.len()),
            expected: "one output, the scores",
        }),
    }
}

/// The model's only input that is not an initialiser.
pub(super) fn input<'a>(
    graph: &'a GraphProto,
    initialisers: &HashSet<&str>,
    nodes: &[Node<'a>],
    resolution: Option<[usize; 2]>,
) -> Result<Input<'a>, ImportError> {
    let inputs: Vec<&ValueInfoProto> = graph
        .input
        .iter()
        .filter(|input| !initialisers.contains(input.name.as_str()))
        .collect();
    let [input] = inputs.as_slice() else {
        return Err(ImportError::Interface {
            found: format!("{} inputs", inputs.len()),
            expected: "one input, the image",
        });
    };
    let is_bytes = is_bytes(input, nodes)?;
    let dims = dims(input)?;
    let channel_axis = channel_axis(&dims, &input.name, nodes)?;
    let spatial = if channel_axis == 1 { [2, 3] } else { [1, 2] };
    let [height, width] = match (resolution, spatial.map(|axis| dims[axis])) {
        (Some(resolution), _) => resolution,
        (None, [Some(height), Some(width)]) => [height, width],
        (None, _) => {
            return Err(ImportError::DynamicResolution {
                input: input.name.clone(),
                found: describe(&dims),
            });
        }
    };
    Ok(Input {
        name: &input.name,
        shape: Shape::new(height, width, dims[channel_axis].unwrap_or(0)),
        channel_axis,
        is_bytes,
    })
}

const IMAGE: &str =
    "a float image batch [1, channels, height, width] with 1 or 3 channels, as photographs have";

/// Whether the image is of bytes, which all its readers make floats of before they compute anything; else it is of floats.
fn is_bytes(input: &ValueInfoProto, nodes: &[Node<'_>]) -> Result<bool, ImportError> {
    let kind = input
        .r#type
        .as_ref()
        .and_then(|kind| kind.tensor_type.as_ref());
    let element = kind.map_or(0, |tensor| tensor.elem_type);
    let element = DataType::try_from(element).unwrap_or(DataType::Undefined);
    let wrong = |found: String| ImportError::Interface {
        found: format!("input {:?} of {found}", input.name),
        expected: IMAGE,
    };
    let floats = [
        DataType::Float,
        DataType::Float16,
        DataType::Bfloat16,
        DataType::Double,
    ];
    if floats.contains(&element) {
        return Ok(false);
    }
    if element != DataType::Uint8 {
        return Err(wrong(format!("type {element:?}")));
    }
    let mut bytes = HashSet::from([input.name.as_str()]);
    for node in nodes {
        if !node.inputs().any(|name| bytes.contains(name)) {
            continue;
        }
        match node.op().as_str() {
            "Cast" if folding::is_float(node.int("to", 0)?) => {}
            "Shape" => {}
            "Identity" | "Transpose" | "Reshape" | "Squeeze" | "Unsqueeze" => {
                bytes.insert(node.output());
            }
            op => {
                return Err(wrong(format!(
                    "type Uint8 that {op} ({:?}) computes with before a Cast to float",
                    node.name()
                )));
            }
        }
    }
    Ok(true)
}

/// The four dimensions of the image batch; `None` where dynamic.
fn dims(input: &ValueInfoProto) -> Result<[Option<usize>; 4], ImportError> {
    let wrong = |found: String| ImportError::Interface {
        found: format!("input {:?} of {found}", input.name),
        expected: IMAGE,
    };
    let Some(tensor) = input
        .r#type
        .as_ref()
        .and_then(|kind| kind.tensor_type.as_ref())
    else {
        return Err(wrong("no tensor type".to_owned()));
    };
    let Some(shape) = &tensor.shape else {
        return Err(wrong("unknown shape".to_owned()));
    };
    let dims: Vec<Option<usize>> = shape
        .dim
        .iter()
        .map(|dim| match &dim.value {
            // Some exporters write -1 or 0 for a dynamic dimension.
            Some(DimensionValue::DimValue(size)) => {
                usize::try_from(*size).ok().filter(|&size| size > 0)
            }
            Some(DimensionValue::DimParam(_)) | None => None,
        })
        .collect();
    let dims: [Option<usize>; 4] = dims
        .as_slice()
        .try_into()
        .map_err(|_| wrong(format!("shape {}", describe(&dims))))?;
    let is_batch_of_one = dims[0].is_none_or(|batch| batch == 1);
    if is_batch_of_one && (is_channels(dims[1]) || is_channels(dims[3])) {
        Ok(dims)
    } else {
        Err(wrong(format!("shape {}", describe(&dims))))
    }
}

fn is_channels(dim: Option<usize>) -> bool {
    matches!(dim, Some(1 | 3))
}

/// Channels first, unless only the last dimension can be channels or the model itself moves it to the front.
fn channel_axis(
    dims: &[Option<usize>; 4],
    name: &str,
    nodes: &[Node<'_>],
) -> Result<usize, ImportError> {
    if !is_channels(dims[3]) {
        return Ok(1);
    }
    let mut is_transposed = false;
    for node in nodes {
        is_transposed |= node.op() == "Transpose"
            && node.input(0) == Some(name)
            && node.ints("perm")? == Some(&[0, 3, 1, 2]);
    }
    Ok(if is_transposed || !is_channels(dims[1]) {
        3
    } else {
        1
    })
}

fn describe(dims: &[Option<usize>]) -> String {
    let dims: Vec<String> = dims
        .iter()
        .map(|dim| dim.map_or("?".to_owned(), |dim| dim.to_string()))
        .collect();
    format!("[{}]", dims.join(", "))
}
