//! A limit on the memory of decoded foreign data.
//!
//! A short text can describe a large value: one byte of MessagePack can become an entry of 32 bytes, and a few
//! compressed bytes become a megabyte. Decoding takes memory out of a [`Budget`] and stops once it is used up. Several
//! threads, frames and files may share one.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};

/// Most bytes that a heap allocation takes in addition to its content: the allocator's header and rounding.
pub(crate) const ALLOCATION_BYTES: usize = 32;
/// Entries in one node of a `BTreeMap`; the first entry of a map allocates a whole node.
pub(crate) const NODE_ENTRIES: usize = 11;
/// A map that grows in order leaves its nodes half full.
pub(crate) const ENTRY_FACTOR: usize = 2;
/// A decoder takes this much at a time, so that threads do not contend for every value.
const BATCH_BYTES: usize = 64 << 10;

/// Bytes of memory that decoded data may still take.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    left: AtomicUsize,
    is_exceeded: AtomicBool,
}

/// The data needs more than the budget allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it needs more than {} MiB of memory", limit >> 20)]
pub struct OverBudget {
    /// The whole budget in bytes.
    pub limit: usize,
}

impl Budget {
    /// Creates a budget of this many bytes.
    pub const fn new(limit: usize) -> Self {
        Self { limit, left: AtomicUsize::new(limit), is_exceeded: AtomicBool::new(false) }
    }

    /// Takes bytes out of the budget.
    ///
    /// # Errors
    /// [`OverBudget`] if fewer are left; then nothing is taken.
    pub fn spend(&self, bytes: usize) -> Result<(), OverBudget> {
        if self.takes(bytes) {
            return Ok(());
        }
        self.is_exceeded.store(true, Relaxed);
        Err(OverBudget { limit: self.limit })
    }

    /// Fails if decoding ever needed more than was left; decoders report that as their own error.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub fn check(&self) -> Result<(), OverBudget> {
        if self.is_exceeded.load(Relaxed) { Err(OverBudget { limit: self.limit }) } else { Ok(()) }
    }

    /// Decodes a value and subtracts its allocations from the budget.
    ///
    /// The count is an estimate from above: the size of every list element, map entry and text, and what an allocation
    /// costs next to them. A value behind a `Box` counts only with what it holds itself.
    ///
    /// # Errors
    /// The deserializer's own error, also if the budget is used up; [`Self::check`] distinguishes the two.
    pub fn decode<'de, T, D>(&self, deserializer: D) -> Result<T, D::Error>
    where
        T: serde::Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let meter = Meter { budget: self, held: Cell::new(0) };
        T::deserialize(meter.around(deserializer))
    }

    fn takes(&self, bytes: usize) -> bool {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// One decoder's hold on the budget.
struct Meter<'b> {
    budget: &'b Budget,
    /// Bytes that were taken and not used yet.
    held: Cell<usize>,
}

impl<'m> Meter<'m> {
    fn around<T>(&'m self, inner: T) -> Metered<'m, T> {
        Metered { inner, meter: self }
    }

    fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let held = self.held.get();
        if bytes <= held {
            self.held.set(held - bytes);
            return Ok(());
        }
        let missing = bytes - held;
        let batch = missing.max(BATCH_BYTES);
        if self.budget.takes(batch) {
            self.held.set(batch - missing);
            return Ok(());
        }
        // The last batch no longer fits, but the bytes may.
        self.budget.spend(missing).map_err(E::custom)?;
        self.held.set(0);
        Ok(())
    }

    fn spend_text<E: Error>(&self, bytes: usize) -> Result<(), E> {
        if bytes == 0 { Ok(()) } else { self.spend(bytes + ALLOCATION_BYTES) }
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.held.get(), Relaxed);
    }
}

/// A deserializer, visitor, seed or access of serde whose allocations are counted.
struct Metered<'m, T> {
    inner: T,
    meter: &'m Meter<'m>,
}

/// Passes calls of a deserializer on with a metered visitor.
macro_rules! pass_on {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method($($argument,)* self.meter.around(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Metered<'_, D> {
    type Error = D::Error;

    pass_on! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
    }

    // Names of fields and ignored values allocate nothing.
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_identifier(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_ignored_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Passes plain values on.
macro_rules! visit_plain {
    ($($method:ident: $type:ty),*) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        })*
    };
}

