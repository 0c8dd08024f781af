//! The pkt-line framing of git's protocol (gitprotocol-common(5)), and the two answers that tell where refs are.

use git2::Oid;

use super::discover::Remote;

/// Bytes of the longest line, its length included.
const LINE_MAX: usize = 65_520;

/// Why an answer is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::git) enum Broken {
    /// It ends before its end.
    Cut,
    /// It is not git's protocol.
    Foreign(&'static str),
    /// The server's own words.
    Refused(String),
}

/// The frames of an answer that is all there.
pub(in crate::git) struct Packets<'a>(&'a [u8]);

impl<'a> Packets<'a> {
    pub(in crate::git) fn new(bytes: &'a [u8]) -> Packets<'a> {
        Packets(bytes)
    }

    /// The next line up to its newline; `None` at the end of the message.
    fn line(&mut self) -> Result<Option<&'a [u8]>, Broken> {
        let Some((head, rest)) = self.0.split_first_chunk::<4>() else { return Err(Broken::Cut) };
        let digits = std::str::from_utf8(head).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let (line, rest) = match digits.and_then(|d| usize::from_str_radix(d, 16).ok()) {
            Some(0) => (None, rest),
            Some(1 | 2) => return Err(Broken::Foreign("a section where none is")),
            Some(length @ 4..=LINE_MAX) => {
                let (line, rest) = rest.split_at_checked(length - 4).ok_or(Broken::Cut)?;
                (Some(line.strip_suffix(b"\n").unwrap_or(line)), rest)
            }
            _ => return Err(Broken::Foreign("a frame without a length")),
        };
        self.0 = rest;
        match line.and_then(|line| line.strip_prefix(b"ERR ")) {
            Some(why) => Err(Broken::Refused(String::from_utf8_lossy(why).trim_end().to_owned())),
            None => Ok(line),
        }
    }
}

/// Appends a line.
pub(in crate::git) fn write_line(out: &mut Vec<u8>, line: &str) {
    debug_assert!(line.len() + 5 <= LINE_MAX);
    out.extend(format!("{:04x}{line}\n", line.len() + 5).bytes());
}

/// What a server says of itself before the first command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::git) enum Advertised {
    /// It takes commands.
    V2(Capabilities),
    /// It shows all its refs at once.
    Refs(Remote),
}

/// What a server of protocol 2 can do, as far as a look needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::git) struct Capabilities {
    /// It names the branch that a HEAD without a commit points to.
    pub(in crate::git) unborn: bool,
    /// It wants to hear which object format we mean.
    pub(in crate::git) object_format: bool,
}

/// Reads the answer to `info/refs` (gitprotocol-http(5)); `branch` is the one asked for.
pub(in crate::git) fn read_advertisement(bytes: &[u8], branch: Option<&str>) -> Result<Advertised, Broken> {
    let mut packets = Packets::new(bytes);
    let mut first = packets.line()?;
    if first == Some(b"# service=git-upload-pack") {
        if packets.line()?.is_some() {
            return Err(Broken::Foreign("no end after the name of the service"));
        }
        first = packets.line()?;
    }
    match first {
        Some(b"version 2") => read_capabilities(packets).map(Advertised::V2),
        Some(b"version 1") => {
            let first = packets.line()?;
            read_all_refs(first, packets, branch).map(Advertised::Refs)
        }
        first => read_all_refs(first, packets, branch).map(Advertised::Refs),
    }
}

fn read_capabilities(mut packets: Packets<'_>) -> Result<Capabilities, Broken> {
    let (mut found, mut ls_refs) = (Capabilities::default(), false);
    while let Some(line) = packets.line()? {
        let line = String::from_utf8_lossy(line);
        let (name, values) = line.split_once('=').unwrap_or((&line, ""));
        match name {
            "ls-refs" => {
                ls_refs = true;
                found.unborn = values.split(' ').any(|v| v == "unborn");
            }
            "object-format" => {
                found.object_format = true;
                only_sha1(values)?;
            }
            _ => {}
        }
    }
    if ls_refs { Ok(found) } else { Err(Broken::Foreign("it does not list refs")) }
}

fn only_sha1(format: &str) -> Result<(), Broken> {
    if format == "sha1" { Ok(()) } else { Err(Broken::Foreign("its object format is not sha1")) }
}

