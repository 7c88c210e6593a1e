//! Numbers as people read them: counts, durations, rates. Programs get theirs from the JSON lines.

use std::time::Duration;

use super::text;
use crate::model::{Counts, Metrics};

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 branch`, `2 branches`
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `0.4 ms`, `12 ms`, `3.4 s`, `2 min 05 s`, `1 h 02 min`
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.009_95 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 0.999_5 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else {
        let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_millis() >= 500));
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        if hours == 0 {
            format!("{minutes} min {:02} s", seconds % 60)
        } else {
            format!("{} h {minutes:02} min", count(hours))
        }
    }
}

/// `1,200/s`, `3.2/s`, `4.0/min`, from a number a second
pub(super) fn rate(per_second: f64) -> String {
    if per_second >= 9.95 {
        // A cast saturates, so even nonsense is shown as a number.
        format!("{}/s", count(per_second.round() as u64))
    } else if per_second >= 1.0 {
        format!("{per_second:.1}/s")
    } else {
        format!("{:.1}/min", per_second * 60.0)
    }
}

/// `15 succeeded, 2 failed`, without what is none
pub(super) fn endings(counts: &Counts) -> String {
    let parts = [(counts.succeeded, "succeeded"), (counts.failed, "failed"), (counts.cancelled, "cancelled")];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{} {word}", count(*number)))
        .collect();
    let parts = if parts.is_empty() { "nothing ran".to_owned() } else { parts.join(", ") };
    if counts.cached == 0 { parts } else { format!("{parts} ({} from the cache)", count(counts.cached)) }
}

/// `1,234`, `0.0425`, `1.5e20`: whole numbers in full, others with about six figures
pub(super) fn amount(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e15).contains(&size) {
        return format!("{number:e}");
    }
    // The logarithm is between -4 and 15.
    let decimals = (5.0 - size.log10().floor()).clamp(0.0, 9.0) as usize;
    let digits = format!("{size:.decimals$}");
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let sign = if number < 0.0 { "-" } else { "" };
    let whole = count(whole.parse().unwrap_or_default());
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

/// `price-usd 0.42, tokens 1,234`, and of more than `most` how many are left; none where there are none
pub(crate) fn metrics(metrics: &Metrics, most: usize) -> Option<String> {
    let all = metrics.iter().count();
    let shown = metrics.iter().take(most);
    let mut parts: Vec<_> =
        shown.map(|(name, number)| format!("{} {}", text::line(name), amount(number))).collect();
    if all > most {
        parts.push(format!("{} more", count((all - most) as u64)));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        let shown = [0, 7, 999, 1_000, 12_345, 1_234_567].map(count);
        assert_eq!(shown, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn durations_keep_two_or_three_figures() {
        let shown = [0.000_04, 0.004_2, 0.009_96, 0.999_4, 0.999_6, 59.94, 59.96, 125.4, 3_599.6, 7_380.0]
            .map(|seconds| duration(Duration::from_secs_f64(seconds)));
        let expected = [
            "0.0 ms",
            "4.2 ms",
            "10 ms",
            "999 ms",
            "1.0 s",
            "59.9 s",
            "1 min 00 s",
            "2 min 05 s",
            "1 h 00 min",
            "2 h 03 min",
        ];
        assert_eq!(shown, expected);
        assert!(duration(Duration::MAX).ends_with(" min"));
    }

    #[test]
    fn rates_choose_their_unit() {
        let shown = [1_234.4, 9.96, 3.24, 0.05, f64::INFINITY].map(rate);
        assert_eq!(shown, ["1,234/s", "10/s", "3.2/s", "3.0/min", "18,446,744,073,709,551,615/s"]);
    }

    #[test]
    fn amounts_keep_six_figures() {
        let shown =
            [0.0, -0.0, 1.0, 1_234_567.0, 0.042_5, 0.999_999_9, -12.345_678, 1.5e20, 1e-7, 3.0e14, f64::MAX]
                .map(amount);
        let expected = [
            "0",
            "0",
            "1",
            "1,234,567",
            "0.0425",
            "1",
            "-12.3457",
            "1.5e20",
            "1e-7",
            "300,000,000,000,000",
            "1.7976931348623157e308",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn endings_leave_out_what_is_none() {
        assert_eq!(
            endings(&Counts { succeeded: 1_500, failed: 0, cancelled: 2, cached: 0 }),
            "1,500 succeeded, 2 cancelled"
        );
        assert_eq!(endings(&Counts::default()), "nothing ran");
    }
}
