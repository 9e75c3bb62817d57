//! Refusals by a `ResourceQuota`.

/// What a refusal by quota says of a Pod that takes the place of another of the same workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does not fit now; after the Pod that it replaces is gone, it does.
    Full,
    /// It does not fit then either.
    NeverFits,
}

/// Reads `… exceeded quota: q, requested: pods=1,requests.cpu=100m, used: pods=10,…, limited: pods=10,…`; `None`: this
/// is no refusal for a full quota.
///
/// The Pod that is replaced frees about what the new one asks for. So the new one fits afterwards unless the quota is
/// overdrawn already (it was lowered) or too small for even one such Pod. What cannot be read counts as full, which
/// claims less.
pub(super) fn verdict(message: &str) -> Option<Verdict> {
    let (_, rest) = message.split_once("exceeded quota: ")?;
    let part = |label: &str| {
        let (_, amounts) = rest.split_once(label)?;
        let amounts = amounts.split_once(", ").map_or(amounts, |(amounts, _)| amounts);
        amounts
            .split(',')
            .map(|pair| pair.split_once('=').and_then(|(resource, amount)| Some((resource, quantity(amount)?))))
            .collect::<Option<Vec<_>>>()
    };
    let never = || {
        let (requested, used, limited) = (part(", requested: ")?, part(", used: ")?, part(", limited: ")?);
        Some(limited.iter().any(|(resource, limit)| {
            let exceeds = |amounts: &[(&str, i128)]| amounts.iter().any(|(r, amount)| r == resource && amount > limit);
            exceeds(&requested) || exceeds(&used)
        }))
    };
    Some(if never() == Some(true) { Verdict::NeverFits } else { Verdict::Full })
}

/// A Kubernetes quantity in billionths: `100m`, `1.5`, `2Gi`, `1e3`.
fn quantity(text: &str) -> Option<i128> {
    const BILLIONTHS: i128 = 1_000_000_000;
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (numerator, denominator): (i128, i128) = match suffix {
        "n" => (1, BILLIONTHS),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (BILLIONTHS, 1),
        "T" => (BILLIONTHS * 1000, 1),
        "P" => (BILLIONTHS * 1_000_000, 1),
        "E" => (BILLIONTHS * BILLIONTHS, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let power = exponent.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
            let scale = 10i128.checked_pow(power.unsigned_abs())?;
            if power < 0 { (1, scale) } else { (scale, 1) }
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    digits.checked_mul(BILLIONTHS)?.checked_mul(numerator)?.checked_div(denominator.checked_mul(scale)?)
}

#[cfg(test)]
mod tests {
    use super::quantity;

    #[test]
    fn each_suffix_counts_for_what_it_is() {
        let power = |exponent| 10i128.pow(exponent);
        let binary = |exponent| Some(power(9) << exponent);
        for (text, billionths) in [
            ("7n", Some(7)),
            ("7u", Some(7_000)),
            ("100m", Some(power(8))),
            ("1.5", Some(1_500_000_000)),
            ("-1", Some(-power(9))),
            ("2k", Some(2 * power(12))),
            ("2M", Some(2 * power(15))),
            ("2G", Some(2 * power(18))),
            ("2T", Some(2 * power(21))),
            ("2P", Some(2 * power(24))),
            ("2E", Some(2 * power(27))),
            ("1Ki", binary(10)),
            ("1Mi", binary(20)),
            ("1Gi", binary(30)),
            ("1Ti", binary(40)),
            ("1Pi", binary(50)),
            ("1Ei", binary(60)),
            ("0.5Ki", binary(9)),
            ("1e3", Some(power(12))),
            ("1E3", Some(power(12))),
            ("25e-1", Some(2_500_000_000)),
            ("1e99", None),
            ("1x", None),
            ("", None),
        ] {
            assert_eq!(quantity(text), billionths, "{text}");
        }
    }
}
