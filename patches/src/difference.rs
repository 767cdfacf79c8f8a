//! The place where two tasks on one backbone part.

use crate::backbone::BackboneImage;
use crate::patch::Replacement;
use crate::scale::ScaleRecord;

/// The first layer that computes with other values in one of two tasks than in the other; `None` where both run with the
/// same values from end to end. `scales` are those of all tensors, empty in f32. Replacements come in the order of their
/// sites, as kernels read them: half precision is widened. What one of the tasks does not replace, it has from the
/// backbone.
pub fn first_difference<'a>(
    backbone: &BackboneImage<'a>,
    scales: [&[ScaleRecord]; 2],
    left: impl Iterator<Item = Replacement<'a>>,
    right: impl Iterator<Item = Replacement<'a>>,
) -> Option<usize> {
    let [own, other] = scales;
    let scaled = own.iter().zip(other).position(|(own, other)| own != other);
    // A layer writes the tensor behind its own number; the input is the first layer's to read.
    let scaled = scaled.map(|tensor| tensor.saturating_sub(1));
    let (mut left, mut right) = (left.peekable(), right.peekable());
    loop {
        let next = [left.peek(), right.peek()].into_iter().flatten();
        let Some((index, what)) = next.map(|own| (own.site, own.what)).min() else {
            return scaled;
        };
        let site = backbone.site(index);
        if scaled.is_some_and(|layer| layer <= site.layer) {
            return scaled;
        }
        let is_next = |own: &Replacement<'_>| (own.site, own.what) == (index, what);
        // Heads of different classes may have the same bytes, in which the missing ones are zeros.
        let values = |own: Option<Replacement<'a>>| match own {
            Some(own) => (own.outputs, own.values.bytes()),
            None => (site.outputs, backbone.values(&site, what).bytes()),
        };
        if values(left.next_if(is_next)) != values(right.next_if(is_next)) {
            return Some(site.layer);
        }
    }
}