/// Passes text and bytes on, which a visitor may copy.
macro_rules! visit_text {
    ($($method:ident: $type:ty),*) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.meter.spend_text(value.len())?;
            self.inner.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Metered<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visit_plain! {
        visit_bool: bool, visit_i8: i8, visit_i16: i16, visit_i32: i32, visit_i64: i64, visit_i128: i128, visit_u8: u8,
        visit_u16: u16, visit_u32: u32, visit_u64: u64, visit_u128: u128, visit_f32: f32, visit_f64: f64,
        visit_char: char
    }

    visit_text! {
        visit_str: &str, visit_borrowed_str: &'de str, visit_string: String, visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8], visit_byte_buf: Vec<u8>
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(self.meter.around(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(self.meter.around(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Elements { inner: access, meter: self.meter, is_begun: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Entries { inner: access, meter: self.meter, factor: NODE_ENTRIES })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(self.meter.around(access))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Metered<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(self.meter.around(deserializer))
    }
}

/// The elements of a list; each takes its size.
struct Elements<'m, A> {
    inner: A,
    meter: &'m Meter<'m>,
    is_begun: bool,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let element = self.inner.next_element_seed(self.meter.around(seed))?;
        if element.is_some() {
            let allocation = if self.is_begun { 0 } else { ALLOCATION_BYTES };
            self.is_begun = true;
            self.meter.spend(allocation + size_of::<S::Value>())?;
        }
        Ok(element)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

/// The entries of a map, or the fields of a struct.
struct Entries<'m, A> {
    inner: A,
    meter: &'m Meter<'m>,
    /// Number of entries for which the next one allocates; 0 for fields, whose struct was counted already.
    factor: usize,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        // A derived struct identifies its fields by an enum of one byte.
        if size_of::<S::Value>() <= 1 {
            self.factor = 0;
        }
        let key = self.inner.next_key_seed(self.meter.around(seed))?;
        if key.is_some() {
            self.meter.spend(self.factor * size_of::<S::Value>())?;
        }
        Ok(key)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let value = self.inner.next_value_seed(self.meter.around(seed))?;
        self.meter.spend(self.factor * size_of::<S::Value>())?;
        self.factor = self.factor.min(ENTRY_FACTOR);
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'm, A: EnumAccess<'de>> EnumAccess<'de> for Metered<'m, A> {
    type Error = A::Error;
    type Variant = Metered<'m, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(self.meter.around(seed))?;
        Ok((value, self.meter.around(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Metered<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(self.meter.around(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, self.meter.around(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, self.meter.around(visitor))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn decoded<T: serde::de::DeserializeOwned>(json: &Value, limit: usize) -> Option<T> {
        let budget = Budget::new(limit);
        let value = budget.decode(&mut serde_json::Deserializer::from_str(&json.to_string()));
        assert_eq!(value.is_err(), budget.check().is_err(), "{value:?}", value = value.as_ref().err());
        value.ok()
    }

    /// Returns the smallest budget under which this is decoded.
    fn cost<T: serde::de::DeserializeOwned>(json: &Value) -> usize {
        let (mut refused, mut enough) = (0, 1 << 30);
        assert!(decoded::<T>(json, enough).is_some());
        if decoded::<T>(json, 0).is_some() {
            return 0;
        }
        while enough - refused > 1 {
            let middle = (refused + enough) / 2;
            if decoded::<T>(json, middle).is_some() { enough = middle } else { refused = middle }
        }
        enough
    }

    #[test]
    fn decoding_returns_the_encoded_value() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        enum Kind {
            Unit,
            New(Option<Box<Kind>>),
            Tuple(u8, String),
            Struct { list: Vec<(i64, f64)>, other: Value },
        }
        let json = json!([
            "Unit",
            { "New": null },
            { "New": "Unit" },
            { "Tuple": [1, "a"] },
            { "Struct": { "list": [[-1, 0.5]], "other": { "x": [null, true], "y": {} }, "unknown": [1, 2] } },
        ]);
        let plain: Vec<Kind> = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(decoded::<Vec<Kind>>(&json, 1 << 20).unwrap(), plain);
        assert_eq!(decoded::<Value>(&json, 1 << 20).unwrap(), json);
    }

    #[test]
    fn every_element_entry_and_text_counts() {
        assert_eq!(cost::<Vec<u64>>(&json!([])), 0);
        assert_eq!(cost::<Vec<u64>>(&json!(vec![0; 1000])), 8 * 1000 + ALLOCATION_BYTES);
        assert_eq!(cost::<Vec<u8>>(&json!(vec![0; 1000])), 1000 + ALLOCATION_BYTES);
        assert_eq!(cost::<String>(&json!("a".repeat(1000))), 1000 + ALLOCATION_BYTES);
        assert_eq!(cost::<Vec<Vec<u8>>>(&json!(vec![[0; 0]; 1000])), 24 * 1000 + ALLOCATION_BYTES);
        assert_eq!(cost::<Value>(&json!(vec![0; 1000])), size_of::<Value>() * 1000 + ALLOCATION_BYTES);
        // A map of one entry takes a whole node.
        let entry = size_of::<String>() + size_of::<Value>();
        assert_eq!(cost::<Value>(&json!({ "": 0 })), NODE_ENTRIES * entry);
        let two = cost::<Value>(&json!({ "a": 0, "b": 0 }));
        assert_eq!(two, (NODE_ENTRIES + ENTRY_FACTOR) * entry + 2 * (1 + ALLOCATION_BYTES));
    }

    #[test]
    fn fields_and_ignored_values_count_nothing() {
        #[derive(Debug, serde::Deserialize)]
        struct Fields {
            #[expect(dead_code, reason = "it is decoded only")]
            a: u64,
        }
        assert_eq!(cost::<Fields>(&json!({ "a": 1, "ignored": vec!["text"; 1000] })), 0);
    }

    #[test]
    fn several_decoders_share_a_budget_and_give_back_what_they_do_not_use() {
        let budget = Budget::new(100_000);
        let list = json!(vec![0; 4_000]).to_string();
        let decode = || budget.decode::<Vec<u64>, _>(&mut serde_json::Deserializer::from_str(&list));
        for _ in 0..3 {
            assert!(decode().is_ok());
        }
        assert_eq!(budget.check(), Ok(()));
        assert!(decode().is_err());
        assert_eq!(budget.check(), Err(OverBudget { limit: 100_000 }));
        assert_eq!(OverBudget { limit: 3 << 20 }.to_string(), "it needs more than 3 MiB of memory");
    }
}
