//! What one element of an HDF5 dataset is, and whether it is a number whose layout is known.

use hdf5::Datatype;
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5t::{
    H5T_class_t, H5T_norm_t, H5T_order_t, H5T_sign_t, H5Tclose, H5Tget_class, H5Tget_ebias, H5Tget_fields,
    H5Tget_member_name, H5Tget_nmembers, H5Tget_norm, H5Tget_offset, H5Tget_order, H5Tget_precision, H5Tget_sign,
    H5Tget_size, H5Tget_super, H5Tget_tag,
};
use std::ffi::{c_char, CStr};

/// A number as a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// What it is called: float16, int32, bool.
    pub name: String,
    /// Whether it is a whole number or a truth value.
    pub whole: bool,
    /// Whether its bytes are taken as they are: libhdf5 makes no numbers of bits.
    pub bits: bool,
}

/// The layout of a floating-point number, by its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Float {
    bits: usize,
    exponent: usize,
    mantissa: usize,
    bias: usize,
    /// Whether the leading one is written too, as in the 80 bits of an x87.
    leading: bool,
}

/// The layouts that libhdf5 turns into f64 as they are meant. Of others it does not know which bits
/// are infinities, and makes other numbers of them.
const FLOATS: [(&str, Float); 6] = [
    ("float16", Float { bits: 16, exponent: 5, mantissa: 10, bias: 15, leading: false }),
    ("bfloat16", Float { bits: 16, exponent: 8, mantissa: 7, bias: 127, leading: false }),
    ("float32", Float { bits: 32, exponent: 8, mantissa: 23, bias: 127, leading: false }),
    ("float64", Float { bits: 64, exponent: 11, mantissa: 52, bias: 1023, leading: false }),
    ("float80", Float { bits: 80, exponent: 15, mantissa: 64, bias: 16383, leading: true }),
    ("float128", Float { bits: 128, exponent: 15, mantissa: 112, bias: 16383, leading: false }),
];

/// What an element is; what it is instead of a number, and what would be right.
pub fn element(datatype: &Datatype) -> Result<Element, String> {
    // SAFETY: the identifier is that of a datatype which lives as long as the call.
    hdf5::sync::sync(|| unsafe { element_of(datatype.id()) })
}

// Another library's names, of which there may be more.
#[allow(clippy::wildcard_enum_match_arm)]
unsafe fn element_of(id: hid_t) -> Result<Element, String> {
    let number = |name: String, whole: bool| Ok(Element { name, whole, bits: false });
    // SAFETY: as the caller says; what is asked for is freed here.
    unsafe {
        let size = H5Tget_size(id);
        match H5Tget_class(id) {
            H5T_class_t::H5T_INTEGER => number(integer(id), true),
            H5T_class_t::H5T_FLOAT => float(id).map(|name| Element { name: name.into(), whole: false, bits: false }),
            H5T_class_t::H5T_ENUM => {
                let base = H5Tget_super(id);
                let name = integer(base);
                H5Tclose(base);
                let truth = members(id) == ["FALSE", "TRUE"];
                number(if truth { "bool".into() } else { format!("enum of {name}") }, true)
            }
            // PyTables writes truth values so.
            H5T_class_t::H5T_BITFIELD if size == 1 => Ok(Element { name: "8 bits".into(), whole: true, bits: true }),
            H5T_class_t::H5T_BITFIELD => Err(format!("fields of {} bits; write them as integers", 8 * size)),
            H5T_class_t::H5T_VLEN => Err(super::ragged::rows()),
            H5T_class_t::H5T_STRING => Err("text; it should hold numbers".into()),
            H5T_class_t::H5T_COMPOUND => Err(compound(&members(id))),
            H5T_class_t::H5T_ARRAY => {
                Err("arrays, one an element; write them as one array whose last axes they are".into())
            }
            H5T_class_t::H5T_OPAQUE => Err(opaque(&text(H5Tget_tag(id)), size)),
            H5T_class_t::H5T_REFERENCE => {
                Err("references to other objects; name the dataset that holds numbers".into())
            }
            other => Err(format!("an HDF5 type that this version does not know ({other:?}); write it as float64")),
        }
    }
}

fn compound(members: &[String]) -> String {
    let names: Vec<&str> = members.iter().map(String::as_str).collect();
    match names[..] {
        ["r", "i"] | ["real", "imag"] => {
            "complex numbers; write real and imaginary parts as two inputs, or as an axis of one".into()
        }
        _ => format!("a table with the columns {}; write the numbers as an array of their own", names.join(", ")),
    }
}

fn opaque(tag: &str, size: usize) -> String {
    let what =
        format!("{size} raw bytes an element{}", if tag.is_empty() { String::new() } else { format!(" ({tag})") });
    match size <= 2 {
        true => format!(
            "{what}, as h5py writes the small types of ml_dtypes (bfloat16, float8); write x.astype(\"float32\")"
        ),
        false => format!("{what}; it should hold numbers"),
    }
}

unsafe fn integer(id: hid_t) -> String {
    // SAFETY: as the caller says.
    unsafe {
        let signed = H5Tget_sign(id) != H5T_sign_t::H5T_SGN_NONE;
        format!("{}int{}", if signed { "" } else { "u" }, 8 * H5Tget_size(id))
    }
}

unsafe fn float(id: hid_t) -> Result<&'static str, String> {
    let (mut sign, mut at, mut exponent, mut low, mut mantissa) = (0, 0, 0, 0, 0);
    // SAFETY: as the caller says.
    let (bits, offset, bias, norm, order) = unsafe {
        H5Tget_fields(id, &mut sign, &mut at, &mut exponent, &mut low, &mut mantissa);
        (H5Tget_precision(id), H5Tget_offset(id), H5Tget_ebias(id), H5Tget_norm(id), H5Tget_order(id))
    };
    let this = Float { bits, exponent, mantissa, bias, leading: norm == H5T_norm_t::H5T_NORM_NONE };
    let usual = offset == 0 && (sign, at, low) == (bits.wrapping_sub(1), mantissa, 0);
    let ordered = matches!(order, H5T_order_t::H5T_ORDER_LE | H5T_order_t::H5T_ORDER_BE);
    let known = FLOATS.iter().find(|(_, f)| *f == this && usual && ordered && norm != H5T_norm_t::H5T_NORM_MSBSET);
    known.map(|(name, _)| *name).ok_or_else(|| {
        format!(
            "floating-point numbers of {bits} bits, {exponent} of them the exponent with the bias {bias}; \
             float16, bfloat16, float32, float64 and long double are read"
        )
    })
}

unsafe fn members(id: hid_t) -> Vec<String> {
    // SAFETY: as the caller says.
    unsafe { (0..H5Tget_nmembers(id).max(0)).map(|i| text(H5Tget_member_name(id, i as u32))).collect() }
}

/// A text that libhdf5 gave, which it is given back.
unsafe fn text(given: *mut c_char) -> String {
    if given.is_null() {
        return String::new();
    }
    // SAFETY: libhdf5 ends its texts, and frees what it has allocated.
    unsafe {
        let text = CStr::from_ptr(given).to_string_lossy().into_owned();
        hdf5_sys::h5::H5free_memory(given.cast());
        text
    }
}
