//! Sparse updates: what some steps changed together is made sparse before they count.

use graft_runtime::gradient::{Parameter, Role};
use serde::{Deserialize, Serialize};

use crate::sparse::{Loss, Rule, Tensor};

/// Training whose difference over so many steps is made sparse, again and again, each parameter on its own.
///
/// The memory of the optimiser stays as it is: what was reset may come back in later steps, if it still reduces the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SparseUpdates {
    rule: Rule,
    /// Steps from one reset to the next.
    every: u32,
    /// Steps since the last one.
    steps: u32,
    /// The values then: one copy of what is trained.
    from: Vec<Vec<f32>>,
    /// What each parameter lost so far.
    losses: Vec<Loss>,
}

impl SparseUpdates {
    /// The first of them begins at these values.
    pub fn new(rule: Rule, every: u32, parameters: &[Parameter<'_>]) -> Self {
        Self {
            rule,
            every,
            steps: 0,
            from: parameters.iter().map(|p| p.values.to_vec()).collect(),
            losses: vec![Loss::default(); parameters.len()],
        }
    }

    /// Takes the values after a step, the last of an update or not.
    pub fn step(&mut self, parameters: &mut [Parameter<'_>]) {
        self.steps += 1;
        if self.steps < self.every {
            return;
        }
        self.steps = 0;
        let lost = self.reset(parameters);
        for ((all, lost), (from, now)) in self
            .losses
            .iter_mut()
            .zip(lost)
            .zip(self.from.iter_mut().zip(parameters))
        {
            *all += lost;
            from.copy_from_slice(now.values);
        }
    }

    /// Makes the difference since the last update sparse, as if one ended here; what each parameter loses by it.
    pub fn reset(&self, parameters: &mut [Parameter<'_>]) -> Vec<Loss> {
        let all = parameters.iter_mut().zip(&self.from);
        all.map(|(now, from)| self.rule.apply(now.values, from, now.trained))
            .collect()
    }

    /// What each parameter lost so far, all updates together.
    pub fn lost(&self, parameters: &[Parameter<'_>]) -> Vec<Tensor> {
        let all = parameters.iter().zip(&self.losses);
        let tensor = |(parameter, &loss): (&Parameter<'_>, &Loss)| Tensor {
            site: parameter.site,
            part: match parameter.role {
                Role::Scale => "scale",
                Role::Bias => "bias",
                Role::Weights => "weights",
            },
            values: parameter.trained,
            loss,
        };
        all.map(tensor).collect()
    }
}
