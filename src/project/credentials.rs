//! `git-credentials-<slug>.json`: what git logs in with at an endpoint, and which team contexts the user has there.
//!
//! Other programs read and write the file too, so unknown keys stay. It is the only place: no keyring, which would ask the user
//! each time that something in the background looks.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::private::or_default;
use super::{Dirs, Endpoint, Error, GIT_CREDENTIALS_VAR, RemoteKind, RemoteUrl, limits, lock, private};
use crate::kit::gotime::GoTime;
use crate::kit::secret::Secret;

/// The `type` of a repository that is a team context.
const TEAM_CONTEXT: &str = "team-context";
/// The user name for git where the file names none.
const USER: &str = "oauth2";

/// The content of the file.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GitCredentials {
    /// The password for git.
    #[serde(deserialize_with = "or_default")]
    pub token: Secret,
    /// The git server it is for, as a URL.
    #[serde(deserialize_with = "or_default")]
    pub server_url: String,
    /// The user name for git; empty is `oauth2`.
    #[serde(deserialize_with = "or_default")]
    pub username: String,
    /// When the token ends; zero is never.
    pub expires_at: GoTime,
    /// The user's repositories there. In the file a map; its keys mean nothing to readers, and writers use the team id.
    #[serde(deserialize_with = "values", serialize_with = "by_team", skip_serializing_if = "Vec::is_empty")]
    pub repos: Vec<CredentialRepo>,
    /// Keys of other programs, kept as they are.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One repository that the credentials open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CredentialRepo {
    /// Its name for people.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// What it is; `team-context` is all that is known.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// Its git remote, as a server named it: to be judged before use.
    #[serde(deserialize_with = "or_default")]
    pub url: String,
    /// The team's id; empty if unknown.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub team_id: String,
    /// The team's short name; empty if it has none.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub slug: String,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl CredentialRepo {
    /// The entry of a team context.
    pub fn team_context(team_id: &str, name: &str, slug: &str, url: &str) -> CredentialRepo {
        CredentialRepo {
            name: name.to_owned(),
            kind: TEAM_CONTEXT.to_owned(),
            url: url.to_owned(),
            team_id: team_id.to_owned(),
            slug: slug.to_owned(),
            other: Map::new(),
        }
    }

    /// Whether it is a team context that can be cloned.
    pub fn is_team_context(&self) -> bool {
        self.kind == TEAM_CONTEXT && !self.url.is_empty()
    }

    fn key(&self) -> &str {
        let keys = [&self.team_id, &self.name, &self.url];
        keys.into_iter().find(|key| !key.is_empty()).map_or("", String::as_str)
    }
}

impl fmt::Debug for GitCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is not known may be a secret too.
        let mut shown = f.debug_struct("GitCredentials");
        shown.field("token", &self.token).field("server_url", &self.server_url);
        shown.field("expires_at", &self.expires_at).field("repos", &self.repos.len()).finish_non_exhaustive()
    }
}

/// What a server gave anew. What it left out is `None` or empty and keeps its old value.
#[derive(Clone, Debug, Default)]
pub struct FreshCredentials {
    /// The password for git.
    pub token: Secret,
    /// The git server.
    pub server_url: String,
    /// The user name.
    pub username: String,
    /// When the token ends; zero is never.
    pub expires_at: GoTime,
    /// All repositories; `None` if the answer did not say.
    pub repos: Option<Vec<CredentialRepo>>,
}

/// How the stored credentials stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialStatus {
    /// There are none.
    Missing,
    /// The file is there and cannot be used; why.
    LoadError(String),
    /// They ended.
    Expired,
    /// They end within the hour.
    ExpiringSoon,
    /// They can be used.
    Valid,
}

impl fmt::Display for CredentialStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CredentialStatus::Missing => "missing",
            CredentialStatus::LoadError(reason) => return write!(f, "load error: {reason}"),
            CredentialStatus::Expired => "expired",
            CredentialStatus::ExpiringSoon => "expiring soon",
            CredentialStatus::Valid => "valid",
        })
    }
}

impl CredentialStatus {
    /// The status of what [`GitCredentials::load`] gave.
    pub fn of(loaded: &Result<Option<GitCredentials>, Error>, now: Timestamp) -> CredentialStatus {
        match loaded {
            Err(e) => CredentialStatus::LoadError(e.to_string()),
            Ok(None) => CredentialStatus::Missing,
            Ok(Some(credentials)) => credentials.status(now),
        }
    }
}

impl GitCredentials {
    /// The credentials of an endpoint; `None` if there are none.
    ///
    /// # Errors
    /// `Read`, or `DamagedSecret` if the file says nothing sensible: that is never the same as none.
    pub fn load(dirs: &Dirs, slug: &str) -> Result<Option<GitCredentials>, Error> {
        load(dirs, &dirs.git_credentials(slug))
    }

    /// The credentials of every endpoint that can be read; damaged files are left out.
    pub fn load_all(dirs: &Dirs) -> Vec<GitCredentials> {
        let paths = match dirs.git_credentials_override() {
            Some(path) => vec![path.to_owned()],
            None => credential_files(dirs.config()),
        };
        paths.iter().filter_map(|path| load(dirs, path).ok().flatten()).collect()
    }

    /// The usable credentials for the git server that `url` leads to: exactly that scheme, host and port.
    pub fn for_url(dirs: &Dirs, url: &str, now: Timestamp) -> Option<GitCredentials> {
        let asked = authority(url)?;
        let (scheme, rest) = url.split_once("://")?;
        let host = rest.split('/').next().unwrap_or(rest);
        let endpoint = Endpoint::parse(&format!("{scheme}://{}", host.strip_prefix("git.").unwrap_or(host)))?;
        let own = GitCredentials::load(dirs, &endpoint.slug()).ok().flatten();
        own.into_iter().chain(GitCredentials::load_all(dirs)).find(|credentials| {
            let status = credentials.status(now);
            let usable = matches!(status, CredentialStatus::Valid | CredentialStatus::ExpiringSoon);
            usable && authority(&credentials.server_url).as_ref() == Some(&asked)
        })
    }

