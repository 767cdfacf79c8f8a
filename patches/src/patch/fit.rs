//! The checks of a patch against its backbone, and its tables there.

use crate::backbone::BackboneImage;
use crate::container::Verify;
use crate::error::ImageError;
use crate::parse::wrong;
use crate::plan;
use crate::records::{Kinds, What};
use crate::section::SectionKind;
use crate::value_check;

use super::{PatchImage, Replacement};

impl<'a> PatchImage<'a> {
    /// Checks that this patch can run on a backbone: made for it, every site known and of its size, every site of the
    /// claimed kinds there, no more classes and no larger input than the plan has room for. Whether every layer can
    /// reduce a smaller input is for [`crate::plan::infer_shapes`], which needs memory, to say.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check_against(
        &self,
        backbone: &BackboneImage<'_>,
        verify: Verify,
    ) -> Result<(), ImageError> {
        if self.backbone_id() != backbone.id() {
            return Err(ImageError::WrongBackbone {
                found: self.backbone_id(),
                expected: backbone.id(),
            });
        }
        if self.dtype().of_backbone() != backbone.dtype() {
            return Err(ImageError::OtherDtype {
                found: self.dtype(),
                expected: backbone.dtype(),
            });
        }
        self.check_sites(backbone)?;
        self.check_complete(backbone)?;
        self.check_scales(backbone)?;
        #[cfg(feature = "alloc")]
        self.check_continual_state(backbone)?;
        #[cfg(feature = "learn")]
        self.check_head_sums(backbone)?;
        if verify == Verify::Full {
            self.check_values(backbone)?;
            #[cfg(feature = "alloc")]
            self.check_labels(backbone)?;
        }
        plan::check_fits(backbone, self.input().shape)
    }

    /// The part of [`Self::check_against`] that also holds for a backbone's int8 twin: values of known sites and of their size.
    ///
    /// # Errors
    /// The first value that does not fit.
    pub fn check_sites(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        self.replacements()
            .try_for_each(|replacement| self.check_replacement(backbone, &replacement))
    }

    fn check_replacement(
        &self,
        backbone: &BackboneImage<'_>,
        replacement: &Replacement<'_>,
    ) -> Result<(), ImageError> {
        let &Replacement {
            site: index,
            what,
            outputs,
            values,
            ..
        } = replacement;
        if index >= backbone.site_count() {
            return Err(ImageError::UnknownSite {
                found: index,
                expected: backbone.site_count(),
            });
        }
        let site = backbone.site(index);
        if !self.kinds().covers(&site, what, self.dtype()) {
            return Err(ImageError::UnclaimedSite {
                site: index,
                what,
                kinds: self.kinds(),
            });
        }
        if site.is_head && outputs > backbone.max_classes() {
            return Err(ImageError::TooManyClasses {
                found: outputs,
                expected: backbone.max_classes(),
            });
        }
        let wanted = if site.is_head { outputs } else { site.outputs };
        let expected = site.bytes(what, self.dtype(), wanted);
        if outputs == 0 || outputs != wanted {
            return Err(ImageError::SiteOutputs {
                site: index,
                found: outputs,
                expected: wanted,
            });
        }
        let found = values.bytes().len();
        if found != expected {
            return Err(ImageError::SiteLength {
                site: index,
                what,
                found,
                expected,
            });
        }
        Ok(())
    }

    /// Every site that the claimed kinds demand is there, and a head's weights and epilogue agree on its classes.
    fn check_complete(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        for index in 0..backbone.site_count() {
            let site = backbone.site(index);
            let mut outputs = [site.outputs; 2];
            for (what, outputs) in What::ALL.into_iter().zip(&mut outputs) {
                match self.find(index, what) {
                    Some(replacement) => *outputs = replacement.outputs,
                    None => {
                        if let Some(kind) = self.kinds().requires(&site, what) {
                            return Err(ImageError::MissingSite {
                                site: index,
                                what,
                                kind,
                            });
                        }
                    }
                }
            }
            if outputs[0] != outputs[1] {
                return Err(ImageError::SiteOutputs {
                    site: index,
                    found: outputs[1],
                    expected: outputs[0],
                });
            }
        }
        self.check_kinds(backbone)
    }

    fn check_values(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        self.replacements()
            .enumerate()
            .try_for_each(|(index, own)| {
                let site = backbone.site(own.site);
                value_check::check(own.values, site.depth, site.is_depthwise)
                    .map_err(wrong(SectionKind::Values, index))
            })
    }

    /// Every tensor has scales, and a table that the patch leaves as it is was made for the scales around its site.
    fn check_scales(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        let (own, base) = (self.scales(), backbone.scales());
        if own.len() != base.len() {
            return Err(ImageError::Section {
                section: SectionKind::Scales,
                problem: "not one for each tensor of the backbone",
            });
        }
        for (index, scale) in own.iter().enumerate() {
            let layer = index.checked_sub(1).map(|layer| backbone.layer(layer));
            let has_curve = layer.is_some_and(|layer| layer.activation.is_curve());
            scale
                .check(has_curve)
                .map_err(wrong(SectionKind::Scales, index))?;
            let Some((layer, site)) = layer.and_then(|layer| Some((layer, layer.site?))) else {
                continue;
            };
            let (input, output) = (layer.inputs[0], index);
            let is_same = own[input].get().outer == base[input].get().outer
                && own[output].get().inner == base[output].get().inner;
            if !is_same && self.find(site, What::Epilogue).is_none() {
                return Err(ImageError::Scale { site });
            }
        }
        Ok(())
    }

    /// The continual state is for programs that learn on: a device that only runs the patch does not read it.
    #[cfg(feature = "alloc")]
    fn check_continual_state(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        let Some(state) = self.continual_state()? else {
            return Ok(());
        };
        let head = backbone
            .head()
            .and_then(|head| self.find(head, What::Weights));
        state.check(head.map_or(0, |head| head.outputs))
    }

    /// Sums are for programs that learn on, like the continual state. They are of the classes and inputs of its head.
    #[cfg(feature = "learn")]
    fn check_head_sums(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        let Some(sums) = self.head_sums() else {
            return Ok(());
        };
        let head = backbone
            .head()
            .and_then(|head| self.find(head, What::Weights));
        let (classes, inputs) = head.map_or((0, 0), |head| {
            (head.outputs, backbone.site(head.site).depth)
        });
        sums.check(classes, inputs)
    }

    /// Class names are those of its head.
    #[cfg(feature = "alloc")]
    fn check_labels(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        let head = backbone
            .head()
            .and_then(|head| self.find(head, What::Weights));
        head.map_or(Ok(()), |head| {
            crate::metadata::check_labels(&self.metadata()?.labels, head.outputs)
        })
    }

    /// A claimed kind that no site answers to would be a patch that silently does less than it says.
    fn check_kinds(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        for (kind, name) in Kinds::NAMES {
            let is_answered = kind == Kinds::GENERATED
                || (0..backbone.site_count())
                    .map(|index| backbone.site(index))
                    .any(|site| {
                        What::ALL
                            .into_iter()
                            .any(|what| kind.requires(&site, what).is_some())
                    });
            if self.kinds().contains(kind) && !is_answered {
                return Err(ImageError::NoSuchKind { kind: name });
            }
        }
        Ok(())
    }
}
