//! A machine of a user, a server that answers as it is told, and a clock that moves when somebody waits.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use ox::cloud::{Calls, Timeouts};
use ox::http::Client;
use ox::kit::cancel::Cancel;
use ox::kit::clock::{Clock, SimClock, SystemClock};
use ox::kit::secret::Secret;
use ox::project::{Dirs, Env, RelayLogin, RelayLogins, RelayServer};
use serde_json::{Value, json};

use crate::support::HANG;
use crate::support::http_script::{Act, Server, answer};

pub const WELL_KNOWN: &str = "/.well-known/ox-relay";
pub const CODE: &str = "/api/v1/auth/device-code";
pub const TOKEN: &str = "/api/v1/auth/device-token";
pub const REFRESH: &str = "/api/v1/auth/refresh";
pub const LOGOUT: &str = "/api/v1/auth/logout";

/// What nobody may see but the server and the file.
pub const ACCESS: &str = "CANARYaccess1";
pub const RENEWED: &str = "CANARYaccess2";
pub const REFRESH_TOKEN: &str = "CANARYrefresh1";
pub const DEVICE_CODE: &str = "CANARYdevice";

/// A server by script.
pub struct Scripted {
    pub server: Server,
    answers: Arc<Answers>,
}

#[derive(Default)]
struct Answers {
    once: Mutex<BTreeMap<String, VecDeque<Vec<Act>>>>,
    always: Mutex<BTreeMap<String, Vec<Act>>>,
}

impl Scripted {
    /// One that answers 404.
    pub fn bare() -> Scripted {
        let answers = Arc::<Answers>::default();
        let mine = answers.clone();
        let server = Server::start(move |_, request| {
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let next = mine.once.lock().unwrap().get_mut(&path).and_then(VecDeque::pop_front);
            next.or_else(|| mine.always.lock().unwrap().get(&path).cloned())
                .unwrap_or_else(|| vec![answer(404, "", b"")])
        });
        Scripted { server, answers }
    }

    /// A relay server that works, and where nobody has confirmed anything yet.
    pub fn relay() -> Scripted {
        let relay = Scripted::bare();
        relay.always(CODE, json_of(code("http://login.example/device")));
        relay.always(TOKEN, json_of(json!({ "status": "pending" })));
        relay.always(LOGOUT, json_of(json!({})));
        relay.always(REFRESH, json_of(renewed(RENEWED, "CANARYrefresh2")));
        relay
    }

    /// The next request of the path is answered so.
    pub fn next(&self, path: &str, acts: Vec<Act>) {
        self.answers.once.lock().unwrap().entry(path.to_owned()).or_default().push_back(acts);
    }

    /// Every other request of the path is.
    pub fn always(&self, path: &str, acts: Vec<Act>) {
        self.answers.always.lock().unwrap().insert(path.to_owned(), acts);
    }

    /// Somebody confirms the login.
    pub fn confirm(&self, user: &str) {
        self.always(TOKEN, json_of(granted(user)));
    }

    pub fn url(&self) -> String {
        self.server.url("")
    }

    /// The requests of a path so far.
    pub fn asked(&self, path: &str) -> Vec<String> {
        let of_it = |request: &String| request.split(' ').nth(1) == Some(path);
        self.server.requests().into_iter().filter(of_it).collect()
    }
}

pub fn code(url: &str) -> Value {
    json!({
        "device_code": DEVICE_CODE, "user_code": "WDJB-MJHT", "verification_url": url, "expires_in": 600, "interval": 1,
    })
}

pub fn granted(user: &str) -> Value {
    json!({
        "access_token": ACCESS, "refresh_token": REFRESH_TOKEN, "expires_in": 3600,
        "user": { "id": user, "email": format!("{user}@example.org") },
    })
}

pub fn renewed(access: &str, refresh: &str) -> Value {
    json!({ "access_token": access, "refresh_token": refresh, "expires_in": 3600 })
}

