//! `ox version`.

use serde::Serialize;

use crate::cli::context::Cx;
use crate::cli::failure::Outcome;
use crate::daemon::VERSION as WIRE;
use crate::ipc::wire::PROTOCOL_VERSION;

/// The version of this program.
pub const OURS: &str = env!("CARGO_PKG_VERSION");

/// Flags of `ox version`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox version\n  ox version --json")]
pub struct Args {}

#[derive(Serialize)]
struct Version {
    version: &'static str,
    wire_version: &'static str,
    protocol: &'static str,
    system: &'static str,
    machine: &'static str,
}

/// Prints the version; starts and asks nothing.
pub fn run(cx: &Cx, _: &Args) -> Outcome {
    let version = Version {
        version: OURS,
        wire_version: WIRE,
        protocol: PROTOCOL_VERSION,
        system: std::env::consts::OS,
        machine: std::env::consts::ARCH,
    };
    if cx.ui.json() {
        return cx.ui.document(&version);
    }
    cx.ui.print(&format!("ox {} ({} {})", version.version, version.system, version.machine))?;
    if cx.ui.verbose() {
        cx.ui.print(&format!("on the wire: {}, protocol {}", version.wire_version, version.protocol))?;
    }
    Ok(())
}
