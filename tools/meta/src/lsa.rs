//! Linear self-attention, which learns in its context by gradient descent (von Oswald et al. 2023, "Transformers learn
//! in-context by gradient descent").
//!
//! Tokens are columns `e = (x, y)`, of examples and of a query `(x, -W0 x)`. A layer has one head without softmax, whose keys
//! and values are those of the examples alone:
//!
//! ```text
//! e_j <- e_j + P sum_i (W_V e_i) (W_K e_i)^T (W_Q e_j)
//! ```
//!
//! and the prediction is minus the query's y after the last layer. [`Layer::step`] constructs the layer that is a step of
//! gradient descent on `1/(2N) sum |W x_i - y_i|^2`, or of GD++, which also takes `x_j <- (I - gamma sum_i x_i x_i^T) x_j`:
//! the next layer's examples have this x, and as y what is left to explain. Without the examples, on the sums A = sum x x^T and
//! B = sum y x^T alone, a layer is
//!
//! ```text
//! D = -eta/N (W0 A - B),  W <- W + D Q,  B <- (B - D A) M,  A <- M A M,  Q <- M Q    with M = I - gamma A
//! ```
//!
//! where Q is I at first: the prediction is W x for the query's own x.

pub mod train;

/// A task to learn in context.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Inputs x of the examples.
    pub inputs: &'a [Vec<f32>],
    /// Outputs y of each example.
    pub outputs: &'a [Vec<f32>],
    /// W0, the weights to start from: a row for each output.
    pub start: &'a [Vec<f32>],
}

impl Context<'_> {
    /// Lengths of x and y.
    fn lengths(&self) -> [usize; 2] {
        [self.start.first().map_or(0, Vec::len), self.start.len()]
    }
}

/// A square matrix, row by row.
type Matrix = Vec<Vec<f32>>;

/// A layer of linear self-attention.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// W_K
    pub key: Matrix,
    /// W_Q
    pub query: Matrix,
    /// W_V
    pub value: Matrix,
    /// P
    pub projection: Matrix,
}

impl Layer {
    /// The layer that is one step of GD on `context`, at the rate `eta`; of GD++ where `gamma` is not 0.
    pub fn step(context: &Context<'_>, eta: f32, gamma: f32) -> Self {
        let [inputs, outputs] = context.lengths();
        let length = inputs + outputs;
        let matrix = |value: &dyn Fn(usize, usize) -> f32| -> Matrix {
            let row = |row| (0..length).map(|column| value(row, column)).collect();
            (0..length).map(row).collect()
        };
        let of_inputs = matrix(&|row, column| f32::from(u8::from(row == column && row < inputs)));
        let rate = eta / context.inputs.len() as f32;
        Self {
            key: of_inputs.clone(),
            query: of_inputs,
            value: matrix(
                &|row, column| match (row.checked_sub(inputs), row == column) {
                    (None, true) => -gamma,
                    (Some(_), true) => -1.0,
                    (Some(output), false) if column < inputs => context.start[output][column],
                    (None | Some(_), false) => 0.0,
                },
            ),
            projection: matrix(&|row, column| match (row == column, row < inputs) {
                (true, true) => 1.0,
                (true, false) => rate,
                (false, _) => 0.0,
            }),
        }
    }

    /// Adds to each token, examples first, then one query.
    fn apply(&self, tokens: &mut [Vec<f32>]) {
        let [keys, values, queries] =
            [&self.key, &self.value, &self.query].map(|weights| times_all(weights, tokens));
        let examples = tokens.len() - 1;
        for (token, query) in tokens.iter_mut().zip(&queries) {
            let mut sum = vec![0.0; query.len()];
            for (key, value) in keys.iter().zip(&values).take(examples) {
                let attention = dot(key, query);
                sum.iter_mut()
                    .zip(value)
                    .for_each(|(sum, value)| *sum += attention * value);
            }
            let change = times(&self.projection, &sum);
            token
                .iter_mut()
                .zip(change)
                .for_each(|(own, change)| *own += change);
        }
    }
}

