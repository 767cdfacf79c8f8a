//! The sites of tables, as they run with a patch.

use crate::backbone::BackboneImage;
use crate::half_table::TableSite;
use crate::records::What;
use crate::values::Values;

use super::PatchImage;

impl<'a> TableSite<'a> {
    /// A site as it runs with a patch: the patch's weights where it has some, the scales of the patch.
    ///
    /// # Panics
    /// If the patch was not checked against this int8 backbone, or there is no such site.
    pub fn of(patch: &PatchImage<'a>, backbone: &BackboneImage<'a>, index: usize) -> Self {
        let site = backbone.site(index);
        let own = patch.find(index, What::Weights);
        let weights = match own.map(|own| own.values) {
            Some(Values::I8(weights)) => weights,
            None => backbone.int8(&site).weights,
            Some(
                Values::F32(_) | Values::F16(_) | Values::Requantize(_) | Values::HalfTable(_),
            ) => unreachable!("checked at open"),
        };
        let input = backbone.layer(site.layer).inputs[0];
        Self {
            site,
            outputs: own.map_or(site.outputs, |own| own.outputs),
            weights,
            zero_point: patch.scales()[input].get().outer.zero_point,
        }
    }
}
