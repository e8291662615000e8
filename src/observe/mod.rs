//! What people and their tools see of the running adapter: counters and the ladder of calls.

pub mod trace;

/// Declares a struct of counters that knows the names of its fields.
#[macro_export]
macro_rules! counters {
    ($(#[$outer:meta])* $vis:vis struct $name:ident { $($(#[$inner:meta])* $field:ident,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        $vis struct $name {
            $($(#[$inner])* pub $field: u64,)+
        }

        impl $name {
            /// Every counter with its name.
            $vis fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                // The names once, in read-only data: pairs would be written by code, one by one.
                const NAMES: &[&str] = &[$(stringify!($field),)+];
                NAMES.iter().copied().zip([$(self.$field,)+])
            }
        }
    };
}

pub use crate::counters;
