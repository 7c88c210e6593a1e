//! Tests of the floor as a whole.
