//! Which traces are recorded: `OTEL_TRACES_SAMPLER`.

use super::variables::Lookup;
use crate::model::TraceId;
use crate::report::ExportError;

/// A rule of `OTEL_TRACES_SAMPLER`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Sampling {
    /// Whether what began a trace has the say, where anybody else did.
    by_parent: bool,
    /// The share of traces that are recorded, from 0 to 1.
    share: f64,
}

impl Sampling {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ExportError> {
        let wrong = |name, value: &str, what| ExportError::Variable { name, value: value.to_owned(), what };
        let name = lookup("OTEL_TRACES_SAMPLER").filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| "parentbased_always_on".to_owned());
        let share = match name.trim_start_matches("parentbased_") {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => match lookup("OTEL_TRACES_SAMPLER_ARG").filter(|share| !share.is_empty()) {
                None => 1.0,
                Some(text) => {
                    let share = text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share));
                    share.ok_or_else(|| {
                        wrong("OTEL_TRACES_SAMPLER_ARG", &text, "it is a number from 0 to 1")
                    })?
                }
            },
            _ => {
                let known = "there are always_on, always_off and traceidratio, each with or without parentbased_ before it";
                return Err(wrong("OTEL_TRACES_SAMPLER", &name, known));
            }
        };
        Ok(Self { by_parent: name.starts_with("parentbased_"), share })
    }

    /// Whether a trace is recorded. `inherited` is what was said by whoever began it, if anybody else did.
    pub(super) fn samples(self, trace: TraceId, inherited: Option<bool>) -> bool {
        if let Some(sampled) = inherited.filter(|_| self.by_parent) {
            return sampled;
        }
        // As the OpenTelemetry libraries do, so that all of a trace's hosts decide alike.
        let [.., a, b, c, d, e, f, g, h] = *trace.as_bytes();
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
        self.share >= 1.0 || (number as f64) < self.share * (1_u64 << 63) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sampler: &'static str, arg: &'static str) -> Result<Sampling, ExportError> {
        Sampling::read(&move |name: &str| match name {
            "OTEL_TRACES_SAMPLER" => Some(sampler.to_owned()),
            "OTEL_TRACES_SAMPLER_ARG" => Some(arg.to_owned()),
            _ => None,
        })
    }

    fn trace(byte: u8) -> TraceId {
        TraceId::from_bytes([byte; 16]).unwrap()
    }

    #[test]
    fn who_began_the_trace_has_the_say_unless_told_otherwise() {
        for (sampler, alone, sampled, unsampled) in [
            ("", true, true, false),
            ("parentbased_always_on", true, true, false),
            ("parentbased_always_off", false, true, false),
            ("always_on", true, true, true),
            ("always_off", false, false, false),
        ] {
            let sampling = read(sampler, "").unwrap();
            let said = [None, Some(true), Some(false)].map(|said| sampling.samples(trace(9), said));
            assert_eq!(said, [alone, sampled, unsampled], "{sampler}");
        }
    }

    #[test]
    fn a_share_of_traces_is_recorded_by_their_ids() {
        let half = read("traceidratio", "0.5").unwrap();
        assert!(half.samples(trace(0x7f), None) && !half.samples(trace(0x80), None));
        let all = read("parentbased_traceidratio", "1").unwrap();
        assert!(all.samples(trace(0xff), None) && !all.samples(trace(1), Some(false)));
        assert!(!read("traceidratio", "0").unwrap().samples(trace(1), Some(true)));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for (sampler, arg, name) in [
            ("jaeger_remote", "", "OTEL_TRACES_SAMPLER"),
            ("traceidratio", "1.5", "OTEL_TRACES_SAMPLER_ARG"),
            ("traceidratio", "NaN", "OTEL_TRACES_SAMPLER_ARG"),
        ] {
            let error = read(sampler, arg).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
