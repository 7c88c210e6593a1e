//! Commands that run as on another kernel than the one that there is: one without Landlock, or with an
//! older version of it. A filter of system calls stands between them and the kernel, as in many containers.

use std::process::{Command, Stdio};

/// How the kernel of a command stands to Landlock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Landlock {
    /// It was built without.
    Absent,
    /// It was not switched on when the machine was started.
    SwitchedOff,
    /// It has this version, and what came later is not known to it.
    Version(u32),
}

/// Installs the filter and becomes what its arguments say. A version is answered by a process beside it,
/// since a filter alone can only answer with errors; it lasts as long as anything that is filtered.
const LAUNCHER: &str = r#"
import array, ctypes, fcntl, os, select, socket, struct, sys

CREATE_RULESET = 444
ALLOW, ERRNO, USER_NOTIF = 0x7FFF0000, 0x00050000, 0x7FC00000
libc = ctypes.CDLL(None, use_errno=True)

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def filtered(instructions, flags):
    code = b"".join(struct.pack("=HBBI", *one) for one in instructions)
    program = Program(len(instructions), code)
    checked(libc.prctl(38, 1, 0, 0, 0))
    return checked(libc.syscall(317 if os.uname().machine == "x86_64" else 277, 1, flags, ctypes.byref(program)))

load_number, load_flags = (0x20, 0, 0, 0), (0x20, 0, 0, 32)
allow = (0x06, 0, 0, ALLOW)
kind, command = sys.argv[1], sys.argv[2:]
if not kind.isdigit():
    error = {"absent": 38, "switched-off": 95}[kind]
    filtered([load_number, (0x15, 0, 1, CREATE_RULESET), (0x06, 0, 0, ERRNO | error), allow], 0)
    os.execvp(command[0], command)

here, there = socket.socketpair()
if os.fork() == 0:
    # A group of its own, and none of the command's files, for whose end others wait.
    os.setsid()
    here.close()
    _, ancillary, _, _ = there.recvmsg(1, socket.CMSG_SPACE(4))
    listener = array.array("i", ancillary[0][2])[0]
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    there.close()
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        if any(happened & select.POLLHUP for _, happened in poll.poll()):
            os._exit(0)
        request = bytearray(80)
        try:
            fcntl.ioctl(listener, 0xC0502100, request)
            answer = struct.pack("=QqiI", struct.unpack_from("=Q", request)[0], int(kind), 0, 0)
            fcntl.ioctl(listener, 0xC0182101, bytearray(answer))
        except OSError:
            # Who asked is gone.
            pass
there.close()
# Only the question for the version, which has a flag, is answered by the process beside.
listener = filtered(
    [load_number, (0x15, 0, 3, CREATE_RULESET), load_flags, (0x15, 0, 1, 1), (0x06, 0, 0, USER_NOTIF), allow], 8
)
here.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
os.close(listener)
here.close()
os.execvp(command[0], command)
"#;

/// `command`, not yet started, as on a kernel with such a Landlock.
#[must_use]
pub fn with_landlock(landlock: Landlock, command: &Command) -> Command {
    let mut launcher = Command::new("python3");
    launcher.arg("-c").arg(LAUNCHER).arg(match landlock {
        Landlock::Absent => "absent".to_owned(),
        Landlock::SwitchedOff => "switched-off".to_owned(),
        Landlock::Version(version) => version.to_string(),
    });
    launcher.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    if let Some(folder) = command.get_current_dir() {
        launcher.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => launcher.env(name, value),
            None => launcher.env_remove(name),
        };
    }
    launcher
}
