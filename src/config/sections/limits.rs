//! How much one request may ask for, and how many there may be.

use std::time::Duration;

use crate::config::knob::section;
use crate::config::lists::{FieldNames, Networks};
use crate::config::value::Bytes;

section! {
    /// Bounds on one GraphQL request, and on how many there may be. What is over is refused before
    /// anything runs.
    Limits in "limits" {
        /// Levels of nested fields.
        depth_max: usize = "10", "1" ..= "100";
        /// Aliased fields.
        aliases_max: usize = "30", "0" ..= "10000";
        /// Root fields of a query.
        query_root_fields_max: usize = "20", "1" ..= "1000";
        /// Root fields of a mutation: commands carried out one after the other.
        mutation_root_fields_max: usize = "10", "1" ..= "1000";
        /// Root fields that tell whether a guess at a secret is right: an operation may name one of them,
        /// once. A name that the schema does not have does no harm.
        sensitive_fields: FieldNames = "login, signIn, refreshSession, verifyEmail, changePassword";
        /// Directives of the whole document.
        directives_max: usize = "50", "0" ..= "10000";
        /// Directives of one field.
        directives_per_field_max: usize = "5", "0" ..= "100";
        /// Lexical tokens of the document.
        tokens_max: usize = "2000", "10" ..= "100000";
        /// Bytes of the document.
        query_bytes_max: Bytes = "16KiB", "100" ..= "1MiB";
        /// Selections once fragments are spread, `__typename` included.
        selections_max: usize = "2000", "1" ..= "1000000";
        /// Cost: fields times the pages they are on.
        cost_max: usize = "5000", "1" ..= "100000000";
        /// Nodes an answer may hold.
        nodes_max: usize = "10000", "1" ..= "10000000";
        /// `first` when the caller does not say.
        page_default: usize = "50", "1" ..= "10000";
        /// The largest `first`.
        page_max: usize = "200", "1" ..= "10000";
        /// Errors in one answer.
        errors_max: usize = "10", "1" ..= "1000";
        /// Characters of one error's message.
        error_chars_max: usize = "200", "50" ..= "10000";
        /// How long one operation may take.
        operation_timeout: Duration = "10s", "10ms" ..= "10m";
        /// Counts what addresses and callers ask and refuses what is over their quotas. Sign-ins,
        /// and log records of sources that say how many they take, are counted in any case.
        [live] enabled: bool = "true";
        /// Requests a minute of one address, or of one /64 of IPv6.
        [live] address_per_minute: u32 = "1000", "1" ..= "100000000";
        /// Those of them that may come at once, after a pause.
        [live] address_burst: u32 = "1000", "1" ..= "100000000";
        /// Requests, and operations on sockets, a minute of one caller: a user across its tokens, or an
        /// API key.
        [live] user_per_minute: u32 = "600", "1" ..= "100000000";
        /// Those of them that may come at once, after a pause.
        [live] user_burst: u32 = "100", "1" ..= "100000000";
        /// Points a minute of one caller's operations. A point is a field that an operation may return,
        /// counted once for each item of the pages it is on: what `cost_max` bounds for one operation.
        [live] cost_per_minute: u32 = "10000", "1" ..= "1000000000";
        /// Those of them that may be spent at once, after a pause; a dearer operation takes all of them.
        [live] cost_burst: u32 = "10000", "1" ..= "1000000000";
        /// Networks whose addresses are not counted; their callers are.
        [live] exempt_networks: Networks = "";
        /// Quotas, and accounts, of which this process remembers that something was spent: about 80 bytes
        /// each. What would be whole again soonest is forgotten first.
        entries_max: usize = "100000", "64" ..= "100000000";
        /// How often what was spent is settled with Redis, and so what other processes let through is
        /// learned.
        settle_interval: Duration = "50ms", "1ms" ..= "10s";
        /// Quotas settled at a time; further ones are settled when they are spent of again.
        settle_keys_max: usize = "1000", "1" ..= "100000";
        /// Processes among which quotas are divided while Redis is configured and does not answer.
        nodes_assumed: u32 = "2", "1" ..= "1000";
        /// Sign-ins a minute from one address, all of which may come at once.
        [live] sign_ins_per_minute: u32 = "10", "1" ..= "1000000";
        /// Sign-ins to one account that may come at once, until one succeeds; then there are pauses.
        [live] account_attempts: u32 = "5", "1" ..= "1000";
        /// The first pause between sign-ins to one account; doubled up to `account_pause_max`.
        [live] account_pause_min: Duration = "1s", "1ms" ..= "1h";
        /// The longest pause; after so long without a sign-in there are none again.
        [live] account_pause_max: Duration = "15m", "1ms" ..= "1d";
        /// How long an address (of IPv6 its /64) from which somebody signed in to an account has attempts of
        /// its own there, so that the pauses of others keep nobody out. Remembered by each process; 0: never.
        [live] account_known_for: Duration = "30d", "0s" ..= "365d";
    }
}
