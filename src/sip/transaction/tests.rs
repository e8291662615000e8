//! Each machine.
