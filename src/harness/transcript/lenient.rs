//! JSON as programs write it: what has another type than it should is taken for absent, and what no text may hold is mended.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A line as text that JSON can be read from: bytes that are no text, and halves of pairs (a program cuts text between the two halves of
/// an emoji), become U+FFFD.
pub(super) fn mend(line: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(line);
    let suspicious = |text: &str| {
        let marks = [b"\\ud".as_slice(), b"\\uD".as_slice()];
        marks.iter().any(|mark| memchr::memmem::find(text.as_bytes(), mark).is_some())
    };
    if !suspicious(&text) {
        return text;
    }
    match whole_pairs(&text) {
        Some(mended) => Cow::Owned(mended),
        None => text,
    }
}

/// The text with each half of a pair that stands alone replaced; none if there is none.
fn whole_pairs(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut mended: Option<String> = None;
    let (mut at, mut copied) = (0, 0);
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        at += found;
        let Some(half) = surrogate(&bytes[at..]) else {
            at += 2;
            if at >= bytes.len() {
                break;
            }
            continue;
        };
        let is_pair = half < 0xdc00 && surrogate(&bytes[at + 6..]).is_some_and(|low| low >= 0xdc00);
        if is_pair {
            at += 12;
            continue;
        }
        let out = mended.get_or_insert_default();
        out.push_str(&text[copied..at]);
        out.push_str("\\ufffd");
        at += 6;
        copied = at;
    }
    mended.map(|mut out| {
        out.push_str(&text[copied..]);
        out
    })
}

/// The half of a pair that an escape at the beginning stands for.
fn surrogate(bytes: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(bytes.strip_prefix(b"\\u")?.get(..4)?).ok()?;
    u32::from_str_radix(digits, 16).ok().filter(|code| (0xd800..0xe000).contains(code))
}

/// Reads `T`; none if that cannot be.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// A string, or nothing. It borrows where nothing is escaped.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A number that counts something, or 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count(pub u64);

/// Whether it says `true`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flag(pub bool);

struct Any<T>(PhantomData<T>);

/// What is made of a value of each kind; of all others nothing.
trait Made<'a>: Default {
    fn of_text(_: Cow<'a, str>) -> Self {
        Self::default()
    }
    fn of_count(_: u64) -> Self {
        Self::default()
    }
    fn of_flag(_: bool) -> Self {
        Self::default()
    }
}

impl<'a> Made<'a> for Text<'a> {
    fn of_text(text: Cow<'a, str>) -> Self {
        Text(text)
    }
}

impl Made<'_> for Count {
    fn of_count(count: u64) -> Self {
        Count(count)
    }
}

impl Made<'_> for Flag {
    fn of_flag(flag: bool) -> Self {
        Flag(flag)
    }
}

impl<'a, T: Made<'a>> Visitor<'a> for Any<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<T, E> {
        Ok(T::of_text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::of_text(Cow::Owned(text.to_owned())))
    }
    fn visit_u64<E>(self, count: u64) -> Result<T, E> {
        Ok(T::of_count(count))
    }
    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_f64<E>(self, count: f64) -> Result<T, E> {
        // A float beyond what counts is cut to the greatest count, a negative one to 0.
        Ok(T::of_count(count as u64))
    }
    fn visit_bool<E>(self, flag: bool) -> Result<T, E> {
        Ok(T::of_flag(flag))
    }
    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<T, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }
    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<T, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any::<Text<'de>>(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any(PhantomData))
    }
}

/// What reads as `T`, or nothing.
#[derive(Debug, Default)]
pub(super) struct Loose<T>(pub T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(from)?;
        Ok(Loose(parse(raw.get()).unwrap_or_default()))
    }
}

/// The elements of a list that read as `T`, in order; none of what is no list.
pub(super) fn each<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Vec<T> {
    parse::<Vec<T>>(raw.get()).unwrap_or_else(|| {
        let raws = parse::<Vec<&'a RawValue>>(raw.get()).unwrap_or_default();
        raws.into_iter().filter_map(|raw| parse(raw.get())).collect()
    })
}

/// A value that is read when it is wanted; none where there is none.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// A value read as a `T`; none where it is of another type.
pub(super) fn parsed<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Option<T> {
    parse(raw?.get())
}

/// A value read as text.
pub(super) fn string(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);
    parsed::<Borrowed<'_>>(raw).map(|text| text.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_pairs_and_bytes_that_are_no_text_are_mended() {
        let check = |line: &[u8], expected: &str| assert_eq!(mend(line), expected, "{line:?}");
        check(br#""a\ud83d\ude00b""#, r#""a\ud83d\ude00b""#);
        check(br#""a\ud83db""#, r#""a\ufffdb""#);
        check(br#""a\uDE00\uD83D""#, r#""a\ufffd\ufffd""#);
        check(br#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#);
        check(br#""\\ud83d""#, r#""\\ud83d""#);
        check(br#""\\\ud83d""#, r#""\\\ufffd""#);
        check(br#"\ud8"#, r#"\ud8"#);
        check(b"\xff\\", "\u{fffd}\\");
        check("\\ud😀".as_bytes(), "\\ud😀");
    }

    #[test]
    fn another_type_is_taken_for_absent() {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct All<'a> {
            #[serde(borrow)]
            text: Text<'a>,
            count: Count,
            flag: Flag,
            loose: Loose<Option<i32>>,
        }
        for value in ["null", "-1", "[1,{}]", r#"{"a":[]}"#] {
            let json = format!(r#"{{"text":{value},"count":{value},"flag":{value},"loose":{value}}}"#);
            let all: All = parse(&json).unwrap();
            assert_eq!((&*all.text, all.count.0, all.flag.0), ("", 0, false), "{value}");
        }
        let all: All = parse(r#"{"text":"a\n","count":7.9,"flag":true,"loose":-3}"#).unwrap();
        assert_eq!((&*all.text, all.count.0, all.flag.0, all.loose.0), ("a\n", 7, true, Some(-3)));
        let all: All = parse(r#"{"text":"plain"}"#).unwrap();
        assert!(matches!(all.text.0, Cow::Borrowed("plain")));
    }
}
