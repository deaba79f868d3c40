//! Another machine: an ssh server on loopback, with a Nix store of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An ssh server that runs until it is dropped.
pub struct Machine {
    sshd: Child,
    /// What ssh has to be told to reach it, as `NIX_SSHOPTS`.
    pub options: String,
    /// Its store, as Nix addresses it.
    pub address: String,
}

impl Machine {
    /// Starts one whose Nix store lies below `folder`.
    pub fn start(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name).display().to_string();
        for key in ["host", "user"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &file(key)]);
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // The other machine's own settings count there: without a network, asking binary caches takes five seconds a build.
        let configuration = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PidFile none\nSetEnv NIX_CONFIG=\"substitute = false\"\n",
            file("host"),
            file("user.pub")
        );
        std::fs::write(folder.join("sshd_config"), configuration).unwrap();
        // Where it drops its privileges, as root.
        let _ = std::fs::create_dir_all("/run/sshd");
        let mut sshd = Command::new("/usr/sbin/sshd");
        let sshd = sshd.args(["-D", "-e", "-f", &file("sshd_config")]).stderr(Stdio::null()).spawn();
        let sshd = sshd.expect("sshd is installed");
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let options = format!(
            "-p {port} -i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile={} -o LogLevel=ERROR",
            file("user"),
            file("known_hosts")
        );
        // The store within the store's address.
        let address = format!("ssh-ng://127.0.0.1?remote-store=local%3Froot={}", file("store"));
        Self { sshd, options, address }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

fn run(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program}");
}
