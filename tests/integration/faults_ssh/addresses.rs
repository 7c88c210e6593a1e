//! W4: what ssh or a shell would take for more than an address or a folder, up to a run.

use super::Scene;

#[test]
fn w4_nothing_runs_that_an_address_or_a_folder_smuggles_in() {
    let scene = Scene::napping(4, 1);
    let canary = scene.place.path().join("canary");
    let touch = format!("touch {}", canary.display());
    let nodes = [
        format!("nodes = [\"-oProxyCommand={touch}\"]"),
        format!("nodes = [{{ address = \"a\", user = \"-oProxyCommand={touch}\" }}]"),
        format!("nodes = [\"a;{touch}\"]"),
        format!("nodes = [\"a\\n{touch}\"]"),
        format!("nodes = [\"$({touch})\"]"),
        format!("nodes = [\"a\"]\nworkdir = \"/tmp/'; {touch}; '\""),
        format!("nodes = [{{ address = \"a\", workdir = \"$({touch})\" }}]"),
        format!("nodes = [{{ address = \"a\", options = [\"ProxyCommand={touch}\"] }}]"),
        format!("nodes = [{{ address = \"a\", identity-file = \"-oProxyCommand={touch}\" }}]"),
    ];
    for nodes in nodes {
        scene
            .place
            .file("workflow.toml", format!("{}\n[executors.lab]\nkind = \"ssh\"\n{nodes}\n", scene.workflow));
        let ran = scene.run().end();
        assert_eq!(ran.code, Some(2), "{nodes}: {ran}");
        assert!(ran.lines.iter().any(|line| line.contains("workflow.toml:")), "{nodes}: {ran}");
        assert!(!canary.exists(), "{nodes}");
    }
}
