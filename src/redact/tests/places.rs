//! Secret files and the home directory.

use super::*;

#[test]
fn secret_files_are_known_by_their_names() {
    for path in [
        ".env",
        "a/.env.local",
        "/x/.ENV.example",
        "server.pem",
        "tls/Server.Key",
        "/home/anna/.ssh/id_ed25519",
        "id_rsa.pub",
        "aws/credentials",
        "C:\\x\\my-Credentials.json",
        ".git-credentials",
        ".env.d/readme.md",
    ] {
        assert!(is_secret_path(path), "{path}");
    }
    for path in
        ["", "src/main.rs", "environment.rs", "keyboard.rs", "monkey", "pem.rs", "guid_x", "src/key/mod.rs"]
    {
        assert!(!is_secret_path(path), "{path}");
    }
}

#[test]
fn the_home_directory_is_hidden_at_borders_of_names() {
    let check = |text: &str, expected: &str| assert_eq!(hide_home(text, "/home/anna"), expected, "{text}");
    check("/home/anna", "~");
    check("in /home/anna/src and /home/anna.", "in ~/src and ~.");
    check("\"cwd\":\"/home/anna/x\",\\n/home/anna:/home/anna/bin", "\"cwd\":\"~/x\",\\n~:~/bin");
    check("file:///home/anna/a", "file://~/a");
    for text in
        ["/home/annabel/x", "/home/anna-b", "/home/anna.old/x", "/mnt/home/anna", "/home/ann", "x/home/anna"]
    {
        assert!(matches!(hide_home(text, "/home/anna"), Cow::Borrowed(_)), "{text}");
    }
    assert_eq!(hide_home("/home/anna/x", "/home/anna/"), "~/x");
    for home in ["", "/", "anna"] {
        assert_eq!(hide_home("/home/anna/x", home), "/home/anna/x");
    }
}
