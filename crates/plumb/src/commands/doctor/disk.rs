//! Free space on the disks that the project writes to. `df` is asked: POSIX has it, and the standard library has not.

use std::path::Path;
use std::process::Command;

use super::finding::{Findings, Level};
use super::offline::existing;
use crate::config::{Config, OnlineConfig, RegistryConfig};

const CHECK: &str = "disk space";
const GIB: u64 = 1 << 30;

/// A file system.
#[derive(Debug, PartialEq, Eq)]
struct Disk {
    mounted_at: String,
    free: u64,
    total: u64,
}

/// Looks, once at each file system.
pub(super) fn look(config: &Config, found: &mut Findings) {
    let mut places = vec![&config.offline, &config.artifacts.path, &config.predictions, &config.probes];
    if let RegistryConfig::Sqlite { path } = &config.registry {
        places.push(path);
    }
    if let OnlineConfig::Embedded { path } = &config.online {
        places.push(path);
    }
    let mut disks: Vec<Disk> = Vec::new();
    for place in places {
        match free(&existing(place)) {
            Some(disk) if disks.iter().any(|known| known.mounted_at == disk.mounted_at) => {}
            Some(disk) => disks.push(disk),
            None => found.add(Level::Unknown, CHECK, place.display().to_string(), "`df` does not say"),
        }
    }
    for disk in disks {
        let says = format!("{} MiB of {} MiB are free", disk.free >> 20, disk.total >> 20);
        match disk.level() {
            Level::Ok | Level::Unknown => found.add(Level::Ok, CHECK, disk.mounted_at, says),
            level => found.advise(level, CHECK, disk.mounted_at, says, "free some, or move what grows in plumb.yaml"),
        }
    }
}

impl Disk {
    /// Of a large disk a tenth is still much; nothing can be written any more where there are no 100 MiB.
    fn level(&self) -> Level {
        match () {
            () if self.free < GIB / 10 => Level::Failed,
            () if self.free < self.total / 10 && self.free < 20 * GIB => Level::Warning,
            () => Level::Ok,
        }
    }
}

fn free(folder: &Path) -> Option<Disk> {
    let answer = Command::new("df").arg("-Pk").arg(folder).env("LC_ALL", "C").output().ok()?;
    parse(&String::from_utf8_lossy(&answer.stdout))
}

/// Reads the second line: name, KiB, used, free, percent, place. Names and places may hold spaces.
fn parse(text: &str) -> Option<Disk> {
    let line = text.lines().nth(1)?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_percent = |word: &&str| word.strip_suffix('%').is_some_and(|digits| digits.parse::<u32>().is_ok());
    let at = words.iter().rposition(is_percent).filter(|at| *at >= 4)?;
    let kib = |word: &str| word.parse::<u64>().ok()?.checked_mul(1024);
    Some(Disk { mounted_at: words[at + 1..].join(" "), free: kib(words[at - 1])?, total: kib(words[at - 3])? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Filesystem 1024-blocks Used Available Capacity Mounted on\n";

    #[test]
    fn names_and_places_may_hold_spaces() {
        let disk = parse(&format!("{HEADER}//host/my share 1000 600 400 60% /mnt/my disk\n")).unwrap();
        assert_eq!(disk, Disk { mounted_at: "/mnt/my disk".to_owned(), free: 400 << 10, total: 1000 << 10 });
        assert_eq!(parse(HEADER), None);
        assert_eq!(parse(&format!("{HEADER}tmpfs - - - - /x\n")), None);
    }

    #[test]
    fn a_tenth_of_a_small_disk_is_little_and_no_room_at_all_is_a_failure() {
        let level = |free, total| Disk { mounted_at: String::new(), free, total }.level();
        assert_eq!(level(5 * GIB, 100 * GIB), Level::Warning);
        assert_eq!(level(50 * GIB, 1000 * GIB), Level::Ok);
        assert_eq!(level(50 << 20, 100 * GIB), Level::Failed);
    }
}
