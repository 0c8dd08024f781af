//! argv in, exit code out.

fn main() -> std::process::ExitCode {
    ox::cli::main()
}
