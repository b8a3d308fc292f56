//! Entry: everything is in `daybook::cli`.

/// Requests allocate and free in thousands of pieces of all sizes, on whichever thread has time: the
/// system's allocator takes a fifth of a mutation's processor time for that, this one a fraction of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    daybook::cli::main()
}
