//! JSON (RFC 8259): what the daemon tells people's tools, and what they ask of it.
//!
//! Made for small code, not for speed: a number stays text, an object is a sorted list. `json!`
//! writes a value as it will look, and takes what is in it by reference.

mod read;

pub use read::parse;

use crate::net::{Mac, NodeId};
use core::fmt::{self, Write};
use core::ops::Index;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// A JSON value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// Yes or no.
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Self>),
    /// Named values.
    Object(Map),
}

/// Named values, by the alphabet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map(Vec<(String, Value)>);

impl Map {
    /// Without values.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(self.find(name).ok()?).map(|(_, value)| value)
    }

    /// The value of this name; `null`, which then is there, where there was none.
    pub fn entry(&mut self, name: &str) -> &mut Value {
        let at = self.find(name).unwrap_or_else(|at| {
            self.0.insert(at, (name.to_owned(), Value::Null));
            at
        });
        &mut self.0[at].1
    }

    /// Names a value, in place of one that had this name.
    pub fn insert(&mut self, name: &str, value: Value) {
        *self.entry(name) = value;
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }
}

impl Value {
    /// The text, where it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// Names a value within an object; nothing else has names.
    pub fn insert(&mut self, name: &str, value: Self) {
        if let Self::Object(fields) = self {
            fields.insert(name, value);
        }
    }

    /// The named values, where it has some.
    pub fn as_object(&self) -> Option<&Map> {
        if let Self::Object(fields) = self { Some(fields) } else { None }
    }
}

/// What is missing is `null`.
impl Index<&str> for Value {
    type Output = Self;

    fn index(&self, name: &str) -> &Self {
        self.as_object().and_then(|fields| fields.get(name)).unwrap_or(&Self::Null)
    }
}

impl Index<usize> for Value {
    type Output = Self;

    fn index(&self, at: usize) -> &Self {
        if let Self::Array(items) = self {
            items.get(at).unwrap_or(&Self::Null)
        } else {
            &Self::Null
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(true) => f.write_str("true"),
            Self::Bool(false) => f.write_str("false"),
            Self::Number(number) => f.write_str(number),
            Self::String(text) => quote(f, text),
            Self::Array(items) => {
                f.write_char('[')?;
                for (at, item) in items.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "," })?;
                    item.fmt(f)?;
                }
                f.write_char(']')
            }
            Self::Object(fields) => {
                f.write_char('{')?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "," })?;
                    quote(f, name)?;
                    f.write_char(':')?;
                    value.fmt(f)?;
                }
                f.write_char('}')
            }
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\0'..='\x1f' => write!(f, "\\u{:04x}", u32::from(c))?,
            _ => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// What has a form in JSON.
pub trait ToJson {
    /// That form.
    fn to_json(&self) -> Value;
}

impl<T: ToJson + ?Sized> ToJson for &T {
    fn to_json(&self) -> Value {
        (**self).to_json()
    }
}

impl ToJson for Value {
    fn to_json(&self) -> Value {
        self.clone()
    }
}

impl ToJson for Map {
    fn to_json(&self) -> Value {
        Value::Object(self.clone())
    }
}

impl ToJson for str {
    fn to_json(&self) -> Value {
        Value::String(self.to_owned())
    }
}

impl ToJson for String {
    fn to_json(&self) -> Value {
        self.as_str().to_json()
    }
}

impl ToJson for Cow<'_, str> {
    fn to_json(&self) -> Value {
        (**self).to_json()
    }
}

impl ToJson for bool {
    fn to_json(&self) -> Value {
        Value::Bool(*self)
    }
}

macro_rules! as_written {
    ($form:ident: $($type:ty)*) => {
        $(impl ToJson for $type {
            fn to_json(&self) -> Value {
                Value::$form(self.to_string())
            }
        })*
    };
}
as_written!(Number: u8 u16 u32 u64 usize i32);
as_written!(String: IpAddr SocketAddr NodeId Mac);

impl<T: ToJson> ToJson for Option<T> {
    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_json)
    }
}

impl<T: ToJson> ToJson for [T] {
    fn to_json(&self) -> Value {
        Value::Array(self.iter().map(T::to_json).collect())
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn to_json(&self) -> Value {
        self.as_slice().to_json()
    }
}

impl<T: ToJson> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().map(|item| item.to_json()).collect())
    }
}

/// A value as it looks in JSON, with expressions in it.
macro_rules! json {
    ({ $($fields:tt)* }) => {{
        let mut fields = $crate::json::Map::new();
        $crate::json::json!(@fields fields: $($fields)*);
        $crate::json::Value::Object(fields)
    }};
    (@fields $map:ident:) => {};
    (@fields $map:ident: $name:tt : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $map.insert($name, $crate::json::json!({ $($inner)* }));
        $crate::json::json!(@fields $map: $($($rest)*)?);
    };
    (@fields $map:ident: $name:tt : [] $(, $($rest:tt)*)?) => {
        $map.insert($name, $crate::json::Value::Array(Vec::new()));
        $crate::json::json!(@fields $map: $($($rest)*)?);
    };
    (@fields $map:ident: $name:tt : $value:expr $(, $($rest:tt)*)?) => {
        $map.insert($name, $crate::json::ToJson::to_json(&$value));
        $crate::json::json!(@fields $map: $($($rest)*)?);
    };
    ([ $($item:expr),* ]) => {
        $crate::json::Value::Array(vec![$($crate::json::ToJson::to_json(&$item)),*])
    };
    ($value:expr) => { $crate::json::ToJson::to_json(&$value) };
}
pub(crate) use json;

#[cfg(test)]
mod tests;
