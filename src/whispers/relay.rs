//! From murmurs in a clone to whispers in its database.

use git2::Oid;

use super::error::Error;
use super::limits::{COMMIT_MAX, FETCH_MAX};
use super::murmur::{Murmur, Refused};
use super::outbox::Outbox;
use super::store::Store;
use super::whisper::{Scope, Whisper};
use super::window::{self, Held};
use crate::git::Reader;
use crate::kit::clock::Now;

/// So far back a murmur may have been made and still be passed on, in hours (4).
const HOURS: i64 = 24;

/// What a look came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// Whispers that are new.
    pub new: usize,
    /// Contents that were left at the remote; at most [`FETCH_MAX`].
    pub missing: Vec<Oid>,
}

/// Takes in the murmurs of a clone that are not known yet, in the order of their times, and those that wait to be committed there. `heard` is
/// shown them before they count as known, some of them perhaps again.
///
/// # Errors
/// Git's or the database's; what was taken in stays.
pub fn relay(
    store: &Store,
    reader: &Reader,
    outbox: &Outbox,
    scope: &Scope,
    now: Now,
    heard: &mut dyn FnMut(&[Murmur]),
) -> Result<Relayed, Error> {
    let mut files = window::files(reader, now.wall, HOURS)?;
    let mut unknown: Vec<String> = files.iter().map(|f| f.stem.clone()).collect();
    store.knows(now, &mut unknown)?;
    unknown.sort_unstable();
    files.retain(|f| unknown.binary_search(&f.stem).is_ok());
    // Ids of ours begin with their time: what was made first comes in first, and only so many are held at once.
    files.sort_by(|a, b| a.stem.cmp(&b.stem));
    let mut relayed = Relayed::default();
    for some in files.chunks(COMMIT_MAX) {
        let (mut murmurs, mut refused) = (Vec::new(), Vec::new());
        for file in some {
            match window::read(reader, file, now.wall)? {
                Held::Murmur(murmur) => murmurs.push(*murmur),
                // Its time will come.
                Held::Refused(Refused::Ahead) => {}
                Held::Refused(why) => {
                    log::info!("not passed on: {}: {why}", file.path);
                    refused.push(file.stem.clone());
                }
                Held::Missing if relayed.missing.len() < FETCH_MAX => relayed.missing.push(file.blob.id),
                Held::Missing => {}
            }
        }
        relayed.new += take_in(store, murmurs, &refused, scope, now, heard)?;
    }
    relayed.new += take_in(store, outbox.waiting(now.wall)?, &[], scope, now, heard)?;
    Ok(relayed)
}

/// Takes in some murmurs, in the order of their times.
fn take_in(
    store: &Store,
    mut murmurs: Vec<Murmur>,
    refused: &[String],
    scope: &Scope,
    now: Now,
    heard: &mut dyn FnMut(&[Murmur]),
) -> Result<usize, Error> {
    murmurs.sort_by(|a, b| (a.timestamp, &a.id).cmp(&(b.timestamp, &b.id)));
    heard(&murmurs);
    let whispers: Vec<Whisper> = murmurs.iter().map(|murmur| Whisper::of(murmur, scope)).collect();
    store.take_in(now, &whispers, refused)
}
