//! Whether trained values fit their kind and backbone.

use graft_patches::BackboneImage;
use graft_patches::records::{Dtype, Site, What};
use graft_runtime::gradient::{Norm, SiteParameters};

use super::{Trained, TrainedError};

impl Trained {
    /// Checks that the values were trained on this backbone, or the one that it is the int8 twin of, are complete, of the right sizes and finite.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self, backbone: &BackboneImage<'_>) -> Result<(), TrainedError> {
        let expected = match backbone.dtype() {
            Dtype::I8 => backbone.metadata()?.quantized.unwrap_or_default().from,
            Dtype::F32 | Dtype::F16 | Dtype::I8Half => backbone.id(),
        };
        if self.backbone.id != expected {
            return Err(TrainedError::WrongBackbone {
                found: self.backbone.id,
                found_name: self.backbone.name.clone(),
                expected,
                expected_name: backbone.metadata()?.name,
            });
        }
        let count = backbone.site_count();
        if let Some((&found, _)) = self.sites.range(count..).next() {
            return Err(TrainedError::UnknownSite {
                found,
                expected: count,
            });
        }
        let none = SiteParameters::default();
        (0..count).try_for_each(|index| {
            let values = self.sites.get(&index).unwrap_or(&none);
            self.check_site(index, &backbone.site(index), values)
        })
    }

    fn check_site(
        &self,
        index: usize,
        site: &Site,
        values: &SiteParameters,
    ) -> Result<(), TrainedError> {
        let kind = self.kind;
        let found = [
            (What::Epilogue, values.norm.is_some()),
            (What::Weights, values.weights.is_some()),
        ];
        for (what, is_there) in found {
            let is_trained = site.layer >= self.from_layer && kind.replaces(site, what);
            match (is_trained, is_there) {
                (true, false) => {
                    return Err(TrainedError::Missing {
                        site: index,
                        what,
                        kind,
                    });
                }
                (false, true) => {
                    return Err(TrainedError::Unexpected {
                        site: index,
                        what,
                        kind,
                    });
                }
                (true, true) | (false, false) => {}
            }
        }
        let outputs = match &values.norm {
            Some(norm) if site.is_head && self.labels.is_empty() => channels(norm),
            _ if site.is_head && !self.labels.is_empty() => self.labels.len(),
            _ => site.outputs,
        };
        if let Some(weights) = &values.weights {
            let expected = outputs * site.depth;
            check_values(index, "weights", weights, expected)?;
        }
        values
            .norm
            .as_ref()
            .map_or(Ok(()), |norm| check_norm(index, norm, outputs))
    }
}

fn channels(norm: &Norm) -> usize {
    match norm {
        Norm::Batch(norm) => norm.gamma.len(),
        Norm::Affine { scale, .. } => scale.len(),
    }
}

fn check_norm(site: usize, norm: &Norm, outputs: usize) -> Result<(), TrainedError> {
    let norm = match norm {
        Norm::Affine { scale, bias } => {
            check_values(site, "scale", scale, outputs)?;
            return check_values(site, "bias", bias, outputs);
        }
        Norm::Batch(norm) => norm,
    };
    for (part, values) in [
        ("gamma", &norm.gamma),
        ("beta", &norm.beta),
        ("mean", &norm.mean),
        ("var", &norm.var),
    ] {
        check_values(site, part, values, outputs)?;
    }
    let is_positive = |var: &f32| *var + norm.epsilon > 0.0;
    match norm.var.iter().position(|var| !is_positive(var)) {
        Some(index) => Err(TrainedError::Value {
            site,
            part: "var",
            index,
            value: norm.var[index],
            expected: "a variance that is above zero with epsilon added",
        }),
        None => Ok(()),
    }
}

fn check_values(
    site: usize,
    part: &'static str,
    values: &[f32],
    expected: usize,
) -> Result<(), TrainedError> {
    if values.len() != expected {
        return Err(TrainedError::Length {
            site,
            part,
            found: values.len(),
            expected,
        });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(TrainedError::Value {
            site,
            part,
            index,
            value: values[index],
            expected: "a finite number",
        }),
        None => Ok(()),
    }
}
