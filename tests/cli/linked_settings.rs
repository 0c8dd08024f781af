//! Settings that are kept elsewhere, behind symbolic links.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::TestEnv;

const SET: [&str; 4] = ["config", "set", "murmur_receive", "off"];

/// Where the settings are looked for; what lies there becomes the link that `to` says.
fn link(env: &TestEnv, to: impl AsRef<Path>) -> PathBuf {
    fs::create_dir_all(env.config().join("sageox")).unwrap();
    let at = env.config().join("sageox/config.yaml");
    symlink(to, &at).unwrap();
    at
}

#[test]
fn a_setting_goes_to_where_the_links_lead() {
    let env = TestEnv::new();
    let dot = env.home().join("dot");
    fs::create_dir_all(&dot).unwrap();
    symlink("real.yaml", dot.join("ox.yaml")).unwrap();
    let at = link(&env, dot.join("ox.yaml"));
    // Not there yet, and there.
    for value in ["off", "on"] {
        env.ox(["config", "set", "murmur_receive", value]).ok();
        assert!(at.is_symlink() && dot.join("ox.yaml").is_symlink());
        assert_eq!(fs::read_to_string(dot.join("real.yaml")).unwrap(), format!("murmur_receive: {value}\n"));
        assert_eq!(env.ox(["config", "get", "murmur_receive"]).ok().stdout.trim(), value);
    }
}

#[test]
fn links_that_lead_nowhere_are_told_and_stay() {
    let env = TestEnv::new();
    let at = link(&env, env.home().join("gone/ox.yaml"));
    let ran = env.ox(SET);
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("gone/ox.yaml, whose directory does not exist"), "{ran:?}");
    assert!(at.is_symlink() && !env.home().join("gone").exists());

    fs::remove_file(&at).unwrap();
    link(&env, "other.yaml");
    symlink("config.yaml", env.config().join("sageox/other.yaml")).unwrap();
    let ran = env.ox(SET);
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("leads in a circle") && !ran.stderr.contains("os error"), "{ran:?}");
    assert!(at.is_symlink() && env.config().join("sageox/other.yaml").is_symlink());
}
