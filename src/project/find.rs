//! From a directory to the project it belongs to.

use std::path::{Path, PathBuf};

use super::config::PROJECT_DIR;
use super::remembered::Lost;
use super::{Config, Endpoint, Env, Error, Marker, endpoint_for_project, workspace_id, workspace_id_of_path};

/// Names the project's root instead of a search from the current directory.
pub const PROJECT_ROOT_VAR: &str = "OX_PROJECT_ROOT";

/// A project and all that follows from where it lies and what its configuration says.
#[derive(Clone, Debug)]
pub struct Project {
    /// The directory that holds `.sageox/`, with symbolic links resolved.
    pub root: PathBuf,
    /// The committed configuration, with what it lost in it.
    pub config: Config,
    /// What the committed configuration lost and is remembered here.
    pub lost: Lost,
    /// The repository id; empty in a project that has none.
    pub repo_id: String,
    /// The workspace id that all clones and worktrees of the repository share.
    pub workspace_id: String,
    /// The workspace id that older programs made from the path.
    pub legacy_workspace_id: String,
    /// Whose server it belongs to.
    pub endpoint: Endpoint,
    /// The endpoint's directory name.
    pub slug: String,
}

impl Project {
    /// The project at `root`.
    ///
    /// # Errors
    /// `NotInitialized`, or what is wrong with its configuration or, where that names no endpoint, with its markers.
    pub fn load(root: &Path, env: &Env) -> Result<Project, Error> {
        let root = root.canonicalize().map_err(|e| Error::read(root, e))?;
        if !Config::exists(&root) {
            return Err(Error::NotInitialized { root });
        }
        let mut config = Config::load(&root)?;
        config.check(&Config::path(&root))?;
        let marker = match config.endpoint() {
            Some(_) => None,
            None => Marker::find(&root, None)?,
        };
        let endpoint = endpoint_for_project(env, &config, marker.as_ref().map(|m| m.endpoint.as_str()));
        let repo_id = config.repo_id();
        // Where a server names ledger and teams, these keys are nobody's.
        let lost = if endpoint.is_local() { Lost::of(&root, &config) } else { Lost::default() };
        lost.restore(&mut config);
        Ok(Project {
            lost,
            workspace_id: workspace_id(&root, &repo_id),
            legacy_workspace_id: workspace_id_of_path(&root),
            slug: endpoint.slug(),
            root,
            config,
            repo_id,
            endpoint,
        })
    }

    /// The project of the current directory, the same from every directory below its root.
    ///
    /// # Errors
    /// `NoProject` if there is none, else as [`Project::load`].
    pub fn discover(env: &Env) -> Result<Project, Error> {
        let from = || env.cwd().unwrap_or(Path::new(".")).to_owned();
        let root = find_root(env).ok_or_else(|| Error::NoProject { from: from() })?;
        Project::load(&root, env)
    }
}

/// The project root: what `OX_PROJECT_ROOT` names if that is initialised, else the first directory from the current one
/// upwards that has a directory `.sageox`.
pub fn find_root(env: &Env) -> Option<PathBuf> {
    if let Some(root) = named_root(env) {
        return Some(root);
    }
    root_above(env.cwd()?, env).map(Path::to_owned)
}

/// The first directory from `dir` upwards that has a directory `.sageox`. Of a directory that is gone, what was around it counts.
pub fn root_above<'d>(dir: &'d Path, env: &Env) -> Option<&'d Path> {
    dir.ancestors().find(|dir| dir.join(PROJECT_DIR).is_dir() && !is_user_tree(dir, env))
}

/// The project that `OX_PROJECT_ROOT` names, if there is one.
pub fn named_root(env: &Env) -> Option<PathBuf> {
    let root = env.absolute(Path::new(&env.expand(env.get(PROJECT_ROOT_VAR)?)));
    Config::exists(&root).then_some(root)
}

