//! Scale, bias and activation after a layer's accumulators, frozen or trained.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use graft_patches::metadata::BatchNorm;

use super::network::BatchNormMode;
use super::values::Norm;
use crate::kernels::Activation;
use crate::kernels::f32::Affine;

/// Share of a batch's statistics in the running ones, as PyTorch's default.
pub const MOMENTUM: f32 = 0.1;

/// Shift, scale, bias and activation of a layer during training.
pub(super) struct TrainedEpilogue {
    /// The means that this step subtracts; zero without batch norm. One per channel.
    pub(super) shift: Vec<f32>,
    /// Of this step, one per channel.
    pub(super) scale: Vec<f32>,
    /// Of this step, one per channel.
    pub(super) bias: Vec<f32>,
    pub(super) activation: Activation,
    pub(super) state: State,
    /// Gradients of gamma and beta, or of scale and bias; empty where neither is trained.
    pub(super) gradients: [Vec<f32>; 2],
    /// The gradient of the accumulators is `a * g + b * (z - shift) + c` with these.
    pub(super) factors: [Vec<f32>; 3],
}

/// The source of a step's scale and bias.
pub(super) enum State {
    /// The backbone's.
    Frozen,
    /// Parameters themselves; of a head only the bias is trained.
    Affine { is_head: bool },
    /// Batch norm with raw parameters.
    Batch(Box<Batch>),
}

/// Batch norm. The mean is that of the accumulators, without the convolution's own bias.
pub(super) struct Batch {
    pub(super) gamma: Vec<f32>,
    pub(super) beta: Vec<f32>,
    pub(super) running_mean: Vec<f32>,
    pub(super) running_var: Vec<f32>,
    pub(super) epsilon: f32,
    mode: BatchNormMode,
    name: std::string::String,
    own: Vec<f32>,
    /// The backbone's, of the accumulators with the convolution's own bias.
    first_mean: Vec<f32>,
    /// 1 / sqrt(var + eps).
    inverse: Vec<f32>,
    /// Pixels of the batch.
    count: f32,
}

impl TrainedEpilogue {
    pub(super) fn new(
        scale: Vec<f32>,
        bias: Vec<f32>,
        activation: Activation,
        state: State,
    ) -> Self {
        let channels = scale.len();
        let trained = if matches!(state, State::Frozen) {
            0
        } else {
            channels
        };
        Self {
            activation,
            state,
            gradients: [vec![0.0; trained], vec![0.0; trained]],
            factors: [scale.clone(), vec![0.0; channels], vec![0.0; channels]],
            shift: vec![0.0; channels],
            scale,
            bias,
        }
    }

    /// Only an activation.
    pub(super) fn activation(activation: Activation, channels: usize) -> Self {
        Self::new(
            vec![1.0; channels],
            vec![0.0; channels],
            activation,
            State::Frozen,
        )
    }

    /// These accumulators through the epilogue.
    pub(super) fn of<'a>(&'a self, values: &'a [f32]) -> Affine<'a> {
        Affine {
            values,
            shift: &self.shift,
            scale: &self.scale,
            bias: &self.bias,
            activation: self.activation,
        }
    }

    /// Whether the backward pass needs the sums over the batch.
    pub(super) fn needs_sums(&self) -> bool {
        !matches!(self.state, State::Frozen)
    }

    /// The shift of the moments of this epilogue's accumulators; `None` where no moments are needed.
    pub(super) fn moments_shift(&self) -> Option<&[f32]> {
        match &self.state {
            State::Batch(batch) if batch.mode == BatchNormMode::Batch => Some(&batch.running_mean),
            State::Batch(_) | State::Frozen | State::Affine { .. } => None,
        }
    }

    /// Takes the running statistics, and gamma and beta as the last step left them, for a step without moments.
    pub(super) fn take_running(&mut self) {
        let State::Batch(batch) = &mut self.state else {
            return;
        };
        for c in 0..batch.gamma.len() {
            batch.inverse[c] = 1.0 / (batch.running_var[c] + batch.epsilon).sqrt();
            self.scale[c] = batch.gamma[c] * batch.inverse[c];
        }
        self.shift.copy_from_slice(&batch.running_mean);
        self.bias.copy_from_slice(&batch.beta);
    }

