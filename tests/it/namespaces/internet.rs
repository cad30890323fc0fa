//! A little internet of network namespaces: hosts, cables, routers with NAT, and real programs on them.
//!
//! Needs root, iproute2 and nftables. Everything is gone when the [`Internet`] is dropped, also by a panic.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The names of all namespaces begin so; the number of the process follows.
const PREFIX: &str = "tidegate-network-";
/// How long anything may take before the test gives up. A busy machine is slow, not broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Why there can't be namespaces here, found out once.
static REFUSAL: LazyLock<Option<String>> = LazyLock::new(|| {
    remove_leftovers();
    let name = format!("{PREFIX}{}-try", std::process::id());
    let tried = run(Command::new("ip").args(["netns", "add", &name])).and_then(|()| {
        let nat = "add table ip try\nadd chain ip try nat { type nat hook postrouting priority 100; }\n\
                   add rule ip try nat masquerade\n";
        let nat = feed(Command::new("ip").args(["netns", "exec", &name, "nft", "-f", "-"]), nat);
        let _ = run(Command::new("ip").args(["netns", "del", &name]));
        nat
    });
    let refusal = tried.err()?;
    // Past the capture of the test harness: a test that did not run has to say so.
    let _ = writeln!(
        io::stderr(),
        "skipped: the tests in network namespaces ({refusal}); they need root, iproute2 and nftables"
    );
    Some(refusal)
});

/// All that a test has built.
pub(crate) struct Internet {
    prefix: String,
    hosts: RefCell<Vec<String>>,
}

/// A machine: a namespace of its own, with loopback.
#[derive(Clone)]
pub(crate) struct Host {
    namespace: String,
    name: String,
}

/// A program on a host. Killed when dropped.
pub(crate) struct Program {
    name: String,
    child: Child,
    lines: mpsc::Receiver<String>,
    readers: Vec<JoinHandle<String>>,
}

impl Internet {
    /// `None` where namespaces can't be made; then a line on stderr has said why.
    pub(crate) fn new() -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        if REFUSAL.is_some() {
            return None;
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            prefix: format!("{PREFIX}{}-{count}-", std::process::id()),
            hosts: RefCell::default(),
        })
    }

    /// The same, for a test that needs further programs.
    pub(crate) fn with(programs: &[&str]) -> Option<Self> {
        let missing = programs.iter().find(|program| !is_installed(program));
        if let Some(missing) = missing {
            let _ = writeln!(
                io::stderr(),
                "skipped: a test in network namespaces needs {missing}"
            );
            return None;
        }
        Self::new()
    }

    /// A new machine.
    pub(crate) fn host(&self, name: &str) -> Host {
        let host = Host {
            namespace: format!("{}{name}", self.prefix),
            name: name.to_owned(),
        };
        ip(&["netns", "add", &host.namespace]);
        self.hosts.borrow_mut().push(host.namespace.clone());
        host.ip("link set lo up");
        host
    }

    /// A new machine that passes packets on.
    pub(crate) fn router(&self, name: &str) -> Host {
        let host = self.host(name);
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            host.set(key, "1");
        }
        // Otherwise the address of a network goes with another one of it.
        host.set("ipv4/conf/all/promote_secondaries", "1");
        host
    }

    /// A cable between two machines, each with its address, such as `10.0.0.1/24`. The interface is
    /// called as the machine at the other end.
    pub(crate) fn connect(&self, one: (&Host, &str), other: (&Host, &str)) {
        let (a, b) = (one.0, other.0);
        ip(&[
            "link",
            "add",
            "name",
            &b.name,
            "netns",
            &a.namespace,
            "type",
            "veth",
            "peer",
            "name",
            &a.name,
            "netns",
            &b.namespace,
        ]);
        for ((host, address), peer) in [(one, b), (other, a)] {
            host.add_address(&peer.name, address);
            host.ip(&format!("link set {} up", peer.name));
        }
        for (host, peer) in [(a, other), (b, one)] {
            host.wait_for_link(&peer.0.name, peer.1);
        }
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        for namespace in self.hosts.get_mut() {
            // What it held goes with it; there is nobody to tell if it stays.
            let _ = run(Command::new("ip").args(["netns", "del", namespace]));
        }
    }
}

impl Host {
    /// `ip …` on this machine.
    pub(crate) fn ip(&self, arguments: &str) {
        let mut all = vec!["-n", self.namespace.as_str()];
        all.extend(arguments.split_ascii_whitespace());
        ip(&all);
    }

