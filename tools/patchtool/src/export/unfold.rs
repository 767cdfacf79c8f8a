//! Frozen filters under a folded batch norm.

/// The difference that rounding leaves between a filter and its own product with a factor, relative to its largest weight; and between
/// an epilogue and the same one taken apart and put together again.
const ROUNDING: f32 = 1e-5;

type Epilogue = (Vec<f32>, Vec<f32>);

/// The epilogue that makes `own` filters (row-major, a row a channel) of `found` ones that an exporter has multiplied
/// by one factor a channel. Where that is `own_epilogue` but for rounding, it is that. `None` where the filters are
/// others.
pub(super) fn unfold(
    found: &[f32],
    own: &[f32],
    epilogue: &Epilogue,
    own_epilogue: &Epilogue,
) -> Option<Epilogue> {
    let (scale, bias) = epilogue;
    let depth = own.len() / scale.len();
    let rows = found.chunks_exact(depth).zip(own.chunks_exact(depth));
    let scale = rows
        .zip(scale)
        .map(|((found, own), scale)| Some(scale * factor(found, own)?))
        .collect::<Option<Vec<f32>>>()?;
    let is_own = is_close(&scale, &own_epilogue.0) && is_close(bias, &own_epilogue.1);
    Some(if is_own {
        own_epilogue.clone()
    } else {
        (scale, bias.clone())
    })
}

/// f in found = f * own, by least squares, if there is one. Any factor does for a filter of zeros; 1 keeps it simple.
fn factor(found: &[f32], own: &[f32]) -> Option<f32> {
    let dot = |a: &[f32]| -> f64 {
        let products = a.iter().zip(own);
        products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let square = dot(own);
    let factor = if square > 0.0 {
        dot(found) / square
    } else {
        1.0
    };
    let largest = found
        .iter()
        .fold(0f32, |largest, value| largest.max(value.abs()));
    let is_product = found.iter().zip(own).all(|(found, own)| {
        let rest = f64::from(*found) - factor * f64::from(*own);
        rest.abs() <= f64::from(ROUNDING * largest)
    });
    is_product.then_some(factor as f32)
}

fn is_close(found: &[f32], own: &[f32]) -> bool {
    let largest = own
        .iter()
        .fold(0f32, |largest, value| largest.max(value.abs()));
    let mut pairs = found.iter().zip(own);
    pairs.all(|(found, own)| (found - own).abs() <= ROUNDING * largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_norm_is_told_from_another_filter() {
        let own = [0.3, -0.7, 0.0, 0.0, 1.5, 0.25];
        let own_epilogue = (vec![2.0, 1.0, -0.5], vec![0.1, 0.2, 0.3]);
        let folded = |factors: [f32; 3]| -> Vec<f32> {
            let weights = own.iter().enumerate();
            weights.map(|(i, weight)| weight * factors[i / 2]).collect()
        };
        let plain = (vec![1.0; 3], own_epilogue.1.clone());
        let again = unfold(&folded([2.0, 9.0, -0.5]), &own, &plain, &own_epilogue);
        assert_eq!(again, Some(own_epilogue.clone()));
        let (scale, bias) =
            unfold(&folded([3.0, 1.0, 0.2]), &own, &plain, &own_epilogue).expect("it is a product");
        assert_eq!((scale[0], bias), (3.0, own_epilogue.1.clone()));
        let mut other = folded([2.0, 1.0, -0.5]);
        other[1] *= 1.01;
        assert_eq!(unfold(&other, &own, &plain, &own_epilogue), None);
    }
}
