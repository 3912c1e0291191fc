//! Names and values with invisible characters.

use std::path::Path;

use grail_config::{ConfigError, EnvFile, KEYS, MinerConfig, RawConfig};

use crate::config::{ACCOUNT, CUSTOM, NEEDED, OWN_BEACON, environment, holds, meant, merged, typed};

#[test]
fn invisible_characters_in_a_value_are_reported_with_name_position_and_code_point() {
    let odd = [
        ("a\u{200b}", "U+200B (zero-width space) as character 2 of 2"),
        ("\u{feff}a", "U+FEFF (byte order mark) as character 1 of 2"),
        ("a\u{2060}b", "U+2060 (word joiner) as character 2 of 3"),
        ("a\u{a0}b", "U+00A0 (no-break space) as character 2 of 3"),
        ("a\u{1b}[2J", "U+001B (escape) as character 2 of 5"),
        ("\"a\"", "U+0022 (quotation mark) as character 1 of 3"),
        ("“a”", "U+201C (left curly quotation mark) as character 1 of 3"),
    ];
    // So that every value is read.
    let everything = [
        ("GRAIL_MONITORING_BACKEND", "wandb"),
        ("WANDB_API_KEY", "key"),
        ("GRAIL_OBS_LOKI_URL", "http://127.0.0.1/push"),
        ("GRAIL_OBS_LOKI_USERNAME", "user"),
        ("GRAIL_OBS_LOKI_PASSWORD", "password"),
        ("GRAIL_ALERT_TELEGRAM_TOKEN", "1:a"),
        ("GRAIL_ALERT_TELEGRAM_CHAT", "1"),
        ("R2_BUCKET_ID", ACCOUNT),
        ("R2_ENDPOINT_URL", "http://127.0.0.1:9000"),
        ("GRAIL_BLOCK_TIME", "1"),
    ];
    let everything = [&everything[..], &CUSTOM, &OWN_BEACON].concat();
    assert!(meant(&everything).is_ok(), "{:?}", meant(&everything));
    let reported = |typed: &RawConfig, name: &str, what: &str, value: &str| {
        let found = MinerConfig::from_raw(typed).expect_err(name).0;
        let (characters, others): (Vec<&ConfigError>, Vec<&ConfigError>) =
            found.iter().partition(|error| matches!(error, ConfigError::Character { .. }));
        assert_eq!((characters.len(), others.len()), (1, 0), "{name} {value:?}: {found:?}");
        let text = characters[0].to_string();
        assert!(text.starts_with(&format!("{name} (")) && text.contains(&format!("holds {what}: ")), "{text}");
    };
    for key in KEYS {
        for (value, what) in odd {
            let environment = environment(&[&NEEDED[..], &everything, &[(key.name, value)]].concat());
            reported(&RawConfig::merge(&environment, None), key.name, what, value);
            let escaped = format!("{}='{}'", key.name, value);
            let file = EnvFile::parse(Path::new(".env"), &escaped).unwrap();
            let others: Vec<_> =
                [&NEEDED[..], &everything].concat().into_iter().filter(|(name, _)| *name != key.name).collect();
            reported(&RawConfig::merge(&self::environment(&others), Some(&file)), key.name, what, value);
        }
    }
    // What separates the parts of a signature's scope.
    for name in ["R2_WRITE_ACCESS_KEY_ID", "R2_READ_ACCESS_KEY_ID", "R2_REGION"] {
        for (value, what) in [("a/b", "U+002F (/) as character 2 of 3"), ("a,b", "U+002C (,) as character 2 of 3")] {
            reported(&typed(&[(name, value)]), name, what, value);
        }
    }
    // Two lines in a variable, as `$(cat FILE)` puts them there; and bytes that are no text, which arrive so.
    reported(
        &typed(&[("R2_WRITE_ACCESS_KEY_ID", "id\nsecret")]),
        "R2_WRITE_ACCESS_KEY_ID",
        "U+000A (line break) as character 3 of 9",
        "",
    );
    let what = "U+FFFD (bytes that are not UTF-8) as character 1 of 1";
    reported(&typed(&[("R2_REGION", "\u{fffd}")]), "R2_REGION", what, "");
    // Notes may have lines, and quotation marks within a text are intended.
    let free = [("WANDB_NOTES", "one\n\ttwo"), ("WANDB_NAME", "the \"fast\" one"), ("WANDB_TAGS", "größer, it's")];
    assert!(meant(&[&everything[..], &free].concat()).is_ok());
}

#[test]
fn white_space_around_a_value_is_left_out_and_reported_unless_it_is_a_space() {
    let typed = merged(&[("R2_REGION", " auto\u{a0}"), ("NETUID", "\t81 ")], "BT_WALLET_HOT=\u{3000}hot\n");
    assert_eq!((holds(&typed, "R2_REGION").0, holds(&typed, "BT_WALLET_HOT").0), ("auto".into(), "hot".into()));
    let reported: Vec<String> = typed.notices().iter().map(ToString::to_string).collect();
    assert_eq!(reported.len(), 2, "{reported:?}");
    assert!(reported[0].contains("BT_WALLET_HOT (.env:1)") && reported[0].contains("U+3000"), "{reported:?}");
    assert!(reported[1].contains("R2_REGION (environment)") && reported[1].contains("U+00A0"), "{reported:?}");
}

#[test]
fn names_without_a_value_and_names_with_invisible_characters_are_reported() {
    let typed = merged(&[], "export NETUID\nplanted0rest0of0a0secret\nR2_REGION\u{200b}=auto\n");
    let reported: Vec<String> = typed.notices().iter().map(ToString::to_string).collect();
    assert_eq!(reported.len(), 3, "{reported:?}");
    assert!(reported[0].starts_with("R2_REGION\\u{200b} (.env:3) is not known and holds U+200B"), "{reported:?}");
    assert!(reported[0].ends_with("did you mean R2_REGION?"), "{reported:?}");
    assert!(
        reported[1].starts_with("NETUID (.env:1) has no `=`") && reported[2].starts_with("a name (.env:2) has no"),
        "{reported:?}"
    );
    assert!(reported.iter().all(|notice| !notice.contains("planted")), "{reported:?}");
    let forged = merged(&[("GRAIL_TRAIN\u{1b}[2J\u{202e}", "1"), ("R2_X\nERROR", "1")], "");
    for notice in forged.notices() {
        assert!(!notice.to_string().contains(|c: char| c.is_control() || c == '\u{202e}'), "{notice}");
    }
}
