//! Bytes and documents that are no honest file: a verdict or a named error, never a panic, never the model's time.

use grail_protocol::python_json::Value;
use grail_verify::{Scope, Verdict, verify_bytes, verify_value};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::foreign_values::value;
use crate::recorded::{CountedPasses, RECORDED};
use crate::signed::SignedWindow;

const SCOPES: [Scope; 2] = [Scope::Validator, Scope::Everything];

proptest! {
    #[test]
    fn arbitrary_bytes_give_an_error_or_a_verdict(bytes in vec(any::<u8>(), 0..300)) {
        judged_without_the_model(&bytes)?;
        judged_without_the_model(&[&[0x1f, 0x8b, 8, 0], &bytes[..]].concat())?;
    }

    #[test]
    fn arbitrary_documents_give_a_verdict(document in value()) {
        judged_without_the_model(document.canonical_text().as_bytes())?;
    }

    #[test]
    fn arbitrary_rollouts_give_a_verdict(inferences in value(), rollouts in vec(value(), 0..30)) {
        for inferences in [inferences, Value::List(rollouts)] {
            let document = with_inferences(inferences);
            judged_without_the_model(document.canonical_text().as_bytes())?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_file_is_refused_or_judged_no_better(
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        kept in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let window = SignedWindow::shared();
        let mut bytes = window.packed.clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(kept.index(bytes.len()));
        }
        if let Ok(report) = verify_bytes(&bytes, &window.facts, &window.tokenizer, window, Scope::Validator) {
            prop_assert!(report.verdict.metrics().valid <= window.rollouts.len());
        } else {
            prop_assert!(bytes != window.packed);
        }
    }
}

/// `document` under the recorded window's wallet and start.
fn with_inferences(inferences: Value) -> Value {
    let Value::Object(mut fields) = RECORDED.document.clone() else { panic!("the recorded document is an object") };
    fields.insert("inferences".to_owned(), inferences);
    Value::Object(fields)
}

fn judged_without_the_model(bytes: &[u8]) -> Result<(), TestCaseError> {
    for scope in SCOPES {
        let passes = CountedPasses::default();
        match verify_bytes(bytes, &RECORDED.facts, &RECORDED.tokenizer, &passes, scope) {
            Ok(report) => {
                prop_assert_eq!(report.verdict.metrics().valid, 0, "{:?}", report.verdict);
                let accepted = matches!(report.verdict, Verdict::Accepted { .. });
                prop_assert_eq!(report.verdict.remedy().is_none(), accepted);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        prop_assert_eq!(passes.calls.get(), 0, "no such rollout can be signed, so no model needs to run");
    }
    Ok(())
}

#[test]
fn a_document_that_is_no_file_of_this_window_is_ignored_or_given_up() {
    let outcome = |json: &str| {
        let document = grail_protocol::python_json::parse(json.as_bytes()).unwrap();
        let passes = CountedPasses::default();
        let facts = &RECORDED.facts;
        verify_value(&document, facts, &RECORDED.tokenizer, &passes, Scope::Validator).verdict.outcome()
    };
    for empty in ["null", "{}", "[]", "\"\"", "0", "0.0", "false"] {
        assert_eq!(outcome(empty), "ignored", "{empty}");
    }
    for odd in ["[1]", "\"text\"", "7", "true", "NaN"] {
        assert_eq!(outcome(odd), "error", "{odd}");
    }
    let wallet = &RECORDED.facts.hotkey;
    let file = |inferences: &str| outcome(&format!(r#"{{"wallet": "{wallet}", "window_start": 300{inferences}}}"#));
    for nothing in ["", r#", "inferences": []"#, r#", "inferences": "" "#, r#", "inferences": {}"#] {
        assert_eq!(file(nothing), "accepted", "{nothing}");
    }
    for odd in [r#", "inferences": null"#, r#", "inferences": 3"#, r#", "inferences": [3]"#, r#", "inferences": "x""#] {
        assert_eq!(file(odd), "error", "{odd}");
    }
    assert_eq!(outcome(&format!(r#"{{"wallet": "{wallet}", "window_start": "300"}}"#)), "ignored");
    assert_eq!(outcome(&format!(r#"{{"wallet": "{wallet}", "window_start": 300.0}}"#)), "accepted");
    assert_eq!(outcome(r#"{"wallet": null, "window_start": 300}"#), "ignored");
}