/// The outputs that these layers predict for a query after the context.
pub fn predict(layers: &[Layer], context: &Context<'_>, query: &[f32]) -> Vec<f32> {
    let pairs = context.inputs.iter().zip(context.outputs);
    let mut tokens: Vec<Vec<f32>> = pairs.map(|(x, y)| [&x[..], y].concat()).collect();
    let start = times(context.start, query).into_iter().map(|y| -y);
    tokens.push(query.iter().copied().chain(start).collect());
    layers.iter().for_each(|layer| layer.apply(&mut tokens));
    let last = &tokens[tokens.len() - 1][query.len()..];
    last.iter().map(|y| -y).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn times(matrix: &[Vec<f32>], vector: &[f32]) -> Vec<f32> {
    matrix.iter().map(|row| dot(row, vector)).collect()
}

fn times_all(matrix: &[Vec<f32>], vectors: &[Vec<f32>]) -> Vec<Vec<f32>> {
    vectors.iter().map(|vector| times(matrix, vector)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_tests::Random;

    const EXAMPLES: usize = 12;
    const INPUTS: usize = 7;
    const OUTPUTS: usize = 3;

    struct Task {
        inputs: Vec<Vec<f32>>,
        outputs: Vec<Vec<f32>>,
        start: Vec<Vec<f32>>,
        query: Vec<f32>,
    }

    impl Task {
        /// One-hot outputs.
        fn new(seed: u64) -> Self {
            let mut random = Random(seed);
            let mut rows = |count, length, most| -> Vec<Vec<f32>> {
                (0..count).map(|_| random.values(length, most)).collect()
            };
            let one_hot =
                |class| (0..OUTPUTS).map(move |output| f32::from(u8::from(output == class)));
            Self {
                inputs: rows(EXAMPLES, INPUTS, 1.0),
                outputs: (0..EXAMPLES)
                    .map(|n| one_hot(n % OUTPUTS).collect())
                    .collect(),
                start: rows(OUTPUTS, INPUTS, 0.5),
                query: rows(1, INPUTS, 1.0).concat(),
            }
        }

        fn context(&self) -> Context<'_> {
            Context {
                inputs: &self.inputs,
                outputs: &self.outputs,
                start: &self.start,
            }
        }
    }

    type Wide = Vec<Vec<f64>>;

    fn wide(rows: &[Vec<f32>]) -> Wide {
        let wide = |row: &Vec<f32>| row.iter().map(|&value| f64::from(value)).collect();
        rows.iter().map(wide).collect()
    }

    fn product(a: &Wide, b: &Wide) -> Wide {
        let entry = |row: &Vec<f64>, column| row.iter().zip(b).map(|(a, b)| a * b[column]).sum();
        let columns = b[0].len();
        a.iter()
            .map(|row| (0..columns).map(|column| entry(row, column)).collect())
            .collect()
    }

    fn transposed(a: &Wide) -> Wide {
        (0..a[0].len())
            .map(|column| a.iter().map(|row| row[column]).collect())
            .collect()
    }

    /// a + factor * b
    fn sum(a: &Wide, factor: f64, b: &Wide) -> Wide {
        let rows = a.iter().zip(b);
        let row =
            |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + factor * b).collect();
        rows.map(row).collect()
    }

    fn identity(length: usize) -> Wide {
        let one = |row, column| f64::from(u8::from(row == column));
        (0..length)
            .map(|row| (0..length).map(|column| one(row, column)).collect())
            .collect()
    }

    /// Steps of gradient descent on the examples.
    fn descended(task: &Task, etas: &[f32]) -> Wide {
        let [x, y] = [&task.inputs, &task.outputs].map(|rows| transposed(&wide(rows)));
        let mut weights = wide(&task.start);
        for &eta in etas {
            let errors = sum(&product(&weights, &x), -1.0, &y);
            let gradient = product(&errors, &transposed(&x));
            weights = sum(&weights, -f64::from(eta) / EXAMPLES as f64, &gradient);
        }
        weights
    }

    /// Steps of GD++ on the sums A and B alone, which never see the examples.
    fn descended_on_sums(task: &Task, steps: &[(f32, f32)]) -> Wide {
        let [x, y] = [&task.inputs, &task.outputs].map(|rows| transposed(&wide(rows)));
        let start = wide(&task.start);
        let mut weights = start.clone();
        let (mut a, mut b) = (product(&x, &transposed(&x)), product(&y, &transposed(&x)));
        let mut q = identity(INPUTS);
        for &(eta, gamma) in steps {
            let m = sum(&identity(INPUTS), -f64::from(gamma), &a);
            let errors = sum(&product(&start, &a), -1.0, &b);
            let rate = f64::from(eta) / EXAMPLES as f64;
            let change: Wide = errors
                .iter()
                .map(|row| row.iter().map(|e| -rate * e).collect())
                .collect();
            weights = sum(&weights, 1.0, &product(&change, &q));
            b = product(&sum(&b, -1.0, &product(&change, &a)), &m);
            a = product(&product(&m, &a), &m);
            q = product(&m, &q);
        }
        weights
    }

    fn check(task: &Task, steps: &[(f32, f32)], weights: &Wide) {
        let context = task.context();
        let layers: Vec<Layer> = steps
            .iter()
            .map(|&(eta, gamma)| Layer::step(&context, eta, gamma))
            .collect();
        let found = predict(&layers, &context, &task.query);
        let query = transposed(&wide(std::slice::from_ref(&task.query)));
        let expected = product(weights, &query);
        for (found, expected) in found.iter().zip(expected.concat()) {
            let difference = (f64::from(*found) - expected).abs();
            assert!(difference < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn constructed_layers_are_steps_of_gradient_descent() {
        for seed in 0..20 {
            let task = Task::new(seed);
            for count in 1..=5 {
                let etas = [0.9, 1.1, 0.4, 0.7, 1.3];
                let steps: Vec<(f32, f32)> = etas[..count].iter().map(|&eta| (eta, 0.0)).collect();
                let weights = descended(&task, &etas[..count]);
                check(&task, &steps, &weights);
                check(&task, &steps, &descended_on_sums(&task, &steps));
            }
        }
    }

    #[test]
    fn constructed_layers_are_steps_of_gd_plus_plus_on_sums() {
        for seed in 0..20 {
            let task = Task::new(seed);
            let steps = [
                (1.2, 0.06),
                (0.8, 0.08),
                (1.1, 0.03),
                (0.9, -0.02),
                (1.4, 0.05),
            ];
            for count in 1..=steps.len() {
                check(
                    &task,
                    &steps[..count],
                    &descended_on_sums(&task, &steps[..count]),
                );
            }
        }
    }

    /// The query's inputs are transformed like those of the examples, whatever came before.
    #[test]
    fn gd_plus_plus_transforms_inputs() {
        let task = Task::new(3);
        let plain = [(1.2, 0.0), (0.8, 0.0)];
        let transforming = [(1.2, 0.06), (0.8, 0.0)];
        let [plain, other] = [plain, transforming].map(|steps| descended_on_sums(&task, &steps));
        let largest = sum(&plain, -1.0, &other)
            .concat()
            .into_iter()
            .fold(0.0, f64::max);
        assert!(largest > 1e-2);
    }
}
