//! Phones that follow a script: SIPp.
