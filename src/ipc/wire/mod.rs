//! Messages as they stand on the wire: names, kinds, envelopes, payloads, and the rules of encoding.
//!
//! Written as the Go program writes them: keys in declaration order, empty optional keys left out, times always
//! written. Read more freely: unknown keys are skipped, `null` and missing keys mean the zero value, and of a key
//! that comes twice the last one counts.

mod envelope;
mod messages;
mod status;

pub use envelope::{
    BadLine, Envelope, Line, Progress, RequestLine, Response, fitting, parse_line, parse_request,
};
pub use messages::*;
pub use status::*;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// The constant answer to `version`: the version of the protocol, not of the program.
pub const PROTOCOL_VERSION: &str = "1.0.0";

/// Error texts that other programs compare.
pub mod text {
    /// The line was not an envelope.
    pub const INVALID_FORMAT: &str = "invalid message format";
    /// The type is not served. Clients rely on exactly this text to notice an older daemon.
    pub const UNKNOWN_TYPE: &str = "unknown message type";
    /// Start of a transient refusal: a full queue, or too many connections.
    pub const BUSY: &str = "busy: ";
    /// Start of the answer when a result could not be encoded.
    pub const MARSHAL: &str = "marshal error: ";
}

/// How a message is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One final line.
    Reply,
    /// Progress lines, then one final line.
    Progress,
    /// Nothing at all, not a byte, whether served or not.
    OneWay,
}

/// The sockets that a message is served on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Those of projects.
    Project,
    /// The host's.
    Host,
    /// Both.
    Both,
}

/// The table of messages: a row is all that the wire has to know of one. Its name; how it is answered; `on` which sockets it is served,
/// if at all; and behind `=> core` its payload, if the core answers it.
macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $variant:ident = $name:literal $kind:ident $(on $on:ident)? $(=> $who:ident $(($payload:ty))?)?;
    )*) => {
        /// Every message type of the wire, served here or not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Message { $($(#[$doc])* $variant,)* }

        impl Message {
            /// All types.
            pub const ALL: &'static [Message] = &[$(Message::$variant,)*];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Message::$variant => $name,)* }
            }

            /// How it is answered.
            pub const fn kind(self) -> Kind {
                match self { $(Message::$variant => Kind::$kind,)* }
            }

            /// Where it is served; `None` if nowhere.
            pub const fn on(self) -> Option<On> {
                match self { $(Message::$variant => messages!(@on $($on)?),)* }
            }

            /// The type with this name.
            pub fn from_name(name: &str) -> Option<Message> {
                match name { $($name => Some(Message::$variant),)* _ => None }
            }
        }

        /// What the core is asked: the messages that it answers, with their payloads.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request {
            $($(
                #[doc = concat!("[`Message::", stringify!($variant), "`], for the ", stringify!($who), ".")]
                $variant $(($payload))?,
            )?)*
        }

        impl Request {
            /// The request behind a message, `None` if the core does not answer it.
            ///
            /// # Errors
            /// The final line for a payload that cannot be read.
            pub(in crate::ipc) fn read(
                message: Message,
                payload: Option<&[u8]>,
            ) -> Result<Option<Request>, Response> {
                if matches!(message, Message::MarkErrors | Message::Checkout) && payload.is_none() {
                    return Err(invalid(message, "payload is missing"));
                }
                Ok(Some(match message {
                    $($(
                        Message::$variant => {
                            const _: &str = stringify!($who);
                            Request::$variant $((payload_of::<$payload>(message, payload)?))?
                        }
                    )?)*
                    _ => return Ok(None),
                }))
            }
        }
    };
    (@on) => { None };
    (@on $on:ident) => { Some(On::$on) };
}

/// The answer to a payload that cannot be read, which names its type where the Go program does.
fn invalid(message: Message, why: impl std::fmt::Display) -> Response {
    let what = if message == Message::Checkout { "checkout " } else { "" };
    Response::error(format!("invalid {what}payload: {why}"))
}

/// Reads a payload.
fn payload_of<T: DeserializeOwned + Default>(
    message: Message,
    payload: Option<&[u8]>,
) -> Result<T, Response> {
    decode(payload).map_err(|e| invalid(message, e))
}

