//! Pages of the program itself, which the kernel keeps mapped long after they were last used.

use std::path::Path;
use std::sync::OnceLock;

/// Has the kernel unmap every page of the program that nobody has changed; answers how many bytes of address space that concerned. A
/// page that is used again is mapped again from the kernel's cache, which costs a microsecond. What only the start of a program needs
/// so does not count as its memory for ever, and can be given to others. On other systems than Linux nothing is done.
pub fn let_go_of_program_pages() -> usize {
    // Where the program lies does not change while it runs, and the table is long.
    static RANGES: OnceLock<Vec<(usize, usize)>> = OnceLock::new();
    let ranges = RANGES.get_or_init(|| {
        let program = std::fs::read_link("/proc/self/exe");
        let table = std::fs::read_to_string("/proc/self/smaps");
        program.and_then(|program| Ok(unchanged(&table?, &program))).unwrap_or_default()
    });
    ranges.iter().filter_map(|(from, to)| let_go(*from, *to)).sum()
}

#[cfg(target_os = "linux")]
fn let_go(from: usize, to: usize) -> Option<usize> {
    let at = std::ptr::with_exposed_provenance_mut(from);
    // Sound: the mapping is of a file, may not be written to, and has no page that was changed after it was read from that file: the
    // kernel's own table said so, and a mapping without the right to write does not change afterwards (the loader, which alone could
    // give it that right, is done before `main`; what a debugger writes into it is lost). So every page of it can be read again from the file with the same bytes, and the file
    // cannot change: the kernel refuses writes to a program that runs. No memory is freed, only its mapping is made anew on use.
    #[allow(unsafe_code)]
    let done = unsafe { rustix::mm::madvise(at, to - from, rustix::mm::Advice::LinuxDontNeed) };
    done.is_ok().then_some(to - from)
}

#[cfg(not(target_os = "linux"))]
fn let_go(_: usize, _: usize) -> Option<usize> {
    None
}

/// The address ranges in a table of proc_pid_smaps(5) that map `program`, may not be written to and hold no changed page.
fn unchanged(table: &str, program: &Path) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut current = None;
    let mut none_in_memory = false;
    for line in table.lines() {
        if let Some(range) = mapping(line) {
            current = range.1.filter(|path| Path::new(path) == program).map(|_| range.0);
            none_in_memory = false;
        } else if let Some(changed) = line.strip_prefix("Anonymous:") {
            none_in_memory = changed.trim() == "0 kB";
        } else if let Some(changed) = line.strip_prefix("Swap:") {
            // Changed pages are in memory or in swap; an entry without this line proves nothing.
            found.extend(current.take().filter(|_| none_in_memory && changed.trim() == "0 kB"));
        }
    }
    found
}

type Range = (usize, usize);

/// The first line of a mapping: its addresses, and its file if it is one that may be read and not written to.
fn mapping(line: &str) -> Option<(Range, Option<&str>)> {
    let (addresses, rest) = line.split_once(' ')?;
    let (from, to) = addresses.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let range = (number(from)?, number(to)?);
    let rights = rest.get(..4)?;
    let private = rights.starts_with('r') && &rights[1..2] == "-" && rights.ends_with('p');
    // Rights, offset, device, inode, and then the path, which may hold blanks.
    let path = rest.splitn(5, ' ').nth(4).map(str::trim_start).filter(|path| path.starts_with('/'));
    Some((range, path.filter(|_| private && range.0 < range.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unchanged_mappings_of_the_program_that_nobody_may_write_count() {
        let entry = |line: &str, changed: &str| {
            let (memory, swap) = changed.split_once('+').unwrap_or((changed, "0"));
            format!("{line}\nRss: 4 kB\nAnonymous:      {memory} kB\nSwap:     {swap} kB\nVmFlags: rd mr\n")
        };
        let table = [
            entry("1000-2000 r--p 00000000 fe:00 123                        /opt/my ox", "0"),
            entry("2000-3000 r-xp 00001000 fe:00 123                        /opt/my ox", "0"),
            entry("3000-4000 r--p 00002000 fe:00 123                        /opt/my ox", "4"),
            entry("3000-4000 r--p 00002000 fe:00 123                        /opt/my ox", "0+4"),
            "3000-4000 r--p 00002000 fe:00 123                        /opt/my ox\nAnonymous: 0 kB\n".into(),
            entry("4000-5000 rw-p 00003000 fe:00 123                        /opt/my ox", "0"),
            entry("5000-6000 r--s 00003000 fe:00 123                        /opt/my ox", "0"),
            entry("6000-7000 r-xp 00003000 fe:00 124                        /lib/libc.so", "0"),
            entry("7000-8000 r-xp 00000000 00:00 0                          [vdso]", "0"),
            entry("8000-9000 rw-p 00000000 00:00 0 ", "0"),
            entry("8000-7000 r-xp 00000000 fe:00 123                        /opt/my ox", "0"),
        ];
        let found = unchanged(&table.concat(), Path::new("/opt/my ox"));
        assert_eq!(found, [(0x1000, 0x2000), (0x2000, 0x3000)]);
        assert_eq!(unchanged("", Path::new("/")), []);
        assert_eq!(unchanged("x-y r-xp\nAnonymous: 0 kB\nzz", Path::new("/")), []);
    }

    #[test]
    fn the_program_goes_on_with_the_same_bytes() {
        let done = let_go_of_program_pages();
        assert_eq!(done > 0, cfg!(target_os = "linux"));
        assert_eq!(format!("{:?}", [1.5, f64::NAN]), "[1.5, NaN]");
        assert_eq!(mapping("nonsense"), None);
    }
}
