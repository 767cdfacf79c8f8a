//! Functions of one value, or of the values at one place of several tensors, and reductions.

use graft_onnx::proto::DataType;
use graft_onnx::tensor::Values;

use super::selection::{broadcast, broadcast_dims, ordered};
use super::{Constant, Folded, Node, shape};
use crate::import::error::ImportError;

/// A function of one value, for integers and for floats.
type Unary = (fn(i64) -> Option<i64>, fn(f32) -> Option<f32>);
/// A function of two.
type Binary = (fn(i64, i64) -> Option<i64>, fn(f32, f32) -> Option<f32>);

/// A function of two whose result is a truth value.
type Comparison = (fn(i64, i64) -> bool, fn(f32, f32) -> bool);

/// Element type of a result.
pub(super) fn element(op: &str, inputs: &[Option<&Constant>]) -> DataType {
    let of = |index: usize| {
        let input = inputs.get(index).copied().flatten();
        input.map_or(DataType::Undefined, |input| input.element)
    };
    match op {
        "Equal" | "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual" => DataType::Bool,
        "Where" => of(1),
        _ => of(0),
    }
}

pub(super) fn evaluate(
    node: Node<'_>,
    first: &Constant,
    inputs: &[Option<&Constant>],
) -> Result<Folded, ImportError> {
    let op = node.op();
    let op = op.as_str();
    if let Some(function) = unary(op) {
        return Ok(map(function, first).filter(|_| !is_uncertain(op, first)));
    }
    if let Some(operator) = op.strip_prefix("Reduce") {
        return reduce(node, operator, first, inputs.get(1).copied().flatten());
    }
    Ok(match (op, inputs) {
        ("Clip", [_, bounds @ ..]) => clip(node, first, bounds)?,
        ("Where", [_, Some(yes), Some(no)]) => choose(first, yes, no),
        ("Max" | "Min" | "Sum", [_, more @ ..]) => {
            let op = if op == "Sum" { "Add" } else { op };
            let mut all = Some((first.dims.clone(), first.values.clone()));
            for input in more {
                let (Some((dims, values)), Some(input)) = (all, input) else {
                    return Ok(None);
                };
                all = combine(op, &computed(dims, values), input);
            }
            all
        }
        ("Mod", [_, Some(second)]) if node.int("fmod", 0)? != 0 => combine("Fmod", first, second),
        (op, [_, Some(second)]) => combine(op, first, second),
        _ => None,
    })
}

fn computed(dims: Vec<usize>, values: Values) -> Constant {
    Constant {
        values,
        ..Constant::floats(dims, Vec::new())
    }
}

fn unary(op: &str) -> Option<Unary> {
    Some(match op {
        "Neg" => (i64::checked_neg, |v| Some(-v)),
        "Abs" => (i64::checked_abs, |v| Some(v.abs())),
        "Sign" => (
            |v| Some(v.signum()),
            |v| Some(if v == 0.0 { 0.0 } else { v.signum() }),
        ),
        "Relu" => (|v| Some(v.max(0)), |v| Some(v.max(0.0))),
        "Ceil" => (|_| None, |v| Some(v.ceil())),
        "Floor" => (|_| None, |v| Some(v.floor())),
        "Round" => (|_| None, |v| Some(v.round_ties_even())),
        "Sqrt" => (|_| None, |v| Some(v.sqrt())),
        "Reciprocal" => (|_| None, |v| Some(v.recip())),
        "Exp" => (|_| None, |v| Some(v.exp())),
        "Log" => (|_| None, |v| Some(v.ln())),
        // Only of truth values.
        "Not" => (|v| (0..=1).contains(&v).then_some(1 - v), |_| None),
        _ => return None,
    })
}

/// Whether a whole number may be one less in the model: values of other floats than f32 are held in f32 here.
fn is_uncertain(op: &str, from: &Constant) -> bool {
    let is_step = matches!(op, "Ceil" | "Floor" | "Round");
    let is_other = matches!(
        from.element,
        DataType::Double | DataType::Float16 | DataType::Bfloat16
    );
    let near = |value: &f32| (value * 2.0 - (value * 2.0).round()).abs() < 1e-2;
    match &from.values {
        Values::Float(values) => is_step && is_other && values.iter().any(near),
        Values::Int(_) => false,
    }
}