    /// Takes the sums and sums of squares of the shifted accumulators of a batch of `count` pixels: the statistics of
    /// this step and their share of the running ones. One pixel has no variance to add to them, so it leaves them as
    /// they are.
    pub(super) fn take_moments(&mut self, sums: &[f32], count: usize) {
        let State::Batch(batch) = &mut self.state else {
            return;
        };
        let channels = batch.gamma.len();
        batch.count = count as f32;
        // As PyTorch: the running variance is the unbiased one.
        let unbiased = (count > 1).then(|| count as f64 / (count - 1) as f64);
        for c in 0..channels {
            let mean = f64::from(sums[c]) / count as f64;
            let var = (f64::from(sums[channels + c]) / count as f64 - mean * mean).max(0.0);
            let inverse = 1.0 / (var + f64::from(batch.epsilon)).sqrt();
            let mean = f64::from(batch.running_mean[c]) + mean;
            batch.inverse[c] = inverse as f32;
            self.shift[c] = mean as f32;
            self.scale[c] = (f64::from(batch.gamma[c]) * inverse) as f32;
            self.bias[c] = batch.beta[c];
            if let Some(unbiased) = unbiased {
                batch.running_mean[c] += MOMENTUM * (mean as f32 - batch.running_mean[c]);
                batch.running_var[c] += MOMENTUM * ((var * unbiased) as f32 - batch.running_var[c]);
            }
        }
    }

    /// Takes the batch's sums of `g` and `g * (z - shift)`: the parameters' gradients and the factors of the accumulators'.
    pub(super) fn take_sums(&mut self, sums: &[f32]) {
        let channels = self.scale.len();
        let (g, gx) = sums.split_at(channels);
        match &self.state {
            State::Frozen => {}
            State::Affine { is_head } => {
                self.gradients[1].copy_from_slice(g);
                if !is_head {
                    self.gradients[0].copy_from_slice(gx);
                }
                self.factors[0].copy_from_slice(&self.scale);
            }
            State::Batch(batch) => {
                for c in 0..channels {
                    // Ioffe and Szegedy 2015, section 3, in terms of z - mean, the shift.
                    let inverse = batch.inverse[c];
                    let g_zhat = gx[c] * inverse;
                    self.gradients[0][c] = g_zhat;
                    self.gradients[1][c] = g[c];
                    let scale = batch.gamma[c] * inverse;
                    self.factors[0][c] = scale;
                    if batch.mode == BatchNormMode::Frozen {
                        continue; // constants pass no gradient on
                    }
                    self.factors[1][c] = -scale * inverse * g_zhat / batch.count;
                    self.factors[2][c] = -scale * g[c] / batch.count;
                }
            }
        }
    }

    /// The trained values, to save.
    pub(super) fn norm(&self) -> Option<Norm> {
        match &self.state {
            State::Frozen => None,
            State::Affine { .. } => Some(Norm::Affine {
                scale: self.scale.clone(),
                bias: self.bias.clone(),
            }),
            State::Batch(batch) => Some(Norm::Batch(BatchNorm {
                name: batch.name.clone(),
                gamma: batch.gamma.clone(),
                beta: batch.beta.clone(),
                mean: batch.mean(),
                var: batch.running_var.clone(),
                epsilon: batch.epsilon,
            })),
        }
    }
}

impl Batch {
    /// The mean to save, with the convolution's own bias: to the bit what it was where it is a constant.
    fn mean(&self) -> Vec<f32> {
        match self.mode {
            BatchNormMode::Frozen => self.first_mean.clone(),
            BatchNormMode::Batch => {
                let means = self.running_mean.iter().zip(&self.own);
                means.map(|(mean, own)| mean + own).collect()
            }
        }
    }

    /// Training starts from the backbone's batch norm.
    pub(super) fn new(start: &BatchNorm, own: Option<&[f32]>, mode: BatchNormMode) -> Self {
        let channels = start.gamma.len();
        let own = own.map_or_else(|| vec![0.0; channels], <[f32]>::to_vec);
        Self {
            gamma: start.gamma.clone(),
            beta: start.beta.clone(),
            running_mean: start
                .mean
                .iter()
                .zip(&own)
                .map(|(mean, own)| mean - own)
                .collect(),
            running_var: start.var.clone(),
            epsilon: start.epsilon,
            mode,
            name: start.name.clone(),
            own,
            first_mean: start.mean.clone(),
            inverse: vec![0.0; channels],
            count: 1.0,
        }
    }
}
