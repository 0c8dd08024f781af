//! Agents of a project as they introduced themselves: `.sageox/agent_instances/<user>/agent_instances.jsonl`, a line each.
//!
//! The format is the Go program's; keys it adds later stay. The directory is ignored by git, but a repository may have committed one
//! all the same, so nothing in it is followed or believed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::Dir;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Dirs, Error, limits, lock};
use crate::kit::gotime::GoTime;
use crate::kit::id::new_id;
use crate::kit::openat;

/// Below the project.
const DIRS: [&str; 2] = [".sageox", "agent_instances"];
const NAME: &str = "agent_instances.jsonl";
/// An agent that has not introduced itself again for this long is not in the file any more.
pub const VALID_FOR: Duration = Duration::from_secs(24 * 3600);
/// The prefix of every agent's id.
const ID_PREFIX: &str = "Ox";
/// So many characters follow it.
const ID_LEN: usize = 4;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// One agent's line. What is not told is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instance {
    /// Which.
    pub agent_id: String,
    /// Its session's id: `oxsid_` and a ULID.
    pub oxsid: String,
    /// When it first introduced itself.
    pub created_at: GoTime,
    /// When the line may go, unless it introduces itself again.
    pub expires_at: GoTime,
    /// Such as `claude-code`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_type: String,
    /// Version of its program.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_ver: String,
    /// Its model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Its process; 0 if it has not told.
    #[serde(skip_serializing_if = "is_zero")]
    pub parent_pid: u32,
    /// The agent that started it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent_agent_id: String,
    /// How often it introduced itself.
    #[serde(skip_serializing_if = "is_zero")]
    pub prime_call_count: u32,
    /// What later versions add.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape serde asks for
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Whether `word` has the form of an agent's id: `Ox` and four letters or digits.
pub fn is_agent_id(word: &str) -> bool {
    let rest = word.strip_prefix(ID_PREFIX).unwrap_or_default();
    rest.len() == ID_LEN && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The id of an agent that is known by nothing but `what`; the same each time.
pub fn agent_id_of(what: &str) -> String {
    let hash = Sha256::digest(what.as_bytes());
    let letters = hash.iter().take(ID_LEN).map(|byte| char::from(BASE62[usize::from(*byte) % 62]));
    ID_PREFIX.chars().chain(letters).collect()
}

/// An id that none of `taken` has.
fn new_agent_id(taken: &BTreeMap<String, Instance>) -> String {
    loop {
        // The last 32 bits of a UUID version 7 are random.
        let mut random = new_id().as_u128() & u128::from(u32::MAX);
        let mut id = ID_PREFIX.to_owned();
        for _ in 0..ID_LEN {
            id.push(char::from(BASE62[(random % 62) as usize]));
            random /= 62;
        }
        if !taken.contains_key(&id) {
            return id;
        }
    }
}

/// A session's id: a UUID version 7 in a ULID's letters, which begins with the same time.
fn new_session_id() -> String {
    let id = new_id().as_u128();
    let letter = |n: u32| char::from(CROCKFORD[(id >> (5 * n) & 31) as usize]);
    format!("oxsid_{}", (0..26).rev().map(letter).collect::<String>())
}

/// What an agent tells of itself. What is empty or zero is not told.
#[derive(Clone, Debug, Default)]
pub struct Introduction {
    /// Its id, if it has one already.
    pub agent_id: String,
    /// Such as `claude-code`.
    pub agent_type: String,
    /// Version of its program.
    pub agent_ver: String,
    /// Its model.
    pub model: String,
    /// Its process.
    pub parent_pid: u32,
    /// The agent that started it.
    pub parent_agent_id: String,
}

impl Instance {
    /// The lines of all users of the project at `root`, by agent. Damaged ones are passed over; of two for one agent the newer counts.
    pub fn all(root: &Path) -> BTreeMap<String, Instance> {
        let mut all: BTreeMap<String, Instance> = BTreeMap::new();
        for user in users(root) {
            for one in read(root, &user).unwrap_or_default() {
                let known = all.get(&one.agent_id);
                if known.is_none_or(|known| known.expires_at <= one.expires_at) {
                    all.insert(one.agent_id.clone(), one);
                }
            }
        }
        all
    }

    /// Writes down who an agent is: its line is renewed, or a new one is given an id. Lines that have expired go, and above
    /// [`limits::INSTANCES_MAX`] those that expire first.
    ///
    /// # Errors
    /// `Busy`, or `Write`: a directory on the way is a link, or the disk refuses.
    pub fn introduce(
        root: &Path,
        dirs: &Dirs,
        user: &str,
        now: Timestamp,
        told: Introduction,
    ) -> Result<Instance, Error> {
        let path = path(root, user);
        let failed = |e| Error::write(&path, e);
        let _lock = lock::hold(&dirs.project_lock(root), &path)?;
        let mut lines = read(root, user).map_err(failed)?;
        lines.retain(|one| one.expires_at.0.is_none_or(|end| now < end));
        let known = lines.iter().position(|one| !told.agent_id.is_empty() && one.agent_id == told.agent_id);
        let mut one = known.map(|at| lines.remove(at)).unwrap_or_default();
        if one.agent_id.is_empty() {
            one.agent_id =
                if told.agent_id.is_empty() { new_agent_id(&Instance::all(root)) } else { told.agent_id };
            one.oxsid = new_session_id();
            one.created_at = now.into();
        }
        one.expires_at = GoTime(now.checked_add(VALID_FOR).ok());
        one.prime_call_count = one.prime_call_count.saturating_add(1);
        for (field, told) in [
            (&mut one.agent_type, told.agent_type),
            (&mut one.agent_ver, told.agent_ver),
            (&mut one.model, told.model),
            (&mut one.parent_agent_id, told.parent_agent_id),
        ] {
            if !told.is_empty() {
                *field = told;
            }
        }
        if told.parent_pid > 0 {
            one.parent_pid = told.parent_pid;
        }
        lines.push(one.clone());
        lines.sort_by_key(|line| line.expires_at);
        lines.drain(..lines.len().saturating_sub(limits::INSTANCES_MAX));
        write(root, user, &lines).map_err(failed)?;
        Ok(one)
    }
}

fn path(root: &Path, user: &str) -> PathBuf {
    root.join(DIRS[0]).join(DIRS[1]).join(user).join(NAME)
}

/// The directories there are, as far as their names can be ones of ours.
fn users(root: &Path) -> Vec<String> {
    let Ok(dir) = openat::enter(root, &DIRS, false) else { return Vec::new() };
    let Ok(entries) = Dir::read_from(&dir) else { return Vec::new() };
    let names = entries.flatten().filter_map(|e| e.file_name().to_str().ok().map(str::to_owned));
    let mut names: Vec<String> =
        names.filter(|n| !n.starts_with('.')).take(limits::INSTANCE_USERS_MAX).collect();
    names.sort();
    names
}

fn read(root: &Path, user: &str) -> io::Result<Vec<Instance>> {
    let bytes = match openat::read(root, &[DIRS[0], DIRS[1], user], NAME, limits::INSTANCES_FILE_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        // What is too long is none of ours and is replaced; a link, a directory or a pipe is not.
        Err(e) if e.kind() == io::ErrorKind::FileTooLarge => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let lines = bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    Ok(lines.filter(|one: &Instance| is_agent_id(&one.agent_id)).collect())
}

fn write(root: &Path, user: &str, lines: &[Instance]) -> io::Result<()> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    openat::replace(root, &[DIRS[0], DIRS[1], user], NAME, &text)
}

/// A name in the form that directories of users have: lower-case letters, digits and single hyphens, at most 48 characters;
/// `anonymous` if nothing is left.
pub fn user_slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(limits::USER_SLUG_MAX);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "anonymous".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::project::Env;

    struct Place {
        _temp: tempfile::TempDir,
        root: PathBuf,
        dirs: Dirs,
    }

    fn place() -> Place {
        let temp = tempfile::tempdir().unwrap();
        let home = temp.path().join("h");
        let dirs = Dirs::from_env(&Env::of([("HOME", home.to_str().unwrap())], "/")).unwrap();
        let root = temp.path().join("p");
        fs::create_dir_all(root.join(".sageox")).unwrap();
        Place { _temp: temp, root, dirs }
    }

    impl Place {
        fn prime(&self, second: i64, told: Introduction) -> Result<Instance, Error> {
            let now = Timestamp::from_second(second).unwrap();
            Instance::introduce(&self.root, &self.dirs, "dana", now, told)
        }

        fn file(&self) -> PathBuf {
            path(&self.root, "dana")
        }
    }

    #[test]
    fn an_agent_gets_an_id_and_keeps_it() {
        let p = place();
        let told = Introduction { agent_type: "codex".into(), parent_pid: 7, ..Introduction::default() };
        let first = p.prime(10, told).unwrap();
        assert!(is_agent_id(&first.agent_id) && first.oxsid.starts_with("oxsid_"), "{first:?}");
        assert_eq!(first.oxsid.len(), "oxsid_".len() + 26);
        let again =
            Introduction { agent_id: first.agent_id.clone(), model: "m".into(), ..Introduction::default() };
        let second = p.prime(20, again).unwrap();
        let at = |s| GoTime::from(Timestamp::from_second(s).unwrap());
        let expected =
            Instance { model: "m".into(), prime_call_count: 2, expires_at: at(20 + 86_400), ..first.clone() };
        assert_eq!((&second, first.created_at), (&expected, at(10)));
        assert_eq!(Instance::all(&p.root).into_values().collect::<Vec<_>>(), [second]);
        let other = p.prime(30, Introduction::default()).unwrap();
        assert_ne!(other.agent_id, first.agent_id);
        assert_eq!(p.file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_expired_goes_what_is_unknown_stays_and_damage_harms_no_other_line() {
        let p = place();
        fs::create_dir_all(p.file().parent().unwrap()).unwrap();
        let go = r#"{"agent_id":"OxAb12","oxsid":"x","created_at":"1970-01-01T00:00:00Z","expires_at":"1970-01-03T00:00:00Z","coworker":"c"}"#;
        let text = format!("{go}\n\0{{\n{{\"agent_id\":\"../../x\"}}\n{{\"agent_id\":7}}\n{}", &go[..40]);
        fs::write(p.file(), text).unwrap();
        p.prime(60, Introduction::default()).unwrap();
        let all = Instance::all(&p.root);
        assert_eq!(all.len(), 2);
        assert_eq!(all["OxAb12"].more["coworker"], "c");
        let first = fs::read_to_string(p.file()).unwrap();
        assert_eq!(first.lines().filter(|l| *l == go).count(), 1, "{first}");
        p.prime(4 * 86_400, Introduction::default()).unwrap();
        assert_eq!(Instance::all(&p.root).len(), 1);
    }

    #[test]
    fn there_is_a_cap_and_ids_do_not_meet() {
        let p = place();
        let lines: Vec<Instance> = (0..limits::INSTANCES_MAX as i64 + 9)
            .map(|n| Instance {
                agent_id: format!("Ox{n:04}"),
                expires_at: Timestamp::from_second(1000 + n).unwrap().into(),
                ..Instance::default()
            })
            .collect();
        write(&p.root, "dana", &lines).unwrap();
        let new = p.prime(0, Introduction::default()).unwrap();
        let all = Instance::all(&p.root);
        assert_eq!(all.len(), limits::INSTANCES_MAX);
        assert!(all.contains_key(&new.agent_id) && !all.contains_key("Ox0009") && all.contains_key("Ox0010"));
        let mut taken = BTreeMap::new();
        for _ in 0..5_000 {
            assert!(taken.insert(new_agent_id(&taken), Instance::default()).is_none());
        }
        assert!(taken.keys().all(|id| is_agent_id(id)));
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let p = place();
        let elsewhere = p.root.join("elsewhere");
        fs::create_dir_all(elsewhere.join("dana")).unwrap();
        symlink(&elsewhere, p.root.join(".sageox/agent_instances")).unwrap();
        assert!(p.prime(0, Introduction::default()).is_err());
        assert!(Instance::all(&p.root).is_empty());
        assert_eq!(fs::read_dir(elsewhere.join("dana")).unwrap().count(), 0);
        fs::remove_file(p.root.join(".sageox/agent_instances")).unwrap();
        fs::create_dir_all(p.file().parent().unwrap()).unwrap();
        symlink("/dev/zero", p.file()).unwrap();
        assert!(p.prime(0, Introduction::default()).is_err());
        fs::remove_file(p.file()).unwrap();
        fs::write(p.file(), "x".repeat(limits::INSTANCES_FILE_MAX + 1)).unwrap();
        p.prime(0, Introduction::default()).unwrap();
        assert_eq!(Instance::all(&p.root).len(), 1);
    }

    #[test]
    fn names_become_directories() {
        for (name, slug) in [
            ("Dana O'Neil", "dana-o-neil"),
            ("", "anonymous"),
            ("../..", "anonymous"),
            ("a.b@c", "a-b-c"),
            ("Ünal", "nal"),
        ] {
            assert_eq!(user_slug(name), slug, "{name}");
        }
        assert_eq!(user_slug(&"x".repeat(99)).len(), limits::USER_SLUG_MAX);
        for (word, yes) in
            [("OxAb12", true), ("Ox", false), ("OxAb123", false), ("oxAb12", false), ("OxAb-2", false)]
        {
            assert_eq!(is_agent_id(word), yes, "{word}");
        }
    }
}
