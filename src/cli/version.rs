//! `ox version`.

use serde::Serialize;

use super::context::Cx;
use super::failure::Outcome;
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

/// A wire version without its build part: what the other programs compare.
pub fn bare(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}

/// What a person calls a version from the wire: our own number if it is one of ours, else without its build part.
pub fn for_people(version: &str) -> &str {
    version.split_once("+rs.").map_or_else(|| bare(version), |(_, ours)| ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_the_wire_read_well() {
        assert_eq!((bare(WIRE), for_people(WIRE)), ("0.6.1", OURS));
        assert_eq!(for_people("0.6.1+2026-04-02T10:00:00Z"), "0.6.1");
        assert_eq!(for_people("0.3.0"), "0.3.0");
    }
}
