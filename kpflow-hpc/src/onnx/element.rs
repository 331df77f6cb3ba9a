//! Element types: what a number of a tensor may be, and what it becomes in another type.

use rten_onnx::onnx::DataType;

/// The element type of a tensor, as far as anything depends on it. All are computed in the job's precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Floating-point numbers of 32 bits or fewer.
    Float,
    /// Floating-point numbers of 64 bits.
    Double,
    /// Whole numbers of so many bits.
    Integer {
        /// How many.
        bits: i32,
        /// Whether there are negative ones.
        signed: bool,
    },
    /// Truth values: 0 and 1.
    Bool,
}

impl Element {
    /// What shapes and indices are made of.
    pub const LONG: Self = Self::Integer { bits: 64, signed: true };

    /// The element type of a data type; `None` for texts, complex numbers and numbers of few bits.
    pub fn of(kind: DataType) -> Option<Self> {
        let integer = |bits, signed| Some(Self::Integer { bits, signed });
        match kind {
            DataType::FLOAT | DataType::FLOAT16 | DataType::BFLOAT16 => Some(Self::Float),
            DataType::DOUBLE => Some(Self::Double),
            DataType::INT64 => integer(64, true),
            DataType::INT32 => integer(32, true),
            DataType::INT16 => integer(16, true),
            DataType::INT8 => integer(8, true),
            DataType::UINT8 => integer(8, false),
            DataType::UINT16 => integer(16, false),
            DataType::UINT32 => integer(32, false),
            // UINT64
            DataType(13) => integer(64, false),
            DataType::BOOL => Some(Self::Bool),
            _ => None,
        }
    }

    /// Whether it is floating point.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }

    /// Whether it is whole numbers.
    pub fn is_integer(self) -> bool {
        matches!(self, Self::Integer { .. })
    }

    /// What a number becomes in this type: cut and, of few bits, wrapped; 0 or 1; itself. NaN stays, so that it is seen.
    pub fn cast(self, x: f64) -> f64 {
        match self {
            Self::Float | Self::Double => x,
            Self::Bool if x.is_nan() => x,
            Self::Bool => f64::from(u8::from(x != 0.0)),
            Self::Integer { bits: 64, .. } => x.trunc(),
            Self::Integer { bits, signed } => {
                let (all, low) = (f64::from(bits).exp2(), if signed { f64::from(bits - 1).exp2() } else { 0.0 });
                (x.trunc() + low).rem_euclid(all) - low
            }
        }
    }

    /// A number as the file's type would have held it before something whole is made of it: 0.7 · 10 is 7 in single precision.
    pub fn rounded(self, x: f64) -> f64 {
        if self == Self::Float {
            f64::from(x as f32)
        } else {
            x
        }
    }
}
