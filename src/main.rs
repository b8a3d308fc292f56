//! Entry: everything is in `daybook::cli`.

/// Requests allocate and free in thousands of pieces of all sizes, on whichever thread has time: the
/// system's allocator takes a fifth of a mutation's processor time for that, this one a fraction of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long memory that was freed is kept for what comes next, in milliseconds. By itself the allocator keeps
/// it for a second, in which a busy process goes through a hundred MiB.
const PURGE_DELAY_MS: std::ffi::c_long = 100;

/// `mi_option_purge_delay`, which the crate has no name for.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

#[expect(
    unsafe_code,
    reason = "the allocator's options are set by a C function"
)]
fn main() -> std::process::ExitCode {
    // SAFETY: the function writes one number of the allocator's own, and nothing else runs yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) };
    daybook::cli::main()
}
