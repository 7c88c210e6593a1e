//! Every executor there is, and how a test is made to hold on all of them. A new executor is one line of
//! [`executors`].

/// Hands `$given` to the macro `$do`, with all executors: the module of their tests, and their name.
macro_rules! executors {
    ($do:ident $given:tt) => {
        $do! { $given
            in_process "in-process"
            process "process"
            redis "redis"
        }
    };
}

macro_rules! names {
    (() $($module:ident $name:literal)*) => { &[$($name),*] };
}

/// Their names. The others have to do what the first one does.
pub(crate) const EXECUTORS: &[&str] = executors!(names());

/// Makes tests of functions that take an executor's name: `process::NAME` and so on. What the functions
/// need of each other they share, such as a component that is built.
macro_rules! on_every_executor {
    ($($test:ident)*) => { executors!(modules($($test)*)); };
}

macro_rules! modules {
    ($tests:tt $($module:ident $name:literal)*) => { $(mod $module { tests_on! { $name $tests } })* };
}

macro_rules! tests_on {
    ($name:literal ($($test:ident)*)) => {
        $(
            #[test]
            fn $test() {
                super::$test($name);
            }
        )*
    };
}
