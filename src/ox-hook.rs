//! The entry of hooks as a program of its own: agents run it at every event, and a small program starts in a third of the time.

fn main() -> std::process::ExitCode {
    ox::hooks::entry::main(ox::cli::after_hook)
}
