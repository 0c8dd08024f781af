//! Does the agent answer that git asks for ssh keys?

use std::os::unix::net::UnixStream;

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};
use crate::project::RemoteKind;
use crate::sync;

pub(super) const CHECK: Check = Check {
    slug: "ssh-agent",
    name: "ssh agent",
    category: Category::Machine,
    fix_level: FixLevel::CheckOnly,
    run,
};

const NAME: &str = "SSH_AUTH_SOCK";

fn run(cx: &Context) -> Outcome {
    let Some(project) = cx.project.found() else { return Outcome::skipped("not in a project") };
    let by_ssh = sync::ledger_of(&cx.env, &cx.dirs, project, None)
        .is_ok_and(|place| place.remote.kind() == RemoteKind::Ssh);
    let remedy = || Remedy::Person("start an agent in this shell, then: ox sync".into());
    match cx.env.get_os(NAME) {
        _ if !by_ssh => Outcome::passed("not needed: the ledger's remote is not reached by ssh"),
        None => Outcome::passed(format!("none in this shell ({NAME} is not set): ssh uses its key files")),
        Some(socket) => match UnixStream::connect(socket) {
            Ok(_) => Outcome::passed(format!(
                "{NAME} of this shell answers; the daemon has it from the last ox sync"
            )),
            Err(e) => Outcome::warning(format!("nothing answers at {NAME} of this shell: {}", e.kind()))
                .remedy(remedy()),
        },
    }
}
