//! The control of the experiment: as many trained values as `bn` has, but weights chosen at random.

use std::collections::BTreeMap;

use graft_patches::BackboneImage;
use graft_patches::layout::unpack_epilogue;
use graft_runtime::gradient::{Norm, Parameter, SiteParameters};
use rand::SeedableRng as _;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

/// The weights that are trained.
pub(super) struct Selection {
    head: Option<usize>,
    /// For each parameter 1 for a selected value, otherwise 0; empty for the head's, all of which are trained.
    masks: Vec<Vec<f32>>,
    /// Frozen scale and bias of every site outside of the head.
    norms: BTreeMap<usize, Norm>,
    /// Number of selected weights.
    selected: usize,
    /// Gradients of the last step.
    masked: Vec<Vec<f32>>,
}

impl Selection {
    /// Selects as many weights outside of the head as there are scales and biases.
    pub(super) fn new(
        parameters: &[Parameter<'_>],
        backbone: &BackboneImage<'_>,
        seed: u64,
    ) -> Self {
        let head = backbone.head();
        let sites = (0..backbone.site_count()).filter(|&site| Some(site) != head);
        let norms: BTreeMap<usize, Norm> = sites
            .map(|index| {
                let site = backbone.site(index);
                let (scale, bias) = unpack_epilogue(backbone.epilogue(&site), site.outputs);
                (index, Norm::Affine { scale, bias })
            })
            .collect();
        let wanted: usize = norms
            .keys()
            .map(|&site| 2 * backbone.site(site).outputs)
            .sum();
        // Padding is zero; a weight that is exactly zero is not worth telling from it.
        let mut masks: Vec<Vec<f32>> = parameters
            .iter()
            .map(|parameter| {
                if Some(parameter.site) == head {
                    Vec::new()
                } else {
                    vec![0.0; parameter.values.len()]
                }
            })
            .collect();
        let all: Vec<(usize, usize)> = parameters
            .iter()
            .enumerate()
            .filter(|(_, parameter)| Some(parameter.site) != head)
            .flat_map(|(at, parameter)| {
                let values = parameter.values.iter().enumerate();
                values
                    .filter(|&(_, &value)| value != 0.0)
                    .map(move |(element, _)| (at, element))
            })
            .collect();
        let selected = wanted.min(all.len());
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for choice in sample(&mut random, all.len(), selected) {
            let (at, element) = all[choice];
            masks[at][element] = 1.0;
        }
        Self {
            head,
            masks,
            norms,
            selected,
            masked: Vec::new(),
        }
    }

    /// Adds what is frozen: weights of every site are in no patch but one that replaces everything.
    pub(super) fn complete(&self, trained: &mut BTreeMap<usize, SiteParameters>) {
        for (&site, norm) in &self.norms {
            trained.entry(site).or_default().norm = Some(norm.clone());
        }
    }

    /// Number of values that are trained, the head's included.
    pub(super) fn count(&self, parameters: &[Parameter<'_>]) -> usize {
        let head = parameters
            .iter()
            .filter(|parameter| Some(parameter.site) == self.head);
        self.selected + head.map(|parameter| parameter.trained).sum::<usize>()
    }

    /// The gradients of all parameters, zero where a value is not selected.
    pub(super) fn masked(&mut self, parameters: &[Parameter<'_>]) -> &[Vec<f32>] {
        self.masked.resize(parameters.len(), Vec::new());
        for ((masked, mask), parameter) in self.masked.iter_mut().zip(&self.masks).zip(parameters) {
            masked.clear();
            if mask.is_empty() {
                masked.extend_from_slice(parameter.gradient);
            } else {
                masked.extend(
                    parameter
                        .gradient
                        .iter()
                        .zip(mask)
                        .map(|(gradient, mask)| gradient * mask),
                );
            }
        }
        &self.masked
    }
}
