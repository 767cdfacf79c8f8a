//! Update rules by which gradients change parameters: Adam and stochastic gradient descent.

/// Adam's decay of the mean gradient.
const BETA1: f32 = 0.9;
/// Adam's decay of the mean squared gradient.
const BETA2: f32 = 0.999;
/// Keeps Adam's steps finite where the gradient is zero.
const EPSILON: f32 = 1e-8;
/// Share of the velocity that is left after a step.
const MOMENTUM: f32 = 0.9;

/// The update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Algorithm {
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).
    Adam,
    /// Momentum 0.9.
    Sgd,
    /// Nesterov momentum 0.9.
    Nesterov,
}

/// One parameter of a step: its values and their gradient, of equal length.
#[derive(Debug)]
pub struct Update<'a> {
    /// Changed in place.
    pub values: &'a mut [f32],
    /// Derivative of the loss by `values`.
    pub gradient: &'a [f32],
    /// Whether weight decay applies: to weights, not to scales and biases.
    pub decays: bool,
    /// Factor on the learning rate of the step.
    pub lr_multiplier: f32,
}

/// An update rule with its memory of every parameter.
#[derive(Clone, Debug)]
pub struct Optimizer {
    algorithm: Algorithm,
    weight_decay: f32,
    steps: u64,
    /// Adam: mean and mean square of parameter 0, of parameter 1, ... Otherwise the velocity of each.
    memory: Vec<Vec<f32>>,
}

/// Memory of an [`Optimizer`], for checkpoints.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// Steps taken.
    pub steps: u64,
    /// Running means, in the order of the parameters.
    pub memory: Vec<Vec<f32>>,
}

/// A state of another optimiser or of other parameters.
#[derive(Debug, thiserror::Error)]
#[error(
    "the optimiser's state has {found} slices of {found_values} values, this network needs {expected} of {expected_values}"
)]
pub struct StateError {
    found: usize,
    found_values: usize,
    expected: usize,
    expected_values: usize,
}

impl Optimizer {
    /// A rule that remembers nothing yet, for parameters of these lengths.
    pub fn new(
        algorithm: Algorithm,
        weight_decay: f32,
        lengths: impl IntoIterator<Item = usize>,
    ) -> Self {
        let slices = match algorithm {
            Algorithm::Adam => 2,
            Algorithm::Sgd | Algorithm::Nesterov => 1,
        };
        Self {
            algorithm,
            weight_decay,
            steps: 0,
            memory: lengths
                .into_iter()
                .flat_map(|length| vec![vec![0.0; length]; slices])
                .collect(),
        }
    }

    /// The same rule for parameters of these lengths, of which it remembers nothing yet.
    pub fn for_lengths(&self, lengths: impl IntoIterator<Item = usize>) -> Self {
        Self::new(self.algorithm, self.weight_decay, lengths)
    }

    /// One step at learning rate `rate`. The parameters come in the same order every time.
    ///
    /// # Panics
    /// If their number or a length is not what [`Self::new`] was told.
    pub fn step<'a>(&mut self, rate: f32, updates: impl IntoIterator<Item = Update<'a>>) {
        self.steps += 1;
        let correction = Correction::after(self.steps);
        let mut memory = self.memory.iter_mut();
        for update in updates {
            let decay = if update.decays {
                self.weight_decay
            } else {
                0.0
            };
            let rate = rate * update.lr_multiplier;
            let mut next = || memory.next().expect("a parameter more than at the start");
            match self.algorithm {
                Algorithm::Adam => adam(update, next(), next(), rate, decay, &correction),
                Algorithm::Sgd => sgd(update, next(), rate, decay, (1.0, 0.0)),
                Algorithm::Nesterov => sgd(update, next(), rate, decay, (MOMENTUM, 1.0)),
            }
        }
        assert!(
            memory.next().is_none(),
            "a parameter less than at the start"
        );
    }

    /// The state to restore to go on from here.
    pub fn state(&self) -> State {
        State {
            steps: self.steps,
            memory: self.memory.clone(),
        }
    }

    /// Goes on from a state of the same rule for the same parameters.
    ///
    /// # Errors
    /// If it is of another rule or of other parameters; nothing is changed then.
    pub fn restore(&mut self, state: State) -> Result<(), StateError> {
        if !state
            .memory
            .iter()
            .map(Vec::len)
            .eq(self.memory.iter().map(Vec::len))
        {
            let values = |memory: &[Vec<f32>]| memory.iter().map(Vec::len).sum();
            return Err(StateError {
                found: state.memory.len(),
                found_values: values(&state.memory),
                expected: self.memory.len(),
                expected_values: values(&self.memory),
            });
        }
        (self.steps, self.memory) = (state.steps, state.memory);
        Ok(())
    }
}

/// Running means that start from zero are too small at first: by these factors.
struct Correction {
    mean: f32,
    root_square: f32,
}

