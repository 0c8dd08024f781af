//! A server of Git LFS in memory, which does what it is told. It stands behind [`GitServer`](super::http_git::GitServer), beside the
//! repositories there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use ox::kit::pointer::Hasher;
use serde_json::{Value, json};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Batch,
    Put,
    Get,
    Verify,
}

/// How a request is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trick {
    /// An answer of this status, and nothing done.
    Status(u16),
    /// 429, with a wait of so many seconds.
    RetryAfter(u32),
    /// Half of the body, then the end of the connection.
    Cut,
    /// Half of the body, then silence.
    Stall,
    /// The end of the connection instead of an answer.
    Drop,
    /// Other bytes of the same size.
    OtherBytes,
    /// More bytes than there are.
    More,
    /// Each object has an error of this code.
    Refuse(u16),
    /// Each object has this size.
    OtherSize(u64),
    /// Addresses at this place, which may be another host.
    At(String),
    /// Addresses that are refused when they are used.
    Expired,
    /// A page for people.
    Page,
    /// Success, and the body thrown away.
    Lose,
    /// All of it, whatever part was asked for.
    Whole,
    /// A redirect to this place.
    Redirect(String),
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub step: Step,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// What is answered.
pub struct Said {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What is done of it.
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    Half,
    HalfAndSilence,
    Nothing,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    tricks: VecDeque<(Step, Trick)>,
    seen: Vec<Seen>,
    verifies: bool,
    tickets: usize,
    expired: Vec<String>,
    absent: Option<u16>,
    curt: bool,
}

/// The server.
#[derive(Default)]
pub struct Lfs(Mutex<State>);

pub fn oid(bytes: &[u8]) -> String {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish().0
}

impl Lfs {
    /// The next request of that kind is treated like this, behind those that were told before.
    pub fn trick(&self, step: Step, trick: Trick) {
        self.0.lock().unwrap().tricks.push_back((step, trick));
    }

    /// The same for so many requests.
    pub fn tricks(&self, step: Step, trick: &Trick, times: usize) {
        (0..times).for_each(|_| self.trick(step, trick.clone()));
    }

    /// From now on it answers everything with this status, as a server does that has no LFS; none again as it should be.
    pub fn absent(&self, status: Option<u16>) {
        self.0.lock().unwrap().absent = status;
    }

    /// From now on it answers 404 when it has none of the objects asked for, as giftless does.
    pub fn curt(&self) {
        self.0.lock().unwrap().curt = true;
    }

    /// From now on it wants to be asked whether uploads are whole.
    pub fn verifies(&self) {
        self.0.lock().unwrap().verifies = true;
    }

    /// Gives it a content.
    pub fn put(&self, bytes: &[u8]) -> String {
        let oid = oid(bytes);
        self.0.lock().unwrap().objects.insert(oid.clone(), bytes.to_vec());
        oid
    }

    /// A content that it has.
    pub fn get(&self, oid: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().objects.get(oid).cloned()
    }

    /// Takes a content away.
    pub fn lose(&self, oid: &str) {
        self.0.lock().unwrap().objects.remove(oid);
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().seen.clone()
    }

    /// How many requests of a kind came.
    pub fn count(&self, step: Step) -> usize {
        self.seen().iter().filter(|seen| seen.step == step).count()
    }

