//! The `unpack-toolchain` verb: an official archive and a runtime become a cargo that runs anywhere.

use std::path::{Component, Path, PathBuf};

use super::{Fault, sandbox, variable};

/// Takes `cargo/bin/cargo` out of the official `.tar.xz` at `$archive`, and the loader and libraries out of
/// `$runtime`, and puts them into `$out/bin` and `$out/lib`. The binary stays as it is: no patching.
///
/// # Errors
/// Where the archive can't be read, or is of another release than `$cargoRelease`.
pub fn unpack() -> Result<(), Fault> {
    sandbox::require(None)?;
    let archive = PathBuf::from(variable("archive")?);
    let runtime = PathBuf::from(variable("runtime")?).join("lib");
    let release = variable("cargoRelease")?;
    let out = PathBuf::from(variable("out")?);

    let (bin, lib) = (out.join("bin"), out.join("lib"));
    fs_err::create_dir_all(&bin)?;
    fs_err::create_dir_all(&lib)?;
    for entry in fs_err::read_dir(&runtime)? {
        let entry = entry?;
        // A whole C library has folders, too, that no cargo needs.
        if entry.path().is_dir() {
            continue;
        }
        fs_err::copy(entry.path(), lib.join(entry.file_name()))?;
    }
    take_cargo(&archive, &release, &bin.join("cargo"))
}

/// Unpacks the one file that is wanted.
fn take_cargo(archive: &Path, release: &str, to: &Path) -> Result<(), Fault> {
    let file = fs_err::File::open(archive)?;
    let mut tar = tar::Archive::new(liblzma::read::XzDecoder::new(std::io::BufReader::new(file)));
    for entry in tar.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let parts: Vec<&str> = path
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        if let [_, "cargo", "bin", "cargo"] = parts[..] {
            let mut file = fs_err::File::create(to)?;
            std::io::copy(&mut entry, &mut file)?;
            fs_err::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
            return check_release(to, release);
        }
    }
    Err(Fault::Archive(format!("{}: no cargo/bin/cargo in this archive", archive.display())))
}

/// A cargo says its own release in its text segment; running it here would need the loader, reading does not.
fn check_release(cargo: &Path, release: &str) -> Result<(), Fault> {
    let bytes = fs_err::read(cargo)?;
    let found = bytes.windows(release.len()).any(|window| window == release.as_bytes());
    if found {
        return Ok(());
    }
    Err(Fault::Archive(format!("the archive's cargo is not of release {release}: the plan names another one")))
}
