//! One line a message that the core answers.

use super::cx::{Cx, STOPPING};
use super::hooks::event::Ask;
use super::names::Via;
use super::wiring::Parts;
use crate::ipc::wire::{Doctor, Response};
use crate::ipc::{ConnId, Request};

pub(super) fn handle(parts: &mut Parts, cx: &mut Cx, conn: ConnId, via: Via, caller: &str, request: Request) {
    let Parts { projects, clones, presence, records, whispers, sessions, hooks, agents, relay, .. } = parts;
    if cx.closing && !is_one_way(&request) {
        return cx.reply(conn, Response::busy(STOPPING));
    }
    match (request, via) {
        (Request::Sync, Via::Project(id)) => clones.sync_asked(cx, conn, &id),
        (Request::TeamSync(ask), Via::Project(id)) => clones.team_sync_asked(cx, conn, &id, ask.team),
        (Request::Checkout(ask), Via::Project(id)) => clones.checkout_asked(cx, conn, &id, ask),
        (Request::TriggerGc(ask), Via::Project(id)) => clones.gc_asked(cx, conn, &id, ask),
        (Request::Doctor, Via::Project(id)) => {
            let clones = clones.doctor_asked(cx, &id);
            let (looks, waiting) = agents.doctor_asked(cx);
            let done = Doctor {
                anti_entropy_triggered: true,
                clones_triggered: i64::try_from(clones).unwrap_or(i64::MAX),
                session_finalize_triggered: looks,
                session_finalize_queued: i64::try_from(waiting).unwrap_or(i64::MAX),
                errors: cx.shared.project(&id).map(|p| p.problems.clone()).unwrap_or_default(),
            };
            cx.reply(conn, Response::data(&done));
        }
        (Request::Heartbeat(beat), Via::Project(id)) => presence.heartbeat(cx, &id, caller, *beat),
        (Request::Instances(ask), Via::Project(id)) => presence.instances(cx, conn, &id, ask.detail),
        (Request::Sessions, Via::Project(id)) => presence.sessions(cx, conn, &id),
        (Request::GetErrors, Via::Project(id)) => records.unviewed(cx, conn, &id),
        (Request::MarkErrors(ask), Via::Project(id)) => records.mark(cx, conn, &id, &ask),
        (Request::Murmur(murmur), Via::Project(id)) => whispers.murmur(cx, &id, murmur),
        (Request::MurmurPause(who), Via::Project(id)) => whispers.pause(cx, &id, who.agent_id, true),
        (Request::MurmurResume(who), Via::Project(id)) => whispers.pause(cx, &id, who.agent_id, false),
        (Request::Whispers(ask), Via::Project(id)) => whispers.pending(cx, conn, &id, &ask),
        (Request::WhisperHistory(ask), Via::Project(id)) => whispers.history(cx, conn, &id, ask),
        (Request::SessionWatchStart(told), Via::Project(id)) => sessions.watch_start(cx, &id, &told),
        (Request::SessionWatchStop(told), Via::Project(id)) => sessions.watch_stop(cx, &id, &told),
        (Request::SessionFinalize(told), Via::Project(id)) => agents.finalize_asked(cx, &id, &told),
        (Request::Stop, via) => projects.stop_asked(cx, conn, via),
        (Request::Attach(ask), Via::Host) => projects.attach_asked(cx, conn, &ask),
        (Request::Environment(told), Via::Project(id)) => clones.environment_told(cx, conn, id, told),
        (Request::Projects, Via::Host) => projects.list(cx, conn),
        (Request::HooksGet, Via::Host) => hooks.asked(cx, conn, Ask::State),
        (Request::HooksSet(set), Via::Host) => hooks.asked(cx, conn, Ask::Set(set)),
        (Request::HooksReconcile, Via::Host) => hooks.asked(cx, conn, Ask::Reconcile),
        (Request::AgentWork(ask), Via::Host) => agents.asked(cx, conn, &ask),
        (Request::RelayStatus, Via::Host) => relay.status_asked(cx, conn),
        (Request::RelayReload, Via::Host) => relay.reload_asked(cx, conn),
        (Request::RelayFlush, Via::Host) => relay.flush_asked(cx, conn),
        (Request::RelayStop, Via::Host) => relay.stop_asked(cx, conn),
        (request, via) => {
            log::error!("bug: {request:?} came in at {via:?}");
            cx.reply(conn, Response::error(crate::ipc::wire::text::UNKNOWN_TYPE));
        }
    }
}

/// Whether nobody waits for an answer.
fn is_one_way(request: &Request) -> bool {
    use Request::{
        Heartbeat, Murmur, MurmurPause, MurmurResume, SessionFinalize, SessionWatchStart, SessionWatchStop,
    };
    matches!(
        request,
        Heartbeat(_)
            | Murmur(_)
            | MurmurPause(_)
            | MurmurResume(_)
            | SessionFinalize(_)
            | SessionWatchStart(_)
            | SessionWatchStop(_)
    )
}
