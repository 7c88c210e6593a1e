//! What is wrong with a connection that will not get better by itself, and the command that mends it. Goes by what
//! OpenSSH's client writes, which its exit code does not say.

use super::client::arguments;
use crate::model::SshNode;

/// What is to be done about what ssh `said` when it failed; none where another try may do better.
pub(super) fn advice(said: &str, node: &SshNode) -> Option<String> {
    let has = |text: &str| said.contains(text);
    let command = format!("ssh{} {}", shown(node), node.address);
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED") || has("host key for") && has("has changed") {
        return Some(format!(
            "its host key is not the one that is known: somebody may be between here and there. If its owner says that it has a new one: ssh-keygen{} -R '{}', then {command}, and compare",
            known_hosts(node).map(|file| format!(" -f {file}")).unwrap_or_default(),
            known_as(node)
        ));
    }
    if has("Host key verification failed") || has("host key is known for") {
        return Some(format!(
            "its host key is not known here: compare it once with what its owner says, when this asks: {command}"
        ));
    }
    if has("Too many authentication failures") {
        return Some(format!(
            "it was offered too many keys: name the right one as `identity-file`, with the option IdentitiesOnly=yes ({command} shows whether it is)"
        ));
    }
    if has("UNPROTECTED PRIVATE KEY FILE") || has("bad permissions") {
        return Some("others may read the private key: chmod 600 on the file that ssh names".to_owned());
    }
    if let (true, Some(file)) = (has("not accessible: No such file"), &node.identity_file) {
        return Some(format!(
            "there is no file `{file}`, which its `identity-file` names: a relative one is looked for from the workflow file's folder"
        ));
    }
    if has("Permission denied (") || has("No more authentication methods") {
        let identity = node.identity_file.as_deref().map(|file| format!(" -i {file}")).unwrap_or_default();
        return Some(format!(
            "it admits none of the keys that it was offered to that user, and nobody is asked for a password: ssh-copy-id{identity}{} {}, or where the key has a passphrase: ssh-add",
            node.port.map(|port| format!(" -p {port}")).unwrap_or_default(),
            node.address
        ));
    }
    if has("Bad configuration option")
        || has("bad configuration options")
        || has("unsupported option")
        || has("Bad owner or permissions on")
    {
        return Some(format!(
            "ssh does not take its own configuration: mend what it names, until this works: {command}"
        ));
    }
    None
}

/// What shows whether a node is reached at all, where ssh `said` that it is not.
pub(super) fn hint(said: &str, node: &SshNode) -> Option<String> {
    let texts = ["Could not resolve hostname", "Connection refused", "No route to host", "timed out"];
    let address = "the node's `address` and `port` in the workflow file, or ~/.ssh/config, say where it is";
    texts
        .iter()
        .any(|text| said.contains(text))
        .then(|| format!("{address}; this has to work: ssh{} {} true", shown(node), node.address))
}

/// The options as somebody would type them.
fn shown(node: &SshNode) -> String {
    arguments(node).iter().map(|argument| format!(" {argument}")).collect()
}

/// Where the node's host key is looked for, if that was said.
fn known_hosts(node: &SshNode) -> Option<&str> {
    option(node, "UserKnownHostsFile")
}

/// What the node is called there.
fn known_as(node: &SshNode) -> String {
    match (option(node, "HostKeyAlias"), node.port) {
        (Some(alias), _) => alias.to_owned(),
        (None, Some(port)) if port != 22 => format!("[{}]:{port}", node.address.host()),
        (None, _) => node.address.host().to_owned(),
    }
}

fn option<'n>(node: &'n SshNode, name: &str) -> Option<&'n str> {
    node.options.iter().find(|option| option.name() == name).map(|option| option.value())
}
