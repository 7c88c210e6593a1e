//! Durations, rates and sizes as people write them: `200ms`, `128MiB`. Knows nothing of where they stand.

use std::time::Duration;

/// The longest duration that a file may ask for: a year.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The highest rate that a file may ask for, in each of its units.
const MOST_PER_UNIT: u32 = 1_000_000;

/// Why a text is no duration, rate or size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a number and a unit of time.
    #[error("`{0}` is not a duration: one is a number and `ms`, `s`, `m` or `h`, such as `200ms` or `1.5h`")]
    Duration(String),
    /// Longer than a year.
    #[error("`{0}` is longer than a year")]
    TooLong(String),
    /// Not a number and a unit of time to divide it by.
    #[error("`{0}` is not a rate: one is a whole number from 1 to {MOST} and `/s`, `/m` or `/h`, such as `50/s`", MOST = MOST_PER_UNIT)]
    Rate(String),
    /// Not a number and a unit of size.
    #[error(
        "`{0}` is not a size: one is a number and `B`, `kB`, `KiB`, `MB`, `MiB`, `GB` or `GiB`, such as `128MiB`"
    )]
    Size(String),
    /// More than 2^63-1 bytes.
    #[error("`{0}` is more than any machine has")]
    TooLarge(String),
}

/// Number and unit; the number has digits before and, if it has a point, after it.
fn split(text: &str) -> Option<(&str, &str)> {
    let at = text.find(|char: char| char.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let valid = match number.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part),
        None => digits(number),
    };
    (valid && number.len() <= 30).then_some((number, unit))
}

/// Reads `200ms`, `10s`, `2m`, `1.5h`; at most a year.
///
/// # Errors
/// Fails with what is wrong with the text.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let invalid = || UnitError::Duration(text.to_owned());
    let (number, unit) = split(text).ok_or_else(invalid)?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(invalid()),
    };
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let too_long = || UnitError::TooLong(text.to_owned());
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| too_long())?;
    if duration > LONGEST { Err(too_long()) } else { Ok(duration) }
}

/// Reads `50/s`, `100/m`, `5000/h`: how many in how long a time, from 1 to 1,000,000.
///
/// # Errors
/// Fails with what is wrong with the text.
pub fn rate(text: &str) -> Result<(u32, Duration), UnitError> {
    let invalid = || UnitError::Rate(text.to_owned());
    let (number, unit) = text.split_once('/').ok_or_else(invalid)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(invalid()),
    };
    // `parse` alone would take a sign.
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|number| digits && (1..=MOST_PER_UNIT).contains(number));
    Ok((number.ok_or_else(invalid)?, Duration::from_secs(seconds)))
}

/// Reads `65536B`, `1GB`, `128MiB`: bytes, at most 2^63-1.
///
/// # Errors
/// Fails with what is wrong with the text.
pub fn size(text: &str) -> Result<u64, UnitError> {
    let invalid = || UnitError::Size(text.to_owned());
    let (number, unit) = split(text).ok_or_else(invalid)?;
    let factor: u64 = match unit {
        "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return Err(invalid()),
    };
    let too_large = || UnitError::TooLarge(text.to_owned());
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let part =
        if part.is_empty() { 0.0 } else { format!("0.{part}").parse::<f64>().map_err(|_| invalid())? };
    // The fraction of a unit is far below what a float holds exactly.
    let part = (part * factor as f64) as u64;
    let bytes = whole.checked_mul(factor).and_then(|bytes| bytes.checked_add(part)).ok_or_else(too_large)?;
    if i64::try_from(bytes).is_err() { Err(too_large()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let ms = Duration::from_millis;
        for (text, value) in [
            ("200ms", ms(200)),
            ("10s", ms(10_000)),
            ("2m", ms(120_000)),
            ("1.5h", ms(5_400_000)),
            ("0s", ms(0)),
        ] {
            assert_eq!(duration(text), Ok(value), "{text}");
        }
        for text in ["", "10", "s", "1 0s", "-1s", "1.s", ".5s", "10S", "1e3s", "10 minutes", "١s"] {
            assert_eq!(duration(text), Err(UnitError::Duration(text.to_owned())), "{text}");
        }
        assert_eq!(duration("9999999999h"), Err(UnitError::TooLong("9999999999h".to_owned())));
    }

    #[test]
    fn rates() {
        for (text, attempts, seconds) in [("50/s", 50, 1), ("100/m", 100, 60), ("1000000/h", 1_000_000, 3600)]
        {
            assert_eq!(rate(text), Ok((attempts, Duration::from_secs(seconds))), "{text}");
        }
        for text in
            ["", "/s", "50", "50/", "0/s", "1000001/s", "0.5/s", "+5/s", "-1/s", "50/ms", "50 / s", "1/s/s"]
        {
            assert_eq!(rate(text), Err(UnitError::Rate(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, value) in [
            ("1B", 1),
            ("1kB", 1000),
            ("64KiB", 65536),
            ("128MiB", 128 << 20),
            ("1GB", 1_000_000_000),
            ("1.5GiB", 3 << 29),
        ] {
            assert_eq!(size(text), Ok(value), "{text}");
        }
        for text in ["", "128", "MiB", "128mib", "128M", "-1B", "1,5GiB"] {
            assert_eq!(size(text), Err(UnitError::Size(text.to_owned())), "{text}");
        }
        for text in ["9999999999999GiB", "99999999999999999999999B", "8589934592GiB"] {
            assert_eq!(size(text), Err(UnitError::TooLarge(text.to_owned())), "{text}");
        }
    }
}
