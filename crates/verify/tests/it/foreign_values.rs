//! Foreign values: every type that Python's JSON can hold, at its limits and beyond.

use grail_protocol::python_json::Value;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// The names that the wire gives to fields, so that arbitrary documents get past the first look-up.
const FIELDS: [&str; 40] = [
    "wallet",
    "window_start",
    "window_length",
    "inferences",
    "nonce",
    "sat_seed",
    "block_hash",
    "commit",
    "proof",
    "challenge",
    "hotkey",
    "signature",
    "rollout_group",
    "tokens",
    "s_vals",
    "model",
    "name",
    "layer_index",
    "beacon",
    "round_R",
    "randomness",
    "sat_problem",
    "seed",
    "num_vars",
    "clauses",
    "rollout",
    "trajectory",
    "total_reward",
    "advantage",
    "success",
    "prompt_length",
    "completion_length",
    "satisfied_clauses",
    "assignment",
    "indices",
    "round_R1",
    "rollout_index",
    "total_in_group",
    "timestamp",
    "block",
];
/// Just below the nesting limit.
const NESTING_MAX: usize = 450;

/// Returns a value without children.
pub(crate) fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::Bool),
        3 => (-3..4i128).prop_map(Value::Int),
        2 => any::<i128>().prop_map(Value::Int),
        2 => proptest::sample::select(vec![
            1 << 31, (1 << 31) - 1, 1 << 32, (1 << 32) - 1, i128::from(u64::MAX), 1 << 64, i128::MAX, i128::MIN,
        ]).prop_map(Value::Int),
        2 => ("-?", 40..4000usize).prop_map(|(sign, digits)| Value::BigInt(format!("{sign}{}", "7".repeat(digits)).into())),
        2 => any::<f64>().prop_map(Value::Float),
        3 => proptest::sample::select(vec![
            f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.5, 1e16, 1.7e38, 1e308, 5e-324,
        ]).prop_map(Value::Float),
        3 => text().prop_map(Value::Text),
    ]
}

/// Text that is nearly something.
fn text() -> impl Strategy<Value = String> {
    let near = ["", "0", "1", "-1", "0x", "0x0x", "abc", "zz", " 1_0 ", "é", "\u{0}", "None", "NaN", "5GrwvaEF"];
    prop_oneof![
        proptest::sample::select(near.to_vec()).prop_map(str::to_owned),
        "[0-9a-f]{0,140}",
        any::<String>(),
        (100..5000usize).prop_map(|length| "1".repeat(length)),
    ]
}

/// Returns any value: scalars, small trees with the wire's field names, and towers of lists.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let tree = scalar().prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            btree_map(field(), inner, 0..8).prop_map(Value::Object),
        ]
    });
    let tower = (1..NESTING_MAX).prop_map(|depth| (0..depth).fold(Value::Null, |inner, _| Value::List(vec![inner])));
    prop_oneof![4 => scalar(), 4 => tree, 1 => tower]
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![9 => proptest::sample::select(FIELDS.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}
