//! Attacks the host through its interfaces: floods, lies and ways out of a granted directory.

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "example:hostile/hostile",
    generate_all,
});

mod files;

use std::hint::black_box;

use exports::example::hostile::attacks::Guest;
use flowhost::task::log;
use wasip2::cli::stdout::get_stdout;
use wasip2::clocks::monotonic_clock;
use wasip2::random::random;

const PIECE: usize = 64 << 10;

struct Component;

impl Guest for Component {
    fn flood_stdout(bytes: u64) {
        let stdout = get_stdout();
        let piece = vec![b'x'; PIECE];
        for _ in 0..bytes / PIECE as u64 {
            stdout.write(&piece).expect("stdout is open");
        }
    }

    fn write_nothing(n: u64) {
        let stdout = get_stdout();
        for _ in 0..n {
            stdout.write(b"").expect("stdout is open");
        }
    }

    fn log_untouched(bytes: u32) {
        log::log(log::Level::Info, &untouched(bytes));
    }

    fn return_untouched(bytes: u32) -> String {
        untouched(bytes)
    }

    fn hold_streams(n: u64) -> u64 {
        let held: Vec<_> = (0..n).map(|_| get_stdout()).collect();
        black_box(held).len() as u64
    }

    fn hold_timers(n: u64) -> u64 {
        let held: Vec<_> = (0..n).map(|_| monotonic_clock::subscribe_duration(u64::MAX)).collect();
        black_box(held).len() as u64
    }

    fn recurse_through_host() -> u64 {
        deeper(0)
    }

    fn random(bytes: u64) -> u64 {
        random::get_random_bytes(bytes).len() as u64
    }

    fn sleep(nanoseconds: u64) {
        monotonic_clock::subscribe_duration(nanoseconds).block();
    }

    fn nap_forever() {
        loop {
            monotonic_clock::subscribe_duration(1_000_000).block();
        }
    }

    fn list_forever(path: String) {
        loop {
            for entry in std::fs::read_dir(&path).expect("the directory is granted") {
                black_box(entry.expect("entries can be read"));
            }
        }
    }

    fn grind() -> u64 {
        let mut state = black_box(1_u64);
        loop {
            // Straight code: the loop's end, where the host looks in, comes rarely.
            state = black_box(stretch(stretch(stretch(stretch(state)))));
            if state == 0 {
                return state;
            }
        }
    }

    fn escape(outside: String) -> Vec<String> {
        files::escape(&outside)
    }

    fn deface() -> Vec<String> {
        files::deface()
    }

    fn open(path: String, write: bool, follow: bool) -> Result<String, String> {
        files::open(&path, write, follow)
    }

    fn fill(path: String) -> Result<u64, String> {
        files::fill(&path)
    }

    fn swap_forever(a: String, b: String) {
        files::swap_forever(&a, &b);
    }

    fn open_often(path: String, n: u32) -> u32 {
        files::open_often(&path, n)
    }
}

/// Text of zeros: fresh pages of linear memory that nothing was ever written to.
fn untouched(bytes: u32) -> String {
    String::from_utf8(vec![0; bytes as usize]).expect("zeros are UTF-8")
}

/// Cannot become a loop: something remains to be done after the inner call.
fn deeper(depth: u64) -> u64 {
    let now = black_box(monotonic_clock::now());
    if now == u64::MAX { depth } else { black_box(deeper(depth + 1)) ^ now }
}

fn stretch(mut state: u64) -> u64 {
    macro_rules! steps {
        ($($step:literal)*) => { $( state = state.rotate_left($step).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ black_box($step); )* };
    }
    steps!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
    state | 1
}

export!(Component);
