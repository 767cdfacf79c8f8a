//! Element types: which values each can hold, and Cast.

use std::ops::RangeInclusive;

use graft_onnx::proto::DataType;
use graft_onnx::tensor::Values;

use super::Constant;

/// Whether this ONNX element type is a float.
pub(in crate::import::onnx) fn is_float(element: i64) -> bool {
    matches!(element, 1 | 10 | 11 | 16)
}

/// The integers of a type; none of other types.
fn integers(element: DataType) -> Option<RangeInclusive<i64>> {
    Some(match element {
        DataType::Bool => 0..=1,
        DataType::Int8 => i8::MIN.into()..=i8::MAX.into(),
        DataType::Uint8 => 0..=u8::MAX.into(),
        DataType::Int16 => i16::MIN.into()..=i16::MAX.into(),
        DataType::Uint16 => 0..=u16::MAX.into(),
        DataType::Int32 => i32::MIN.into()..=i32::MAX.into(),
        DataType::Uint32 => 0..=u32::MAX.into(),
        DataType::Uint64 => 0..=i64::MAX,
        DataType::Int64 => i64::MIN..=i64::MAX,
        DataType::Undefined
        | DataType::Float
        | DataType::Float16
        | DataType::Bfloat16
        | DataType::Double
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
        | DataType::Int2 => return None,
    })
}

/// Whether computed integers are within their type, so that none has wrapped around in ONNX.
pub(super) fn fit(element: DataType, values: &Values) -> bool {
    match (integers(element), values) {
        (Some(range), Values::Int(values)) => values.iter().all(|value| range.contains(value)),
        (None, _) | (_, Values::Float(_)) => true,
    }
}

/// The constant as values of this ONNX element type; none where one of them has no value there.
pub(in crate::import::onnx) fn cast(from: &Constant, to: i64) -> Option<Constant> {
    let element = i32::try_from(to)
        .ok()
        .and_then(|to| DataType::try_from(to).ok())?;
    let to_int = |value: f32| {
        let is_inside = value.abs() < i64::MAX as f32;
        is_inside.then_some(value as i64)
    };
    let is_bool = element == DataType::Bool;
    let values = match (&from.values, is_float(to)) {
        (Values::Int(values), true) => Values::Float(values.iter().map(|&v| v as f32).collect()),
        (Values::Float(values), true) => Values::Float(values.clone()),
        (Values::Int(values), false) => {
            let value = |&v: &i64| if is_bool { i64::from(v != 0) } else { v };
            Values::Int(values.iter().map(value).collect())
        }
        (Values::Float(values), false) => {
            let value = |&v: &f32| match is_bool {
                true => Some(i64::from(v != 0.0)),
                false => to_int(v),
            };
            Values::Int(values.iter().map(value).collect::<Option<_>>()?)
        }
    };
    let is_known = is_float(to) || integers(element).is_some();
    (is_known && fit(element, &values)).then(|| Constant {
        values,
        element,
        ..from.clone()
    })
}
