//! What kpflow-core computes on a microcontroller; built for the host, the same program gives the numbers to compare with.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod work;

/// The numbers of the model: weights and inputs, in flash.
mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

#[cfg(target_os = "none")]
mod target;

#[cfg(not(target_os = "none"))]
fn main() {
    struct Stdout;
    impl core::fmt::Write for Stdout {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            print!("{text}");
            Ok(())
        }
    }
    work::run(&mut Stdout).unwrap();
}
