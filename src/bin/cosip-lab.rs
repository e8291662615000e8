//! The lab on the developer's machine.
fn main() {}