/// Refs of protocol 0 and 1: `<id> SP <name>`, the first with the capabilities after a zero byte.
fn read_all_refs(
    first: Option<&[u8]>,
    mut packets: Packets<'_>,
    branch: Option<&str>,
) -> Result<Remote, Broken> {
    let mut scan = RefScan::for_branch(branch);
    // A server of protocol 0 without refs still has one line for its capabilities, but some send none.
    let Some(first) = first else { return Ok(scan.found) };
    let zero = first.iter().position(|b| *b == 0).unwrap_or(first.len());
    let (line, capabilities) = first.split_at(zero);
    for capability in String::from_utf8_lossy(capabilities).trim_matches('\0').split(' ') {
        if let Some(target) = capability.strip_prefix("symref=HEAD:") {
            scan.points_to(target);
        }
        if let Some(format) = capability.strip_prefix("object-format=") {
            only_sha1(format)?;
        }
    }
    let mut line = Some(line);
    while let Some(bytes) = line {
        // `shallow <id>` lines follow the refs of a shallow repository.
        let (id, name) = split_ref(bytes)?;
        if id != b"shallow" && name != b"capabilities^{}" {
            scan.sees(parse_id(id)?, name);
        }
        line = packets.line()?;
    }
    Ok(scan.found)
}

/// Reads the answer to `ls-refs` (gitprotocol-v2(5)): `<id or unborn> SP <name> [SP <attribute>]…`.
pub(in crate::git) fn read_refs(bytes: &[u8], branch: Option<&str>) -> Result<Remote, Broken> {
    let mut packets = Packets::new(bytes);
    let mut scan = RefScan::for_branch(branch);
    while let Some(line) = packets.line()? {
        let (id, rest) = split_ref(line)?;
        let mut words = rest.split(|b| *b == b' ');
        let name = words.next().unwrap_or_default();
        if name == b"HEAD" {
            let targets = words.filter_map(|w| w.strip_prefix(b"symref-target:"));
            targets.for_each(|t| scan.points_to(&String::from_utf8_lossy(t)));
        }
        if id != b"unborn" {
            scan.sees(parse_id(id)?, name);
        }
    }
    Ok(scan.found)
}

fn split_ref(line: &[u8]) -> Result<(&[u8], &[u8]), Broken> {
    let space = line.iter().position(|b| *b == b' ').ok_or(Broken::Foreign("a ref without a name"))?;
    let (id, rest) = line.split_at(space);
    Ok((id, rest.get(1..).unwrap_or_default()))
}

fn parse_id(id: &[u8]) -> Result<Oid, Broken> {
    let text = std::str::from_utf8(id).ok().filter(|t| t.len() == 40);
    text.and_then(|t| Oid::from_str(t).ok()).ok_or(Broken::Foreign("a ref without a commit"))
}

/// What is looked for among the refs.
pub(super) struct RefScan {
    wanted: String,
    pub(super) found: Remote,
}

impl RefScan {
    pub(super) fn for_branch(branch: Option<&str>) -> RefScan {
        let wanted = branch.map_or("HEAD".to_owned(), |b| format!("refs/heads/{b}"));
        RefScan { wanted, found: Remote { head_branch: None, tip: None } }
    }

    pub(super) fn points_to(&mut self, target: &str) {
        self.found.head_branch = target.strip_prefix("refs/heads/").map(str::to_owned);
    }