/// 200 with this document.
pub fn json_of(value: Value) -> Vec<Act> {
    status_of(200, value)
}

/// A status with this document.
pub fn status_of(status: u16, value: Value) -> Vec<Act> {
    vec![answer(status, "Content-Type: application/json\r\n", value.to_string().as_bytes())]
}

/// A page where there should be an answer.
pub fn page() -> Vec<Act> {
    vec![answer(200, "Content-Type: text/html\r\n", b"<html>Welcome to the airport</html>")]
}

/// Half of an answer, and no more.
pub fn stalled(value: Value) -> Vec<Act> {
    let text = value.to_string();
    let head = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n{}", text.len(), &text[..text.len() / 2]);
    vec![Act::Say(head.into_bytes()), Act::Wait]
}

/// A user's machine, in this process.
pub struct World {
    _tmp: tempfile::TempDir,
    pub dirs: Dirs,
    pub env: Env,
    pub clock: SimClock,
    pub cancel: Cancel,
    pub http: Client,
    pub timeouts: Timeouts,
    /// Every wait so far.
    pub pauses: Mutex<Vec<Duration>>,
}

impl World {
    pub fn new() -> World {
        World::with_vars(&[])
    }

    pub fn with_vars(vars: &[(&str, &str)]) -> World {
        let tmp = tempfile::tempdir().unwrap();
        let home = ("HOME", tmp.path().to_str().unwrap().to_owned());
        let vars: Vec<(&str, String)> =
            vars.iter().map(|(k, v)| (*k, (*v).to_owned())).chain([home]).collect();
        let env = Env::of(vars, tmp.path());
        let dirs = Dirs::from_env(&env).unwrap();
        World {
            _tmp: tmp,
            dirs,
            env,
            clock: SimClock::new(SystemClock.now().wall),
            cancel: Cancel::new(),
            http: Client::new(Arc::new(SystemClock)),
            // A test that waits for a limit sets a short one.
            timeouts: Timeouts { login: HANG, refresh: HANG, logout: HANG },
            pauses: Mutex::default(),
        }
    }

    /// Every call may take this long; nothing is measured by it.
    pub fn hurried(mut self) -> World {
        let short = Duration::from_millis(200);
        self.timeouts = Timeouts { login: short, refresh: short, logout: short };
        self
    }

    /// Does something with what calls need; a wait moves the clock.
    pub fn calls<T>(&self, run: impl FnOnce(&Calls<'_>) -> T) -> T {
        let pause = |by: Duration| {
            self.pauses.lock().unwrap().push(by);
            self.clock.advance(by);
        };
        run(&Calls {
            http: &self.http,
            clock: &self.clock,
            pause: &pause,
            cancel: &self.cancel,
            timeouts: self.timeouts,
        })
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// Somebody is logged in, for so many seconds more.
    pub fn logged_in(&self, url: &str, user: &str, seconds: i64) {
        let login = RelayLogin {
            access_token: Secret::new(ACCESS),
            refresh_token: Secret::new(REFRESH_TOKEN),
            expires_at: self.now().as_second() + seconds,
            user_email: format!("{user}@example.org"),
            user_id: user.to_owned(),
            server_url: url.to_owned(),
            since_ms: 0,
            needs_login: false,
            well_known: Value::Null,
        };
        RelayLogins::lock(&self.dirs, HANG, &Cancel::new()).unwrap().put(&login, true).unwrap();
    }

    pub fn login_at(&self, url: &str) -> Option<RelayLogin> {
        RelayLogins::load(&self.dirs).unwrap().get(&server(url))
    }

    /// What stands in the file; nothing if there is none.
    pub fn file(&self) -> String {
        fs::read_to_string(self.dirs.relay_auth()).unwrap_or_default()
    }
}

pub fn server(url: &str) -> RelayServer {
    RelayServer::parse(url, false).unwrap()
}
