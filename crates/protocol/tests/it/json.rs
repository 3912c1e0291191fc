//! Properties of the Python JSON reader and writer: never a panic, nothing lost, the same values as `serde_json`.

use grail_protocol::python_json::{Value, parse};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        reads_back_or_refuses(&bytes)?;
    }

    #[test]
    fn arbitrary_json_like_text_is_read_or_refused(text in json_like()) {
        reads_back_or_refuses(text.as_bytes())?;
    }

    #[test]
    fn everything_that_serde_json_accepts_is_accepted(text in json_like()) {
        if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            prop_assert!(parse(text.as_bytes()).is_ok());
        }
    }

    #[test]
    fn output_of_serde_json_is_read_alike(value in serde_value()) {
        let expected = exact(&from_serde(&value));
        prop_assert_eq!(exact(&parse(value.to_string().as_bytes()).unwrap()), expected.clone());
        prop_assert_eq!(exact(&parse(&serde_json::to_vec_pretty(&value).unwrap()).unwrap()), expected);
    }

    #[test]
    fn canonical_text_reads_back_unchanged(value in python_value()) {
        let text = value.canonical_text();
        let read = parse(text.as_bytes()).unwrap();
        prop_assert_eq!(exact(&read), exact(&value));
        prop_assert_eq!(read.canonical_text(), text.clone());
        prop_assert!(text.is_ascii());
    }

    #[test]
    fn cut_documents_are_refused(value in python_value()) {
        let text = Value::List(vec![value]).canonical_text();
        for end in 0..text.len() {
            prop_assert!(parse(&text.as_bytes()[..end]).is_err(), "{:?}", &text[..end]);
        }
    }

    #[test]
    fn equality_is_symmetric_and_reflexive(a in python_value(), b in python_value()) {
        prop_assert_eq!(a == b, b == a);
        prop_assert!(a == a.clone());
    }

    #[test]
    fn the_low_bits_are_those_of_the_integer(i in any::<i128>()) {
        prop_assert_eq!(Value::Int(i).low_32_bits(), Some((i & 0xffff_ffff) as u32));
        let digits = i.to_string().into_boxed_str();
        prop_assert_eq!(Value::BigInt(digits).low_32_bits(), Some((i & 0xffff_ffff) as u32));
    }
}

#[test]
fn deep_nesting_is_refused_rather_than_overflowing_the_stack() {
    for open in ["[", "{\"a\":"] {
        assert!(parse(open.repeat(100_000).as_bytes()).is_err());
    }
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    assert!(parse(deep.as_bytes()).is_ok());
}

/// Results of `a == b` in CPython 3.11, for values from JSON.
#[test]
fn equality_is_that_of_python() {
    let big = "340282366920938463463374607431768211456";
    let table = [
        ("1", "1.0", true),
        ("1", "true", true),
        ("0", "false", true),
        ("0.0", "-0.0", true),
        ("1", "\"1\"", false),
        ("null", "false", false),
        ("NaN", "NaN", false),
        ("[1, 2]", "[1.0, 2]", true),
        ("[1]", "[1, 2]", false),
        ("{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"a\": true}", true),
        ("{\"a\": 1, \"b\": 2}", "{\"a\": 1}", false),
        ("{\"a\": 1}", "{\"a\": true}", true),
        ("9007199254740993", "9007199254740992.0", false),
        ("9007199254740992", "9007199254740992.0", true),
        ("1329227995784915872903807060280344576", "1.329227995784915872903807060280344576e36", true),
        (big, "3.402823669209384634633746e38", true),
        (big, "340282366920938463463374607431768211457", false),
        ("1", "1.5", false),
    ];
    for (a, b, equal) in table {
        let (left, right) = (parse(a.as_bytes()).unwrap(), parse(b.as_bytes()).unwrap());
        assert_eq!(left == right, equal, "{a} == {b}");
    }
}

/// CPython 3.11's `bool(x)` for JSON values.
#[test]
fn truth_is_that_of_python() {
    for text in ["null", "false", "0", "-0", "0.0", "-0.0", "\"\"", "[]", "{}"] {
        assert!(!parse(text.as_bytes()).unwrap().is_truthy(), "{text}");
    }
    for text in ["true", "-1", "5e-324", "NaN", "Infinity", "\"0\"", "[0]", "{\"\": null}"] {
        assert!(parse(text.as_bytes()).unwrap().is_truthy(), "{text}");
    }
}

