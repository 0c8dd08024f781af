//! What the server's answers hold. All of it is somebody else's word: URLs and ids are judged before use.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::kit::gotime::GoTime;
use crate::kit::secret::Secret;
use crate::project::{CredentialRepo, FreshCredentials, check_team_id, limits, or_default};

/// Fresh credentials for git, and what they open.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Repos {
    /// The password for git.
    #[serde(deserialize_with = "or_default")]
    pub token: Secret,
    /// The git server, as a URL.
    #[serde(deserialize_with = "or_default")]
    pub server_url: String,
    /// The user name for git.
    #[serde(deserialize_with = "or_default")]
    pub username: String,
    /// When the token ends; zero is never.
    pub expires_at: GoTime,
    /// Team contexts by name; `None` if the server did not say.
    repos: Option<BTreeMap<String, Repo>>,
    /// The user's teams, also those without a context.
    #[serde(deserialize_with = "or_default")]
    teams: Vec<Team>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Repo {
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(deserialize_with = "or_default")]
    url: String,
    #[serde(deserialize_with = "or_default")]
    team_id: String,
    #[serde(deserialize_with = "or_default")]
    slug: String,
}

/// One of the user's teams, of which nothing else is asked.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Team {
    #[serde(deserialize_with = "or_default")]
    id: String,
    #[serde(deserialize_with = "or_default")]
    name: String,
}

impl Repos {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.token.is_empty() || self.server_url.is_empty() {
            return Err("it has no credentials in it");
        }
        let repos = self.repos.as_ref().map_or(0, BTreeMap::len);
        if repos > limits::REPOS_MAX || self.teams.len() > limits::TEAMS_MAX {
            return Err("it lists too many teams");
        }
        Ok(())
    }

    /// The team contexts that can be cloned, sorted by id; `None` if the server did not say. One without a usable id is left out: it
    /// could not become a directory.
    fn team_contexts(&self) -> Option<Vec<CredentialRepo>> {
        let contexts = self.repos.as_ref()?.iter().filter_map(|(key, repo)| {
            let name = if repo.name.is_empty() { key } else { &repo.name };
            let id = if repo.team_id.is_empty() { self.id_of(name)? } else { &repo.team_id };
            let context = CredentialRepo::team_context(id, name, &repo.slug, &repo.url);
            let usable = repo.kind == context.kind && context.is_team_context() && check_team_id(id).is_ok();
            usable.then_some(context)
        });
        let mut contexts: Vec<CredentialRepo> = contexts.collect();
        contexts.sort_by(|a, b| a.team_id.cmp(&b.team_id));
        Some(contexts)
    }

    /// The id of the only team of a name.
    fn id_of(&self, name: &str) -> Option<&str> {
        let mut found = self.teams.iter().filter(|team| team.name == name);
        found.next().filter(|_| found.next().is_none()).map(|team| team.id.as_str())
    }

    /// What of it is kept on this machine.
    pub fn to_fresh(&self) -> FreshCredentials {
        FreshCredentials {
            token: self.token.clone(),
            server_url: self.server_url.clone(),
            username: self.username.clone(),
            expires_at: self.expires_at,
            repos: self.team_contexts(),
        }
    }
}

/// What the user may do with a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read only: nothing is ever pushed.
    Viewer,
    /// Read and write; also what is not known is tried.
    #[default]
    #[serde(other)]
    Member,
}

/// How far a ledger is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerState {
    /// It can be cloned.
    Ready,
    /// It is being made.
    Pending,
    /// Making it failed.
    Error,
    /// A word of a later server: not ready.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A repository's ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// How far it is.
    #[serde(deserialize_with = "or_default")]
    pub status: LedgerState,
    /// Its git remote, once it is ready.
    #[serde(deserialize_with = "or_default")]
    pub repo_url: String,
    /// What the server has to say about it.
    #[serde(deserialize_with = "or_default")]
    pub message: String,
    /// What the user may do with it.
    #[serde(deserialize_with = "or_default")]
    pub access_level: Access,
}

/// What belongs to a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RepoDetail {
    /// What the user may do with it.
    #[serde(deserialize_with = "or_default")]
    pub access_level: Access,
    /// Its ledger, if one was asked for already.
    pub ledger: Option<Ledger>,
    /// The team contexts that go with it.
    #[serde(deserialize_with = "or_default")]
    pub team_contexts: Vec<RepoTeam>,
}

/// A team context that goes with a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RepoTeam {
    /// The team's id.
    #[serde(deserialize_with = "or_default")]
    pub team_id: String,
    /// Its name for people.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its short name; empty if it has none.
    #[serde(deserialize_with = "or_default")]
    pub slug: String,
    /// What the user may do with it.
    #[serde(deserialize_with = "or_default")]
    pub access_level: Access,
    /// Its git remote.
    #[serde(deserialize_with = "or_default")]
    pub repo_url: String,
}

/// What the server made one: for a person to look at and the command line to carry out, never for the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Merge {
    /// A repository that goes by another id now.
    pub repo: Option<Moved>,
    /// A team that goes by another id now.
    pub team: Option<Moved>,
    /// The ids to write into the project's configuration.
    #[serde(deserialize_with = "or_default")]
    pub config: MergeConfig,
}

/// An id that became another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Moved {
    /// The old one.
    pub from: String,
    /// The new one.
    pub to: String,
}

/// The ids to write into a project's configuration; empty ones stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MergeConfig {
    /// The repository's.
    #[serde(deserialize_with = "or_default")]
    pub repo_id: String,
    /// The team's.
    #[serde(deserialize_with = "or_default")]
    pub team_id: String,
}

