//! A broker of Debian's, on a port of its own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use graft_federate::mqtt::Address;
use tempfile::TempDir;

/// What the broker asks of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// Nothing.
    None,
    /// To trust its certificate, and a password.
    TlsAndPassword,
}

/// A running mosquitto.
pub(crate) struct Mosquitto {
    folder: TempDir,
    port: u16,
    security: Security,
    child: Child,
}

const USER: &str = "member";
/// What agents find in their environment.
pub(crate) const PASSWORD: &str = "let me in";

impl Mosquitto {
    /// Starts one; `None` where there is none, which says so, and fails where CI is.
    pub(crate) fn start(security: Security) -> Option<Self> {
        if find().is_none() {
            let reason = "there is no mosquitto: apt-get install mosquitto";
            assert!(std::env::var("CI").is_err(), "{reason}");
            eprintln!("SKIPPED: {reason}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut settings = format!("listener {port} 127.0.0.1\npersistence false\nuser root\n");
        match security {
            Security::None => settings += "allow_anonymous true\n",
            Security::TlsAndPassword => {
                certify(folder.path());
                let path = |name: &str| folder.path().join(name).display().to_string();
                let status = Command::new("mosquitto_passwd")
                    .args(["-b", "-c", &path("passwords"), USER, PASSWORD])
                    .status();
                assert!(status.unwrap().success());
                settings += &format!(
                    "allow_anonymous false\npassword_file {}\ncertfile {}\nkeyfile {}\n",
                    path("passwords"),
                    path("server.pem"),
                    path("server.key"),
                );
            }
        }
        fs::write(folder.path().join("settings"), settings).unwrap();
        let child = run(folder.path());
        let broker = Self {
            folder,
            port,
            security,
            child,
        };
        broker.wait();
        Some(broker)
    }

    /// Kills it, and starts it again with nothing in its memory.
    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        self.child = run(self.folder.path());
        self.wait();
    }

    /// Its address as an argument.
    pub(crate) fn url(&self) -> String {
        match self.security {
            Security::None => format!("mqtt://127.0.0.1:{}", self.port),
            Security::TlsAndPassword => format!("mqtts://localhost:{}", self.port),
        }
    }

    /// Its address.
    pub(crate) fn address(&self) -> Address {
        self.url().parse().unwrap()
    }

    /// What an agent needs to be let in.
    pub(crate) fn login_arguments(&self) -> Vec<String> {
        let ca = self.folder.path().join("server.pem").display().to_string();
        ["--user", USER, "--ca", &ca].map(String::from).to_vec()
    }

    fn wait(&self) {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "mosquitto does not start"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find() -> Option<&'static str> {
    // Debian keeps it from the PATH of ordinary users.
    ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
        .into_iter()
        .find(|path| Path::new(path).exists())
}

fn run(folder: &Path) -> Child {
    Command::new(find().unwrap())
        .arg("-c")
        .arg(folder.join("settings"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A certificate of localhost by itself.
fn certify(folder: &Path) {
    let output = Command::new("openssl")
        .args("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost".split(' '))
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(folder.join("server.key"))
        .arg("-out")
        .arg(folder.join("server.pem"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
