//! The `mta-seal` program.

fn main() -> std::process::ExitCode {
    mta_seal::cli::run(std::env::args_os())
}
