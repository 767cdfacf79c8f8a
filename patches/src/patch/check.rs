//! The checks of a patch's records on their own.

use zerocopy::little_endian::F32;

use crate::container::Container;
use crate::error::ImageError;
use crate::half_table::HalfPanel;
#[cfg(feature = "learn")]
use crate::head_sums::HeadSums;
use crate::layout::PANEL;
use crate::parse::{all, one, wrong};
use crate::records::{Dtype, InputRecord, PatchRecord, What};
use crate::requantize::RequantizePanel;
use crate::scale::ScaleRecord;
use crate::section::{ALIGN, SectionKind};

use super::{PatchImage, TEMPERATURES};

/// The records of a patch, parsed: their contents are yet to be checked ([`Self::check`]).
pub(super) struct UncheckedPatch<'a> {
    bytes: &'a [u8],
    container: Container,
    input: &'a InputRecord,
    records: &'a [PatchRecord],
    scales: &'a [ScaleRecord],
    temperature: Option<&'a F32>,
    /// Bytes of the section.
    values: usize,
}

impl<'a> UncheckedPatch<'a> {
    #[inline]
    pub(super) fn parse(bytes: &'a [u8], container: Container) -> Result<Self, ImageError> {
        let section = |kind| container.section(bytes, kind);
        Ok(Self {
            bytes,
            container,
            input: one(SectionKind::Input, section(SectionKind::Input))?,
            records: all(SectionKind::Records, section(SectionKind::Records))?,
            scales: all(SectionKind::Scales, section(SectionKind::Scales))?,
            temperature: match section(SectionKind::Temperature) {
                [] => None,
                section => Some(one(SectionKind::Temperature, section)?),
            },
            values: section(SectionKind::Values).len(),
        })
    }

    /// Checks the input, the replacements and whether there are scales.
    #[inline]
    pub(super) fn check(self) -> Result<PatchImage<'a>, ImageError> {
        self.input.decode().map_err(wrong(SectionKind::Input, 0))?;
        let temperature = self.temperature.map(|temperature| temperature.get());
        if temperature.is_some_and(|temperature| !TEMPERATURES.contains(&temperature)) {
            return Err(ImageError::Section {
                section: SectionKind::Temperature,
                problem: "not a number from 0.01 to 100",
            });
        }
        #[cfg(feature = "learn")]
        HeadSums::parse(self.container.section(self.bytes, SectionKind::HeadSums))?;
        let dtype = replacements(self.records, self.values)?;
        if self.scales.is_empty() == (dtype.of_backbone() == Dtype::I8) {
            return Err(ImageError::Section {
                section: SectionKind::Scales,
                problem: "missing in a patch for int8, or there in another one",
            });
        }
        Ok(PatchImage {
            bytes: self.bytes,
            container: self.container,
        })
    }
}

/// Checks that records are sorted and of one dtype, which is returned, and that their values lie one behind the other in
/// a section of `values` bytes.
fn replacements(records: &[PatchRecord], values: usize) -> Result<Dtype, ImageError> {
    let first = records.first().ok_or(ImageError::EmptyPatch)?;
    let dtype = Dtype::from_code(first.dtype).unwrap_or_default();
    let mut previous = None;
    let mut end = 0;
    for (index, record) in records.iter().enumerate() {
        let wrong = wrong(SectionKind::Records, index);
        let what = What::from_code(record.what).ok_or(wrong("neither epilogue nor weights"))?;
        if record.dtype != dtype as u8 {
            return Err(ImageError::Dtype {
                site: record.site.get().into(),
                found: record.dtype,
                expected: dtype,
            });
        }
        let key = Some((record.site.get(), record.what));
        if key <= previous {
            return Err(wrong("records are not sorted by site, or one stands twice"));
        }
        previous = key;
        let offset = record.offset.get() as usize;
        let length = record.length.get() as usize;
        let next = offset.checked_add(length).filter(|&next| next <= values);
        let is_whole = length.is_multiple_of(panel(what, dtype));
        if !offset.is_multiple_of(ALIGN) || offset < end || !is_whole {
            return Err(wrong("values misaligned or overlapping"));
        }
        end = next.ok_or(wrong("values out of bounds"))?;
    }
    Ok(dtype)
}

/// Bytes that every length of values is a multiple of.
fn panel(what: What, dtype: Dtype) -> usize {
    match (what, dtype) {
        (What::Epilogue, Dtype::I8) => size_of::<RequantizePanel>(),
        (What::Epilogue, Dtype::I8Half) => size_of::<HalfPanel>(),
        (What::Epilogue, Dtype::F32 | Dtype::F16) | (What::Weights, _) => PANEL * dtype.size(),
    }
}
