//! Settings: where values come from, and what becomes of those that cannot be used.

use super::*;

#[test]
fn only_the_user_says_whether_sessions_are_kept() {
    let says = |f: &Fixture| {
        let (env, project) = (f.env(), Project::discover(&f.env()).unwrap());
        Settings::load(&env, &f.dirs(), Some(&project)).0.archives_sessions()
    };
    let f =
        Fixture::new("", r#"{"sessions.archive":"on","session_archive":"on","sessions":{"archive":"on"}}"#);
    assert_eq!(says(&f), None);
    archive_sessions(&f.dirs(), true).unwrap();
    assert_eq!(says(&f), Some(true));
    archive_sessions(&f.dirs(), false).unwrap();
    assert_eq!(says(&f), Some(false));
}

#[test]
fn hooks_are_off_until_both_keys_of_an_agent_say_so_and_no_project_has_a_say() {
    let of = |f: &Fixture| {
        let (env, project) = (f.env(), Project::discover(&f.env()).unwrap());
        let (intent, errors) = Settings::load(&env, &f.dirs(), Some(&project)).0.hooks();
        assert!(errors.is_empty(), "{errors:?}");
        intent
    };
    let f = Fixture::new("", r#"{"hooks":{"enabled":true,"codex":true},"hooks.enabled":true}"#);
    let off = of(&f);
    assert_eq!((off.enabled, off.agents.len(), off.transcripts), (false, 0, false));
    let said = |f: &Fixture| Settings::load(&f.env(), &f.dirs(), None).0.hooks_enabled();
    assert_eq!(said(&f), None);
    assert_eq!((off.scope.as_str(), off.payload.as_str()), ("initialized", "meta"));
    set(&f.dirs(), "hooks.codex", "true").unwrap();
    set(&f.dirs(), "hooks.import_transcripts", "true").unwrap();
    let off = of(&f);
    assert!(!off.uses("codex") && off.agents == ["codex"] && off.transcripts);
    use_hooks(&f.dirs(), &["claude"], true, false).unwrap();
    unset(&f.dirs(), "hooks.import_transcripts").unwrap();
    let on = of(&f);
    assert!(on.uses("codex") && on.uses("claude") && !on.uses("gemini") && on.transcripts);
    use_hooks(&f.dirs(), &["codex"], false, false).unwrap();
    assert!(of(&f).enabled && !of(&f).uses("codex"));
    use_hooks(&f.dirs(), &["claude"], false, true).unwrap();
    assert!(!of(&f).enabled && of(&f).agents.is_empty() && said(&f) == Some(false));
    let f = Fixture::new("hooks:\n  enabled: perhaps\n  scope: here\n", "{}");
    let (env, dirs) = (f.env(), f.dirs());
    let (intent, errors) = Settings::load(&env, &dirs, None).0.hooks();
    assert_eq!((intent.enabled, intent.scope.as_str(), errors.len()), (false, "initialized", 2));
}

struct Fixture {
    tmp: tempfile::TempDir,
    vars: Vec<(&'static str, String)>,
}

impl Fixture {
    fn new(user: &str, repository: &str) -> Fixture {
        let tmp = tempfile::tempdir().unwrap();
        let f = Fixture { vars: vec![("HOME", tmp.path().to_str().unwrap().to_owned())], tmp };
        std::fs::create_dir_all(f.dirs().config()).unwrap();
        std::fs::write(f.dirs().user_config(), user).unwrap();
        std::fs::create_dir_all(f.tmp.path().join("p/.sageox")).unwrap();
        std::fs::write(Config::path(&f.tmp.path().join("p")), repository).unwrap();
        f
    }

    fn with(mut self, name: &'static str, value: &str) -> Fixture {
        self.vars.push((name, value.to_owned()));
        self
    }

    fn env(&self) -> Env {
        Env::of(self.vars.clone(), self.tmp.path().join("p"))
    }

    fn dirs(&self) -> Dirs {
        Dirs::from_env(&self.env()).unwrap()
    }

    fn values(&self) -> (Vec<SettingValue>, Vec<String>) {
        let (env, project) = (self.env(), Project::discover(&self.env()).unwrap());
        let (settings, error) = Settings::load(&env, &self.dirs(), Some(&project));
        let (values, errors) = settings.list();
        (values, errors.into_iter().chain(error).map(|e| e.to_string()).collect())
    }

    fn check(&self, key: &str, text: &str, origin: &str) {
        let (values, _) = self.values();
        let value = values.iter().find(|v| v.setting.key == key).unwrap();
        let shown =
            value.origin.to_string().replace(self.tmp.path().canonicalize().unwrap().to_str().unwrap(), "");
        let shown = shown.replace(self.tmp.path().to_str().unwrap(), "");
        assert_eq!((value.text.as_str(), shown.as_str()), (text, origin), "{key}");
    }

    fn daemon(&self) -> DaemonConfig {
        Settings::load(&self.env(), &self.dirs(), None).0.daemon().0
    }
}

#[test]
fn defaults_are_valid_and_documented() {
    for s in &SETTINGS {
        assert_eq!(accept(s, s.default).as_deref(), Ok(s.default), "{}", s.key);
        assert!(bound(s, s.default).is_none(), "{}", s.key);
        assert!(s.doc.ends_with('.'), "{}", s.key);
    }
    let f = Fixture::new("", "{}");
    let expected = DaemonConfig {
        sync_interval_read: Duration::from_secs(60),
        team_context_sync_interval: Duration::from_secs(15),
        debounce_window: Duration::from_millis(500),
        auto_start: true,
        inactivity_timeout: Some(Duration::from_secs(3600)),
    };
    assert_eq!(f.daemon(), expected);
    let (values, errors) = f.values();
    assert_eq!((values.len(), errors), (SETTINGS.len(), vec![]));
    assert!(values.iter().all(|v| v.origin == Origin::Default && v.text == v.setting.default));
}

#[test]
fn each_value_says_where_it_comes_from() {
    let user = "# c\ndaemon:\n  sync_interval_read: 5m # often enough\n  auto_start: true\n  inactivity_timeout: 0\n";
    let json = "{\n  \"endpoint\": \"https://a.example\",\n  \"x\": {\"ledger_url\": 1},\n  \"ledger_url\": \"ssh://me@b.example/x\"\n}";
    let f = Fixture::new(user, json);
    f.check("daemon.sync_interval_read", "5m", "user /.config/sageox/config.yaml:3");
    f.check("daemon.auto_start", "true", "user /.config/sageox/config.yaml:4");
    f.check("daemon.debounce_window", "500ms", "default");
    f.check("endpoint", "https://a.example", "repository /p/.sageox/config.json:2");
    f.check("ledger_url", "ssh://***@b.example/x", "repository /p/.sageox/config.json:4");
    assert_eq!(f.daemon().inactivity_timeout, None);
    let f = f.with(DAEMON_VAR, "FALSE").with(ENDPOINT_VAR, "https://api.c.example/");
    f.check("daemon.auto_start", "false", "environment SAGEOX_DAEMON");
    f.check("endpoint", "https://c.example", "environment SAGEOX_ENDPOINT");
    assert!(!f.daemon().auto_start);
}

#[test]
fn the_environment_has_no_say_where_the_table_says_so() {
    let f = Fixture::new("", r#"{"endpoint":"local"}"#).with(ENDPOINT_VAR, "https://a").with(DAEMON_VAR, "0");
    f.check("endpoint", "local", "repository /p/.sageox/config.json");
    f.check("daemon.auto_start", "true", "default");
    let f = Fixture::new("", "{}");
    std::fs::write(f.tmp.path().join("p/.sageox/.repo_1"), r#"{"endpoint":"https://m.example"}"#).unwrap();
    f.check("endpoint", "https://m.example", "repository /p/.sageox/.repo_1");
}

#[test]
fn the_nearest_says_whether_sessions_are_recorded() {
    let check = |f: Fixture, mode: &str, origin: &str, errors: usize| {
        f.check(RECORDING, mode, origin);
        assert_eq!(f.values().1.len(), errors, "{:?}", f.values().1);
    };
    let (user, repository) = ("user /.config/sageox/config.yaml:2", "repository /p/.sageox/config.json");
    let of_repository = r#"{"session_recording":"all"}"#;
    check(Fixture::new("", "{}"), "manual", "default", 0);
    check(Fixture::new("", of_repository), "auto", repository, 0);
    check(Fixture::new("sessions:\n  mode: \"\"\n", of_repository), "auto", repository, 0);
    check(Fixture::new("sessions:\n  mode: none\n", of_repository), "disabled", user, 0);
    check(Fixture::new("sessions:\n  mode: infra\n  enabled: true\n", "{}"), "manual", user, 0);
    check(Fixture::new("sessions:\n  mode: always\n", of_repository), "manual", "default", 1);
    let f = Fixture::new("sessions:\n  mode: auto\n", "{}").with(RECORDING_VAR, "disabled");
    check(f, "disabled", "environment OX_SESSION_RECORDING", 0);
    let f = Fixture::new("", of_repository).with(RECORDING_VAR, "auto").with(DEPTH_VAR, "1");
    check(f, "disabled", "environment OX_HOOK_DEPTH", 0);
    check(Fixture::new("", of_repository).with(RECORDING_VAR, "x"), "manual", "default", 1);
}

#[test]
fn bad_values_fall_back_one_by_one_and_are_named() {
    let user = "daemon:\n  sync_interval_read: 1s\n  debounce_window: soon\n  auto_start: [1]\n  inactivity_timeout: 2h\n";
    let f = Fixture::new(user, "{}");
    f.check("daemon.sync_interval_read", "10s", "user /.config/sageox/config.yaml:2");
    f.check("daemon.debounce_window", "500ms", "default");
    f.check("daemon.auto_start", "true", "default");
    f.check("daemon.inactivity_timeout", "2h", "user /.config/sageox/config.yaml:5");
    let (_, errors) = f.values();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[1].contains("config.yaml:3"), "{errors:?}");
    let f = Fixture::new("daemon: [", "{}");
    assert_eq!(f.values().1.len(), 1);
    assert_eq!(f.daemon(), Fixture::new("", "{}").daemon());
}

#[test]
fn a_secret_in_the_ledger_url_is_not_shown() {
    let f = Fixture::new("", r#"{"ledger_url":"https://me:hunter2@a.example/x"}"#);
    let (values, errors) = f.values();
    assert!(!format!("{values:?} {errors:?}").contains("hunter2"));
}

#[test]
fn set_changes_one_value_or_says_why_not() {
    let f = Fixture::new("# mine\ndaemon:\n  x: 1\n", "{}");
    let dirs = f.dirs();
    set(&dirs, "daemon.sync_interval_read", "2m").unwrap();
    set(&dirs, "daemon.auto_start", "False").unwrap();
    let text = std::fs::read_to_string(dirs.user_config()).unwrap();
    assert_eq!(text, "# mine\ndaemon:\n  auto_start: false\n  sync_interval_read: 2m\n  x: 1\n");
    let refused = |key: &str, value: &str| set(&dirs, key, value).unwrap_err();
    assert!(matches!(refused("daemon.none", "1"), Error::UnknownKey { .. }));
    assert!(matches!(refused("ledger_url", "/x"), Error::NotSettable { .. }));
    assert!(matches!(refused("endpoint", "x"), Error::NotSettable { .. }));
    for (key, value) in [
        ("daemon.sync_interval_read", "9s"),
        ("daemon.sync_interval_read", "1"),
        ("daemon.auto_start", "yes"),
        ("daemon.auto_start", "true\nx: 1"),
        ("daemon.debounce_window", "-1s"),
        ("daemon.debounce_window", "1s # x"),
    ] {
        assert!(matches!(refused(key, value), Error::BadValue { .. }), "{key} {value}");
    }
    assert_eq!(std::fs::read_to_string(dirs.user_config()).unwrap(), text);
}

#[test]
fn background_work_is_off_and_limited_unless_the_user_says_otherwise() {
    let of = |f: &Fixture| {
        let (env, project) = (f.env(), Project::discover(&f.env()).unwrap());
        Settings::load(&env, &f.dirs(), Some(&project)).0.agent_worker()
    };
    let f = Fixture::new("", r#"{"agent_worker":{"agent":"claude","auto_detect":true}}"#);
    let (off, errors) = of(&f);
    let expected = AgentWorker {
        agent: String::new(),
        auto_detect: false,
        model: String::new(),
        timeout: Duration::from_secs(300),
        max_invocations_per_hour: 10,
        max_concurrent: 1,
        max_input_tokens_per_day: 2_000_000,
        max_micro_usd_per_day: None,
        session_finalize: true,
        quality_upload_threshold: 0.3,
        quality_discard_threshold: 0.1,
        chat_url: String::new(),
        chat_model: String::new(),
        chat_key_env: String::new(),
    };
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(off, expected);
    let user = "agent_worker:\n  agent: chat\n  auto_detect: true\n  max_invocations_per_hour: 60\n  max_concurrent: 4\n  \
                max_usd_per_day: 1.5\n  session_finalize: false\n  quality_upload_threshold: 0.5\n  timeout: 90s\n  chat_model: small\n  \
                chat_url: http://127.0.0.1:8080/v1\n  chat_key_env: HOUSE_KEY\n";
    let (on, errors) = of(&Fixture::new(user, "{}"));
    assert_eq!((on.agent.as_str(), on.auto_detect, on.max_invocations_per_hour), ("chat", true, 60));
    assert_eq!((on.max_concurrent, on.max_micro_usd_per_day), (2, Some(1_500_000)));
    assert_eq!((on.session_finalize, on.quality_upload_threshold), (false, 0.5));
    assert_eq!((on.timeout, on.chat_model.as_str()), (Duration::from_secs(90), "small"));
    assert_eq!((on.chat_url.as_str(), on.chat_key_env.as_str()), ("http://127.0.0.1:8080/v1", "HOUSE_KEY"));
    // What the Go program writes is more than is done here.
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().contains("4 is too large, 2 is used"), "{errors:?}");
    let (model, _) = of(&Fixture::new("agent_worker:\n  model: big\n  chat_model: small\n", "{}"));
    assert_eq!((model.model.as_str(), model.chat_model.as_str()), ("big", "big"));
}

#[test]
fn older_keys_of_background_work_count_until_the_new_one_is_set() {
    let agent = |user: &str| {
        let f = Fixture::new(user, "{}");
        let (worker, errors) = Settings::load(&f.env(), &f.dirs(), None).0.agent_worker();
        let shown = Settings::load(&f.env(), &f.dirs(), None).0.get(WORKER).unwrap().0.text;
        assert!(shown == if worker.agent.is_empty() { "none" } else { &worker.agent }, "{user}");
        (worker.agent, errors.len())
    };
    let check = |user: &str, expected: &str, errors: usize| {
        assert_eq!(agent(&format!("agent_worker:\n{user}")), (expected.to_owned(), errors), "{user}");
    };
    check("  enabled: true\n", "claude", 0);
    check("  enabled: true\n  agent_type: codex\n", "codex", 0);
    check("  enabled: false\n  agent_type: codex\n", "none", 0);
    check("  agent_type: codex\n", "", 0);
    check("  agent: gemini\n  enabled: false\n", "gemini", 0);
    check("  agent: \"\"\n  enabled: true\n", "claude", 0);
    check("  agent: vim\n", "", 1);
    check("  enabled: maybe\n", "", 1);
    check("  enabled: true\n  agent_type: vim\n", "", 1);
    assert_eq!(agent("agent_worker: claude\n").0, "");
    let f = Fixture::new("agent_worker:\n  enabled: true\n  agent_type: codex\n  max_concurrent: 2\n", "{}");
    set(&f.dirs(), WORKER, "none").unwrap();
    let text = std::fs::read_to_string(f.dirs().user_config()).unwrap();
    assert!(
        !text.contains("enabled") && !text.contains("agent_type") && text.contains("agent: none"),
        "{text}"
    );
    f.check(WORKER, "none", "user /.config/sageox/config.yaml:2");
}

#[test]
fn numbers_are_checked_and_a_key_is_never_shown() {
    let f = Fixture::new("", "{}");
    let refused = |key: &str, value: &str| set(&f.dirs(), &format!("agent_worker.{key}"), value).unwrap_err();
    for (key, value) in [
        ("agent", "vim"),
        ("max_concurrent", "0"),
        ("max_concurrent", "3"),
        ("max_invocations_per_hour", "-1"),
        ("max_invocations_per_hour", "many"),
        ("max_usd_per_day", "-1"),
        ("max_usd_per_day", "NaN"),
        ("quality_upload_threshold", "1.5"),
        ("quality_upload_threshold", ""),
        ("timeout", "1s"),
        ("chat_url", "ftp://x"),
        ("chat_url", "https://me:canary@x/v1"),
        ("chat_key_env", "sk-canary"),
    ] {
        let error = refused(key, value);
        assert!(matches!(error, Error::BadValue { .. }), "{key} {value}: {error:?}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    for (key, value) in
        [("max_usd_per_day", ""), ("max_usd_per_day", "0.5"), ("chat_key_env", "KEY_1"), ("chat_key_env", "")]
    {
        set(&f.dirs(), &format!("agent_worker.{key}"), value).unwrap();
    }
    let f =
        Fixture::new("agent_worker:\n  chat_key_env: sk-canary\n  quality_upload_threshold: high\n", "{}");
    let (values, errors) = f.values();
    assert!(errors.len() == 2 && !format!("{values:?} {errors:?}").contains("canary"), "{errors:?}");
}

#[test]
fn the_relay_is_off_until_somebody_says_so_and_no_project_has_a_say() {
    let of = |f: &Fixture| {
        let (env, project) = (f.env(), Project::discover(&f.env()).unwrap());
        let (relay, errors) = Settings::load(&env, &f.dirs(), Some(&project)).0.relay();
        (relay, errors.into_iter().map(|e| e.to_string()).collect::<Vec<_>>())
    };
    let f = Fixture::new("", r#"{"relay":{"enabled":true,"url":"https://a.example"},"relay.enabled":true}"#);
    let (off, errors) = of(&f);
    assert_eq!((off.enabled, off.url.as_str(), off.target(), errors.len()), (false, "", "", 0));
    assert_eq!((off.max_queue_bytes, off.batch_events), (50 << 20, 100));
    assert_eq!(
        (off.transport, off.cwd_hash),
        (super::super::RelayTransport::Auto, super::super::CwdHash::Hmac)
    );
    assert!(off.sends("Stop") && off.ca_file.is_none() && off.flush == Duration::from_secs(2));
    use_relay(&f.dirs(), Some("https://r.example"), true).unwrap();
    set(&f.dirs(), "relay.events", " Stop, SessionStart,").unwrap();
    let (on, _) = of(&f);
    assert!(on.enabled && on.target() == "https://r.example");
    assert_eq!(on.events, ["Stop", "SessionStart"]);
    assert!(on.sends("Stop") && !on.sends("PreToolUse"));
    set(&f.dirs(), "relay.sink", "otlp").unwrap();
    assert_eq!(of(&f).0.target(), "", "the other server is not asked instead");
    for (key, value) in [
        ("relay.url", "https://me:secret@r.example"),
        ("relay.url", "ftp://r.example"),
        ("relay.events", "Stop;Start"),
        ("relay.otlp_header", "Authorization: Bearer x"),
        ("relay.otlp_key_env", "sk-12345"),
        ("relay.max_queue_bytes", "1000"),
        ("relay.batch_events", "101"),
    ] {
        assert!(set(&f.dirs(), key, value).is_err(), "{key} {value}");
    }
    let f =
        f.with(RELAY_VAR, "0").with(RELAY_URL_VAR, "http://127.0.0.1:1").with(RELAY_CA_FILE_VAR, "/ca.pem");
    let (off, _) = of(&f);
    assert_eq!((off.enabled, off.url.as_str()), (false, "http://127.0.0.1:1"));
    assert_eq!(off.ca_file.as_deref(), Some(std::path::Path::new("/ca.pem")));
    f.check("relay.enabled", "false", "environment OX_RELAY");
    let f = Fixture::new("relay:\n  batch_events: 1000\n", "{}").with(RELAY_VAR, "perhaps");
    let (off, errors) = of(&f);
    assert_eq!((off.enabled, off.batch_events, errors.len()), (false, 100, 2), "{errors:?}");
}
