//! Lookup by byte permutations, which pick from 128 bytes.

use core::arch::x86_64::*;

/// Values looked up at a time.
const LOOKUPS: usize = 64;

pub(in crate::kernels) fn lookup(table: &[i8; 256], values: &mut [i8]) {
    // SAFETY: `select` hands out the table of kernels only where the CPU has the instruction set.
    unsafe { lookup_kernel(table, values) }
}

/// # Safety
/// The CPU has the instruction set.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn lookup_kernel(table: &[i8; 256], values: &mut [i8]) {
    // SAFETY: four times 64 bytes are the table; of a chunk, no more bytes than it has are touched.
    unsafe {
        let mut quarters = [_mm512_setzero_si512(); 4];
        for (i, quarter) in quarters.iter_mut().enumerate() {
            *quarter = _mm512_loadu_si512(table.as_ptr().add(i * LOOKUPS).cast());
        }
        let [a, b, c, d] = quarters;
        for chunk in values.chunks_mut(LOOKUPS) {
            let mask = u64::MAX >> (LOOKUPS - chunk.len());
            let index = _mm512_maskz_loadu_epi8(mask, chunk.as_ptr());
            // Permutations read the lower seven bits, which 128 more does not change; negative ones are the lower half.
            let lower = _mm512_permutex2var_epi8(a, index, b);
            let upper = _mm512_permutex2var_epi8(c, index, d);
            let found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), upper, lower);
            _mm512_mask_storeu_epi8(chunk.as_mut_ptr(), mask, found);
        }
    }
}