    /// Answers a request to `path` if it is for this server.
    pub fn answer(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Option<Said> {
        let step = match method {
            "POST" if path.ends_with("/info/lfs/objects/batch") => Step::Batch,
            "PUT" if path.starts_with("/-/lfs/") => Step::Put,
            "GET" if path.starts_with("/-/lfs/") => Step::Get,
            "POST" if path.starts_with("/-/verify/") => Step::Verify,
            _ => return None,
        };
        let headers: BTreeMap<String, String> = headers.iter().cloned().collect();
        let mut state = self.0.lock().unwrap();
        let seen = Seen { step, path: path.to_owned(), headers: headers.clone(), body: body.to_vec() };
        state.seen.push(seen);
        if let Some(status) = state.absent {
            return Some(said(status, b"no such thing".to_vec()));
        }
        let at = state.tricks.iter().position(|(of, _)| *of == step);
        let trick = at.and_then(|at| state.tricks.remove(at)).map(|(_, trick)| trick);
        Some(match step {
            Step::Batch => state.batch(&headers, body, trick),
            Step::Put => state.take(path, &headers, body, trick),
            Step::Get => state.give(path, &headers, trick),
            Step::Verify => state.verify(body, trick),
        })
    }
}

fn said(status: u16, body: Vec<u8>) -> Said {
    Said { status, headers: Vec::new(), body, end: End::Whole }
}

fn plain(trick: &Trick) -> Option<Said> {
    let mut out = said(200, b"{\"message\":\"told to\"}".to_vec());
    match trick {
        Trick::Status(status) => out.status = *status,
        Trick::RetryAfter(seconds) => {
            out.status = 429;
            out.headers.push(("Retry-After".into(), seconds.to_string()));
        }
        Trick::Drop => out.end = End::Nothing,
        Trick::Page => out.body = b"<html>Welcome</html>".to_vec(),
        Trick::Redirect(to) => {
            out.status = 302;
            out.headers.push(("Location".into(), to.clone()));
        }
        _ => return None,
    }
    Some(out)
}

impl State {
    fn batch(&mut self, headers: &BTreeMap<String, String>, body: &[u8], trick: Option<Trick>) -> Said {
        if let Some(said) = trick.as_ref().and_then(plain) {
            return said;
        }
        let question: Value = serde_json::from_slice(body).unwrap();
        let is_there = |asked: &Value| self.objects.contains_key(asked["oid"].as_str().unwrap());
        let asked = question["objects"].as_array().unwrap();
        if self.curt && question["operation"] == "download" && !asked.iter().any(is_there) {
            let mut out = said(404, b"{\"message\": \"Cannot find any of the requested objects\"}".to_vec());
            out.headers.push(("Content-Type".into(), "application/vnd.git-lfs+json".into()));
            return out;
        }
        let own = format!("http://{}", headers["host"]);
        let place = match &trick {
            Some(Trick::At(place)) => place.clone(),
            _ => own.clone(),
        };
        self.tickets += 1;
        let ticket = format!("CANARY-{}", self.tickets);
        if trick == Some(Trick::Expired) {
            self.expired.push(ticket.clone());
        }
        let objects: Vec<Value> = question["objects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|asked| {
                let (oid, size) = (asked["oid"].as_str().unwrap(), asked["size"].as_u64().unwrap());
                if let Some(Trick::Refuse(code)) = trick {
                    return json!({"oid": oid, "size": size, "error": {"code": code, "message": "told to"}});
                }
                let header = json!({"X-Ticket": ticket});
                let action = json!({"href": format!("{place}/-/lfs/{oid}?sig=CANARY"), "header": header, "expires_in": 60});
                let there = self.objects.get(oid).map(Vec::len);
                let mut actions = serde_json::Map::new();
                match (question["operation"].as_str().unwrap(), there) {
                    ("upload", None) => {
                        actions.insert("upload".into(), action);
                        if self.verifies {
                            let href = format!("{own}/-/verify/{oid}");
                            actions.insert("verify".into(), json!({"href": href, "header": header}));
                        }
                    }
                    ("download", Some(_)) => {
                        actions.insert("download".into(), action);
                    }
                    ("download", None) => {
                        return json!({"oid": oid, "size": size, "error": {"code": 404, "message": "Not found"}});
                    }
                    _ => {}
                }
                let size = match trick {
                    Some(Trick::OtherSize(size)) => size,
                    _ => size,
                };
                json!({"oid": oid, "size": size, "authenticated": true, "actions": actions})
            })
            .collect();
        let text = json!({"transfer": "basic", "objects": objects}).to_string();
        let mut out = said(200, text.into_bytes());
        out.headers.push(("Content-Type".into(), "application/vnd.git-lfs+json".into()));
        if trick == Some(Trick::Cut) {
            out.end = End::Half;
        }
        out
    }

    fn may(&self, headers: &BTreeMap<String, String>) -> bool {
        headers.get("x-ticket").is_some_and(|t| !self.expired.contains(t))
    }

    fn take(
        &mut self,
        path: &str,
        headers: &BTreeMap<String, String>,
        body: &[u8],
        trick: Option<Trick>,
    ) -> Said {
        if let Some(said) = trick.as_ref().and_then(plain) {
            return said;
        }
        if !self.may(headers) {
            return said(403, Vec::new());
        }
        if trick == Some(Trick::Lose) {
            return said(200, Vec::new());
        }
        let id = path.rsplit('/').next().unwrap();
        if oid(body) != id {
            return said(422, Vec::new());
        }
        self.objects.insert(id.to_owned(), body.to_vec());
        said(200, Vec::new())
    }

    fn give(&mut self, path: &str, headers: &BTreeMap<String, String>, trick: Option<Trick>) -> Said {
        if let Some(said) = trick.as_ref().and_then(plain) {
            return said;
        }
        // An address without its ticket is one that a redirect led to.
        let is_bare = path.ends_with("/bare");
        let path = path.trim_end_matches("/bare");
        if !is_bare && !self.may(headers) {
            return said(403, Vec::new());
        }
        let Some(bytes) = self.objects.get(path.rsplit('/').next().unwrap()) else {
            return said(404, Vec::new());
        };
        let mut bytes = bytes.clone();
        match trick {
            Some(Trick::OtherBytes) => bytes.iter_mut().for_each(|b| *b ^= 1),
            Some(Trick::More) => bytes.extend([0; 9]),
            _ => {}
        }
        let range = headers.get("range").and_then(|r| r.strip_prefix("bytes=")?.split_once('-'));
        let range = range.filter(|_| trick != Some(Trick::Whole));
        let mut out = match range.map(|(from, to)| (from.parse::<usize>().unwrap(), to.parse::<usize>().ok()))
        {
            Some((from, _)) if from >= bytes.len() => said(416, Vec::new()),
            Some((from, to)) => {
                let end = to.map_or(bytes.len(), |to| (to + 1).min(bytes.len()));
                let mut out = said(206, bytes[from..end].to_vec());
                let value = format!("bytes {from}-{}/{}", end - 1, bytes.len());
                out.headers.push(("Content-Range".into(), value));
                out
            }
            None => said(200, bytes),
        };
        match trick {
            Some(Trick::Cut) => out.end = End::Half,
            Some(Trick::Stall) => out.end = End::HalfAndSilence,
            _ => {}
        }
        out
    }

    fn verify(&self, body: &[u8], trick: Option<Trick>) -> Said {
        if let Some(said) = trick.as_ref().and_then(plain) {
            return said;
        }
        let asked: Value = serde_json::from_slice(body).unwrap();
        let there = self.objects.get(asked["oid"].as_str().unwrap());
        let is_whole = there.is_some_and(|bytes| bytes.len() as u64 == asked["size"].as_u64().unwrap());
        said(if is_whole { 200 } else { 404 }, Vec::new())
    }
}
