//! Answers kept for a while: in this process first, in Redis second.