    /// Takes over what a server gave, under the file's lock. Nothing empty replaces a value. True if anything changed; else nothing is
    /// written.
    ///
    /// # Errors
    /// `DamagedSecret` if the file is there and cannot be understood: it is left alone. `Busy`, `Read` or `Write`.
    pub fn save_fresh(dirs: &Dirs, slug: &str, fresh: FreshCredentials) -> Result<bool, Error> {
        let path = dirs.git_credentials(slug);
        let _lock = lock::hold(&dirs.file_lock(&path), &path)?;
        let old = load(dirs, &path)?;
        let mut new = old.clone().unwrap_or_default();
        new.take(fresh);
        if old.unwrap_or_default() == new {
            return Ok(false);
        }
        let text = to_text(&new).map_err(|e| Error::write(&path, e.into()))?;
        private::write(&path, &text, dirs.git_credentials_override().is_none())?;
        Ok(true)
    }

    /// Takes the file away, whatever is in it. True if there was one.
    ///
    /// # Errors
    /// `Busy` or `Write`.
    pub fn remove(dirs: &Dirs, slug: &str) -> Result<bool, Error> {
        let path = dirs.git_credentials(slug);
        let _lock = lock::hold(&dirs.file_lock(&path), &path)?;
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::write(&path, e)),
        }
    }

    fn take(&mut self, fresh: FreshCredentials) {
        if !fresh.token.is_empty() {
            // The end belongs to its token: of another token even "never" is news.
            if fresh.token != self.token || !fresh.expires_at.is_zero() {
                self.expires_at = fresh.expires_at;
            }
            self.token = fresh.token;
        }
        for (old, new) in [(&mut self.server_url, fresh.server_url), (&mut self.username, fresh.username)] {
            if !new.is_empty() {
                *old = new;
            }
        }
        if let Some(mut repos) = fresh.repos {
            // Whatever order a server has them in, the same ones are the same.
            repos.sort_by(|a, b| a.key().cmp(b.key()));
            repos.dedup_by(|b, a| a.key() == b.key());
            self.repos = repos;
        }
    }

    /// How they stand at `now`.
    pub fn status(&self, now: Timestamp) -> CredentialStatus {
        if self.token.is_empty() {
            return CredentialStatus::Missing;
        }
        match self.left(now) {
            None => CredentialStatus::Valid,
            Some(Duration::ZERO) => CredentialStatus::Expired,
            Some(left) if left < limits::EXPIRING_SOON => CredentialStatus::ExpiringSoon,
            Some(_) => CredentialStatus::Valid,
        }
    }

    /// How long they are good for, zero if not at all any more; `None` = for ever.
    fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = self.expires_at.0?.duration_since(now);
        Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
    }

    /// The user name that git is given.
    pub fn git_user(&self) -> &str {
        if self.username.is_empty() { USER } else { &self.username }
    }
}

/// `git-credentials*.json` in the directory, in the order of their names.
fn credential_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let is_one = |name: &str| name.starts_with("git-credentials") && name.ends_with(".json");
    let named = entries.filter(|e| e.file_name().to_str().is_some_and(is_one));
    let mut paths: Vec<PathBuf> = named.take(limits::CREDENTIAL_FILES_MAX).map(|e| e.path()).collect();
    paths.sort();
    paths
}

fn load(dirs: &Dirs, path: &Path) -> Result<Option<GitCredentials>, Error> {
    let Some(bytes) = private::read(path)? else { return Ok(None) };
    let named = dirs.git_credentials_override().map(|_| GIT_CREDENTIALS_VAR);
    let read = serde_json::from_slice(&bytes).map(Some);
    read.map_err(|e| Error::damaged_secret(path, named, private::reason(&e)))
}

fn to_text(credentials: &GitCredentials) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(credentials)?;
    text.push(b'\n');
    Ok(text)
}

fn values<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<CredentialRepo>, D::Error> {
    let map = Option::<BTreeMap<String, CredentialRepo>>::deserialize(d)?.unwrap_or_default();
    if map.len() > limits::REPOS_MAX {
        return Err(D::Error::custom("too many repositories"));
    }
    let mut repos: Vec<CredentialRepo> = map.into_values().collect();
    repos.sort_by(|a, b| a.key().cmp(b.key()));
    Ok(repos)
}

fn by_team<S: Serializer>(repos: &[CredentialRepo], s: S) -> Result<S::Ok, S::Error> {
    s.collect_map(repos.iter().map(|repo| (repo.key(), repo)))
}

/// Scheme, host and port that a URL leads to: `https`, or `http` on this machine; without a scheme `https`.
fn authority(url: &str) -> Option<(RemoteKind, String, u16)> {
    let url = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
    let parsed = RemoteUrl::parse(&url).ok()?;
    let default = match parsed.kind() {
        RemoteKind::Https => 443,
        RemoteKind::Http => 80,
        RemoteKind::Path | RemoteKind::File | RemoteKind::Ssh => return None,
    };
    let authority = url.split('/').nth(2)?;
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    let port = match after_host.rsplit_once(':') {
        Some((_, port)) => port.parse().ok()?,
        None => default,
    };
    Some((parsed.kind(), parsed.host()?.to_owned(), port))
}

#[cfg(test)]
mod tests;
