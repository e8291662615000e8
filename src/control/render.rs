//! JSON as text for people.
