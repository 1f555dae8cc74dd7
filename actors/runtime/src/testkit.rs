//! Parts for testing supervised actors.
