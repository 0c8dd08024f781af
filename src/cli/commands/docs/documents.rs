//! What the document of `--json` holds, for each command.

/// A command's document: the command, the keys that are always there, and what a reader has to know of them.
pub type Document = (&'static str, &'static [&'static str], &'static str);

/// All documents. Where a command has none of its own keys it prints a list.
pub const DOCUMENTS: &[Document] = &[
    (
        "ox up",
        &["success", "root", "initialized_now", "ledger", "teams", "took_ms", "daemon"],
        "daemon is the document of ox daemon status",
    ),
    (
        "ox init",
        &["success", "root", "already_initialized", "written", "repo_id", "ledger", "teams", "commit"],
        "",
    ),
    ("ox sync", &["success", "mode", "ledger", "took_ms"], "ledger has path and status"),
    (
        "ox sync --all-teams",
        &["success", "mode", "team_contexts", "took_ms"],
        "each team has team_id, team_name, path and status",
    ),
    (
        "ox status",
        &["auth", "config", "project", "ledger", "team_contexts", "ai_coworkers", "version"],
        "ledger is null where there is no project; daemon is there while one is looked for",
    ),
    (
        "ox clones",
        &["workspaces", "daemon", "problems"],
        "each clone has id, type, path, exists, status, sync_failures, read_only, shallow and partial",
    ),
    (
        "ox net",
        &["contacts_nobody", "can_contact", "contacted", "receipts_since", "problems"],
        "can_contact has what, purposes, to, scheme, on and setting; contacted has host, port, program, purpose, contacts, failures, first, last, outcome, sent, received and uncounted: the contacts whose bytes were not counted",
    ),
    (
        "ox net list",
        &["receipts"],
        "newest first; each has time, by, purpose and outcome; scheme, host and port, or program; via, sent and received where known",
    ),
    ("ox version", &["version", "wire_version", "protocol", "system", "machine"], ""),
    ("ox team add", &["success", "team"], ""),
    ("ox team remove", &["success", "team_id", "team_name", "path", "clone_stays"], ""),
    ("ox team list", &["teams", "daemon", "problems"], "each team as a clone of ox clones"),
    (
        "ox agent prime",
        &[
            "status",
            "agent_id",
            "session_id",
            "project",
            "team_contexts",
            "daemon",
            "issues",
            "murmurs",
            "commands",
        ],
        "",
    ),
    (
        "ox agent list",
        &["agents"],
        "each has agent_id, status, workspace_path, context_tokens and command_count",
    ),
    ("ox agent instances", &["instances"], ""),
    ("ox agent heartbeat", &["success", "agent_id"], ""),
    ("ox agent whisper", &["entries"], "and of ox agent whisper history"),
    (
        "ox agents status",
        &["agents", "effective", "why", "daemon", "work"],
        "each agent has agent, installed, authenticated, detail and path; work is what the daemon says: enabled, agent_type, agent_available, agent_detail, queue_depth, active, recent, stats, paused, paused_until and budget",
    ),
    ("ox agents pause", &["success", "paused", "work"], "and of ox agents resume"),
    (
        "ox agents budget",
        &["budget", "daemon"],
        "budget has runs, runs_max, tokens, tokens_max, usd and, where there is a limit, usd_max",
    ),
    (
        "ox murmur",
        &["success", "id", "status"],
        "status is sent, queued or kept; reason says why it waits; and of ox murmur send",
    ),
    (
        "ox murmur list",
        &["murmurs", "total", "window", "scope"],
        "each has id, timestamp, topic, importance and content",
    ),
    ("ox murmur status", &["agents"], ""),
    ("ox murmur pause", &["success", "agent_id", "told"], "and of ox murmur resume"),
    ("ox murmur delete", &["success", "id"], ""),
    (
        "ox session start",
        &[
            "success",
            "type",
            "agent_id",
            "session_name",
            "session_id",
            "adapter",
            "started",
            "session_file",
            "path",
            "next_actions",
        ],
        "session_file is empty while the agent's transcript is not known",
    ),
    (
        "ox session status",
        &["recording", "count", "sessions"],
        "each has session_name, agent_id, title, started_at, paused, entry_count and agent_lives",
    ),
    (
        "ox session finalize",
        &["success", "type", "sessions"],
        "each session has session_name, status (completed, failed, nothing to do, asked) and error",
    ),
    ("ox session retry", &["success", "type", "sessions"], "as of ox session finalize"),
    (
        "ox session regenerate",
        &["success", "dry_run", "sessions"],
        "without --dry-run as of ox session finalize",
    ),
    (
        "ox session upload",
        &["success", "sessions"],
        "each session has session_name, commit, files and kept_here; each file name, oid, size and storage (lfs, git, local)",
    ),
    ("ox session download", &["success", "session_name", "path"], ""),
    (
        "ox session push-summary",
        &["success", "type", "session_name", "title", "disposition", "summary_path"],
        "disposition is upload, local_only or discard",
    ),
    ("ox session log", &["success", "seq"], ""),
    ("ox session plan", &["success", "session_name", "plan_path"], ""),
    ("ox session subagent-complete", &["success", "agent_id", "parent_agent_id", "seq"], ""),
    ("ox session remind", &["success", "agent_id", "session_name", "due", "entry_count", "started_at"], ""),
    ("ox session pause", &["success", "agent_id", "session_name", "paused"], "and of ox session resume"),
    ("ox session abort", &["success", "type", "agent_id", "session_name"], ""),
    (
        "ox session stop",
        &[
            "success",
            "type",
            "agent_id",
            "session_name",
            "session_id",
            "entry_count",
            "secrets_redacted",
            "raw_path",
            "subagents",
        ],
        "subagents counts them; and of ox session recover",
    ),
    (
        "ox session list",
        &["sessions", "total"],
        "each has session_name, status, title, agent_id, started_at, entry_count and path; total counts all",
    ),
    (
        "ox session search",
        &["sessions", "searched"],
        "each has session_name, title, username, agent_type, started_at, path and excerpts; searched counts all",
    ),
    (
        "ox session view",
        &["session_name", "title", "status", "summary", "entries"],
        "summary is null where nobody has made one",
    ),
    (
        "ox session import",
        &["success", "type", "session_name", "session_id", "entry_count", "secrets_redacted", "path"],
        "",
    ),
    ("ox session remove", &["success", "removed"], ""),
    ("ox session subagents", &["session_name", "subagents"], "each has id, entry_count, task and path"),
    (
        "ox session commits",
        &["session_name", "commits", "produced_commits", "searched", "more"],
        "each commit has id, subject, author, authored_at, committed_at, lines, lines_added and on_branch; searched counts commits; produced_commits are those that another version of ox noted",
    ),
    (
        "ox why",
        &["file", "lines", "sessions_searched"],
        "each of lines has from, to, commit, session and reason (not_committed, before_recording, changed_since, ambiguous, rewritten, not_here or no_recorded_edit), of which session or reason is null, and with a reason candidates and next",
    ),
    (
        "ox session usage",
        &["by", "project", "since", "prices_as_of", "groups", "total", "unpriced_models", "problems"],
        "each group has name, answers, input_tokens, cached_tokens, cache_written_tokens, output_tokens, reasoning_tokens, price_usd (null if unknown) and price_complete, as total has; records is there with --explain",
    ),
    (
        "ox sessions live",
        &["sessions"],
        "each has agent, session_id, status, subagents, started_ms, last_seen_ms and sources, and where they are known model, current_tool, awaiting_since_ms and repo_id",
    ),
    (
        "ox events list",
        &["events"],
        "each has seq, agent, session_id, event_type, hook_event_name, at_ms and sources (hook, transcript, cli), and where they are known tool_name, tool_use_id, turn_id, is_error and repo_id",
    ),
    (
        "ox events show",
        &[
            "seq",
            "agent",
            "session_id",
            "event_type",
            "at_ms",
            "sources",
            "dedup_key",
            "hook_at_ms",
            "transcript_at_ms",
        ],
        "and all else that is stored of it",
    ),
    (
        "ox events stats",
        &["events", "both", "sessions", "counts", "size"],
        "each of counts has agent, event_type, hook, transcript and both; last_event_ms is there once there is an event",
    ),
    ("ox session export", &["success", "session_name", "path"], ""),
    (
        "ox session redaction policy",
        &["rules", "files", "problems"],
        "each rule has name, matches, token, level, path and line; each problem path, line and reason",
    ),
    (
        "ox session redaction verify",
        &["success", "sessions", "secrets", "ledger_fixed"],
        "each session has session_name, path, files, unclean and fixed; unclean names file and rules, never a secret",
    ),
    (
        "ox session archive on",
        &["success", "archive", "file", "path", "pending_sessions", "pending_bytes"],
        "and of ox session archive off",
    ),
    (
        "ox session archive status",
        &[
            "archive",
            "decided",
            "path",
            "sessions",
            "files",
            "bytes",
            "raw_bytes",
            "last_run",
            "pending_sessions",
            "pending_files",
            "pending_bytes",
            "kept_for_seconds",
            "lost_next",
            "left",
        ],
        "lost_next has agent_type, name, bytes and until; kept_for_seconds is null where a program deletes nothing by itself",
    ),
    (
        "ox session archive run",
        &["success", "copied", "added_bytes", "secrets_redacted", "left", "more", "path"],
        "each copied file has agent_type, name, part, title, how and added_bytes; how is new, grown, rewritten or known",
    ),
    ("ox session archive restore", &["success", "name", "agent_type", "path", "bytes"], ""),
    (
        "ox hooks install",
        &["success", "agents"],
        "each agent has agent, path, result (installed, repaired, removed, unchanged or failed), error and next_steps; with --dry-run agent, path and patch",
    ),
    ("ox hooks uninstall", &["success", "agents"], "as of ox hooks install"),
    (
        "ox hooks status",
        &["enabled", "agents", "waiting", "daemon"],
        "waiting has events, bytes and since; each agent has agent, opted_in, effective, present, state, installed, installed_events, missing_events, path, file_rejected, stale_path, feature (on, off, unknown), trust (not asked, untrusted, disabled, trusted or modified, unknown), flag, last_event and next_steps",
    ),
    (
        "ox hooks test",
        &["success", "agents"],
        "each agent has agent, works, path, program, how (run, replayed, not run), not_run_because, events, broken and notes; each event event, event_type, configured, trusted, fired (run, replayed, no, unknown), delivered, stored, handler_us and stored_ms, null where it is not known; each broken link link (configured, trusted, fired, delivered, stored), reason, what and next_step",
    ),
    ("ox whispers", &["entries"], "with --watch a document a line"),
    ("ox doctor", &["categories", "summary"], "available_fixes where --fix would do something"),
    ("ox gc", &["success", "triggered", "skipped", "ledger_triggered", "sizes"], ""),
    (
        "ox rescue list",
        &["items", "problems"],
        "each has id, clone, kind, at, until, file_count and unmerged",
    ),
    (
        "ox rescue show",
        &["id", "clone", "kind", "at", "until", "file_count", "unmerged", "files"],
        "patches with -v",
    ),
    ("ox rescue restore", &["success", "id", "files"], "each file has path and result"),
    ("ox debug bundle", &["success", "path", "bytes"], ""),
    ("ox daemon start", &["success", "pid", "already_running", "log", "project"], ""),
    ("ox daemon stop", &["success", "was_running"], "and of ox daemon kill"),
    ("ox daemon restart", &["success", "pid", "projects"], ""),
    (
        "ox daemon status",
        &[
            "running",
            "health",
            "pid",
            "version",
            "wire_version",
            "uptime",
            "sync",
            "project",
            "other_teams",
            "issues",
        ],
        "while it runs; else running is false",
    ),
    (
        "ox daemon list",
        &[],
        "each project has workspace_id, workspace_path, socket_path, pid, started_at, repo_id and version",
    ),
    ("ox daemon errors", &["errors"], ""),
    ("ox daemon logs", &["path", "lines"], ""),
    (
        "ox login",
        &["success", "already_logged_in", "server_url", "email", "user_id", "expires_at"],
        "with --relay also relay_enabled; expires_at counts seconds since 1970",
    ),
    (
        "ox whoami",
        &["logged_in", "relay", "endpoints"],
        "each login has logged_in, email, user_id, server_url, expires_at, expired and needs_login; relay is null where nobody is logged in to one",
    ),
    (
        "ox logout",
        &["success", "logged_out"],
        "each has server_url, revoked, purged and error, which says why the server may still take the login",
    ),
    ("ox ledger set-remote", &["success", "from", "to", "commit"], ""),
    ("ox config list", &[], "each setting has key, value and origin"),
    ("ox config get", &["key", "value", "origin"], ""),
    ("ox config set", &["success", "key", "value", "file"], ""),
    ("ox config unset", &["success", "key", "changed", "file"], ""),
    ("ox completions", &["shell", "script"], ""),
    ("ox docs man", &["success", "directory", "pages"], ""),
];

/// What stands above the list.
pub const INTRO: &str = "These keys are always in the document of a command that succeeded; others may be there as well, and more may come. \
                         A failure has `success` (false), `error` and `exit_code`, and where there are any `causes` and `hint`.";

/// What is told of one document.
pub fn text(document: &Document) -> String {
    let (_, keys, note) = *document;
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    match (keys.is_empty(), note.is_empty()) {
        (true, _) => format!("A list: {note}."),
        (false, true) => format!("{}.", keys.join(", ")),
        (false, false) => format!("{}; {note}.", keys.join(", ")),
    }
}
