//! Steps of gradient descent on the sums, and the closed form that they go towards.
//!
//! With A the mean of x x^T and b the mean of y x^T of one class, von Oswald et al. (ICML 2023, sections 2 and 3, appendix A.10)
//! have one layer of linear self-attention compute
//!
//! ```text
//! prediction += eta r x_q^T        r: the mean of the residuals times their x
//! residuals  -= eta r x^T
//! x, x_q     <- (I - gamma A) x    GD++: of all examples and of the query
//! ```
//!
//! so that r <- (r - eta r A) (I - gamma A) and A <- (I - gamma A) A (I - gamma A). Everything is a polynomial of the first A and
//! commutes: the query's own transformations can be moved to the weights, which are rows of vectors times that A alone. No other
//! matrix is needed, and K steps cost (3^K + 1) / 2 products of a class's row with A at most: 5, 14, 41 of 2, 3, 4 steps.

use super::LearnError;
use super::sums::triangle_index;
use graft_patches::head_sums::MAX_STEPS;

/// Products with A to find its greatest eigenvalue.
const POWER_ITERATIONS: usize = 16;
/// Most iterations of conjugate gradients.
const MAX_ITERATIONS: usize = 200;
/// The part of the square of the right-hand side that the square of the residual may remain.
const TOLERANCE: f32 = 1e-10;

/// A step of gradient descent, and of the examples themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Step of the weights, in units of one over the greatest eigenvalue of A.
    pub eta: f32,
    /// Step of the examples, in the same units; zero is plain gradient descent.
    pub gamma: f32,
}

/// The way from sums to weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method<'a> {
    /// Gradient descent, GD++ where a step has a gamma. At most [`MAX_STEPS`] steps.
    Descent(&'a [Step]),
    /// Ridge regression, to which gradient descent goes on: w (A + lambda I) = b, by conjugate gradients.
    Ridge {
        /// In units of the greatest eigenvalue of A, above zero.
        lambda: f32,
    },
}

/// A method, and how sure its heads are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe<'a> {
    /// The method.
    pub method: Method<'a>,
    /// The factor of scores, which are least squares of 0 and 1 otherwise: the softmax says with it how sure a head is.
    pub confidence: f32,
}

impl Recipe<'_> {
    /// Whether it can make a head.
    pub(super) fn check(&self) -> Result<(), LearnError> {
        let is_number = |value: f32| value.is_finite() && value >= 0.0;
        let problem = match self.method {
            Method::Descent(steps) if !(1..=MAX_STEPS).contains(&steps.len()) => {
                "no steps, or too many"
            }
            Method::Descent(steps)
                if !steps
                    .iter()
                    .all(|step| is_number(step.eta) && is_number(step.gamma)) =>
            {
                "a step that is no number, or below zero"
            }
            Method::Ridge { lambda } if !(is_number(lambda) && lambda > 0.0) => {
                "a lambda that is no number above zero"
            }
            Method::Descent(_) | Method::Ridge { .. } => {
                match is_number(self.confidence) && self.confidence > 0.0 {
                    true => return Ok(()),
                    false => "a confidence that is no number above zero",
                }
            }
        };
        Err(LearnError::Recipe { problem })
    }
}

/// The lower triangle of a symmetric matrix.
#[derive(Clone, Copy)]
pub(super) struct Symmetric<'m> {
    pub(super) triangle: &'m [f32],
    pub(super) dimensions: usize,
}

