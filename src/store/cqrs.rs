//! Presents a `domain` aggregate to cqrs-es.