messages! {
    /// Are you there?
    Ping = "ping" Reply;
    /// Which protocol?
    Version = "version" Reply;
    /// Everything a status page shows: [`StatusData`].
    Status = "status" Reply on Project;
    /// Sync the ledger now, or join the run in progress.
    Sync = "sync" Progress on Project => core;
    /// Sync the team contexts now.
    TeamSync = "team_sync" Progress on Project => core (TeamSyncAsk);
    /// The last syncs: a list of [`SyncEvent`], oldest first.
    SyncHistory = "sync_history" Reply on Project;
    /// Stop serving this project; at the host, stop the process.
    Stop = "stop" Reply on Both => core;
    /// An agent or a command is at work: [`Heartbeat`].
    Heartbeat = "heartbeat" OneWay on Project => core (Box<Heartbeat>);
    /// A usage event: [`Telemetry`].
    Telemetry = "telemetry" OneWay;
    /// A command that was used wrongly: [`Friction`].
    Friction = "friction" OneWay;
    /// Clone a repository to a path: [`Checkout`], [`CheckoutResult`].
    Checkout = "checkout" Progress on Project => core (Checkout);
    /// Stored errors not yet seen: a list, each as in the file that keeps them.
    GetErrors = "get_errors" Reply on Project => core;
    /// Mark stored errors as seen: [`MarkErrors`].
    MarkErrors = "mark_errors" Reply on Project => core (MarkErrors);
    /// Agents, older form: [`Sessions`].
    Sessions = "sessions" Reply on Project => core;
    /// Agents: [`Instances`].
    Instances = "instances" Reply on Project => core (InstancesAsk);
    /// Run the daemon's own checks: [`Doctor`].
    Doctor = "doctor" Reply on Project => core;
    /// Make the clones smaller now: [`TriggerGc`].
    TriggerGc = "trigger_gc" Reply on Project => core (TriggerGcAsk);
    /// Build the code index: [`CodeIndex`], [`CodeIndexResult`].
    CodeIndex = "code_index" Progress;
    /// State of the code index: [`CodeDbStats`].
    CodeStatus = "code_status" Reply;
    /// Pending whispers of an agent: [`WhispersAsk`], [`Whispers`].
    Whispers = "whispers" Reply on Project => core (WhispersAsk);
    /// Whispers of the past: [`WhisperHistoryAsk`], [`WhisperHistory`].
    WhisperHistory = "whisper_history" Reply on Project => core (WhisperHistoryAsk);
    /// A recording has ended: [`SessionFinalize`].
    SessionFinalize = "session_finalize" OneWay on Project => core (SessionFinalize);
    /// Follow a recording: [`SessionWatchStart`].
    SessionWatchStart = "session_watch_start" OneWay on Project => core (SessionWatchStart);
    /// Follow it no longer: [`SessionWatchStop`].
    SessionWatchStop = "session_watch_stop" OneWay on Project => core (SessionWatchStop);
    /// Publish a murmur: [`Murmur`].
    Murmur = "murmur" OneWay on Project => core (Box<Murmur>);
    /// Hold back an agent's murmurs: [`AgentRef`].
    MurmurPause = "murmur_pause" OneWay on Project => core (AgentRef);
    /// Let them go again: [`AgentRef`].
    MurmurResume = "murmur_resume" OneWay on Project => core (AgentRef);
    /// Ours, host socket only: serve a project: [`Attach`], [`Attached`].
    Attach = "attach" Reply on Host => core (Attach);
    /// Ours, host socket only: what is attached: [`Projects`].
    Projects = "projects" Reply on Host => core;
    /// Ours: what of the caller's environment leads git to remotes: [`Environment`].
    Environment = "environment" Reply on Project => core (Environment);
    /// Ours, host socket only: how agents' hooks are: [`HooksState`].
    HooksGet = "hooks_get" Reply on Host => core;
    /// Ours, host socket only: use hooks, or those of one agent, or no more: [`HooksSet`], [`HooksSetDone`].
    HooksSet = "hooks_set" Reply on Host => core (HooksSet);
    /// Ours, host socket only: agents' settings are to be as the user wants them: [`HooksState`].
    HooksReconcile = "hooks_reconcile" Reply on Host => core;
    /// Ours, host socket only: how background work of agents stands, and that it is to pause or go on: [`AgentWorkAsk`],
    /// [`AgentWorkStatus`].
    AgentWork = "agent_work" Reply on Host => core (AgentWorkAsk);
    /// Ours, host socket only: how the relay stands: [`RelayStatus`].
    RelayStatus = "relay_status" Reply on Host => core;
    /// Ours, host socket only: all that is stored is to be sent before the answer: [`RelayFlushed`].
    RelayFlush = "relay_flush" Reply on Host => core;
    /// Ours, host socket only: the link of the relay is to end; answered when it has.
    RelayStop = "relay_stop" Reply on Host => core;
    /// Ours, host socket only: settings or login of the relay have changed: [`RelayStatus`].
    RelayReload = "relay_reload" Reply on Host => core;
}

