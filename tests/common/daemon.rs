//! A Nix daemon with a store of its own, and a user whom it does not trust.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::workshop::Cargo;
use super::{root, static_program};

/// The numbers of Debian's `nobody` and `nogroup`.
const NOBODY: &str = "65534";

/// A daemon that runs until it is dropped.
pub struct Daemon {
    daemon: Child,
    folder: PathBuf,
    /// The store's address, through the daemon.
    pub address: String,
}

impl Daemon {
    /// Starts one whose store, socket and log lie below `folder`.
    pub fn start(folder: &Path) -> Self {
        let socket = folder.join("socket");
        let store = format!("local?root={}", folder.join("store").display());
        // Its database is made first: of two connections that begin with that one may be refused.
        let made = Command::new("nix-store").arg("--init").env("NIX_REMOTE", &store).status();
        assert!(made.expect("nix-store is installed").success());
        let log = std::fs::File::create(folder.join("daemon.log")).unwrap();
        let mut daemon = Command::new("nix-daemon");
        daemon.env("NIX_REMOTE", store);
        daemon.env("NIX_DAEMON_SOCKET_PATH", &socket).stderr(log).stdout(Stdio::null());
        let daemon = daemon.spawn().expect("nix-daemon is installed");
        for _ in 0..200 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // Clients read what lies on the same disk themselves; without the root they would look into this machine's store.
        let address = format!("unix://{}?root={}", socket.display(), folder.join("store").display());
        Self { daemon, folder: folder.to_owned(), address }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("daemon.log")).unwrap()
    }

    /// Where a store path really is.
    pub fn real(&self, path: &str) -> PathBuf {
        self.folder.join("store").join(path.trim().trim_start_matches('/'))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A command of a user who is not root, in a home of its own: where the tests are not root's, it is their own user.
pub fn as_nobody(home: &Path, program: &Path) -> assert_cmd::Command {
    use std::os::unix::fs::MetadataExt as _;
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = assert_cmd::Command::new(if root { Path::new("setpriv") } else { program });
    if root {
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]).arg(program);
    }
    command.current_dir(home).env("HOME", home).env_remove("XDG_CACHE_HOME").env_remove("RUST_BACKTRACE");
    command
}

/// recrate, its static programs and imported cargos, and the example registry, in folders that everybody can read.
pub fn install(folder: &Path, program: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    for (name, mode) in [("", 0o755), ("bin", 0o755), ("data", 0o755), ("home", 0o777)] {
        let place = folder.join(name);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    for file in ["recrate-builder", "recrate-fetcher", "recrate-judge"] {
        std::fs::copy(static_program(file), folder.join("bin").join(file)).unwrap();
    }
    let recrate = folder.join("bin/recrate");
    std::fs::copy(program, &recrate).unwrap();
    let toolchains = Cargo::find(85).unwrap().folder.ancestors().nth(2).unwrap().to_owned();
    for (from, to) in [(toolchains, "data/toolchains"), (root().join("examples/registry"), "example")] {
        let copied = Command::new("cp").arg("-rL").arg(from).arg(folder.join(to)).status().unwrap();
        assert!(copied.success());
    }
    assert!(Command::new("chmod").args(["-R", "a+rX"]).arg(folder).status().unwrap().success());
    recrate
}
