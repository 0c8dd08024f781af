//! `.sageox/.repo_<uuid>`: the committed marker that gives a repository its id.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::{PROJECT_DIR, check_project_dir};
use super::{Endpoint, Error, REPO_PREFIX, limits, safe_component};
use crate::kit::file;
use crate::kit::gotime::GoTime;

/// The content of a marker, as far as we read or write it. It is public to all who can clone: no URL with a secret belongs here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Marker {
    /// The repository id, `repo_` and the UUID of the file's name.
    pub repo_id: String,
    /// The kind of repository; always `git`.
    pub r#type: String,
    /// When the project was initialised, UTC.
    pub init_at: GoTime,
    /// Who initialised it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub init_by_email: String,
    /// Who initialised it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub init_by_name: String,
    /// The hash of the repository's first commit.
    pub repo_salt: String,
    /// The endpoint, or `local`.
    pub endpoint: String,
}

impl Marker {
    /// All markers of a project, sorted by repository id. None if there is no `.sageox/`.
    ///
    /// # Errors
    /// `Read` or `Damaged`: then it is not known whether the repository has an id, and no new one may be made up.
    pub fn all(root: &Path) -> Result<Vec<Marker>, Error> {
        let dir = root.join(PROJECT_DIR);
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(e) => return Err(Error::read(&dir, e)),
        };
        let mut markers = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| Error::read(&dir, e))?.file_name();
            let Some(id) =
                name.to_str().and_then(|n| n.strip_prefix('.')).filter(|n| n.starts_with(REPO_PREFIX))
            else {
                continue;
            };
            if markers.len() == limits::MARKERS_MAX {
                return Err(Error::damaged(&dir, "too many marker files"));
            }
            markers.push(read(&dir.join(&name), id)?);
        }
        markers.sort_by(|a, b| a.repo_id.cmp(&b.repo_id));
        Ok(markers)
    }

    /// The marker that counts: the first by repository id of `endpoint`, or of any if none is given.
    ///
    /// # Errors
    /// As [`Marker::all`].
    pub fn find(root: &Path, endpoint: Option<&Endpoint>) -> Result<Option<Marker>, Error> {
        let markers = Marker::all(root)?;
        Ok(markers
            .into_iter()
            .find(|m| endpoint.is_none_or(|e| Endpoint::parse(&m.endpoint).as_ref() == Some(e))))
    }

    /// Where this marker lies.
    ///
    /// # Errors
    /// `BadValue` if the repository id cannot be a file's name.
    pub fn path(&self, root: &Path) -> Result<PathBuf, Error> {
        let id = self.repo_id.as_str();
        if !id.starts_with(REPO_PREFIX) || safe_component(id) != id {
            let reason = format!("must be a repository id, not {id:?}");
            return Err(Error::BadValue { key: "repo_id".to_owned(), reason });
        }
        Ok(root.join(PROJECT_DIR).join(format!(".{id}")))
    }

    /// Writes the marker, 0644.
    ///
    /// # Errors
    /// As [`Marker::path`]; `NotInitialized`, `Linked` or `Write`.
    pub fn write(&self, root: &Path) -> Result<(), Error> {
        let path = self.path(root)?;
        check_project_dir(root)?;
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| Error::write(&path, e.into()))?;
        text.push(b'\n');
        file::write_durable(&path, &text, 0o644).map_err(|e| Error::write(&path, e))
    }
}

fn read(path: &Path, id: &str) -> Result<Marker, Error> {
    let bytes = file::read_capped(path, limits::MARKER_MAX).map_err(|e| Error::read(path, e))?;
    let mut marker: Marker = serde_json::from_slice(&bytes).map_err(|e| Error::damaged(path, e))?;
    if marker.repo_id.is_empty() {
        marker.repo_id = id.to_owned();
    }
    Ok(marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(repo_id: &str, endpoint: &str) -> Marker {
        Marker {
            repo_id: repo_id.to_owned(),
            r#type: "git".to_owned(),
            init_at: GoTime::parse("2026-03-01T10:00:00Z").unwrap(),
            repo_salt: "abc".to_owned(),
            endpoint: endpoint.to_owned(),
            ..Marker::default()
        }
    }

    fn project() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(PROJECT_DIR)).unwrap();
        dir
    }

    #[test]
    fn a_marker_is_written_under_its_id_and_read_back() {
        let dir = project();
        let m = marker("repo_2", "local");
        m.write(dir.path()).unwrap();
        let text = std::fs::read_to_string(dir.path().join(".sageox/.repo_2")).unwrap();
        assert_eq!(
            text,
            "{\n  \"repo_id\": \"repo_2\",\n  \"type\": \"git\",\n  \"init_at\": \"2026-03-01T10:00:00Z\",\n  \"repo_salt\": \"abc\",\n  \"endpoint\": \"local\"\n}\n"
        );
        assert_eq!(Marker::all(dir.path()).unwrap(), [m]);
    }

    #[test]
    fn the_first_id_of_the_endpoint_counts() {
        let dir = project();
        for (id, endpoint) in [("repo_3", "https://a"), ("repo_1", "local"), ("repo_2", "https://api.a/")] {
            marker(id, endpoint).write(dir.path()).unwrap();
        }
        let check = |endpoint: Option<&str>, expected: Option<&str>| {
            let endpoint = endpoint.and_then(Endpoint::parse);
            let found = Marker::find(dir.path(), endpoint.as_ref()).unwrap();
            assert_eq!(found.map(|m| m.repo_id).as_deref(), expected);
        };
        check(None, Some("repo_1"));
        check(Some("https://a"), Some("repo_2"));
        check(Some("https://b"), None);
    }

    #[test]
    fn a_marker_of_the_go_program_is_read_and_the_name_stands_in_for_a_missing_id() {
        let dir = project();
        let text = r#"{"type":"git","init_at":"2026-03-01T10:00:00+02:00","fingerprint":{"first_commit":"x"},"team_urls":{}}"#;
        std::fs::write(dir.path().join(".sageox/.repo_9"), text).unwrap();
        assert_eq!(Marker::all(dir.path()).unwrap()[0].repo_id, "repo_9");
    }

    #[test]
    fn a_broken_marker_is_an_error_and_a_missing_directory_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Marker::all(dir.path()).unwrap(), []);
        std::fs::create_dir(dir.path().join(PROJECT_DIR)).unwrap();
        std::fs::write(dir.path().join(".sageox/.repo_9"), "").unwrap();
        assert!(matches!(Marker::all(dir.path()), Err(Error::Damaged { .. })));
    }

    #[test]
    fn the_number_of_markers_is_bounded() {
        let dir = project();
        for n in 0..limits::MARKERS_MAX {
            marker(&format!("repo_{n}"), "local").write(dir.path()).unwrap();
        }
        assert_eq!(Marker::all(dir.path()).unwrap().len(), limits::MARKERS_MAX);
        marker("repo_more", "local").write(dir.path()).unwrap();
        assert!(Marker::all(dir.path()).is_err());
    }

    #[test]
    fn sec_02_an_id_that_is_no_file_name_is_refused() {
        let dir = project();
        for id in ["", "x", "repo_../../x", "repo_a/b", "repo_a b", "../repo_a", "repo_a\0"] {
            assert!(matches!(marker(id, "local").write(dir.path()), Err(Error::BadValue { .. })), "{id:?}");
        }
    }
}
