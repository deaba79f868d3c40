//! Where a rebuild works: in memory where there is room, else where Nix builds.
//!
//! A worktree is many small files that live for a second. On a disk's file system the kernel spends most of a rebuild on
//! looking for free inodes (measured: 5 min 24 s for 1,038 rebuilds on ext4, 1 min 51 s in memory). Nix gives every build a
//! `/dev/shm` of its own and takes it away afterwards.

use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::Fault;

/// The memory file system that Nix mounts for each build.
const SHM: &str = "/dev/shm";

/// What cargo and git need besides copies of the source, in bytes.
const SPARE: u64 = 64 << 20;

/// All builds of a machine together take at most this part of its memory: with as many at a time as it has processors, each
/// may have its share.
const PART_OF_MEMORY: u64 = 4;

/// The folder to work in, which is empty. In memory where that has room for three times the source: the worktree, the crate
/// and what lies between. Room is what `/dev/shm` has free, what the machine has available, and this build's share of it.
///
/// # Errors
/// Where no folder can be made, or the source can't be looked at.
pub fn choose<'a>(sources: impl Iterator<Item = &'a Path>, build: &Path) -> Result<PathBuf, Fault> {
    let mut needed = SPARE;
    for source in sources {
        needed += 3 * size(source)?;
    }
    let memory = fs_err::read_to_string("/proc/meminfo").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    if room(&memory, processors).is_some_and(|room| needed <= room) && free(Path::new(SHM)) >= needed {
        let place = Path::new(SHM).join("recrate");
        if fs_err::create_dir(&place).is_ok() {
            return Ok(place);
        }
    }
    Ok(build.to_owned())
}

/// What a build may take of the machine's memory, in bytes.
fn room(meminfo: &str, processors: u64) -> Option<u64> {
    let value = |key: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    let share = value("MemTotal:")? * 1024 / PART_OF_MEMORY / processors.max(1);
    // What others take in the meantime is not known: half is left to them.
    Some(share.min(value("MemAvailable:")? * 1024 / 2))
}

/// How much a memory file system has free; nothing where it is none: then it is on the disk like everything else.
fn free(place: &Path) -> u64 {
    const TMPFS: i64 = 0x0102_1994;
    #[expect(clippy::unnecessary_cast, reason = "its type differs by architecture")]
    let is_memory = rustix::fs::statfs(place).is_ok_and(|found| found.f_type as i64 == TMPFS);
    let found = statvfs(place).ok().filter(|_| is_memory);
    found.map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// How many bytes the files of a source have.
fn size(source: &Path) -> Result<u64, Fault> {
    let found = fs_err::symlink_metadata(source)?;
    if !found.is_dir() {
        return Ok(found.len());
    }
    fs_err::read_dir(source)?.map(|entry| size(&entry?.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_builds_together_leave_the_machine_most_of_its_memory() {
        let meminfo = "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:   12000000 kB\n";
        assert_eq!(room(meminfo, 4), Some(1_000_000 * 1024));
        assert_eq!(room(meminfo, 0), Some(4_000_000 * 1024));
        let busy = meminfo.replace("12000000", "1000000");
        assert_eq!(room(&busy, 4), Some(500_000 * 1024));
        assert_eq!(room("", 4), None);
    }

    #[test]
    fn what_does_not_fit_into_memory_is_built_on_disk() {
        let (source, build) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = std::fs::File::create(source.path().join("large")).unwrap();
        // Sparse: larger than any machine's memory, and no byte of the disk.
        file.set_len(1 << 42).unwrap();
        assert_eq!(choose([source.path()].into_iter(), build.path()).unwrap(), build.path());
        assert_eq!(free(Path::new("/proc")), 0, "not a memory file system");
    }
}
