//! Which agent an agent program's session is: `<tmp>/<user>/sageox/sessions/<session>.json`, so that a session that introduces itself
//! again keeps its id. Shared with the Go program.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Env, limits, safe_component};
use crate::kit::file;
use crate::kit::gotime::GoTime;

/// What one session's file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentSession {
    /// The agent.
    pub agent_id: String,
    /// Its session's id with us.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session_id: String,
    /// Its session's id in its own program.
    pub agent_session_id: String,
    /// When it introduced itself last.
    pub primed_at: GoTime,
    /// When it was last told of something.
    pub last_notified: GoTime,
}

impl AgentSession {
    /// What is known of the session that its program calls `session`; none if that is nothing, or of another session.
    pub fn load(env: &Env, session: &str) -> Option<AgentSession> {
        let path = path(env, session)?;
        is_ours(path.parent()?.parent()?.parent()?).ok()?;
        let bytes = file::read_capped(&path, limits::PRIMED_MAX).ok()?;
        let primed: AgentSession = serde_json::from_slice(&bytes).ok()?;
        (super::is_agent_id(&primed.agent_id) && primed.agent_session_id == session).then_some(primed)
    }

    /// Writes it down, 0600 in directories that only we can enter.
    ///
    /// # Errors
    /// A directory on the way is somebody else's, or the disk refuses.
    pub fn save(&self, env: &Env) -> io::Result<()> {
        let path = path(env, &self.agent_session_id)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a session without an id"))?;
        let sessions = path.parent().unwrap_or(Path::new("/"));
        let ours = sessions.parent().unwrap_or(Path::new("/"));
        let user = ours.parent().unwrap_or(Path::new("/"));
        file::make_dirs(user, 0o700)?;
        is_ours(user)?;
        file::private_dir(ours)?;
        file::private_dir(sessions)?;
        file::write_atomic(&path, &serde_json::to_vec_pretty(self)?, 0o600)
    }

    /// Removes what commands that were ended have left half written.
    pub fn remove_leftovers(env: &Env) {
        // The id only has to be one.
        if let Some(dir) = path(env, "x").as_deref().and_then(Path::parent) {
            file::remove_leftovers(dir);
        }
    }
}

/// In a directory for all users somebody else may have made the one of our name.
fn is_ours(dir: &Path) -> io::Result<()> {
    let meta = std::fs::symlink_metadata(dir)?;
    if meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let text = format!("{} is not a directory of ours", dir.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

fn path(env: &Env, session: &str) -> Option<PathBuf> {
    let user = env.get("USER").or_else(|| env.get("USERNAME")).filter(|u| !u.is_empty()).unwrap_or("sageox");
    let named = !session.is_empty() && session.len() <= limits::SESSION_NAME_MAX;
    let dir = env.temp().join(safe_component(user)).join("sageox").join("sessions");
    named.then(|| dir.join(format!("{}.json", safe_component(session))))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn primed(session: &str) -> AgentSession {
        let (agent_id, agent_session_id) = ("OxAb12".to_owned(), session.to_owned());
        AgentSession { agent_id, agent_session_id, ..AgentSession::default() }
    }

    #[test]
    fn a_session_finds_what_it_was_told_and_nobody_elses() {
        let temp = tempfile::tempdir().unwrap();
        let env = Env::of([("TMPDIR", temp.path().to_str().unwrap()), ("USER", "dana")], "/");
        assert_eq!(AgentSession::load(&env, "s-1"), None);
        primed("s-1").save(&env).unwrap();
        assert_eq!(AgentSession::load(&env, "s-1"), Some(primed("s-1")));
        assert_eq!(AgentSession::load(&env, "s-2"), None);
        let file = temp.path().join("dana/sageox/sessions/s-1.json");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // Two names that become the same file are still two sessions.
        primed("a/b").save(&env).unwrap();
        assert_eq!(AgentSession::load(&env, "a/b"), Some(primed("a/b")));
        assert_eq!(AgentSession::load(&env, "a_b"), None);
        for bad in ["", "{", "{\"agent_id\":\"../x\",\"agent_session_id\":\"s-1\"}"] {
            fs::write(&file, bad).unwrap();
            assert_eq!(AgentSession::load(&env, "s-1"), None, "{bad}");
        }
        for bad in ["", &"x".repeat(999)] {
            assert!(primed(bad).save(&env).is_err());
        }
    }

    #[test]
    fn a_link_in_the_place_of_our_directory_is_not_entered() {
        let temp = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let env = Env::of([("TMPDIR", temp.path().to_str().unwrap()), ("USER", "dana")], "/");
        symlink(elsewhere.path(), temp.path().join("dana")).unwrap();
        assert!(primed("s").save(&env).is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
