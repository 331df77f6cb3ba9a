//! kpflow-core for C.
//!
//! A model is described by a plain struct ([`Model`]) that points to the weights, in PyTorch's layout. [`kpflow_sizes_f32`] says how
//! much memory each call needs; the caller owns all of it, nothing is allocated and nothing is kept between calls. `kpflow_linearize` runs the
//! model and fills the arena; products and traces read it. Calls that write to different memory may run at the same time.
//!
//! Every call returns a [`Status`]. Null, misaligned and overlapping pointers, unknown choices, sizes of 0 or too large for the address space and
//! arrays of a wrong length are errors, and leave the outputs as they were. No panic leaves a call: there should be none, and if there is one it
//! ends as [`Status::Panic`]. What cannot be seen is the caller's promise: that pointers point to as many numbers as they say, that
//! nobody else writes them meanwhile, and that an arena was filled for the model that it is used with (else the numbers mean nothing).
#![cfg_attr(not(feature = "std"), no_std)]

mod call;
mod calls;
mod types;

pub use calls::*;
pub use types::{Activation, Cell, Distribution, Model, Operator, Sizes, Slice, SliceMut, Status, Trace};

use core::ffi::c_char;

/// Returns the version of the library, as in "0.1.0".
#[no_mangle]
pub extern "C" fn kpflow_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Returns what a status means, one line of English; never null, whatever the code.
#[no_mangle]
pub extern "C" fn kpflow_error_message(code: i32) -> *const c_char {
    types::message(code).as_ptr()
}

#[cfg(all(feature = "panic-handler", not(feature = "std")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    extern "C" {
        fn kpflow_panic() -> !;
    }
    // SAFETY: the firmware that asked for this handler defines the function, without arguments, and it does not return.
    unsafe { kpflow_panic() }
}
