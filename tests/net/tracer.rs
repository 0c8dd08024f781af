//! Whom `ox` and all that it starts really contact: what the kernel was asked for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Background, OX, TestEnv, until};

/// The other sides of contacts: address and port.
pub type Peers = BTreeSet<(String, u64)>;

/// The program that sees calls of the kernel; `None`, and said so, where there is none.
pub fn strace() -> Option<&'static str> {
    let found = ["/usr/bin/strace", "/usr/local/bin/strace"].into_iter().find(|p| Path::new(p).exists());
    if found.is_none() {
        println!("skipped: strace is not installed");
    }
    found
}

/// A daemon and commands of one project under the tracer.
pub struct Traced<'e> {
    strace: &'static str,
    env: &'e TestEnv,
    repo: PathBuf,
    daemon: Option<Background>,
    traces: Vec<PathBuf>,
}

impl<'e> Traced<'e> {
    pub fn new(strace: &'static str, env: &'e TestEnv, repo: &Path) -> Traced<'e> {
        Traced { strace, env, repo: repo.into(), daemon: None, traces: Vec::new() }
    }

    fn start(&mut self, args: &[&str]) -> Background {
        let trace = self.env.work().join(format!("trace-{}", self.traces.len()));
        let mut all = vec!["-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o"];
        let path = trace.to_str().unwrap().to_owned();
        all.extend([path.as_str(), OX]);
        all.extend(args);
        self.traces.push(trace);
        self.env.start(self.strace, &self.repo, all)
    }

    /// Starts the daemon.
    pub fn daemon(&mut self) {
        self.daemon = Some(self.start(&["daemon", "start", "--foreground"]));
        until(|| self.env.ox_in(&self.repo, ["daemon", "status"]).code == Some(0));
    }

    /// Runs a command; its exit code.
    pub fn ox(&mut self, args: &[&str]) -> Option<i32> {
        self.start(args).ended().code()
    }

    /// Ends the daemon, and tells whom all of it contacted.
    pub fn end(mut self) -> Peers {
        self.env.ox(["daemon", "stop", "--all"]).ok();
        if let Some(mut daemon) = self.daemon.take() {
            daemon.ended();
        }
        let texts: Vec<String> = self.traces.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert!(texts.iter().any(|text| text.contains("AF_UNIX")), "the tracer saw nothing");
        texts.iter().flat_map(|text| text.lines()).filter_map(peer).collect()
    }
}

/// The address on this network that a call names.
fn peer(line: &str) -> Option<(String, u64)> {
    let behind = |mark: &str| line.split_once(mark).map(|(_, rest)| rest);
    let port = behind("sin_port=htons(").or_else(|| behind("sin6_port=htons("))?;
    let address = behind("inet_addr(\"").or_else(|| behind("inet_pton(AF_INET6, \""))?;
    let port = port.split(')').next()?.parse().ok()?;
    Some((address.split('"').next()?.to_owned(), port))
}

/// All receipts, oldest first.
pub fn receipts(env: &TestEnv) -> Vec<Value> {
    let shown = env.ox(["net", "list", "--limit", "100000", "--json"]).ok().json();
    shown["receipts"].as_array().unwrap().iter().rev().cloned().collect()
}

/// The other sides of receipts.
pub fn peers_of(receipts: &[Value]) -> Peers {
    let servers = receipts.iter().filter(|one| one["host"].is_string());
    servers.map(|one| (one["host"].as_str().unwrap().to_owned(), one["port"].as_u64().unwrap())).collect()
}

/// What receipts with that port are for.
pub fn purposes_of(receipts: &[Value], port: u16) -> BTreeSet<&str> {
    let there = receipts.iter().filter(|one| one["port"] == port);
    there.map(|one| one["purpose"].as_str().unwrap()).collect()
}

#[test]
fn calls_of_the_kernel_are_read() {
    let check = |line: &str, expected: Option<(&str, u64)>| {
        assert_eq!(peer(line), expected.map(|(host, port)| (host.to_owned(), port)), "{line}");
    };
    let v4 = r#"12 connect(5, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("127.0.0.1")}, 16) = 0"#;
    check(v4, Some(("127.0.0.1", 8080)));
    let v6 = r#"12 connect(5, {sa_family=AF_INET6, sin6_port=htons(22), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28 <unfinished ...>"#;
    check(v6, Some(("::1", 22)));
    check(r#"12 connect(5, {sa_family=AF_UNIX, sun_path="/x"}, 110) = 0"#, None);
    check("12 sendto(5, \"x\", 1, MSG_NOSIGNAL, NULL, 0) = 1", None);
}
