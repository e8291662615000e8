//! Records of the overlay: signed by their owner, sealed for those who know the AOR.
