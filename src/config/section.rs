//! Sections of the configuration: one declaration yields the struct, its defaults, its reader and its
//! lines in the reference.

use super::reader::{Place, Reader};
use super::setting::Printed;

/// A group of keys under one path.
pub(crate) trait Section: Sized {
    /// The key that a text in the place of the whole section stands for: `journal = "memory"`.
    const SHORT: Option<&'static str>;

    /// Lists this section and those inside it.
    fn describe(path: &str, shape: Shape, sections: &mut Vec<SectionInfo>);

    /// Reads this section; what is wrong is told to the reader, and the default stands in for it.
    fn read(reader: &mut Reader<'_>, place: &Place<'_>) -> Self;

    /// Every value of this section, in the order in which `describe` lists the keys.
    fn print(&self, path: &str, values: &mut Vec<PrintedSection>);

    /// The paths of the keys that have another value in `other`; of a list, its own.
    fn differences(&self, other: &Self, path: &str, keys: &mut Vec<String>);
}

/// A section that may stand in the file any number of times.
pub(crate) trait Repeated: Section {
    /// From the texts of a variable or a repeated flag.
    fn from_texts(texts: &[String]) -> Result<Vec<Self>, String>;
}

/// How often a section stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `[section]`.
    Once,
    /// `[[section]]`.
    Many,
}

/// What the reference says of a section.
#[derive(Clone, Debug)]
pub(crate) struct SectionInfo {
    pub path: String,
    pub shape: Shape,
    pub doc: &'static [&'static str],
    pub fields: &'static [Field],
}

/// What the reference says of a key.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: &'static str,
    pub word: &'static str,
    pub default: Fallback,
    pub doc: &'static [&'static str],
}

/// What holds where a key is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// This value, as TOML.
    Value(&'static str),
    /// Nothing; the text is an example.
    Unset(&'static str),
    /// What the machine says; the text is an example.
    Found(&'static str),
}

/// The values of one section.
#[derive(Clone, Debug)]
pub(crate) struct PrintedSection {
    pub path: String,
    pub values: Vec<(&'static str, Printed)>,
}

/// `a`, `b` → `a.b`; the root has no name.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Declares a section: `name: Type = value(default), unset("example") or found(function, "example")`; `Name or key {` where
/// a text in its place stands for one of its keys.
macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        $name:ident $(or $short:ident)? {
            $($(#[doc = $field_doc:literal])+ $field:ident: $type:ty = $kind:ident($($argument:tt)+),)*
        }
        $(sections { $($(#[doc = $sub_doc:literal])+ $sub:ident: $sub_type:ty,)+ })?
        $(lists { $($(#[doc = $list_doc:literal])+ $list:ident: $list_type:ty,)+ })?
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[doc = $field_doc])+ pub $field: $type,)*
            $($($(#[doc = $list_doc])+ pub $list: Vec<$list_type>,)+)?
            $($($(#[doc = $sub_doc])+ pub $sub: $sub_type,)+)?
        }

        impl $name {
            const FIELDS: &[$crate::config::section::Field] = &[
                $($crate::config::section::Field {
                    name: stringify!($field),
                    word: <$type as $crate::config::setting::Setting>::WORD,
                    default: section!(@fallback $kind $($argument)+),
                    doc: &[$($field_doc),+],
                },)*
            ];
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: section!(@default $kind $($argument)+),)*
                    $($($list: Vec::new(),)+)?
                    $($($sub: <$sub_type>::default(),)+)?
                }
            }
        }

        impl $crate::config::section::Section for $name {
            const SHORT: Option<&'static str> = section!(@short $($short)?);

            fn describe(path: &str, shape: $crate::config::section::Shape, sections: &mut Vec<$crate::config::section::SectionInfo>) {
                sections.push($crate::config::section::SectionInfo { path: path.to_owned(), shape, doc: &[$($doc),+], fields: Self::FIELDS });
                $($(<$list_type>::describe(&$crate::config::section::join(path, stringify!($list)), $crate::config::section::Shape::Many, sections);)+)?
                $($(<$sub_type>::describe(&$crate::config::section::join(path, stringify!($sub)), $crate::config::section::Shape::Once, sections);)+)?
            }

            fn read(reader: &mut $crate::config::reader::Reader<'_>, place: &$crate::config::reader::Place<'_>) -> Self {
                reader.refuse_unknown(place, &[$(stringify!($field),)* $($(stringify!($list),)+)? $($(stringify!($sub),)+)?]);
                Self {
                    $($field: reader.setting(place, stringify!($field), || section!(@default $kind $($argument)+)),)*
                    $($($list: reader.list(place, stringify!($list)),)+)?
                    $($($sub: reader.section(place, stringify!($sub)),)+)?
                }
            }

            fn print(&self, path: &str, values: &mut Vec<$crate::config::section::PrintedSection>) {
                values.push($crate::config::section::PrintedSection {
                    path: path.to_owned(),
                    values: vec![$((stringify!($field), $crate::config::setting::Setting::print(&self.$field)),)*],
                });
                $($(for item in &self.$list {
                    item.print(&$crate::config::section::join(path, stringify!($list)), values);
                })+)?
                $($(self.$sub.print(&$crate::config::section::join(path, stringify!($sub)), values);)+)?
            }

            fn differences(&self, other: &Self, path: &str, keys: &mut Vec<String>) {
                $(if self.$field != other.$field {
                    keys.push($crate::config::section::join(path, stringify!($field)));
                })*
                $($(if self.$list != other.$list {
                    keys.push($crate::config::section::join(path, stringify!($list)));
                })+)?
                $($(self.$sub.differences(&other.$sub, &$crate::config::section::join(path, stringify!($sub)), keys);)+)?
            }
        }
    };

    (@short) => { None };
    (@short $short:ident) => { Some(stringify!($short)) };

    (@fallback value $default:tt) => { $crate::config::section::Fallback::Value(stringify!($default)) };
    (@fallback unset $example:tt) => { $crate::config::section::Fallback::Unset(stringify!($example)) };
    (@fallback found $function:path, $example:tt) => { $crate::config::section::Fallback::Found(stringify!($example)) };

    (@default value $default:tt) => { $crate::config::reader::declared(stringify!($default)) };
    (@default unset $example:tt) => { None };
    (@default found $function:path, $example:tt) => { $function() };
}

pub(super) use section;
