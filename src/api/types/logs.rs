//! Log records, where they come from, and what they add up to.

mod filter;
mod list;
mod record;
mod source;
mod stats;
mod words;

pub use filter::LogFilterInput;
pub use list::{LogRecords, Window, listed};
pub use record::LogTail;
pub use source::{LogSource, LogStatus};
pub use stats::{LogStats, StatsAsked};
pub use words::{LogBucket, LogOrder, LogPersonalRule, LogType};
