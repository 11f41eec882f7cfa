//! Exact decimal numbers: 128 bits of digits and where the point stands.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A decimal number, `unscaled / 10^scale`, of up to 38 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Decimal {
    /// All digits.
    pub unscaled: i128,
    /// How many of them stand after the point.
    pub scale: u8,
}

/// A text that is no decimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no decimal number of at most 38 digits; write it plainly, such as -12.50")]
pub struct DecimalError {
    text: String,
}

/// The first power of ten beyond 38 digits.
const TOO_LARGE: u128 = 10_u128.pow(38);

impl Decimal {
    /// Reads digits with at most one point and a sign; no exponent.
    ///
    /// # Errors
    /// [`DecimalError`].
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        parse(text).ok_or_else(|| DecimalError { text: text.escape_debug().to_string() })
    }

    /// The same number with `scale` digits after the point; `None` if that loses digits or needs more than
    /// `precision` of them.
    pub fn rescaled(self, precision: u8, scale: u8) -> Option<i128> {
        let unscaled = match scale.checked_sub(self.scale) {
            Some(more) => self.unscaled.checked_mul(10_i128.checked_pow(more.into())?)?,
            None => {
                let cut = 10_i128.checked_pow(u32::from(self.scale - scale))?;
                (self.unscaled % cut == 0).then_some(self.unscaled / cut)?
            }
        };
        (unscaled.unsigned_abs() < 10_u128.checked_pow(precision.into())?).then_some(unscaled)
    }

    /// Without zeros at the end of the fraction: equal numbers become equal values.
    #[must_use]
    pub fn normal(self) -> Self {
        let mut normal = self;
        while normal.scale > 0 && normal.unscaled % 10 == 0 {
            normal = Self { unscaled: normal.unscaled / 10, scale: normal.scale - 1 };
        }
        normal
    }

    /// The nearest float.
    pub fn to_f64(self) -> f64 {
        // Reading the text rounds once; dividing would round twice.
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

fn parse(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(part) {
        return None;
    }
    let part = if digits.contains('.') { part } else { "" };
    let size: u128 = format!("{whole}{part}").parse().ok().filter(|size| *size < TOO_LARGE)?;
    let unscaled = i128::try_from(size).ok()?;
    let scale = u8::try_from(part.len()).ok().filter(|scale| *scale <= 38)?;
    Some(Decimal { unscaled: if text.starts_with('-') { -unscaled } else { unscaled }, scale })
}

impl fmt::Display for Decimal {
    /// All digits, those of the scale too: `12.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = usize::from(self.scale);
        let digits = format!("{:0width$}", self.unscaled.unsigned_abs(), width = scale + 1);
        let (whole, part) = digits.split_at(digits.len() - scale);
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let point = if part.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{part}")
    }
}

impl TryFrom<String> for Decimal {
    type Error = DecimalError;
    fn try_from(text: String) -> Result<Self, DecimalError> {
        Self::parse(&text)
    }
}

impl From<Decimal> for String {
    fn from(decimal: Decimal) -> Self {
        decimal.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimals() -> impl Strategy<Value = Decimal> {
        let most = i128::try_from(TOO_LARGE - 1).unwrap();
        let unscaled = prop_oneof![-most..=most, -200..200_i128, Just(most), Just(-most)];
        (unscaled, 0..=38_u8).prop_map(|(unscaled, scale)| Decimal { unscaled, scale })
    }

    proptest! {
        #[test]
        fn every_decimal_reads_and_writes(decimal in decimals()) {
            prop_assert_eq!(Decimal::parse(&decimal.to_string()), Ok(decimal));
        }

        #[test]
        fn the_normal_form_is_the_same_number(decimal in decimals()) {
            let normal = decimal.normal();
            prop_assert_eq!(normal.rescaled(38, decimal.scale), Some(decimal.unscaled));
            prop_assert_eq!(normal.normal(), normal);
        }
    }

    #[test]
    fn another_scale_keeps_the_number_or_is_refused() {
        let decimal = |text| Decimal::parse(text).unwrap();
        assert_eq!(decimal("1.50").rescaled(10, 1), Some(15));
        assert_eq!(decimal("1.50").rescaled(10, 4), Some(15_000));
        assert_eq!(decimal("1.55").rescaled(10, 1), None);
        assert_eq!(decimal("99.5").rescaled(3, 1), Some(995));
        assert_eq!(decimal("99.5").rescaled(3, 2), None);
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        let long = "1".repeat(39);
        for text in ["", "-", ".5", "5.", "1e3", "1,5", "--1", "1.2.3", " 1", &long] {
            assert!(Decimal::parse(text).is_err(), "{text}");
        }
    }
}
