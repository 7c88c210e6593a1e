//! The environment's `OTEL_…` variables, as far as the exporter's library does not read them itself.

use std::path::PathBuf;
use std::time::Duration;

use super::sampling::Sampling;
use crate::report::ExportError;

/// Finds a variable.
pub(super) type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What they say.
#[derive(PartialEq, Debug)]
pub(super) struct Variables {
    pub(super) sampling: Sampling,
    pub(super) batches: Batches,
    /// Of one request.
    pub(super) timeout: Duration,
    /// The certificates to trust, in a PEM file.
    pub(super) certificate: Option<PathBuf>,
}

/// How spans travel together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Batches {
    /// Spans that wait at most.
    pub(super) waiting: usize,
    /// Spans of one request at most.
    pub(super) together: usize,
    /// How long the first of them waits for others.
    pub(super) delay: Duration,
    /// How long one request may take.
    pub(super) timeout: Duration,
}

impl Variables {
    /// None where spans go nowhere.
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Option<Self>, ExportError> {
        // An empty variable is as one that is not set, says the standard.
        let lookup = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let wrong = |name, value: String, what| ExportError::Variable { name, value, what };
        if lookup("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let exporter = lookup("OTEL_TRACES_EXPORTER");
        match exporter.as_deref().map(str::trim) {
            Some("none") => return Ok(None),
            Some("otlp") => {}
            // The standard's default is a collector on this machine. A command that is run by hand asks for none.
            None if lookup("OTEL_EXPORTER_OTLP_ENDPOINT").is_none()
                && lookup("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").is_none() =>
            {
                return Ok(None);
            }
            None => {}
            Some(other) => {
                return Err(wrong("OTEL_TRACES_EXPORTER", other.to_owned(), "there are otlp and none"));
            }
        }
        let of_two = |one: &'static str, other: &'static str| {
            lookup(one).map(|value| (one, value)).or_else(|| lookup(other).map(|value| (other, value)))
        };
        let protocol = of_two("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL");
        if let Some((name, value)) = protocol.filter(|(_, value)| value != "http/protobuf") {
            return Err(wrong(name, value, "http/protobuf is all that there is"));
        }
        let number = |name: &'static str, value: String| {
            let number: Option<u32> = value.trim().parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| wrong(name, value, "it is a whole number above 0"))
        };
        let given =
            |name: &'static str, default: u32| lookup(name).map_or(Ok(default), |value| number(name, value));
        let milliseconds = |number: u32| Duration::from_millis(number.into());
        let timeout = of_two("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT");
        let timeout = timeout.map_or(Ok(10_000), |(name, value)| number(name, value))?;
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX).min(1 << 20);
        let waiting = size(given("OTEL_BSP_MAX_QUEUE_SIZE", 2048)?);
        let batches = Batches {
            waiting,
            together: size(given("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)?).min(waiting),
            delay: milliseconds(given("OTEL_BSP_SCHEDULE_DELAY", 5_000)?),
            timeout: milliseconds(given("OTEL_BSP_EXPORT_TIMEOUT", 30_000)?),
        };
        let certificate = of_two("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE");
        Ok(Some(Self {
            sampling: Sampling::read(&lookup)?,
            batches,
            timeout: milliseconds(timeout),
            certificate: certificate.map(|(_, path)| path.into()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Variables>, ExportError> {
        Variables::read(&|name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    #[test]
    fn spans_go_nowhere_unless_somebody_says_where() {
        let nowhere: [&[_]; 5] = [
            &[],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[("OTEL_SERVICE_NAME", "me")],
            &[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")],
            &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
        ];
        for variables in nowhere {
            assert_eq!(read(variables).unwrap(), None, "{variables:?}");
        }
        let somewhere: [&[_]; 4] = [
            &[ENDPOINT],
            &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/here")],
            &[("OTEL_TRACES_EXPORTER", "otlp")],
            &[ENDPOINT, ("OTEL_SDK_DISABLED", "false"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")],
        ];
        for variables in somewhere {
            assert!(read(variables).unwrap().is_some(), "{variables:?}");
        }
    }

    #[test]
    fn what_is_of_traces_alone_comes_first() {
        let variables = [
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
        ];
        let variables = read(&variables).unwrap().unwrap();
        assert_eq!(variables.timeout, Duration::from_secs(2));
        assert_eq!(variables.certificate, Some("ca.pem".into()));
        assert_eq!((variables.batches.waiting, variables.batches.together), (10, 10));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (name, value) in [
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
        ] {
            let error = read(&[ENDPOINT, (name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }
}
