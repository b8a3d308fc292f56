//! The one integration binary: a file per subject.

mod support;

mod local;
