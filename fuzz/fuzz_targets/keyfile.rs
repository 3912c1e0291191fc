//! A hotkey's file in any of its forms. `$NACL` is tried without its password, which takes a second and half a gigabyte.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use grail_protocol::signature::Hotkey;
use grail_wallet::{Form, Passwords, hotkey_in, password_variable};
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;

fuzz_target!(|data: &[u8]| {
    let path = Path::new("hot");
    // Passwords are coded; the decoded value does not matter here.
    let known = (password_variable(path), SecretString::from("c2VjcmV0"));
    let variables: BTreeMap<_, _> = Some(known).filter(|_| Form::of(data) != Some(Form::Nacl)).into_iter().collect();
    if let Ok(hotkey) = hotkey_in(path, data, &Passwords { variables: &variables, prompt: None }) {
        assert_eq!(Hotkey::from_ss58(&hotkey.to_ss58()).ok(), Some(hotkey));
    }
});