impl Symmetric<'_> {
    /// out = v A.
    pub(super) fn product(&self, v: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        for row in 0..self.dimensions {
            let start = triangle_index(row, 0);
            let (entries, diagonal) = self.triangle[start..=start + row].split_at(row);
            let own = v[row];
            let mut sum = diagonal[0] * own;
            let (before, rest) = out.split_at_mut(row);
            for ((entry, other), place) in entries.iter().zip(v).zip(before) {
                *place += entry * own;
                sum += entry * other;
            }
            rest[0] += sum;
        }
    }

    /// The greatest eigenvalue of a matrix without negative ones, by power iteration; a little too small where the next one is
    /// near. It starts from the diagonal times fixed numbers, so that no vector of the matrix is at a right angle to it by its
    /// making. Zero of a matrix of zeros. Two vectors of work.
    pub(super) fn greatest_eigenvalue(&self, work: &mut [f32]) -> f32 {
        let (v, rest) = work.split_at_mut(self.dimensions);
        let out = &mut rest[..self.dimensions];
        let diagonal = |at: usize| self.triangle[triangle_index(at, at)];
        for (at, value) in v.iter_mut().enumerate() {
            let noise = 64 + ((at as u32 + 1).wrapping_mul(0x9e37_79b9) >> 26);
            *value = diagonal(at) * noise as f32;
        }
        let mut eigenvalue = 0.0;
        for _ in 0..POWER_ITERATIONS {
            let largest = v.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            if largest <= 0.0 {
                return 0.0;
            }
            v.iter_mut().for_each(|value| *value /= largest);
            self.product(v, out);
            eigenvalue = dot(v, out) / dot(v, v);
            v.copy_from_slice(out);
        }
        eigenvalue
    }
}

/// The weights of one class: `weights` has those to start from, `b` the mean of its y x^T. `work` has [`work_vectors`]
/// vectors.
pub(super) fn solve(
    a: Symmetric<'_>,
    method: Method<'_>,
    b: &[f32],
    weights: &mut [f32],
    work: &mut [f32],
) {
    let (r, work) = work.split_at_mut(a.dimensions);
    a.product(weights, r);
    for (r, b) in r.iter_mut().zip(b) {
        *r = b - *r;
    }
    match method {
        Method::Descent(steps) => descend(a, steps, r, weights, work),
        Method::Ridge { lambda } => ridge(a, lambda, r, weights, work),
    }
}

/// Vectors that [`solve`] works in.
pub(super) const fn work_vectors(method: Method<'_>) -> usize {
    match method {
        // The residual, a product, and two for each level of A but the first.
        Method::Descent(steps) => 2 + steps.len(),
        Method::Ridge { .. } => 3,
    }
}

fn descend(a: Symmetric<'_>, steps: &[Step], r: &mut [f32], weights: &mut [f32], work: &mut [f32]) {
    let (out, work) = work.split_at_mut(a.dimensions);
    for (level, step) in steps.iter().enumerate() {
        add(weights, step.eta, r);
        if level + 1 == steps.len() {
            break;
        }
        let mut update = |times: f32| {
            if times != 0.0 {
                product_at(a, &steps[..level], r, out, work);
                add(r, -times, out);
            }
        };
        update(step.eta);
        update(step.gamma);
        update(step.gamma);
    }
}

/// out = v A, with A as these steps have left it.
fn product_at(a: Symmetric<'_>, steps: &[Step], v: &[f32], out: &mut [f32], work: &mut [f32]) {
    let Some((step, before)) = steps.split_last() else {
        return a.product(v, out);
    };
    if step.gamma == 0.0 {
        return product_at(a, before, v, out, work);
    }
    let (own, work) = work.split_at_mut(a.dimensions);
    own.copy_from_slice(v);
    for _ in 0..2 {
        product_at(a, before, own, out, work);
        add(own, -step.gamma, out);
    }
    product_at(a, before, own, out, work);
}

/// Conjugate gradients (Hestenes and Stiefel 1952), from the residual without lambda on.
fn ridge(a: Symmetric<'_>, lambda: f32, r: &mut [f32], weights: &mut [f32], work: &mut [f32]) {
    let (p, out) = work.split_at_mut(a.dimensions);
    let out = &mut out[..a.dimensions];
    add(r, -lambda, weights);
    p.copy_from_slice(r);
    let mut square = dot(r, r);
    let enough = TOLERANCE * square;
    for _ in 0..MAX_ITERATIONS {
        if square <= enough {
            return;
        }
        a.product(p, out);
        add(out, lambda, p);
        let step = square / dot(p, out);
        add(weights, step, p);
        add(r, -step, out);
        let next = dot(r, r);
        let factor = next / square;
        square = next;
        for (p, r) in p.iter_mut().zip(&*r) {
            *p = r + factor * *p;
        }
    }
}

/// v += times * other.
fn add(v: &mut [f32], times: f32, other: &[f32]) {
    for (value, other) in v.iter_mut().zip(other) {
        *value += times * other;
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
