//! A JSON object whose unknown keys survive a rewrite: their order, and their values byte for byte.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::limits;

/// An object as an ordered list of keys and untouched values. Of a key given twice the last value counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    entries: Vec<(String, Box<RawValue>)>,
}

impl Object {
    /// Parses a whole file. Nothing at all is an error, not an empty object.
    pub(super) fn parse(bytes: &[u8]) -> Result<Object, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    fn raw(&self, key: &str) -> Option<&RawValue> {
        self.entries.iter().find(|(k, _)| k == key).map(|(_, v)| &**v)
    }

    /// Whether `key` is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.raw(key).is_some()
    }

    /// The value of `key` as a `T`; missing and null are `T`'s default.
    pub(super) fn get<T: DeserializeOwned + Default>(&self, key: &str) -> Result<T, String> {
        match self.raw(key) {
            Some(raw) => serde_json::from_str::<Option<T>>(raw.get())
                .map(Option::unwrap_or_default)
                .map_err(|e| format!("{key}: {e}")),
            None => Ok(T::default()),
        }
    }

    /// Gives `key` a value, in its old place or at the end.
    pub(super) fn set(&mut self, key: &str, value: &impl Serialize) -> Result<(), serde_json::Error> {
        let raw = to_raw_value(value)?;
        match self.entries.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = raw,
            None => self.entries.push((key.to_owned(), raw)),
        }
        Ok(())
    }

    /// Takes `key` out.
    pub(super) fn remove(&mut self, key: &str) {
        self.entries.retain(|(k, _)| k != key);
    }

    /// The file's text: two spaces of indent, a newline at the end. Values that were not set here keep their own layout.
    pub(super) fn to_text(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.entries.len()))?;
        for (key, value) in &self.entries {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Object, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object::default();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if object.entries.len() >= limits::CONFIG_KEYS_MAX {
                        return Err(de::Error::custom("too many keys"));
                    }
                    match object.entries.iter_mut().find(|(k, _)| *k == key) {
                        Some((_, old)) => *old = value,
                        None => object.entries.push((key, value)),
                    }
                }
                Ok(object)
            }
        }
        d.deserialize_map(V)
    }
}
