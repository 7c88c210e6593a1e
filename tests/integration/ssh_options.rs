//! What a workflow file may say of nodes, before the system's own ssh, which connects to nothing here.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use flowhost::model::{NodeAddress, SshOption};

/// The settings that ssh would connect with.
fn settings(arguments: &[&str]) -> String {
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-G"]).args(arguments).stdin(Stdio::null());
    let output = command.output().expect("this needs the program `ssh` (openssh-client)");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn ssh_takes_every_option_that_a_file_may_set() {
    let examples = [
        "AddressFamily=inet6",
        "BindAddress=fd00::1",
        "BindInterface=eth0.2",
        "CASignatureAlgorithms=ssh-ed25519",
        "CertificateFile=~/.ssh/id-cert.pub",
        "CheckHostIP=yes",
        "Ciphers=^aes256-gcm@openssh.com,aes256-ctr",
        "Compression=yes",
        "GSSAPIAuthentication=yes",
        "GlobalKnownHostsFile=/etc/ssh/gefährten",
        "HostKeyAlgorithms=+ssh-rsa",
        "HostKeyAlias=lab.example.com",
        "IPQoS=throughput",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "KexAlgorithms=curve25519-sha256",
        "MACs=hmac-sha2-256,hmac-sha2-512",
        "PreferredAuthentications=publickey,gssapi-with-mic",
        "ProxyJump=me@jump:2222,[fd00::1]:22,other",
        "PubkeyAcceptedAlgorithms=ssh-ed25519",
        "PubkeyAuthentication=no",
        "RevokedHostKeys=revoked",
        "TCPKeepAlive=no",
        "UserKnownHostsFile=known",
    ];
    let read = |text: &str| text.parse::<SshOption>().unwrap_or_else(|error| panic!("{text}: {error}"));
    let covered: BTreeSet<_> = examples.iter().map(|option| read(option).name()).collect();
    assert_eq!(covered, SshOption::names().collect::<BTreeSet<_>>());
    let without = settings(&["--", "node"]);
    for option in examples.map(read) {
        let with = settings(&["-o", &option.to_string(), "--", "node"]);
        let name = option.name().to_lowercase();
        // It changes what it is called after. With a file of known hosts of its own ssh writes to none.
        let changed = with.lines().filter(|line| !without.lines().any(|other| other == *line));
        let changed: Vec<_> = changed.filter(|line| *line != "updatehostkeys false").collect();
        assert!(matches!(&changed[..], [line] if line.starts_with(&name)), "{option}: {changed:?}");
    }
}

#[test]
fn ssh_reads_an_address_as_flowhost_does() {
    for text in ["node", "me@node.example.com", "_svc.1-x@10.0.0.1", "me@[fd00::1]", "fe80::1%eth0", "none"] {
        let address: NodeAddress = text.parse().unwrap();
        let read = settings(&["--", &address.to_string()]);
        assert!(read.contains(&format!("\nhostname {}\n", address.host())), "{text}: {read}");
        if let Some(user) = address.user() {
            assert!(read.contains(&format!("user {user}\n")), "{text}: {read}");
        }
    }
}
