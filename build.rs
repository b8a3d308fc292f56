//! Has the library built anew when a migration is added: it carries them, and the compiler watches only those
//! that were there before.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
