//! Which team contexts a project has, each with who says so. Pure: what was read is handed in, source by source.

use std::collections::{BTreeMap, BTreeSet};

use super::workspace::TeamRef;

/// At most so many teams a project; further ones are left out.
pub const TEAMS_MAX: usize = 200;

/// Who names a team. The order is whose word counts where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The project's configuration, committed or local.
    Config,
    /// The user's git credentials, which list the teams they are for.
    Credentials,
    /// The server's answer about the project.
    Api,
}

impl Source {
    /// All sources.
    pub const ALL: [Source; 3] = [Source::Config, Source::Credentials, Source::Api];

    /// Its name for people and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Source::Config => "config",
            Source::Credentials => "credentials",
            Source::Api => "api",
        }
    }
}

/// The team contexts of one project.
///
/// Each source governs only what it said itself: what one of them no longer names stays as long as another does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    said: BTreeMap<Source, BTreeMap<String, TeamRef>>,
}

impl Registry {
    /// Takes in all that `source` says now, in place of what it said before. True if that changed anything.
    pub fn replace(&mut self, source: Source, teams: impl IntoIterator<Item = TeamRef>) -> bool {
        let said: BTreeMap<String, TeamRef> = teams
            .into_iter()
            .filter(|t| !t.id.is_empty())
            .map(|t| (t.id.clone(), t))
            .take(TEAMS_MAX)
            .collect();
        let before = self.said.insert(source, said.clone());
        before.unwrap_or_default() != said
    }

    /// Drops a team that only `source` names. True if it was there.
    pub fn forget(&mut self, source: Source, id: &str) -> bool {
        self.said.get_mut(&source).is_some_and(|said| said.remove(id).is_some())
    }

    /// All teams by id, with what the sources together know of them.
    pub fn teams(&self) -> Vec<TeamRef> {
        let ids: BTreeSet<&String> = self.said.values().flat_map(BTreeMap::keys).collect();
        ids.into_iter().take(TEAMS_MAX).filter_map(|id| self.team(id)).collect()
    }

    /// One team; where sources differ, the first that knows a field is believed.
    pub fn team(&self, id: &str) -> Option<TeamRef> {
        let mut all = self.said.values().filter_map(|said| said.get(id));
        let mut team = all.next()?.clone();
        for more in all {
            for (field, other) in
                [(&mut team.name, &more.name), (&mut team.slug, &more.slug), (&mut team.url, &more.url)]
            {
                if field.is_empty() {
                    field.clone_from(other);
                }
            }
            team.read_only |= more.read_only;
        }
        Some(team)
    }

    /// Whether it is known what a source says.
    pub fn has(&self, source: Source) -> bool {
        self.said.contains_key(&source)
    }

    /// What a source says; `None` if that is not known.
    pub fn said_by(&self, source: Source) -> Option<Vec<TeamRef>> {
        Some(self.said.get(&source)?.values().cloned().collect())
    }

    /// Who names the team.
    pub fn sources(&self, id: &str) -> Vec<Source> {
        self.said.iter().filter(|(_, said)| said.contains_key(id)).map(|(source, _)| *source).collect()
    }

    /// The team that somebody means by `word`: an id, else a short name, else a name. More than one only if `word` is ambiguous.
    pub fn find(&self, word: &str) -> Vec<TeamRef> {
        let teams = self.teams();
        for by in [|t: &TeamRef| t.id.clone(), |t: &TeamRef| t.slug.clone(), |t: &TeamRef| t.name.clone()] {
            let found: Vec<TeamRef> = teams.iter().filter(|t| by(t) == word).cloned().collect();
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn team(id: &str, name: &str, url: &str) -> TeamRef {
        TeamRef { id: id.into(), name: name.into(), url: url.into(), ..TeamRef::default() }
    }

    fn ids(r: &Registry) -> Vec<String> {
        r.teams().into_iter().map(|t| t.id).collect()
    }

    #[test]
    fn what_one_source_drops_stays_while_another_names_it() {
        let mut r = Registry::default();
        assert!(r.replace(Source::Config, [team("a", "", "")]));
        assert!(r.replace(Source::Api, [team("a", "A", "u"), team("b", "B", "v")]));
        assert_eq!(ids(&r), ["a", "b"]);
        assert_eq!(r.team("a"), Some(team("a", "A", "u")));
        // Reading the configuration again says nothing about what the server named.
        assert!(!r.replace(Source::Config, [team("a", "", "")]));
        assert!(r.replace(Source::Config, []));
        assert_eq!(ids(&r), ["a", "b"]);
        assert_eq!(r.sources("a"), [Source::Api]);
        assert!(r.forget(Source::Api, "b") && !r.forget(Source::Api, "b"));
        assert_eq!(ids(&r), ["a"]);
    }

    #[test]
    fn a_team_is_found_by_id_then_short_name_then_name() {
        let mut r = Registry::default();
        let slugged = |id: &str, slug: &str, name: &str| TeamRef { slug: slug.into(), ..team(id, name, "") };
        r.replace(
            Source::Config,
            [slugged("t1", "x", "Same"), slugged("t2", "t1", "Same"), slugged("t3", "x", "t2")],
        );
        let found = |word: &str| r.find(word).into_iter().map(|t| t.id).collect::<Vec<_>>();
        assert_eq!(found("t1"), ["t1"]);
        assert_eq!(found("t2"), ["t2"]);
        assert_eq!(found("x"), ["t1", "t3"]);
        assert_eq!(found("Same"), ["t1", "t2"]);
        assert!(found("nobody").is_empty());
    }

    proptest! {
        /// Whatever the sources say in whatever order: a team is there exactly if one of them named it last.
        #[test]
        fn a_team_is_there_exactly_while_somebody_names_it(
            said in prop::collection::vec((0usize..3, prop::collection::btree_set("[a-e]", 0..5)), 0..20)
        ) {
            let mut r = Registry::default();
            let mut last: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
            for (source, names) in said {
                r.replace(Source::ALL[source], names.iter().map(|id| team(id, "", "")));
                last.insert(source, names);
            }
            let expected: BTreeSet<String> = last.values().flatten().cloned().collect();
            prop_assert_eq!(ids(&r), expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn there_is_a_cap(n in 0usize..500) {
            let mut r = Registry::default();
            for source in Source::ALL {
                r.replace(source, (0..n).map(|i| team(&format!("{source:?}{i}"), "", "")));
            }
            prop_assert!(r.teams().len() <= TEAMS_MAX);
        }
    }
}
