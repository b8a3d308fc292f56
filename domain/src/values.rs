//! Checked values: what a text, an id, a coordinate or a time must be before it enters a command.
