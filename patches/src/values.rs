//! The values of a patch, as stored.

use half::f16;
use half::slice::HalfFloatSliceExt;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::checked::checked;
use crate::half_table::HalfPanel;
use crate::records::{Dtype, What};
use crate::requantize::RequantizePanel;

/// Packed values ([`crate::layout`]) as they are stored: kernels read all but half precision in place, which has to be
/// widened first.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// Ready for a kernel.
    F32(&'a [f32]),
    /// To be widened before a kernel reads them.
    F16(&'a [f16]),
    /// Weights of an int8 site.
    I8(&'a [i8]),
    /// The epilogue of an int8 site.
    Requantize(&'a [RequantizePanel]),
    /// The epilogue of an int8 site in half precision, to be widened ([`crate::half_table::TableSite::widen`]).
    HalfTable(&'a [HalfPanel]),
}

impl<'a> Values<'a> {
    /// Bytes that were checked to be whole and aligned values; a last incomplete one is left out.
    pub(crate) fn new(bytes: &'a [u8], what: What, dtype: Dtype) -> Self {
        match (dtype, what) {
            (Dtype::F32, _) => Self::F32(whole(bytes)),
            (Dtype::F16, _) => Self::F16(whole(bytes)),
            (Dtype::I8 | Dtype::I8Half, What::Weights) => Self::I8(whole(bytes)),
            (Dtype::I8, What::Epilogue) => Self::Requantize(whole(bytes)),
            (Dtype::I8Half, What::Epilogue) => Self::HalfTable(whole(bytes)),
        }
    }

    /// The number of values; of panels of an int8 epilogue.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::Requantize(panels) => panels.len(),
            Self::HalfTable(panels) => panels.len(),
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
            Self::I8(values) => values.as_bytes(),
            Self::Requantize(panels) => panels.as_bytes(),
            Self::HalfTable(panels) => panels.as_bytes(),
        }
    }

    /// Bytes that they take once widened; 0 for what kernels read in place.
    pub fn wide_bytes(&self) -> usize {
        match self {
            Self::F32(_) | Self::I8(_) | Self::Requantize(_) => 0,
            Self::F16(values) => size_of::<f32>() * values.len(),
            Self::HalfTable(panels) => size_of::<RequantizePanel>() * panels.len(),
        }
    }

    /// Writes f16 or f32 values as f32.
    ///
    /// # Panics
    /// If `wide` has another length, or the values are those of int8.
    pub fn widen(&self, wide: &mut [f32]) {
        match self {
            Self::F32(values) => wide.copy_from_slice(values),
            Self::F16(values) => values.convert_to_f32_slice(wide),
            Self::I8(_) | Self::Requantize(_) | Self::HalfTable(_) => {
                panic!("int8 values stand for nothing on their own")
            }
        }
    }

    /// f16 or f32 values as f32.
    ///
    /// # Panics
    /// If the values are those of int8.
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> alloc::vec::Vec<f32> {
        let mut wide = alloc::vec![0.0; self.len()];
        self.widen(&mut wide);
        wide
    }
}

fn whole<T: FromBytes + Immutable>(bytes: &[u8]) -> &[T] {
    let whole = &bytes[..bytes.len() / size_of::<T>() * size_of::<T>()];
    checked(<[T]>::ref_from_bytes(whole))
}
