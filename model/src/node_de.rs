//! Reads a node into a type, with the exact place of what does not fit.

use std::fmt;

use indexmap::map;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};

use crate::node::{Entry, Node, NodeError, NodeValue, Scalar, ScalarStyle, SourceSpan, exact};
use crate::suggest;

/// Reads `node` as a `T`. The error tells the place of the first thing that does not fit:
/// a value, a key that `T` does not have, or the mapping that lacks one.
pub fn read<T: DeserializeOwned>(node: &Node) -> Result<T, NodeError> {
    T::deserialize(node).map_err(|misfit| NodeError {
        span: misfit.span.unwrap_or_else(|| node.span.clone()),
        message: misfit.message,
        help: misfit.help,
    })
}

/// A [`NodeError`] whose place is not known yet; the innermost reader that knows it adds it.
#[derive(Debug)]
pub struct Misfit {
    span: Option<SourceSpan>,
    message: String,
    help: Option<String>,
}

impl Misfit {
    fn new(message: impl Into<String>) -> Self {
        Self { span: None, message: message.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn at(mut self, span: &SourceSpan) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

/// What a type expects, in words of the language instead of serde's.
fn expected(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a string" | "a borrowed string" | "a char" | "a character" => "text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        "unit" => "nothing".to_owned(),
        _ if text.starts_with("struct ") || text.starts_with("enum ") => "a mapping".to_owned(),
        _ => text,
    }
}

fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(flag) => format!("`{flag}`"),
        Unexpected::Unsigned(number) => format!("`{number}`"),
        Unexpected::Signed(number) => format!("`{number}`"),
        Unexpected::Float(number) => format!("`{number}`"),
        Unexpected::Str(text) => format!("the text `{text}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::new(format!("expected {}, found {}", expected(wanted), found(unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, wanted)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(format!("unknown key `{field}`")).help(suggest::one_of(field, known))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(format!("unknown value `{variant}`")).help(suggest::one_of(variant, known))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is missing")).help(format!("add `{field}:`"))
    }
}

impl Scalar {
    fn is_quoted(&self) -> bool {
        self.style == ScalarStyle::Quoted
    }

    fn flag(&self) -> Result<bool, Misfit> {
        if self.is_quoted() {
            let misfit = Misfit::new(format!("expected `true` or `false`, found {}", self.what()));
            return Err(misfit.help("remove the quotes"));
        }
        match self.text.as_str() {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            other => Err(not_a_flag(other, &self.what())),
        }
    }

    fn integer(&self) -> Result<i128, Misfit> {
        let (sign, digits) = match self.text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, self.text.strip_prefix('+').unwrap_or(&self.text)),
        };
        let parsed = match digits.get(..2) {
            Some("0x") => i128::from_str_radix(&digits[2..], 16),
            Some("0o") => i128::from_str_radix(&digits[2..], 8),
            _ => digits.parse(),
        };
        let signed_twice = digits.starts_with(['+', '-']);
        match parsed {
            Ok(number) if !self.is_quoted() && !signed_twice => Ok(sign * number),
            _ => Err(self.not_a_number("a whole number", parsed.is_ok())),
        }
    }

    fn float(&self) -> Result<f64, Misfit> {
        let parsed = self.text.parse::<f64>().ok().filter(|number| number.is_finite());
        match parsed {
            Some(number) if !self.is_quoted() => Ok(number),
            _ => Err(self.not_a_number("a number", parsed.is_some())),
        }
    }

    fn not_a_number(&self, wanted: &str, but_for_quotes: bool) -> Misfit {
        let misfit = Misfit::new(format!("expected {wanted}, found {}", self.what()));
        if but_for_quotes && self.is_quoted() { misfit.help("remove the quotes") } else { misfit }
    }
}

fn not_a_flag(text: &str, what: &str) -> Misfit {
    let misfit = Misfit::new(format!("expected `true` or `false`, found {what}"));
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" => misfit.help("write `true`: YAML 1.2 has no other word for it"),
        "no" | "off" | "n" => misfit.help("write `false`: YAML 1.2 has no other word for it"),
        _ => misfit,
    }
}

impl Node {
    fn scalar(&self, wanted: &str) -> Result<&Scalar, Misfit> {
        match &self.value {
            NodeValue::Scalar(scalar) => Ok(scalar),
            _ => Err(Misfit::new(format!("expected {wanted}, found {}", self.what()))),
        }
    }

    fn integer<T: TryFrom<i128>>(&self, range: &str) -> Result<T, Misfit> {
        let number = self.scalar("a whole number")?.integer()?;
        T::try_from(number)
            .map_err(|_| Misfit::new(format!("expected a whole number {range}, found `{number}`")))
    }

    fn visit_any<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.value {
            NodeValue::Null => visitor.visit_unit(),
            NodeValue::Scalar(scalar) => visit_scalar(scalar, visitor),
            NodeValue::List(items) => visitor.visit_seq(Items(items.iter())),
            NodeValue::Map(entries) => visitor.visit_map(Entries::new(entries.iter())),
        }
    }
}

/// A scalar whose reader takes what comes.
fn visit_scalar<'de, V: Visitor<'de>>(scalar: &Scalar, visitor: V) -> Result<V::Value, Misfit> {
    let typed = matches!(scalar.style, ScalarStyle::Plain | ScalarStyle::Rendered)
        .then(|| exact(&scalar.text))
        .flatten();
    match typed {
        Some(serde_json::Value::Bool(flag)) => visitor.visit_bool(flag),
        Some(serde_json::Value::Number(number)) => visit_number(&number, visitor),
        _ => visitor.visit_str(&scalar.text),
    }
}