const _: () = assert!(Message::ALL.len() <= 64, "Served is one 64-bit set");

/// A set of message types that a listener serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served(u64);

impl Served {
    /// The set of those served on these sockets.
    pub const fn on(on: On) -> Served {
        let (mut bits, mut i) = (0, 0);
        while i < Message::ALL.len() {
            let message = Message::ALL[i];
            bits |= match (message.on(), on) {
                (Some(On::Both), _) | (Some(On::Project), On::Project) | (Some(On::Host), On::Host) => {
                    1 << message as u64
                }
                _ => 0,
            };
            i += 1;
        }
        Served(bits)
    }

    /// The set of these types.
    pub const fn of(messages: &[Message]) -> Served {
        let mut bits = 0;
        let mut i = 0;
        while i < messages.len() {
            bits |= 1 << messages[i] as u64;
            i += 1;
        }
        Served(bits)
    }

    /// Whether `message` is one of them.
    pub const fn has(self, message: Message) -> bool {
        self.0 & (1 << message as u64) != 0
    }
}

/// Why a payload or an answer's data could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(#[from] serde_json::Error);

/// Reads a payload or an answer's data by the rules of the wire. An absent one (`None`) is the zero value.
///
/// # Errors
/// Not JSON, or a key with a value of another type.
pub fn decode<T: DeserializeOwned + Default>(json: Option<&[u8]>) -> Result<T, DecodeError> {
    let Some(json) = json else { return Ok(T::default()) };
    // Most payloads hold no null, and no key twice: they are read in one go.
    if memchr::memmem::find(json, b"null").is_none()
        && let Ok(read) = serde_json::from_slice(json)
    {
        return Ok(read);
    }
    // `Value` keeps the last of two equal keys, which a derived reader would refuse.
    let value: Value = serde_json::from_slice(json)?;
    match without_nulls(value) {
        Value::Null => Ok(T::default()),
        value => Ok(T::deserialize(value)?),
    }
}

/// Drops the keys whose value is `null`: for the wire they are the same as missing ones.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        Value::Array(list) => Value::Array(list.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// True for what an optional number leaves out.
#[allow(clippy::trivially_copy_pass_by_ref)] // the shape serde asks for
fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// True for what an optional flag leaves out.
#[allow(clippy::trivially_copy_pass_by_ref)] // the shape serde asks for
fn is_false(b: &bool) -> bool {
    !*b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_type() {
        for &message in Message::ALL {
            assert_eq!(Message::from_name(message.name()), Some(message));
            assert!(Served::of(&[message]).has(message));
        }
        assert_eq!(Message::from_name("notifications"), None);
        assert!(!Served::of(&[Message::Ping]).has(Message::Status));
    }

    #[test]
    fn nulls_missing_unknown_and_double_keys_are_read() {
        let read = |s: &str| decode::<Checkout>(Some(s.as_bytes())).unwrap();
        assert_eq!(read("{}"), Checkout::default());
        assert_eq!(read("null"), Checkout::default());
        assert_eq!(read(r#"{"repo_path":null,"x":[null,{"y":null}]}"#), Checkout::default());
        assert_eq!(read(r#"{"repo_path":"a","repo_path":"b"}"#).repo_path, "b");
        assert!(decode::<Checkout>(Some(br#"{"repo_path":1}"#)).is_err());
        assert!(decode::<Checkout>(Some(b"[")).is_err());
    }
}
