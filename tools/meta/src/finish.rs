//! From a finished run to files: the generator, and the target CNN as its backbone.

use std::collections::BTreeMap;

use graft_patches::writer::WriteError;
use graft_runtime::Backbone;

use crate::learner::Learner;
use patchtool::hyper::generated::Convolution;
use patchtool::hyper::{Config, Hyper, HyperError, Precision, Provenance, target};

impl Learner {
    /// The target CNN as a backbone: its trained weights, or those that generation starts from; as epilogues the trained
    /// scale and bias of each batch norm.
    ///
    /// # Errors
    /// See [`target::backbone`].
    pub fn backbone(&self, name: &str) -> Result<Vec<u8>, WriteError> {
        let side = self.generator().config().target.side;
        let values: BTreeMap<&str, &[f32]> = self
            .parameters()
            .map(|(parameter, values)| (&*parameter.name, values))
            .collect();
        let part = |layer: usize, part: &str| values[&*format!("conv.{layer}.{part}")].to_vec();
        let convolutions: Vec<Convolution> = (0..Config::CONVOLUTIONS)
            .map(|layer| Convolution {
                weights: Some(part(layer, "weight")),
                scale: part(layer, "gamma"),
                bias: part(layer, "beta"),
            })
            .collect();
        target::backbone(name, "meta-training", side, &convolutions)
    }

    /// The generator as a file of this precision, for this backbone.
    /// In half precision, [`Learner::round`] comes first: backbone and generator share values.
    ///
    /// # Errors
    /// See [`Hyper::new`].
    pub fn hyper(
        &self,
        backbone: &Backbone,
        precision: Precision,
        provenance: Provenance,
    ) -> Result<Hyper, HyperError> {
        let all = self.parameters();
        let parameters = all.map(|(parameter, values)| (parameter.name.clone(), values.to_vec()));
        Hyper::new(
            self.generator(),
            &parameters.collect(),
            precision,
            backbone.image().id(),
            provenance,
        )
    }
}