fn visit_number<'de, V: Visitor<'de>>(
    number: &serde_json::Number,
    visitor: V,
) -> Result<V::Value, Misfit> {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(unsigned), ..) => visitor.visit_u64(unsigned),
        (None, Some(signed), _) => visitor.visit_i64(signed),
        (None, None, float) => visitor.visit_f64(float.unwrap_or(f64::NAN)),
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty, $range:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            self.integer::<$type>($range)
                .and_then(|number| visitor.$visit(number))
                .map_err(|misfit| misfit.at(&self.span))
        }
    )*};
}

macro_rules! as_any {
    ($($method:ident($($extra:ident: $type:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($extra: $type,)* visitor: V) -> Result<V::Value, Misfit> {
            $(let _ = $extra;)*
            self.deserialize_any(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for &Node {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.visit_any(visitor).map_err(|misfit| misfit.at(&self.span))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.scalar("`true` or `false`")
            .and_then(Scalar::flag)
            .and_then(|flag| visitor.visit_bool(flag))
            .map_err(|misfit| misfit.at(&self.span))
    }

    integers! {
        deserialize_i8 visit_i8 i8, "from -128 to 127";
        deserialize_i16 visit_i16 i16, "from -32768 to 32767";
        deserialize_i32 visit_i32 i32, "of at most 32 bits";
        deserialize_i64 visit_i64 i64, "of at most 64 bits";
        deserialize_u8 visit_u8 u8, "from 0 to 255";
        deserialize_u16 visit_u16 u16, "from 0 to 65535";
        deserialize_u32 visit_u32 u32, "from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "of at least 0";
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.scalar("a number")
            .and_then(Scalar::float)
            .and_then(|number| visitor.visit_f64(number))
            .map_err(|misfit| misfit.at(&self.span))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.scalar("text")
            .and_then(|scalar| visitor.visit_str(&scalar.text))
            .map_err(|misfit| misfit.at(&self.span))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let read = match self.value {
            NodeValue::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        };
        read.map_err(|misfit| misfit.at(&self.span))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self).map_err(|misfit| misfit.at(&self.span))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        variant(self)
            .and_then(|variant| visitor.visit_enum(variant))
            .map_err(|misfit| misfit.at(&self.span))
    }

    /// Only a mapping: a type's fields are never given by their order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let read = match &self.value {
            NodeValue::Map(entries) => visitor.visit_map(Entries::new(entries.iter())),
            _ => Err(Misfit::new(format!("expected a mapping, found {}", self.what()))),
        };
        read.map_err(|misfit| misfit.at(&self.span))
    }

    as_any! {
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_unit();
        deserialize_seq();
        deserialize_map();
        deserialize_ignored_any();
        deserialize_unit_struct(name: &'static str);
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
    }
}

struct Items<'a>(std::slice::Iter<'a, Node>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misfit> {
        self.0.next().map(|item| seed.deserialize(item)).transpose()
    }
}

struct Entries<'a> {
    rest: map::Iter<'a, String, Entry>,
    value: Option<&'a Node>,
}

impl<'a> Entries<'a> {
    fn new(rest: map::Iter<'a, String, Entry>) -> Self {
        Self { rest, value: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        let Some((key, entry)) = self.rest.next() else { return Ok(None) };
        self.value = Some(&entry.node);
        let key: StrDeserializer<'_, Misfit> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|misfit| misfit.at(&entry.key_span))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let value = self.value.take().expect("serde asks for a value after its key");
        seed.deserialize(value)
    }
}

/// A variant by its name alone, or as the only key of a mapping.
struct Variant<'a> {
    name: &'a str,
    span: &'a SourceSpan,
    value: Option<&'a Node>,
}

fn variant(node: &Node) -> Result<Variant<'_>, Misfit> {
    match &node.value {
        NodeValue::Scalar(scalar) => {
            Ok(Variant { name: &scalar.text, span: &node.span, value: None })
        }
        NodeValue::Map(entries) if entries.len() == 1 => {
            let (name, entry) = &entries.get_index(0).expect("the mapping has one key");
            Ok(Variant { name, span: &entry.key_span, value: Some(&entry.node) })
        }
        NodeValue::Map(_) => Err(Misfit::new("expected a mapping with exactly one key")),
        _ => Err(Misfit::new(format!("expected a name, found {}", node.what()))),
    }
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Misfit;
    type Variant = VariantValue<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, VariantValue<'a>), Misfit> {
        let name: StrDeserializer<'_, Misfit> = self.name.into_deserializer();
        let variant = seed.deserialize(name).map_err(|misfit| misfit.at(self.span))?;
        Ok((variant, VariantValue { name: self.name, value: self.value }))
    }
}

/// What stands under a variant's name.
struct VariantValue<'a> {
    name: &'a str,
    value: Option<&'a Node>,
}

impl<'a> VariantValue<'a> {
    fn value(&self) -> Result<&'a Node, Misfit> {
        self.value.ok_or_else(|| Misfit::new(format!("`{}` needs a value", self.name)))
    }
}

impl<'de> VariantAccess<'de> for VariantValue<'_> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        match self.value {
            None => Ok(()),
            Some(value) if value.value == NodeValue::Null => Ok(()),
            Some(value) => {
                Err(Misfit::new(format!("`{}` takes no value", self.name)).at(&value.span))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        seed.deserialize(self.value()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.value()?.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.value()?.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests;