    pub(super) fn sees(&mut self, id: Oid, name: &[u8]) {
        if name == self.wanted.as_bytes() {
            self.found.tip = Some(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "2222222222222222222222222222222222222222";

    /// Frames of a text: a line each; `=` is a flush, `-` a delimiter.
    fn frames(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for line in text.lines() {
            match line {
                "=" => out.extend(b"0000"),
                "-" => out.extend(b"0001"),
                line => write_line(&mut out, &line.replace("\\0", "\0")),
            }
        }
        out
    }

    fn remote(head: Option<&str>, tip: Option<&str>) -> Remote {
        Remote { head_branch: head.map(str::to_owned), tip: tip.map(|t| Oid::from_str(t).unwrap()) }
    }

    #[test]
    fn answers_of_protocol_2_are_read() {
        let check = |text: &str, branch, expected| {
            assert_eq!(read_refs(&frames(text), branch), expected, "{text}");
        };
        let both =
            format!("{A} HEAD symref-target:refs/heads/main\n{A} refs/heads/main\n{B} refs/heads/main2\n=");
        check(&both, None, Ok(remote(Some("main"), Some(A))));
        check(&both, Some("main"), Ok(remote(Some("main"), Some(A))));
        check(&both, Some("main2"), Ok(remote(Some("main"), Some(B))));
        check(&both, Some("mai"), Ok(remote(Some("main"), None)));
        check("unborn HEAD symref-target:refs/heads/trunk\n=", None, Ok(remote(Some("trunk"), None)));
        check(&format!("{A} HEAD\n="), None, Ok(remote(None, Some(A))));
        check("=", Some("main"), Ok(remote(None, None)));
        check(&format!("{A} refs/heads/main"), Some("main"), Err(Broken::Cut));
        check("", Some("main"), Err(Broken::Cut));
        check("ERR go away\n=", None, Err(Broken::Refused("go away".into())));
        check(&format!("{A}{A} HEAD\n="), None, Err(Broken::Foreign("a ref without a commit")));
        check("hello\n=", None, Err(Broken::Foreign("a ref without a name")));
        check("-", None, Err(Broken::Foreign("a section where none is")));
    }

    #[test]
    fn advertisements_are_read() {
        let check = |text: &str, branch, expected| {
            assert_eq!(read_advertisement(&frames(text), branch), expected, "{text}");
        };
        let v2 = |unborn, object_format| Ok(Advertised::V2(Capabilities { unborn, object_format }));
        let refs = |head, tip| Ok(Advertised::Refs(remote(head, tip)));
        let service = "# service=git-upload-pack\n=\n";
        let new = "version 2\nagent=x\nls-refs=unborn\nfetch=shallow\nobject-format=sha1\n=";
        check(&format!("{service}{new}"), None, v2(true, true));
        check(new, None, v2(true, true));
        check("version 2\nls-refs\n=", None, v2(false, false));
        check("version 2\nfetch\n=", None, Err(Broken::Foreign("it does not list refs")));
        let sha256 = "version 2\nls-refs\nobject-format=sha256\n=";
        check(sha256, None, Err(Broken::Foreign("its object format is not sha1")));
        let old = format!(
            "{A} HEAD\\0 thin symref=HEAD:refs/heads/main agent=x\n{A} refs/heads/main\n{B} refs/x\n="
        );
        check(&format!("{service}{old}"), None, refs(Some("main"), Some(A)));
        check(&format!("{service}version 1\n{old}"), Some("main"), refs(Some("main"), Some(A)));
        check(&format!("{service}{old}"), Some("x"), refs(Some("main"), None));
        let empty = format!("{} capabilities^{{}}\\0 thin\n=", "0".repeat(40));
        check(&format!("{service}{empty}"), Some("main"), refs(None, None));
        check(&format!("{service}="), Some("main"), refs(None, None));
        check(&format!("{A} refs/heads/main\\0thin\nshallow {A}\n="), Some("main"), refs(None, Some(A)));
        // Never taken for "no refs".
        check("# service=git-upload-pack\n=", None, Err(Broken::Cut));
        check(&format!("{service}{A} refs/heads/x\\0"), None, Err(Broken::Cut));
        check("", None, Err(Broken::Cut));
        let page = read_advertisement(b"<!DOCTYPE html>", None);
        assert_eq!(page, Err(Broken::Foreign("a frame without a length")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (_, _) = (read_advertisement(&bytes, Some("x")), read_refs(&bytes, None));
        }

        #[test]
        fn an_answer_cut_anywhere_is_no_answer(lines in prop::collection::vec("[0-9a-f]{40} [a-z/ ]{1,30}", 0..8), at in any::<prop::sample::Index>()) {
            let whole = frames(&format!("{}\n=", lines.join("\n")).trim_start().replace("\n\n", "\n"));
            prop_assert!(read_refs(&whole, Some("x")).is_ok());
            let cut = &whole[..at.index(whole.len())];
            prop_assert_eq!(read_refs(cut, Some("x")), Err(Broken::Cut));
        }

        #[test]
        fn frames_come_out_as_they_went_in(lines in prop::collection::vec("[^\\n]{0,200}", 0..20)) {
            let lines: Vec<String> = lines.into_iter().filter(|l| !l.starts_with("ERR ")).collect();
            let mut bytes = Vec::new();
            lines.iter().for_each(|l| write_line(&mut bytes, l));
            bytes.extend(b"0000");
            let mut packets = Packets::new(&bytes);
            for line in &lines {
                prop_assert_eq!(packets.line(), Ok(Some(line.as_bytes())));
            }
            prop_assert_eq!(packets.line(), Ok(None));
            prop_assert_eq!(packets.line(), Err(Broken::Cut));
        }
    }
}
