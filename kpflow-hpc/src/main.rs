//! kpflow.
fn main() {}
