//! Buckets against their definition in exact integer arithmetic, and what merging must keep.
#![cfg(not(penstock_loom))]

use penstock_core::histogram::{Distribution, Histogram, Scale, index};
use proptest::prelude::*;
use std::cmp::Ordering;

/// A natural number, least digit first: enough arithmetic to compare powers.
#[derive(Clone)]
struct Natural(Vec<u32>);

impl Natural {
    fn from(n: u64) -> Self {
        Self(vec![n as u32, (n >> 32) as u32])
    }

    fn times(&self, other: &Self) -> Self {
        let mut digits = vec![0_u32; self.0.len() + other.0.len()];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0_u64;
            for (j, b) in other.0.iter().enumerate() {
                let sum = u64::from(*a) * u64::from(*b) + u64::from(digits[i + j]) + carry;
                digits[i + j] = sum as u32;
                carry = sum >> 32;
            }
            digits[i + other.0.len()] = carry as u32;
        }
        Self(digits)
    }

    fn power(&self, n: u32) -> Self {
        (0..n).fold(Self::from(1), |product, _| product.times(self))
    }

    fn shifted(&self, bits: u32) -> Self {
        let mut digits = vec![0; (bits / 32) as usize];
        digits.extend(self.times(&Self::from(1 << (bits % 32))).0);
        Self(digits)
    }

    fn compare(&self, other: &Self) -> Ordering {
        let length = self.0.len().max(other.0.len());
        let digit = |n: &Self, at: usize| n.0.get(at).copied().unwrap_or(0);
        (0..length)
            .rev()
            .map(|at| digit(self, at).cmp(&digit(other, at)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

/// `value` against 2^(index / 2^scale), exactly: both sides to the power 2^scale.
fn against_boundary(value: f64, index: i32, scale: Scale) -> Ordering {
    let bits = value.to_bits();
    let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
    let exponent = (bits >> 52) as i32 - 1023 - 52;
    let steps = 1_i32 << scale.get();
    // (mantissa · 2^exponent)^steps  <=>  2^index
    let shift = index - exponent * steps;
    let left = Natural::from(mantissa).power(steps as u32);
    match u32::try_from(shift) {
        Ok(shift) => left.compare(&Natural::from(1).shifted(shift)),
        Err(_) => left
            .shifted(shift.unsigned_abs())
            .compare(&Natural::from(1)),
    }
}

fn assert_bucket(value: f64, scale: Scale) {
    let i = index(value, scale);
    assert_eq!(
        against_boundary(value, i, scale),
        Ordering::Greater,
        "{value:e} bucket {i}"
    );
    assert_ne!(
        against_boundary(value, i + 1, scale),
        Ordering::Greater,
        "{value:e} bucket {i}"
    );
}

fn scales() -> [Scale; 3] {
    [3, 4, 5].map(|scale| Scale::new(scale).unwrap())
}

#[test]
fn the_doubles_around_every_boundary_fall_on_their_side() {
    for scale in scales() {
        for octave in [-1022, -41, -40, -1, 0, 1, 55, 56, 1022] {
            for step in 0..1 << scale.get() {
                let i = (octave << scale.get()) + step;
                let near = (f64::from(i) / f64::from(1 << scale.get())).exp2();
                for bits in near.to_bits() - 4..=near.to_bits() + 4 {
                    if f64::from_bits(bits) >= f64::MIN_POSITIVE {
                        assert_bucket(f64::from_bits(bits), scale);
                    }
                }
            }
        }
    }
}

#[test]
fn a_power_of_two_is_the_last_of_its_bucket() {
    for scale in scales() {
        for exponent in -1022..=1023 {
            let i = index(f64::exp2(f64::from(exponent)), scale);
            assert_eq!(i, (exponent << scale.get()) - 1);
        }
    }
}

fn recorded(values: &[f64], scale: Scale) -> Distribution {
    let histogram = Histogram::new(scale);
    histogram.record_many(values.iter().copied());
    histogram.total()
}

fn same_counts(a: &Distribution, b: &Distribution) {
    assert_eq!(
        (a.scale, a.zero, a.first, &a.counts),
        (b.scale, b.zero, b.first, &b.counts)
    );
    assert_eq!((a.min, a.max), (b.min, b.max));
    assert_eq!((a.clamped, a.ignored), (b.clamped, b.ignored));
    // Sums of floats in another order; some of the values are so large that they overflow.
    let near = (a.sum - b.sum).abs() <= 1e-9 * a.sum.abs();
    assert!(near || a.sum == b.sum, "{} {}", a.sum, b.sum);
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-45.0..60.0_f64).prop_map(f64::exp2),
        1 => Just(0.0),
        1 => proptest::num::f64::ANY,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_normal_double_lies_in_its_bucket(value in proptest::num::f64::POSITIVE, scale in 3_i64..=5) {
        prop_assume!(value.is_normal());
        assert_bucket(value, Scale::new(scale).unwrap());
    }

    #[test]
    fn nothing_is_lost(values in prop::collection::vec(value(), 0..200), scale in 3_i64..=5) {
        let total = recorded(&values, Scale::new(scale).unwrap());
        let counted = values.iter().filter(|v| **v >= 0.0 && v.is_finite());
        prop_assert_eq!(total.count(), counted.clone().count() as u64);
        prop_assert_eq!(total.count() + total.ignored, values.len() as u64);
        let inside = |v: f64| v == 0.0 || (v > f64::exp2(-40.0) && v <= f64::exp2(56.0));
        prop_assert_eq!(total.clamped, counted.clone().filter(|v| !inside(**v)).count() as u64);
        prop_assert_eq!(total.min, counted.clone().copied().fold(f64::INFINITY, f64::min));
        prop_assert_eq!(total.max, counted.copied().fold(f64::NEG_INFINITY, f64::max));
        prop_assert_eq!(total.buckets().map(|b| b.count).sum::<u64>() + total.zero, total.count());
    }

    #[test]
    fn a_quantile_is_as_near_as_the_scale_says(
        mut values in prop::collection::vec((-39.0..55.0_f64).prop_map(f64::exp2), 1..200),
        q in 0.0..=1.0_f64,
        scale in 3_i64..=5,
    ) {
        let scale = Scale::new(scale).unwrap();
        let total = recorded(&values, scale);
        values.sort_by(f64::total_cmp);
        let rank = ((q * values.len() as f64).ceil() as usize).max(1);
        let allowed = 0.5_f64.powi(i32::from(scale.get()) + 1).exp2() - 1.0;
        let read = total.quantile(q).unwrap();
        let error = |exact: f64| (read / exact - 1.0).abs();
        // One rank lower where q·n is whole but for its last bit.
        let nearest = error(values[rank - 1]).min(error(values[rank.saturating_sub(2)]));
        prop_assert!(nearest <= allowed + 1e-12, "{read} {} {nearest} {allowed}", values[rank - 1]);
    }

    #[test]
    fn merging_is_associative_and_equals_recording_together(
        a in prop::collection::vec(value(), 0..60),
        b in prop::collection::vec(value(), 0..60),
        c in prop::collection::vec(value(), 0..60),
        scales in prop::array::uniform3(3_i64..=5),
    ) {
        let [x, y, z] = [(&a, scales[0]), (&b, scales[1]), (&c, scales[2])]
            .map(|(values, scale)| recorded(values, Scale::new(scale).unwrap()));
        let mut left = x.clone();
        left.merge(&y);
        left.merge(&z);
        let mut right = y.clone();
        right.merge(&z);
        let mut whole = x.clone();
        whole.merge(&right);
        prop_assert_eq!(left.count(), x.count() + y.count() + z.count());
        let together = [a, b, c].concat();
        let coarsest = Scale::new(*scales.iter().min().unwrap()).unwrap();
        let direct = recorded(&together, coarsest);
        same_counts(&left, &whole);
        same_counts(&left, &direct);
    }

    #[test]
    fn coarsening_keeps_the_bucket_of_every_value(
        values in prop::collection::vec((-39.0..55.0_f64).prop_map(f64::exp2), 0..60),
        scale in -10_i8..=5,
    ) {
        let mut total = recorded(&values, Scale::FINEST);
        prop_assert!(total.coarsen(scale));
        prop_assert_eq!(total.count(), values.len() as u64);
        for value in values {
            let i = index(value, Scale::FINEST) >> (5 - scale);
            prop_assert!(total.counts[(i - total.first) as usize] > 0);
        }
        prop_assert!(!total.coarsen(scale + 1));
    }
}
