//! Whose events they are: one user of one server.

use sha2::{Digest as _, Sha256};

use crate::kit::hex::hex;
use serde::{Deserialize, Serialize};

/// A user of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Where the server is, as it was logged in to; no slash at the end.
    pub server_url: String,
    /// The user as the server calls them; empty where a token is all that is known.
    pub user_id: String,
}

impl Account {
    /// A user of a server; slashes at the end of its address make no other server.
    pub fn new(server_url: &str, user_id: &str) -> Account {
        Account { server_url: server_url.trim_end_matches('/').to_owned(), user_id: user_id.to_owned() }
    }

    /// What its directory is called: digits, another one for each account.
    pub fn key(&self) -> String {
        account_key(&self.server_url, &self.user_id)
    }
}

/// As [`Account::key`].
pub fn account_key(server_url: &str, user_id: &str) -> String {
    let server = server_url.trim_end_matches('/');
    let mut hash = Sha256::new();
    // The length goes first, so that no two pairs run together to one text.
    hash.update((server.len() as u64).to_be_bytes());
    hash.update(server);
    hash.update(user_id);
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_has_a_name_of_its_own_that_is_a_file_name_everywhere() {
        let pairs = [
            ("https://a.example", "1"),
            ("https://a.example", "2"),
            ("https://a.example1", ""),
            ("https://a.example", ""),
            ("https://A.example", "1"),
            ("https://a.example/x", "1"),
            ("", "https://a.example1"),
            ("https://a.example", "../../etc"),
        ];
        let keys: Vec<_> = pairs.iter().map(|(server, user)| account_key(server, user)).collect();
        for (n, key) in keys.iter().enumerate() {
            assert!(key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit()), "{key}");
            assert!(!keys[..n].contains(key), "{:?}", pairs[n]);
        }
        assert_eq!(Account::new("https://a.example//", "1").key(), keys[0]);
    }
}
