//! End-to-end tests of Graft.