fn map((int, float): Unary, from: &Constant) -> Folded {
    let values = match &from.values {
        Values::Int(values) => Values::Int(values.iter().map(|&v| int(v)).collect::<Option<_>>()?),
        Values::Float(values) => {
            Values::Float(values.iter().map(|&v| float(v)).collect::<Option<_>>()?)
        }
    };
    Some((from.dims.clone(), values))
}

fn comparison(op: &str) -> Option<Comparison> {
    Some(match op {
        "Equal" => (|a, b| a == b, |a, b| a == b),
        "Greater" => (|a, b| a > b, |a, b| a > b),
        "Less" => (|a, b| a < b, |a, b| a < b),
        "GreaterOrEqual" => (|a, b| a >= b, |a, b| a >= b),
        "LessOrEqual" => (|a, b| a <= b, |a, b| a <= b),
        _ => return None,
    })
}

fn binary(op: &str) -> Option<Binary> {
    Some(match op {
        "Add" => (i64::checked_add, |a, b| Some(a + b)),
        "Sub" => (i64::checked_sub, |a, b| Some(a - b)),
        "Mul" => (i64::checked_mul, |a, b| Some(a * b)),
        "Div" => (i64::checked_div, |a, b| Some(a / b)),
        // Unlike Rust's, those of ONNX hand NaN on.
        "Max" => (
            |a, b| Some(a.max(b)),
            |a, b| Some(if a > b || a.is_nan() { a } else { b }),
        ),
        "Min" => (
            |a, b| Some(a.min(b)),
            |a, b| Some(if a < b || a.is_nan() { a } else { b }),
        ),
        "Pow" => (
            |a, b| a.checked_pow(u32::try_from(b).ok()?),
            |a, b| Some(a.powf(b)),
        ),
        // The sign of the divisor, and only of integers; by C's rule of the dividend.
        "Mod" => (
            |a, b| a.checked_rem(b)?.checked_add(b)?.checked_rem(b),
            |_, _| None,
        ),
        "Fmod" => (i64::checked_rem, |a, b| Some(a % b)),
        "And" => (|a, b| Some(a & b), |_, _| None),
        "Or" => (|a, b| Some(a | b), |_, _| None),
        "Xor" => (|a, b| Some(a ^ b), |_, _| None),
        _ => return None,
    })
}

/// The values of two constants of one type at the same places, broadcast to one shape.
fn combine(op: &str, a: &Constant, b: &Constant) -> Folded {
    let dims = broadcast_dims(&a.dims, &b.dims)?;
    let limit = a.values.len().max(b.values.len());
    let values = match (broadcast(a, &dims, limit)?, broadcast(b, &dims, limit)?) {
        (Values::Int(a), Values::Int(b)) => {
            let pairs = a.into_iter().zip(b);
            Values::Int(match (binary(op), comparison(op)) {
                (Some((int, _)), _) => pairs.map(|(a, b)| int(a, b)).collect::<Option<_>>()?,
                (_, Some((int, _))) => pairs.map(|(a, b)| int(a, b).into()).collect(),
                (None, None) => return None,
            })
        }
        (Values::Float(a), Values::Float(b)) => {
            let pairs = a.into_iter().zip(b);
            match (binary(op), comparison(op)) {
                (Some((_, float)), _) => {
                    Values::Float(pairs.map(|(a, b)| float(a, b)).collect::<Option<_>>()?)
                }
                (_, Some((_, float))) => {
                    Values::Int(pairs.map(|(a, b)| float(a, b).into()).collect())
                }
                (None, None) => return None,
            }
        }
        (Values::Int(_), Values::Float(_)) | (Values::Float(_), Values::Int(_)) => return None,
    };
    Some((dims, values))
}

/// Attributes before opset 11, inputs since; open where they are missing.
fn clip(
    node: Node<'_>,
    from: &Constant,
    bounds: &[Option<&Constant>],
) -> Result<Folded, ImportError> {
    let mut all = Some((from.dims.clone(), from.values.clone()));
    for (index, (op, name)) in [("Max", "min"), ("Min", "max")].into_iter().enumerate() {
        let attribute = match node.has(name) {
            true => Some(Constant::floats(vec![], vec![node.float(name, 0.0)?])),
            false => None,
        };
        let given = bounds.get(index).copied().flatten();
        if let Some(bound) = given.or(attribute.as_ref()) {
            all = all.and_then(|(dims, values)| combine(op, &computed(dims, values), bound));
        }
    }
    Ok(all)
}

