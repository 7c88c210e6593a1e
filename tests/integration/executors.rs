//! Every executor there is, and how a test is made to hold on all of them. A new executor is one line of
//! [`executors`].

/// Hands `$given` to the macro `$do`, with all executors: the module of their tests, their name, and whether a
/// run's own process executes (`own`) or a worker elsewhere (`far`).
macro_rules! executors {
    ($do:ident $given:tt) => {
        $do! { $given
            in_process "in-process" own
            process "process" own
            redis "redis" far
            ssh "ssh" far
        }
    };
}

macro_rules! names {
    (() $($module:ident $name:literal $where:ident)*) => { &[$($name),*] };
}

/// Their names. The others have to do what the first one does.
pub(crate) const EXECUTORS: &[&str] = executors!(names());

/// Makes tests of functions that take an executor's name: `process::NAME` and so on. What the functions
/// need of each other they share, such as a component that is built. Those after `own:` are about the run's own
/// disk, code cache or threads, which a worker elsewhere has nothing to do with.
macro_rules! on_every_executor {
    ($($test:ident)*) => { executors!(modules(($($test)*) ())); };
    ($($test:ident)*; own: $($own:ident)*) => { executors!(modules(($($test)*) ($($own)*))); };
}

macro_rules! modules {
    (($tests:tt $own:tt) $($module:ident $name:literal $where:ident)*) => {
        $(mod $module { tests_on! { $where $name $tests $own } })*
    };
}

macro_rules! tests_on {
    (own $name:literal ($($test:ident)*) ($($own:ident)*)) => { tests_on! { $name $($test)* $($own)* } };
    (far $name:literal ($($test:ident)*) $own:tt) => { tests_on! { $name $($test)* } };
    ($name:literal $($test:ident)*) => {
        $(
            #[test]
            fn $test() {
                super::$test($name);
            }
        )*
    };
}
