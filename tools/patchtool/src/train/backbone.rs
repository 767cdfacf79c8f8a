//! A backbone with other values: those that a training of everything ends with, or random ones to start from.

use std::collections::BTreeMap;

use graft_data::random::{Purpose, generator};
use graft_patches::BackboneImage;
use graft_patches::layout::{unpack_epilogue, unpack_weights};
use graft_patches::metadata::{BackboneMetadata, BatchNorm, SiteMetadata};
use graft_patches::writer::{BackboneWriter, SiteValues};
use graft_runtime::gradient::{Norm, SiteParameters};
use rand::RngExt as _;

use crate::trained::TrainedError;

/// The image of an f32 backbone of the same layers with these values of its sites, and its own where there are none; its
/// metadata are changed by `change`.
///
/// # Errors
/// Values that do not fit, as a head of more classes than the backbone has room for.
pub fn with_values(
    image: &BackboneImage<'_>,
    sites: &BTreeMap<usize, SiteParameters>,
    change: impl FnOnce(&mut BackboneMetadata),
) -> Result<Vec<u8>, TrainedError> {
    let mut writer = BackboneWriter::new(image.input());
    let mut metadata = image.metadata()?;
    let none = SiteParameters::default();
    for index in 0..image.layer_count() {
        let layer = image.layer(index);
        let Some(at) = layer.site else {
            writer.push(layer, None)?;
            continue;
        };
        let site = image.site(at);
        let values = sites.get(&at).unwrap_or(&none);
        let weights = values.weights.clone().unwrap_or_else(|| {
            let own = image.weights(&site);
            unpack_weights(own, site.outputs, site.depth, site.is_depthwise)
        });
        let own = metadata.sites.get_mut(at);
        let (scale, bias) = match &values.norm {
            Some(norm) => folded(norm, own),
            None => unpack_epilogue(image.epilogue(&site), site.outputs),
        };
        let values = SiteValues {
            weights: &weights,
            scale: &scale,
            bias: &bias,
        };
        writer.push(layer, Some(values))?;
    }
    change(&mut metadata);
    Ok(writer.finish(image.max_classes(), &metadata)?)
}

/// Scale and bias of a site, whose metadata are those of `norm` from now on.
fn folded(norm: &Norm, site: Option<&mut SiteMetadata>) -> (Vec<f32>, Vec<f32>) {
    match norm {
        Norm::Batch(norm) => {
            let fold = norm.fold(site.as_ref().and_then(|site| site.bias.as_deref()));
            if let Some(site) = site {
                site.batch_norm = Some(norm.clone());
            }
            fold
        }
        Norm::Affine { scale, bias } => {
            if let Some(own) = site.and_then(|site| site.bias.as_mut()) {
                own.clone_from(bias);
            }
            (scale.clone(), bias.clone())
        }
    }
}

/// Values of a network that has learned nothing: uniform weights (He et al. 2015: variance 2 / inputs of an output), batch
/// norms that change nothing.
///
/// # Errors
/// Metadata that cannot be read.
pub fn untrained(
    image: &BackboneImage<'_>,
    seed: u64,
) -> Result<BTreeMap<usize, SiteParameters>, TrainedError> {
    let metadata = image.metadata()?;
    let mut random = generator(seed, Purpose::Start);
    let sites = (0..image.site_count()).map(|index| {
        let site = image.site(index);
        let limit = (6.0 / site.depth as f32).sqrt();
        let weights = (0..site.outputs * site.depth).map(|_| random.random_range(-limit..=limit));
        let [zeros, ones] = [0.0, 1.0].map(|value| vec![value; site.outputs]);
        let own = metadata.sites.get(index);
        let norm = match own.and_then(|own| own.batch_norm.as_ref()) {
            Some(norm) => Norm::Batch(BatchNorm {
                name: norm.name.clone(),
                gamma: ones.clone(),
                beta: zeros.clone(),
                // Takes the convolution's own bias away again.
                mean: own.and_then(|own| own.bias.clone()).unwrap_or(zeros),
                var: ones,
                epsilon: norm.epsilon,
            }),
            None => Norm::Affine {
                scale: ones,
                bias: zeros,
            },
        };
        let values = SiteParameters {
            weights: Some(weights.collect()),
            norm: Some(norm),
        };
        (index, values)
    });
    Ok(sites.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::backbone;

    #[test]
    fn with_its_own_values_a_backbone_is_the_same_file() {
        let backbone = backbone(1);
        let image = backbone.image();
        let same = with_values(&image, &BTreeMap::new(), |_| ()).expect("it fits");
        assert!(same == image.bytes());
        let untrained = untrained(&image, 1).expect("it has metadata");
        let other = with_values(&image, &untrained, |_| ()).expect("it fits");
        assert!(other.len() == same.len() && other != same);
    }
}
