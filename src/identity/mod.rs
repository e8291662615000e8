//! Placeholder text: written with the module.
