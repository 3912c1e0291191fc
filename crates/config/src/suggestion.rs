//! Suggestions for unknown names.

use super::keys::{ALIASES, KEYS};

/// Returns the known name that is closest to `name`, if one is close.
pub(super) fn suggestion(name: &str) -> Option<&'static str> {
    let name = name.to_uppercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, meant)| *meant);
    alias.or_else(|| {
        let distances = KEYS.iter().map(|key| (strsim::damerau_levenshtein(&name, key.name), key.name));
        distances.min().filter(|(distance, meant)| *distance <= meant.len() / 5).map(|(_, meant)| meant)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_and_foreign_names_are_understood() {
        let cases = [
            ("BT_NETWROK", Some("BT_NETWORK")),
            ("bt_network", Some("BT_NETWORK")),
            ("NETUI", Some("NETUID")),
            ("R2_READ_ACCESS_KEY", Some("R2_READ_ACCESS_KEY_ID")),
            ("R2_WRITE_SECRET_KEY", None),
            ("R2_WRITE_SECRET_ACESS_KEY", Some("R2_WRITE_SECRET_ACCESS_KEY")),
            ("BT_WALLET_NAME", Some("BT_WALLET_COLD")),
            ("GRAIL_WALLET", None),
        ];
        for (name, expected) in cases {
            assert_eq!(suggestion(name), expected, "{name}");
        }
    }
}
