//! What the JSON Schema says of `[executors]`: one form for each kind.

use serde_json::{Value, json};

use super::{DURATION, boolean, described, list, matching, object, one_of, required, text, word};
use crate::manifest::executors::{MOST_AT_ONCE, MOST_NODES, PREFIX, QUEUE};

const USER: &str = "^[A-Za-z0-9_][A-Za-z0-9._-]*$";
const ADDRESS: &str = r"^([A-Za-z0-9_][A-Za-z0-9._-]*@)?([A-Za-z0-9_][A-Za-z0-9._-]*|\[?[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?\]?)$";
const WORKDIR: &str = "^~?/[A-Za-z0-9._/-]*$";
const TARGET: &str = "^[a-z0-9_]+(-[a-z0-9_]+){2,3}$";
/// `queue` and `prefix` are parts of keys in Redis.
const KEY_PART: &str = "^[A-Za-z0-9._-]{1,64}$";

pub(super) fn executor() -> Value {
    let kind = |name: &str| json!({ "const": name, "description": format!("What it is. Needed but for the name `{name}`.") });
    let variable = object(&[("env", text("A variable of flowhost's own environment."))]);
    let secret = required(variable, &["env"]);
    let url = [json!({ "type": "string", "pattern": "^(rediss?|(redis\\+)?unix)://[^#]+$" }), secret.clone()];
    let redis = object(&[
        ("kind", kind("redis")),
        ("url", one_of(&url, "The Redis server. What --redis says where it is left out.")),
        ("queue", matching(KEY_PART, "The queue that its workers take attempts from.", QUEUE)),
        ("prefix", matching(KEY_PART, "What every key in Redis begins with.", PREFIX)),
        ("ca", text("A PEM file: the certificate of the authority that the server's is from.")),
        ("key", described(secret, "The secret that attempts and outcomes are authenticated with.")),
    ]);

    let address = json!({ "type": "string", "pattern": ADDRESS, "description": "Where it is: user@host." });
    let node = [&[("address", address.clone())], &shared_of_nodes()[..]].concat();
    let forms = [address, required(object(&node), &["address"])];
    let nodes = json!({
        "type": "array", "items": one_of(&forms, "A node."), "minItems": 1, "maxItems": MOST_NODES,
        "description": "The machines.",
    });
    let binaries = json!({
        "type": "object", "propertyNames": { "pattern": TARGET }, "additionalProperties": { "type": "string" },
        "description": "flowhost for nodes that are other machines than this one, by target.",
    });
    let mut ssh = vec![
        ("kind", kind("ssh")),
        ("nodes", nodes),
        ("deploy", word(&["if-missing", "never", "always"], "Whether flowhost is put on the nodes.")),
        ("cleanup", boolean("Whether what the run put there is removed when it ends.", false)),
        ("connect-timeout", matching(DURATION, "For one attempt to connect: 1s to 10m.", "10s")),
        ("binary", binaries),
    ];
    ssh.extend(shared_of_nodes());
    let forms = [redis, required(object(&ssh), &["nodes"])];
    one_of(&forms, "A queue in Redis, or nodes that ssh reaches.")
}

/// What a node has, or the section for all its nodes.
fn shared_of_nodes() -> [(&'static str, Value); 6] {
    let bounded = |most: u32, description: &str| json!({ "type": "integer", "minimum": 1, "maximum": most, "description": description });
    let option = json!({ "type": "string", "pattern": "^[A-Za-z0-9]+=[^ ]+$" });
    [
        ("user", json!({ "type": "string", "pattern": USER, "description": "Whom ssh logs in as." })),
        ("port", bounded(u16::MAX.into(), "Of ssh.")),
        ("concurrency", bounded(MOST_AT_ONCE, "Attempts that execute there at once.")),
        (
            "workdir",
            json!({
                "type": "string", "pattern": WORKDIR, "maxLength": 200,
                "description": "The folder there that flowhost keeps what it needs in.",
            }),
        ),
        (
            "identity-file",
            json!({ "type": "string", "pattern": "^[^-\"][^\"]*$", "description": "A private key." }),
        ),
        ("options", described(list(&option), "Options of ssh: UserKnownHostsFile=known.")),
    ]
}
