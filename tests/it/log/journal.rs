//! What clients saw of the log, line by line, and whether the log and its readers agree with that.