    /// Waits until the kernel uses the cable to `address`, which is some time after both ends are up.
    fn wait_for_link(&self, interface: &str, address: &str) {
        let (peer, _) = address.split_once('/').unwrap();
        let shows = |arguments: &[&str]| {
            let mut command = Command::new("ip");
            command.args(["-n", &self.namespace]).args(arguments);
            let output = command_output(&mut command).unwrap();
            (output.status.success(), output.stdout.is_empty())
        };
        let gives_up = Instant::now() + PATIENCE;
        loop {
            let (is_routed, _) = shows(&["route", "get", peer]);
            let (_, is_usable) = shows(&[
                "-6",
                "address",
                "show",
                "dev",
                interface,
                "tentative",
                "scope",
                "global",
            ]);
            if is_routed && is_usable {
                return;
            }
            assert!(
                Instant::now() < gives_up,
                "the cable from {} to {interface} stays down",
                self.name
            );
            // The kernel's word for it is a netlink message; this is no place to read those.
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn add_address(&self, interface: &str, address: &str) {
        // IPv6 would first ask for a second whether somebody else has it.
        let nodad = if address.contains(':') { "nodad" } else { "" };
        self.ip(&format!("address add {address} dev {interface} {nodad}"));
    }

    /// Sends what is for elsewhere to `gateway`.
    pub(crate) fn route_by(&self, gateway: &str) {
        self.ip(&format!("route replace default via {gateway}"));
    }

    /// A key under `/proc/sys/net`.
    pub(crate) fn set(&self, key: &str, value: &str) {
        let script = format!("echo {value} > /proc/sys/net/{key}");
        run(self.command("sh").args(["-c", &script])).unwrap();
    }

    /// A script for nftables.
    pub(crate) fn nft(&self, script: &str) {
        feed(self.command("nft").args(["-f", "-"]), script).unwrap();
    }

    /// Hides what leaves through `interface` behind the address there: a NAT as at home.
    pub(crate) fn masquerade(&self, interface: &str) {
        self.nft(&format!(
            "add table ip home\n\
             add chain ip home out {{ type nat hook postrouting priority 100; }}\n\
             add rule ip home out oifname \"{interface}\" masquerade\n\
             add chain ip home forward {{ type filter hook forward priority 0; policy drop; }}\n\
             add rule ip home forward ct state established,related accept\n\
             add rule ip home forward oifname \"{interface}\" accept\n\
             add rule ip home forward ct status dnat accept\n"
        ));
    }

    /// Passes a port, UDP and TCP, of `interface` on to `inside`, after [`Self::masquerade`].
    pub(crate) fn forward(&self, interface: &str, port: u16, inside: &str) {
        let mut script =
            "add chain ip home in { type nat hook prerouting priority -100; }\n".to_owned();
        for protocol in ["udp", "tcp"] {
            let _ = writeln!(
                script,
                "add rule ip home in iifname \"{interface}\" {protocol} dport {port} dnat to {inside}"
            );
        }
        self.nft(&script);
    }

    /// Gives `interface` another address in the place of `old`. What a NAT had mapped to it is
    /// forgotten, as when a telephone leaves the Wi-Fi or a router gets a new address overnight.
    pub(crate) fn move_address(&self, interface: &str, old: &str, new: &str, gateway: &str) {
        self.add_address(interface, new);
        self.ip(&format!("address del {old} dev {interface}"));
        self.route_by(gateway);
    }

    /// A command to run on this machine, without variables that could set anything.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace, program])
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEGATE_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Starts a program that stays.
    pub(crate) fn start(&self, command: &mut Command) -> Program {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        let readers = outputs.map(|output| {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut all = String::new();
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    all.push_str(&line);
                    all.push('\n');
                    // Nobody may wait for lines any more.
                    let _ = sender.send(line);
                }
                all
            })
        });
        Program {
            name: self.name.clone(),
            child,
            lines,
            readers: readers.into(),
        }
    }

    /// Starts the program under test.
    pub(crate) fn tidegate(&self, arguments: &[&str]) -> Program {
        self.start(self.command(env!("CARGO_BIN_EXE_tidegate")).args(arguments))
    }
}

impl Program {
    /// Waits for a line that `is_it` likes, on stdout or stderr.
    pub(crate) fn wait_for(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let gives_up = Instant::now() + PATIENCE;
        let mut seen = String::new();
        loop {
            let left = gives_up.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if is_it(&line) => return line,
                Ok(line) => {
                    seen.push_str(&line);
                    seen.push('\n');
                }
                Err(error) => panic!("on {}, no {what} ({error}); it said:\n{seen}", self.name),
            }
        }
    }

    /// Tells it to stop, as Ctrl-C does, and waits for its end. Its exit status, stdout and stderr.
    pub(crate) fn stop(mut self) -> (Option<i32>, String, String) {
        let _ = run(Command::new("kill").args(["-s", "INT", &self.child.id().to_string()]));
        self.finish()
    }

    /// Waits until it ends by itself. Its exit status, stdout and stderr.
    pub(crate) fn finish(&mut self) -> (Option<i32>, String, String) {
        let status = self.child.wait().unwrap();
        let mut readers = self.readers.drain(..);
        let mut next = || readers.next().unwrap().join().unwrap();
        (status.code(), next(), next())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            // What it said last may tell why.
            let said: Vec<_> = self.lines.try_iter().collect();
            let _ = writeln!(io::stderr(), "on {}:\n{}", self.name, said.join("\n"));
        }
    }
}

fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments)).unwrap();
}

/// Runs a command to its end; what it said is the error.
fn run(command: &mut Command) -> Result<(), String> {
    succeeded(command, command_output)
}

fn feed(command: &mut Command, input: &str) -> Result<(), String> {
    succeeded(command, |command| {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().unwrap().write_all(input.as_bytes())?;
        child.wait_with_output()
    })
}

fn command_output(command: &mut Command) -> io::Result<Output> {
    command.stdin(Stdio::null()).output()
}

fn succeeded(
    command: &mut Command,
    run: impl FnOnce(&mut Command) -> io::Result<Output>,
) -> Result<(), String> {
    let output =
        run(command).map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{}: {}",
        command.get_program().display(),
        said.trim()
    ))
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Removes what test processes that were killed have left.
fn remove_leftovers() {
    let Ok(output) = Command::new("ip").args(["netns", "list"]).output() else {
        return;
    };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let name = line.split_ascii_whitespace().next().unwrap_or_default();
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| fs::metadata(format!("/proc/{process}")).is_err()) {
            let _ = run(Command::new("ip").args(["netns", "del", name]));
        }
    }
}