impl Merge {
    /// Reads the header. What cannot be read, and one with an id in it that cannot be one, is none.
    pub(super) fn parse(header: &str) -> Option<Merge> {
        let merge: Merge = serde_json::from_str(header).ok()?;
        let moved = [&merge.repo, &merge.team].into_iter().flatten().flat_map(|m| [&m.from, &m.to]);
        let named = [&merge.config.repo_id, &merge.config.team_id].into_iter().filter(|id| !id.is_empty());
        let good = moved.chain(named).all(|id| super::segment(id).is_ok());
        (good && merge != Merge::default()).then_some(merge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repos(json: &str) -> Repos {
        serde_json::from_str(json).unwrap()
    }

    /// `team_id name slug url` of each context that is kept.
    fn kept(json: &str) -> Vec<String> {
        let fresh = repos(json).to_fresh();
        let line = |r: CredentialRepo| format!("{} {} {} {}", r.team_id, r.name, r.slug, r.url);
        fresh.repos.unwrap_or_default().into_iter().map(line).collect()
    }

    #[test]
    fn team_contexts_are_kept_by_id_and_the_rest_is_left_out() {
        let all = kept(
            r#"{"token":"t","server_url":"https://g","new":1,"repos":{
            "Zed":{"name":"Zed","type":"team-context","url":"https://g/z","team_id":"team_z","slug":"z"},
            "Acme":{"type":"team-context","url":"https://g/a","team_id":"team_a","slug":null},
            "ByName":{"name":"By Name","type":"team-context","url":"https://g/n"},
            "Twin":{"name":"Twin","type":"team-context","url":"https://g/t"},
            "ledger":{"name":"l","type":"ledger","url":"https://g/l","team_id":"team_l"},
            "bare":{"name":"b","type":"team-context","team_id":"team_b"},
            "evil":{"name":"e","type":"team-context","url":"https://g/e","team_id":"../../x"},
            "staging":{"name":"s","type":"team-context","url":"https://g/s","team_id":"team_s.new"}},
            "teams":[{"id":"team_n","name":"By Name","role":"owner"},{"id":"t1","name":"Twin"},{"id":"t2","name":"Twin"}]}"#,
        );
        assert_eq!(
            all,
            ["team_a Acme  https://g/a", "team_n By Name  https://g/n", "team_z Zed z https://g/z"]
        );
    }

    #[test]
    fn nothing_said_and_none_are_two_things() {
        assert!(repos(r#"{"token":"t"}"#).to_fresh().repos.is_none());
        assert!(repos(r#"{"token":"t","repos":null}"#).to_fresh().repos.is_none());
        assert_eq!(repos(r#"{"token":"t","repos":{}}"#).to_fresh().repos, Some(Vec::new()));
        assert!(repos(r#"{"server_url":"https://g"}"#).check().is_err());
        assert!(repos(r#"{"token":"","server_url":"https://g"}"#).check().is_err());
        assert!(repos(r#"{"token":"t","server_url":"https://g"}"#).check().is_ok());
        let many: Vec<String> = (0..=limits::REPOS_MAX).map(|n| format!(r#""r{n}":{{}}"#)).collect();
        let json = format!(r#"{{"token":"t","server_url":"https://g","repos":{{{}}}}}"#, many.join(","));
        assert!(repos(&json).check().is_err());
    }

    #[test]
    fn details_are_read_with_all_that_may_be_missing() {
        let read: RepoDetail = serde_json::from_str(
            r#"{"visibility":"private","access_level":"viewer","ledger":{"status":"ready","repo_url":"https://g/l","repo_id":7},
            "team_contexts":[{"team_id":"t","name":"T","access_level":"member","repo_url":"https://g/t"}]}"#,
        )
        .unwrap();
        let ledger = read.ledger.unwrap();
        assert_eq!((read.access_level, ledger.status), (Access::Viewer, LedgerState::Ready));
        assert_eq!(
            (read.team_contexts[0].access_level, ledger.access_level),
            (Access::Member, Access::Member)
        );
        let state = |word: &str| {
            let read: Ledger = serde_json::from_str(&format!(r#"{{"status":{word}}}"#)).unwrap();
            read.status
        };
        assert_eq!(state("\"pending\""), LedgerState::Pending);
        assert_eq!(state("\"error\""), LedgerState::Error);
        assert_eq!(state("\"archived\""), LedgerState::Unknown);
        assert_eq!(state("null"), LedgerState::Unknown);
        let empty: RepoDetail = serde_json::from_str(r#"{"ledger":null}"#).unwrap();
        assert_eq!(empty, RepoDetail::default());
    }

    #[test]
    fn merges_are_read_and_doubtful_ones_ignored() {
        let check = |header: &str, good: bool| assert_eq!(Merge::parse(header).is_some(), good, "{header}");
        check(r#"{"repo":{"from":"repo_a","to":"repo_b"}}"#, true);
        check(r#"{"config":{"team_id":"team_b"}}"#, true);
        check(r#"{"repo":{"from":"repo_a","to":"../x"}}"#, false);
        check(r#"{"team":{"from":"a"}}"#, false);
        check(r#"{"config":{"repo_id":"a b"}}"#, false);
        check("{}", false);
        check("nonsense", false);
        let merge = Merge::parse(r#"{"team":{"from":"a","to":"b"},"config":{"team_id":"b"}}"#).unwrap();
        assert_eq!(merge.team, Some(Moved { from: "a".into(), to: "b".into() }));
        assert_eq!((merge.config.team_id.as_str(), merge.config.repo_id.as_str()), ("b", ""));
    }
}
