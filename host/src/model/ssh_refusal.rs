//! Options of ssh that a workflow file may not set, and why.

/// What to do with an option that only ssh itself is to know of.
pub(super) const ELSEWHERE: &str = "put it into ~/.ssh/config, below `Host` with the node's address";

/// Why an option may not be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SshOptionRefusal {
    /// It has a key of its own, this one.
    Key(&'static str),
    /// ssh would run a command.
    Command,
    /// ssh would load code.
    Library,
    /// ssh would read further configuration.
    Configuration,
    /// ssh would hand a part of the environment on.
    Environment,
    /// flowhost sets it, or relies on what it is without.
    Fixed,
}

/// What has a reason of its own to be refused. All else is refused as well.
pub(super) const REFUSED: [(&str, SshOptionRefusal); 52] = [
    ("ConnectTimeout", SshOptionRefusal::Key("connect-timeout")),
    ("Host", SshOptionRefusal::Configuration),
    ("HostName", SshOptionRefusal::Key("address")),
    ("IdentityFile", SshOptionRefusal::Key("identity-file")),
    ("Port", SshOptionRefusal::Key("port")),
    ("User", SshOptionRefusal::Key("user")),
    ("KnownHostsCommand", SshOptionRefusal::Command),
    ("LocalCommand", SshOptionRefusal::Command),
    ("Match", SshOptionRefusal::Command),
    ("PermitLocalCommand", SshOptionRefusal::Command),
    ("ProxyCommand", SshOptionRefusal::Command),
    ("ProxyUseFdpass", SshOptionRefusal::Command),
    ("RemoteCommand", SshOptionRefusal::Command),
    ("XAuthLocation", SshOptionRefusal::Command),
    ("PKCS11Provider", SshOptionRefusal::Library),
    ("SecurityKeyProvider", SshOptionRefusal::Library),
    ("SmartcardDevice", SshOptionRefusal::Library),
    ("IgnoreUnknown", SshOptionRefusal::Configuration),
    ("Include", SshOptionRefusal::Configuration),
    ("SendEnv", SshOptionRefusal::Environment),
    ("SetEnv", SshOptionRefusal::Environment),
    ("BatchMode", SshOptionRefusal::Fixed),
    ("ClearAllForwardings", SshOptionRefusal::Fixed),
    ("ConnectionAttempts", SshOptionRefusal::Fixed),
    ("ControlMaster", SshOptionRefusal::Fixed),
    ("ControlPath", SshOptionRefusal::Fixed),
    ("ControlPersist", SshOptionRefusal::Fixed),
    ("DynamicForward", SshOptionRefusal::Fixed),
    ("EscapeChar", SshOptionRefusal::Fixed),
    ("ExitOnForwardFailure", SshOptionRefusal::Fixed),
    ("ForkAfterAuthentication", SshOptionRefusal::Fixed),
    ("ForwardAgent", SshOptionRefusal::Fixed),
    ("ForwardX11", SshOptionRefusal::Fixed),
    ("ForwardX11Trusted", SshOptionRefusal::Fixed),
    ("GSSAPIDelegateCredentials", SshOptionRefusal::Fixed),
    ("GatewayPorts", SshOptionRefusal::Fixed),
    ("KbdInteractiveAuthentication", SshOptionRefusal::Fixed),
    ("LocalForward", SshOptionRefusal::Fixed),
    ("LogLevel", SshOptionRefusal::Fixed),
    ("LogVerbose", SshOptionRefusal::Fixed),
    ("NoHostAuthenticationForLocalhost", SshOptionRefusal::Fixed),
    ("PasswordAuthentication", SshOptionRefusal::Fixed),
    ("RemoteForward", SshOptionRefusal::Fixed),
    ("RequestTTY", SshOptionRefusal::Fixed),
    ("ServerAliveCountMax", SshOptionRefusal::Fixed),
    ("ServerAliveInterval", SshOptionRefusal::Fixed),
    ("SessionType", SshOptionRefusal::Fixed),
    ("StdinNull", SshOptionRefusal::Fixed),
    ("StrictHostKeyChecking", SshOptionRefusal::Fixed),
    ("Tunnel", SshOptionRefusal::Fixed),
    ("UpdateHostKeys", SshOptionRefusal::Fixed),
    ("VerifyHostKeyDNS", SshOptionRefusal::Fixed),
];

impl SshOptionRefusal {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Key(_) => "it has a key of its own",
            Self::Command => "it is about commands that ssh runs",
            Self::Library => "ssh would load code that it names",
            Self::Configuration => "it is about what configuration ssh reads",
            Self::Environment => "it hands on variables",
            Self::Fixed => "flowhost relies on it as it is",
        }
    }

    pub(super) fn help(self) -> String {
        match self {
            Self::Key("address") => {
                "write the host in `address`; an alias of ~/.ssh/config may stand there as well".to_owned()
            }
            Self::Key(key) => format!("write it as `{key}`"),
            Self::Command => format!(
                "for a jump host write \"ProxyJump=USER@HOST\"; if it is for something else, {ELSEWHERE}"
            ),
            Self::Library | Self::Configuration => ELSEWHERE.to_owned(),
            Self::Environment => {
                "leave it out; what a task shall see of the environment is granted to it: `grants.env`"
                    .to_owned()
            }
            Self::Fixed => "leave it out".to_owned(),
        }
    }
}
