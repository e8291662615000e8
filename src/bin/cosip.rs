//! The one program on the router.
fn main() {}
