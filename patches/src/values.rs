//! The values of a patch, as stored.

use half::f16;
use half::slice::HalfFloatSliceExt;
use zerocopy::{FromBytes, IntoBytes};

use crate::records::Dtype;

/// Packed values ([`crate::layout`]) as they are stored: kernels read f32 in place, f16 has to be widened first.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// Ready for a kernel.
    F32(&'a [f32]),
    /// To be widened before a kernel reads them.
    F16(&'a [f16]),
}

impl<'a> Values<'a> {
    /// Bytes that were checked to be whole and aligned values; a last incomplete one is left out.
    pub(crate) fn new(bytes: &'a [u8], dtype: Dtype) -> Self {
        let whole = &bytes[..bytes.len() / dtype.size() * dtype.size()];
        match dtype {
            Dtype::F32 => Self::F32(<[f32]>::ref_from_bytes(whole).expect("checked at open")),
            Dtype::F16 => Self::F16(<[f16]>::ref_from_bytes(whole).expect("checked at open")),
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As stored.
    pub fn bytes(&self) -> &'a [u8] {
        match self {
            Self::F32(values) => values.as_bytes(),
            Self::F16(values) => values.as_bytes(),
        }
    }

    /// Writes all of them as f32.
    ///
    /// # Panics
    /// If `wide` has another length.
    pub fn widen(&self, wide: &mut [f32]) {
        match self {
            Self::F32(values) => wide.copy_from_slice(values),
            Self::F16(values) => values.convert_to_f32_slice(wide),
        }
    }

    /// All of them as f32.
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> alloc::vec::Vec<f32> {
        let mut wide = alloc::vec![0.0; self.len()];
        self.widen(&mut wide);
        wide
    }
}
