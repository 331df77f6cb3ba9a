//! The microcontroller: entry, output by semihosting, how much stack was used, and what happens when something fails.

use crate::work::run;
use cortex_m_rt::{entry, exception, ExceptionFrame};
use cortex_m_semihosting::{debug, hio, hprintln};

/// Stack that has to stay untouched: less means that it has, or may have, run into the statics.
const STACK_SPARE: usize = 256;

#[entry]
fn main() -> ! {
    let done = match hio::hstdout() {
        Ok(mut out) => run(&mut out).map_err(|e| hprintln!("failed: {:?}", e)),
        Err(()) => Err(()),
    };
    let (used, len) = stack();
    hprintln!("# stack {} of {} bytes", used, len);
    exit(done.is_ok() && used + STACK_SPARE <= len)
}

/// The most bytes of stack that were ever used, and all there are between the statics and the end of RAM.
fn stack() -> (usize, usize) {
    extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    let (end, start) = (&raw const _stack_end, &raw const _stack_start);
    let len = start as usize - end as usize;
    // SAFETY: the words from _stack_end up to the stack pointer are RAM that the runtime has painted and nothing else owns; what
    // is in use lies above and is read at most as far as the first word that differs.
    let word = |i: usize| unsafe { end.add(i).read_volatile() };
    let untouched = (0..len / 4).take_while(|&i| word(i) == cortex_m_rt::STACK_PAINT_VALUE).count();
    (len - 4 * untouched, len)
}

/// Ends QEMU, with a status that says whether all went well.
fn exit(good: bool) -> ! {
    debug::exit(if good { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    exit(false)
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    hprintln!("hard fault at {:#x}", frame.pc());
    exit(false)
}
