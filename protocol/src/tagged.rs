//! A message whose body depends on its kind, as one MessagePack map: `{..head, "kind": K, "body": {..}}`.
//!
//! The kind stands before the body, so that a reader knows the body's type when it comes to it and needs no second pass.
//! The kind of an unknown message is reported, and its bytes stay with whoever holds them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads one field of the head. Returns whether the field was known.
pub(crate) trait Head<'de>: Default {
    fn read<A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Chooses the type of a body by its kind; `None` if the kind is unknown.
pub(crate) trait Body<'de>: Sized {
    fn read<A: MapAccess<'de>>(kind: &str, map: &mut A) -> Option<Result<Self, A::Error>>;
}

/// A decoded message; `body` is the kind's name where that is unknown here.
pub(crate) struct Tagged<H, B> {
    pub(crate) head: H,
    pub(crate) body: Result<B, String>,
}

impl<'de, H: Head<'de>, B: Body<'de>> Deserialize<'de> for Tagged<H, B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TaggedVisitor(PhantomData))
    }
}

struct TaggedVisitor<H, B>(PhantomData<(H, B)>);

impl<'de, H: Head<'de>, B: Body<'de>> Visitor<'de> for TaggedVisitor<H, B> {
    type Value = Tagged<H, B>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map with a kind before its body")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut head = H::default();
        let mut kind: Option<String> = None;
        let mut body = None;
        while let Some(field) = map.next_key_seed(FieldName)? {
            match field.as_str() {
                "kind" => kind = Some(map.next_value()?),
                "body" if body.is_some() => return Err(A::Error::duplicate_field("body")),
                "body" => {
                    let kind = kind.as_deref().ok_or_else(|| A::Error::custom("the body stands before its kind"))?;
                    body = Some(match B::read(kind, &mut map) {
                        Some(read) => Ok(read?),
                        None => {
                            map.next_value::<IgnoredAny>()?;
                            Err(kind.chars().take(KIND_CHARS_MAX).collect())
                        }
                    });
                }
                field => {
                    if !head.read(field, &mut map)? {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
            }
        }
        let body = body.ok_or_else(|| A::Error::missing_field("body"))?;
        Ok(Tagged { head, body })
    }
}

/// How much of an unknown kind an error repeats.
const KIND_CHARS_MAX: usize = 40;

/// A field name is short; this reads it without an allocation where the format can lend it.
struct FieldName;

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = FieldText<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<FieldText<'de>, D::Error> {
        deserializer.deserialize_str(FieldVisitor)
    }
}

enum FieldText<'de> {
    Lent(&'de str),
    Owned(String),
}

impl FieldText<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Lent(text) => text,
            Self::Owned(text) => text,
        }
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = FieldText<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<FieldText<'de>, E> {
        Ok(FieldText::Lent(text))
    }
    fn visit_str<E>(self, text: &str) -> Result<FieldText<'de>, E> {
        Ok(FieldText::Owned(text.to_owned()))
    }
}