/// Whether `dir` has its `.sageox` only because all our files once lay in the home directory's.
fn is_user_tree(dir: &Path, env: &Env) -> bool {
    env.home() == Some(dir) && !Config::exists(dir)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn make(root: &Path, config: &str) {
        fs::create_dir_all(root.join(PROJECT_DIR)).unwrap();
        fs::write(Config::path(root), config).unwrap();
    }

    fn env(vars: &[(&str, &str)], cwd: &Path) -> Env {
        Env::of(vars.iter().copied(), cwd)
    }

    #[test]
    fn every_directory_below_the_root_gives_the_same_project() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().canonicalize().unwrap().join("p");
        make(&root, r#"{"repo_id":"repo_abc123","endpoint":"local"}"#);
        fs::create_dir_all(root.join("a/b")).unwrap();
        let link = tmp.path().join("link");
        std::os::unix::fs::symlink(root.join("a"), tmp.path().join("inner")).unwrap();
        std::os::unix::fs::symlink(&root, &link).unwrap();
        for cwd in
            [root.clone(), root.join("a"), root.join("a/b"), root.join(".sageox"), link.join("a/b"), link]
        {
            let p = Project::discover(&env(&[], &cwd)).unwrap();
            assert_eq!(p.root, root, "{cwd:?}");
            assert_eq!((p.workspace_id.as_str(), p.slug.as_str()), ("2adde374", "local"));
            assert_eq!(p.legacy_workspace_id, workspace_id_of_path(&root));
        }
        assert!(matches!(Project::discover(&env(&[], tmp.path())), Err(Error::NoProject { .. })));
    }

    #[test]
    fn the_variable_names_the_root_only_if_that_is_initialised() {
        let tmp = tempfile::tempdir().unwrap();
        let (a, b, empty) = (tmp.path().join("a"), tmp.path().join("b"), tmp.path().join("empty"));
        make(&a, "{}");
        make(&b, "{}");
        fs::create_dir_all(empty.join(PROJECT_DIR)).unwrap();
        let base = tmp.path().to_str().unwrap();
        let check = |value: &str, expected: &Path| {
            assert_eq!(
                find_root(&env(&[("BASE", base), (PROJECT_ROOT_VAR, value)], &b)).as_deref(),
                Some(expected)
            );
        };
        check("$BASE/a", &a);
        check("${BASE}/a", &a);
        check("../a", &b.join("../a"));
        check("$BASE/empty", &b);
        check("", &b);
    }

    #[test]
    fn the_users_own_tree_is_no_project_and_an_uninitialised_directory_stops_the_search() {
        let tmp = tempfile::tempdir().unwrap();
        let home = tmp.path().to_str().unwrap();
        fs::create_dir_all(tmp.path().join(".sageox/config")).unwrap();
        fs::create_dir_all(tmp.path().join("w/p")).unwrap();
        assert_eq!(find_root(&env(&[("HOME", home)], &tmp.path().join("w/p"))), None);
        make(tmp.path(), "{}");
        fs::create_dir_all(tmp.path().join("w/.sageox")).unwrap();
        let found = Project::discover(&env(&[("HOME", home)], &tmp.path().join("w/p"))).unwrap_err();
        assert!(found.to_string().starts_with("project not initialized"), "{found}");
    }

    #[test]
    fn a_project_without_an_id_is_known_by_its_path_and_by_its_markers_endpoint() {
        let tmp = tempfile::tempdir().unwrap();
        make(tmp.path(), "{}");
        fs::write(tmp.path().join(".sageox/.repo_1"), r#"{"endpoint":"https://api.a.example"}"#).unwrap();
        let p = Project::load(tmp.path(), &env(&[], tmp.path())).unwrap();
        assert_eq!((p.endpoint.as_str(), p.slug.as_str()), ("https://a.example", "a.example"));
        assert_eq!(p.workspace_id, p.legacy_workspace_id);
        fs::write(Config::path(tmp.path()), "").unwrap();
        assert!(matches!(Project::load(tmp.path(), &env(&[], tmp.path())), Err(Error::Damaged { .. })));
    }
}
