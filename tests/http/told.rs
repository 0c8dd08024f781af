//! Each exchange is told of once, with the bytes that went over the network, and nothing else.

use std::sync::{Arc, Mutex};

use ox::kit::contact::{self, Contact, End, Peer, Purpose};

use super::client;
use crate::support::http_script::{Act, Server, answer, ok};
use crate::support::own_process;
use crate::support::port::Port;

#[test]
fn an_exchange_is_told_of_once_with_its_bytes_and_its_purpose() {
    own_process("http::told::an_exchange_is_told_of_once_with_its_bytes_and_its_purpose", || {
        let heard: Arc<Mutex<Vec<Contact>>> = Arc::default();
        let hears = Arc::clone(&heard);
        contact::record(move |contact| hears.lock().unwrap().push(contact.clone()));
        let take = || std::mem::take(&mut *heard.lock().unwrap());
        let redirect = || answer(302, "Location: /to\r\n", b"");
        let whole = b"CANARY".repeat(20_000);
        let body = whole.clone();
        let server = Server::start(move |n, request| match request.split(' ').nth(1) {
            Some("/from") => vec![redirect()],
            Some("/large") => ok(&body),
            Some("/again") if n > 0 => vec![Act::Close],
            Some("/cut") => vec![Act::Close],
            _ => ok(b"hello"),
        });
        let client = client().meant_for(Purpose::Chat);

        let url = server.url("/CANARY?CANARY");
        client.post(&url, "text/plain", b"CANARY".to_vec()).send().unwrap();
        let [one] = &take()[..] else { panic!("one") };
        let Act::Say(said) = &ok(b"hello")[0] else { panic!("said") };
        let sent = server.requests()[0].len() as u64;
        assert_eq!((one.sent, one.received), (Some(sent), Some(said.len() as u64)));
        assert_eq!((one.purpose, one.end, &one.via), (Purpose::Chat, End::Status(200), &None));
        let port = Some(server.address.port());
        let peer = |port| Peer::Server { scheme: "http".into(), host: "127.0.0.1".into(), port };
        assert_eq!(one.peer, peer(port));
        assert!(!format!("{one:?}").contains("CANARY"));

        // What is larger than every buffer is counted whole.
        assert_eq!(client.get(&server.url("/large")).send().unwrap().body, whole);
        let [large] = &take()[..] else { panic!("one") };
        assert!(large.received > Some(whole.len() as u64) && large.received < Some(whole.len() as u64 + 200));

        // A redirect is another one; a kept connection that turns out to be dead is not.
        client.get(&server.url("/from")).send().unwrap();
        assert_eq!(take().iter().map(|c| c.end).collect::<Vec<_>>(), [End::Status(302), End::Status(200)]);
        client.get(&server.url("/again")).send().unwrap();
        assert_eq!(take().iter().map(|c| c.end).collect::<Vec<_>>(), [End::Status(200)]);

        // Failures are told too, and what was never tried is not.
        client.get(&server.url("/cut")).send().unwrap_err();
        assert_eq!(take().iter().map(|c| c.end).collect::<Vec<_>>(), [End::Failed("unreachable")]);
        let refusing = Port::refusing();
        client.get(&format!("http://{}/", refusing.address())).send().unwrap_err();
        let [refused] = &take()[..] else { panic!("one") };
        assert_eq!(refused.end, End::Failed("refused"));
        assert_eq!((refused.sent, refused.received), (Some(0), Some(0)));
        assert_eq!(refused.peer, peer(Some(refusing.address().port())));
        client.get("http://192.0.2.1/").send().unwrap_err();
        assert_eq!(take(), []);
    });
}
