//! A large file to a server of Git LFS on loopback and back, beside the same bytes through a plain socket, with the memory that it takes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use common::support::TestEnv;
use common::{fixed, peak, peak_anew, quick, ratio, time, title};
use ox::git::lfs::{Download, Lfs, Upload};
use ox::git::{self, Git, Profile};
use ox::http::Client;
use ox::kit::cancel::Cancel;
use ox::kit::clock::SystemClock;
use ox::kit::pointer::{Hasher, Pointer};

/// What the transfer of a file may take beyond what it has, in MiB.
const MEMORY: f64 = 4.0;

fn main() {
    title("lfs");
    let size: u64 = if quick() { 10_000_000 } else { 100_000_000 };
    let env = TestEnv::new();
    let path = env.work().join("file");
    write(&path, size);
    let object = of(&path);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (served, oid) = (path.clone(), object.oid.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (served, oid) = (served.clone(), oid.clone());
            std::thread::spawn(move || serve(&stream, &served, size, &oid).unwrap_or_default());
        }
    });
    let clock = Arc::new(SystemClock);
    let vars = git::Env::of(env.vars().map(|(n, v)| (n.to_owned(), v.to_owned())));
    let git = Git::new(Profile::SelfHosted, vars, clock.clone(), "bench").with_http(Client::new(clock));
    let cancel = Cancel::new();
    let lfs =
        Lfs::new(&git, &format!("http://{address}/r.git"), &env.work().join("lfs.json"), &cancel).unwrap();
    assert!(lfs.is_there().unwrap());

    let floor = time(|| plain(&path, size)).as_secs_f64();
    let before = peak_anew();
    let uploads = [Upload { object: object.clone(), path: path.clone() }];
    let took = time(|| lfs.upload(&uploads, &mut |_, _| ()).unwrap()).as_secs_f64();
    ratio("upload / a plain socket", took * 1e3, floor * 1e3, "ms", 4.0);
    fixed("upload, memory", (peak() - before) / 1024.0, "MiB", MEMORY);
    println!("{:<44} {:>12.0}", "upload, MB/s", size as f64 / took / 1e6);

    let before = peak_anew();
    let to = env.work().join("got");
    let downloads = [Download { object, to }];
    let took = time(|| lfs.download(&downloads, &mut |_, _| ()).unwrap()).as_secs_f64();
    ratio("download, hashed and on disk / a plain socket", took * 1e3, floor * 1e3, "ms", 20.0);
    fixed("download, memory", (peak() - before) / 1024.0, "MiB", MEMORY);
    println!("{:<44} {:>12.0}", "download, MB/s", size as f64 / took / 1e6);
}

fn write(path: &Path, size: u64) {
    let mut file = io::BufWriter::new(File::create(path).unwrap());
    for n in 0..size {
        file.write_all(&[(n * n % 251) as u8]).unwrap();
    }
}

fn of(path: &Path) -> Pointer {
    let (mut file, mut piece, mut hasher) = (File::open(path).unwrap(), vec![0; 1 << 16], Hasher::default());
    loop {
        match file.read(&mut piece).unwrap() {
            0 => break,
            got => hasher.update(&piece[..got]),
        }
    }
    let (oid, size) = hasher.finish();
    Pointer { oid, size }
}

/// The same bytes from one thread to another.
fn plain(path: &Path, size: u64) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let taking = std::thread::spawn(move || discard(&mut listener.accept().unwrap().0, size));
    let mut file = File::open(path).unwrap();
    let (mut out, mut piece) = (TcpStream::connect(address).unwrap(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece).unwrap() {
            0 => break,
            got => out.write_all(&piece[..got]).unwrap(),
        }
    }
    taking.join().unwrap();
}

fn discard(from: &mut impl io::Read, size: u64) {
    let (mut left, mut piece) = (size, vec![0; 1 << 16]);
    while left > 0 {
        let most = piece.len().min(usize::try_from(left).unwrap());
        let got = from.read(&mut piece[..most]).unwrap();
        assert!(got > 0, "it ended too early");
        left -= got as u64;
    }
}

/// A server that throws away what it gets, and gives out the one file.
fn serve(stream: &TcpStream, file: &Path, size: u64, oid: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut out) = (BufReader::new(stream), stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        if first.starts_with("POST") {
            let mut question = vec![0; length];
            reader.read_exact(&mut question)?;
            let which =
                if String::from_utf8_lossy(&question).contains("\"upload\"") { "upload" } else { "download" };
            let href = format!("http://{}/x", stream.local_addr()?);
            let text = format!(
                "{{\"objects\":[{{\"oid\":\"{oid}\",\"size\":{size},\"actions\":{{\"{which}\":{{\"href\":\"{href}\"}}}}}}]}}"
            );
            write!(out, "HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n{text}", text.len())?;
        } else if first.starts_with("PUT") {
            discard(&mut reader, length as u64);
            write!(out, "HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n")?;
        } else {
            write!(out, "HTTP/1.1 200 X\r\nContent-Length: {size}\r\n\r\n")?;
            io::copy(&mut File::open(file)?, &mut out)?;
        }
    }
}
