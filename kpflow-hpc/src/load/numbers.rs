//! Numbers of every type from bytes.

use half::{bf16, f16};
use kpflow_core::Scalar;
use safetensors::Dtype;

/// Numbers of a floating point type, in little endian order.
#[allow(clippy::wildcard_enum_match_arm)] // another library's names, of which there may be more
pub(super) fn numbers<T: Scalar>(dtype: Dtype, bytes: &[u8]) -> Option<Vec<T>> {
    fn each<T: Scalar, const W: usize>(bytes: &[u8], f: impl Fn([u8; W]) -> f64) -> Vec<T> {
        bytes.chunks_exact(W).map(|c| T::of(f(c.try_into().unwrap_or([0; W])))).collect()
    }
    Some(match dtype {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |b| f32::from_le_bytes(b).into()),
        Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f64()),
        Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f64()),
        _ => return None,
    })
}

/// Whole numbers and truth values too: tokens and masks are inputs, never weights.
#[allow(clippy::wildcard_enum_match_arm)] // another library's names, of which there may be more
pub(super) fn numbers_or_integers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    fn each<const W: usize>(bytes: &[u8], f: impl Fn([u8; W]) -> f64) -> Vec<f64> {
        bytes.chunks_exact(W).map(|c| f(c.try_into().unwrap_or([0; W]))).collect()
    }
    Some(match dtype {
        Dtype::BOOL => each(bytes, |[b]| f64::from(u8::from(b != 0))),
        Dtype::U8 => each(bytes, |[b]| b.into()),
        Dtype::I8 => each(bytes, |b| i8::from_le_bytes(b).into()),
        Dtype::U16 => each(bytes, |b| u16::from_le_bytes(b).into()),
        Dtype::I16 => each(bytes, |b| i16::from_le_bytes(b).into()),
        Dtype::U32 => each(bytes, |b| u32::from_le_bytes(b).into()),
        Dtype::I32 => each(bytes, |b| i32::from_le_bytes(b).into()),
        Dtype::U64 => each(bytes, |b| u64::from_le_bytes(b) as f64),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        other => return numbers(other, bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_float_type() {
        let values = [1.5, -2.0, 0.25];
        let bytes = |w: usize| -> Vec<u8> {
            values
                .iter()
                .flat_map(|&v: &f64| match w {
                    0 => f16::from_f64(v).to_le_bytes().to_vec(),
                    1 => bf16::from_f64(v).to_le_bytes().to_vec(),
                    2 => (v as f32).to_le_bytes().to_vec(),
                    _ => v.to_le_bytes().to_vec(),
                })
                .collect()
        };
        for (w, dtype) in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64].into_iter().enumerate() {
            assert_eq!(numbers::<f64>(dtype, &bytes(w)).unwrap(), values);
        }
        assert!(numbers::<f64>(Dtype::I32, &[0; 4]).is_none());
    }
}
