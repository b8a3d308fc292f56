//! Entry: everything is in `daybook::cli`.

fn main() -> std::process::ExitCode {
    daybook::cli::main()
}