/// Results of `int(x)` in CPython 3.11, for values from JSON.
#[test]
fn conversion_to_an_integer_is_that_of_python() {
    let table = [
        ("7", Some(7)),
        ("true", Some(1)),
        ("-2.9", Some(-2)),
        ("1e3", Some(1000)),
        ("\" 12\\n\"", Some(12)),
        ("\"+1_000\"", Some(1000)),
        ("\"-0\"", Some(0)),
        ("\"1__0\"", None),
        ("\"_1\"", None),
        ("\"1_\"", None),
        ("\"+-1\"", None),
        ("\"1.0\"", None),
        ("\"\"", None),
        ("NaN", None),
        ("Infinity", None),
        ("null", None),
        ("[1]", None),
    ];
    for (text, integer) in table {
        assert_eq!(parse(text.as_bytes()).unwrap().python_int(), integer, "{text}");
    }
}

#[test]
fn a_repeated_key_keeps_its_last_value() {
    assert_eq!(parse(b"{\"a\": 1, \"a\": 2}").unwrap().canonical_text(), "{\"a\":2}");
}

fn reads_back_or_refuses(bytes: &[u8]) -> Result<(), TestCaseError> {
    match parse(bytes) {
        Ok(value) => prop_assert_eq!(exact(&parse(value.canonical_text().as_bytes()).unwrap()), exact(&value)),
        Err(error) => prop_assert!(error.offset <= bytes.len()),
    }
    Ok(())
}

/// Text with type and bits of every number; `==` on values is Python's, which is coarser.
fn exact(value: &Value) -> String {
    format!("{value:?}")
}

fn from_serde(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => Value::Int(i.into()),
            (_, Some(u)) => Value::Int(u.into()),
            _ => Value::Float(n.as_f64().unwrap()),
        },
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(from_serde).collect()),
        serde_json::Value::Object(entries) => {
            Value::Object(entries.iter().map(|(key, item)| (key.clone(), from_serde(item))).collect())
        }
    }
}

fn json_like() -> impl Strategy<Value = String> {
    "[\\[\\]{}\",:\\\\/ \\nu0-9eE+.a-f-]{0,40}"
}

fn serde_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        finite_float().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Into::into),
            btree_map(any::<String>(), inner, 0..6).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

fn python_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        (-20i128..20).prop_map(Value::Int),
        "-?[1-9][0-9]{39,60}".prop_map(|digits| Value::BigInt(digits.into_boxed_str())),
        finite_float().prop_map(Value::Float),
        Just(Value::Float(f64::INFINITY)),
        Just(Value::Float(f64::NEG_INFINITY)),
        any::<String>().prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            btree_map(any::<String>(), inner, 0..6).prop_map(Value::Object),
        ]
    })
}

fn finite_float() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO
}

proptest! {
    /// Rust writes the shortest digits too, but of two equally near the larger; rounded to as many, the even one.
    #[test]
    fn floats_have_the_shortest_digits_and_the_even_one_of_two(
        float in prop_oneof![finite_float(), (1i64 << 52..1 << 53).prop_map(|n| n as f64 / 4.0)]
    ) {
        let shortest = format!("{float:e}");
        let decimals = shortest.bytes().take_while(|&b| b != b'e').filter(u8::is_ascii_digit).count() - 1;
        let even = format!("{float:.decimals$e}");
        let expected = if even.parse() == Ok(float) { even } else { shortest };
        let text = Value::Float(float).canonical_text();
        prop_assert_eq!(text.parse(), Ok(float));
        prop_assert_eq!(significant_digits(&text), significant_digits(&expected), "{}", text);
    }
}

fn significant_digits(number: &str) -> String {
    let digits: String = number.bytes().take_while(|&b| b != b'e').filter(u8::is_ascii_digit).map(char::from).collect();
    digits.trim_matches('0').to_owned()
}

/// Python refuses more than 4300 digits, and so do we: before any computation or copy.
#[test]
fn a_number_of_many_million_digits_is_refused() {
    let digits = |count: usize| "7".repeat(count);
    assert!(parse(digits(4300).as_bytes()).is_ok());
    for count in [4301, 20_000_000] {
        for number in [digits(count), format!("-{}", digits(count)), format!("[{}", digits(count))] {
            assert!(parse(number.as_bytes()).is_err(), "{count} digits");
        }
        // A float is read digit by digit and rounded, whatever its length.
        assert_eq!(parse(format!("0.{}", digits(count)).as_bytes()).unwrap(), Value::Float(7.0 / 9.0));
    }
}