/// The values of `yes` where the condition holds, else those of `no`.
fn choose(condition: &Constant, yes: &Constant, no: &Constant) -> Folded {
    let dims = broadcast_dims(&yes.dims, &no.dims)?;
    let dims = broadcast_dims(&condition.dims, &dims)?;
    let all = [condition, yes, no].map(|constant| constant.values.len());
    let limit = all.into_iter().max()?;
    let Values::Int(condition) = broadcast(condition, &dims, limit)? else {
        return None;
    };
    fn pick<T>(condition: &[i64], yes: Vec<T>, no: Vec<T>) -> Vec<T> {
        let both = condition.iter().zip(yes.into_iter().zip(no));
        both.map(|(&is, (yes, no))| if is != 0 { yes } else { no })
            .collect()
    }
    let values = match (broadcast(yes, &dims, limit)?, broadcast(no, &dims, limit)?) {
        (Values::Int(yes), Values::Int(no)) => Values::Int(pick(&condition, yes, no)),
        (Values::Float(yes), Values::Float(no)) => Values::Float(pick(&condition, yes, no)),
        (Values::Int(_), Values::Float(_)) | (Values::Float(_), Values::Int(_)) => return None,
    };
    Some((dims, values))
}

/// ReduceSum, ReduceProd, ReduceMax, ReduceMin and ReduceMean.
fn reduce(
    node: Node<'_>,
    operator: &str,
    from: &Constant,
    axes: Option<&Constant>,
) -> Result<Folded, ImportError> {
    let rank = from.dims.len();
    let given = match axes {
        Some(axes) => Some(axes.as_ints(node)?),
        None => node.ints("axes")?,
    };
    let axes = match given {
        Some(axes) if !axes.is_empty() => shape::axes(axes, rank)
            .ok_or_else(|| node.malformed("its axes do not exist or repeat"))?,
        _ if node.int("noop_with_empty_axes", 0)? != 0 => return Ok(None),
        _ => (0..rank).collect(),
    };
    let op = match operator {
        "Sum" | "Mean" => "Add",
        "Prod" => "Mul",
        "Max" => "Max",
        "Min" => "Min",
        _ => return Ok(None),
    };
    let kept: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
    let count: usize = axes.iter().map(|&axis| from.dims[axis]).product();
    let dims = match node.int("keepdims", 1)? != 0 {
        true => (0..rank)
            .map(|axis| {
                if axes.contains(&axis) {
                    1
                } else {
                    from.dims[axis]
                }
            })
            .collect(),
        false => kept.iter().map(|&axis| from.dims[axis]).collect(),
    };
    let Some((int, float)) = binary(op).filter(|_| count > 0) else {
        return Ok(None);
    };
    let values = ordered(from, &[kept, axes].concat());
    Ok(values.and_then(|values| {
        let values = match (values, operator) {
            (Values::Int(_), "Mean") => return None,
            (Values::Int(values), _) => {
                let rows = values.chunks_exact(count);
                let row = |row: &[i64]| {
                    let (first, rest) = row.split_first()?;
                    rest.iter().try_fold(*first, |a, &b| int(a, b))
                };
                Values::Int(rows.map(row).collect::<Option<_>>()?)
            }
            (Values::Float(values), _) => {
                let divisor = if operator == "Mean" {
                    count as f32
                } else {
                    1.0
                };
                let rows = values.chunks_exact(count);
                let row = |row: &[f32]| {
                    let (first, rest) = row.split_first()?;
                    let all = rest.iter().try_fold(*first, |a, &b| float(a, b))?;
                    Some(all / divisor)
                };
                Values::Float(rows.map(row).collect::<Option<_>>()?)
            }
        };
        Some((dims, values))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_arithmetic_never_overflows() {
        let (a, zero) = (
            Constant::ints("a", vec![i64::MAX]),
            Constant::ints("b", vec![0]),
        );
        assert!(combine("Add", &a, &a).is_none());
        assert!(combine("Div", &a, &zero).is_none());
        assert!(combine("Mod", &a, &zero).is_none());
        assert!(combine("Sub", &a, &a).is_some());
        let least = Constant::ints("c", vec![i64::MIN]);
        let minus_one = Constant::ints("d", vec![-1]);
        assert!(combine("Mod", &least, &minus_one).is_none());
        assert!(map(unary("Neg").unwrap(), &least).is_none());
    }
}