impl Correction {
    fn after(steps: u64) -> Self {
        let missing = |beta: f32| 1.0 - f64::from(beta).powf(steps as f64);
        Self {
            mean: missing(BETA1) as f32,
            root_square: missing(BETA2).sqrt() as f32,
        }
    }
}

fn adam(
    Update {
        values, gradient, ..
    }: Update<'_>,
    mean: &mut [f32],
    square: &mut [f32],
    rate: f32,
    decay: f32,
    correction: &Correction,
) {
    let count = values.len();
    assert!(
        [gradient.len(), mean.len(), square.len()] == [count; 3],
        "lengths of a parameter"
    );
    let (kept, step) = (1.0 - rate * decay, rate / correction.mean);
    let memory = mean.iter_mut().zip(square);
    for ((value, &gradient), (mean, square)) in values.iter_mut().zip(gradient).zip(memory) {
        *mean += (gradient - *mean) * (1.0 - BETA1);
        *square = *square * BETA2 + gradient * gradient * (1.0 - BETA2);
        let root = square.sqrt() / correction.root_square;
        *value = *value * kept - step * *mean / (root + EPSILON);
    }
}

/// A step goes along the velocity and along the gradient, by one factor each.
fn sgd(
    Update {
        values, gradient, ..
    }: Update<'_>,
    velocity: &mut [f32],
    rate: f32,
    decay: f32,
    (along_velocity, along_gradient): (f32, f32),
) {
    let count = values.len();
    assert!(
        [gradient.len(), velocity.len()] == [count; 2],
        "lengths of a parameter"
    );
    for ((value, &gradient), velocity) in values.iter_mut().zip(gradient).zip(velocity) {
        let gradient = gradient + decay * *value;
        *velocity = MOMENTUM * *velocity + gradient;
        *value -= rate * (along_velocity * *velocity + along_gradient * gradient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Algorithm::{Adam, Nesterov, Sgd};

    const GRADIENTS: [[f32; 3]; 3] = [[0.5, -2.0, 0.0], [0.25, 1.0, 0.0], [-1.0, 0.125, 0.0]];

    /// Steps on one parameter from 1, -0.5, 0; the last value is padding.
    fn run(optimizer: &mut Optimizer, values: &mut [f32; 3], gradients: &[[f32; 3]], decays: bool) {
        for gradient in gradients {
            let update = Update {
                values: &mut values[..],
                gradient,
                decays,
                lr_multiplier: 1.0,
            };
            optimizer.step(0.01, [update]);
        }
    }

    /// Expected: `torch.optim.AdamW` and `torch.optim.SGD` with rate 0.01, evaluated in f64 from the formulas of their
    /// documentation.
    #[test]
    fn three_steps_are_those_of_pytorch() {
        let cases = [
            (Adam, true, [0.9797741, -0.4841621, 0.0]),
            (Adam, false, [0.9827418, -0.4856379, 0.0]),
            (Sgd, true, [0.9861163, -0.4633134, 0.0]),
            (Nesterov, true, [0.9870554, -0.4568472, 0.0]),
            (Nesterov, false, [0.99503, -0.460695, 0.0]),
        ];
        for (algorithm, decays, expected) in cases {
            let mut optimizer = Optimizer::new(algorithm, 0.1, [3]);
            let mut values = [1.0, -0.5, 0.0];
            run(&mut optimizer, &mut values, &GRADIENTS, decays);
            for (found, expected) in values.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 2e-7,
                    "{algorithm:?} {decays}: {values:?}"
                );
            }
            assert_eq!(values[2].to_bits(), 0, "padding stays zero");
        }
    }

    #[test]
    fn a_restored_state_goes_on_bit_for_bit() {
        for algorithm in [Adam, Sgd, Nesterov] {
            let mut through = Optimizer::new(algorithm, 0.01, [3]);
            let (mut values, mut resumed) = ([1.0, -0.5, 0.25], [0.0; 3]);
            run(&mut through, &mut values, &GRADIENTS[..2], true);
            let mut second = Optimizer::new(algorithm, 0.01, [3]);
            second.restore(through.state()).unwrap();
            resumed.copy_from_slice(&values);
            run(&mut through, &mut values, &GRADIENTS[2..], true);
            run(&mut second, &mut resumed, &GRADIENTS[2..], true);
            assert_eq!(values.map(f32::to_bits), resumed.map(f32::to_bits));
        }
    }

    #[test]
    fn a_state_of_another_rule_or_network_is_refused() {
        let adam = Optimizer::new(Adam, 0.0, [3, 1]);
        let mut other = Optimizer::new(Sgd, 0.0, [3, 1]);
        let error = other.restore(adam.state()).unwrap_err().to_string();
        assert!(
            error.contains("4 slices of 8 values") && error.contains("2 of 4"),
            "{error}"
        );
        let mut other = Optimizer::new(Adam, 0.0, [1, 3]);
        assert!(other.restore(adam.state()).is_err());
        assert_eq!(other.state().steps, 0);
    }
}
