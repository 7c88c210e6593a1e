//! A certificate for servers on this machine, and the authority that vouches for it. Both are made anew.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// Files in a folder of their own.
#[derive(Clone, Debug)]
pub struct Certificates {
    folder: Arc<TempDir>,
}

impl Certificates {
    /// Of a server that is `localhost` and `127.0.0.1`.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let its_key = KeyPair::generate().unwrap();
        let own = authority.self_signed(&its_key).unwrap();
        let issuer = Issuer::new(authority, its_key);
        let key = KeyPair::generate().unwrap();
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let server = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let files: [(&str, &str, &[u8]); 3] = [
            ("authority.pem", "CERTIFICATE", own.der()),
            ("server.pem", "CERTIFICATE", server.der()),
            ("key.pem", "PRIVATE KEY", &key.serialize_der()),
        ];
        for (name, kind, bytes) in files {
            std::fs::write(folder.path().join(name), pem(kind, bytes)).unwrap();
        }
        Self { folder: Arc::new(folder) }
    }

    /// The authority's certificate, which clients are given.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// What `redis-server` is told on its command line. Clients need no certificate.
    pub(crate) fn settings(&self) -> Vec<String> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let settings = [
            ("--tls-cert-file", file("server.pem")),
            ("--tls-key-file", file("key.pem")),
            ("--tls-ca-cert-file", file("authority.pem")),
            ("--tls-auth-clients", "no".to_owned()),
        ];
        settings.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

fn pem(kind: &str, bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}
