//! A knob: one setting's name, type, default, bounds and meaning, declared once.

use super::Problem;
use super::layers::Raw;

/// One setting, as declared.
#[derive(Debug)]
pub struct Knob {
    /// The section's name; empty for the process as a whole.
    pub section: &'static str,
    /// The name within its section.
    pub name: &'static str,
    /// What a value looks like, such as `a duration`.
    pub kind: &'static str,
    /// The default, as one would write it; empty for "not set".
    pub default: &'static str,
    /// The smallest and largest value accepted.
    pub bounds: Option<(&'static str, &'static str)>,
    /// What it does.
    pub doc: &'static str,
    /// Never repeated in a message.
    pub secret: bool,
    /// Can be changed while the process runs.
    pub live: bool,
}

impl Knob {
    /// The full key, such as `http.port`.
    pub fn key(&self) -> String {
        match self.section {
            "" => self.name.to_owned(),
            section => format!("{section}.{}", self.name),
        }
    }

    /// The environment variable, such as `DAYBOOK_HTTP__PORT`.
    pub fn variable(&self) -> String {
        format!("DAYBOOK_{}", self.key().replace('.', "__").to_uppercase())
    }
}

/// Knobs that belong together.
pub trait Section: Sized {
    /// First part of the keys; empty for the process as a whole.
    const NAME: &'static str;
    /// One sentence.
    const ABOUT: &'static str;
    /// In order of declaration.
    const KNOBS: &'static [Knob];

    /// Reads and checks every knob; `None` if one was refused, all of which are in `problems`.
    fn read(raw: &Raw, problems: &mut Vec<Problem>) -> Option<Self>;

    /// The knobs at which two differ.
    fn differences(&self, other: &Self) -> Vec<&'static Knob>;

    /// Takes from another what can be changed while the process runs.
    fn adopt(&mut self, other: &Self);

    /// The knob of this name.
    fn knob(name: &str) -> &'static Knob {
        Self::KNOBS
            .iter()
            .find(|knob| knob.name == name)
            .expect("the macro declares each field")
    }
}

/// Declares a section: `field: Type = "default", "smallest" ..= "largest";`, with `[live]` before it if it
/// can be changed while the process runs (what holds such a section must learn of the change: `app`).
/// Default and bounds are written as one would in a file, so that the reference shows just that.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident in $section:literal {
            $(
                $(#[doc = $doc:literal])+
                $([$live:ident])? $field:ident: $type:ty = $default:literal $(, $min:literal ..= $max:literal)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl $crate::config::knob::Section for $name {
            const NAME: &'static str = $section;
            const ABOUT: &'static str = concat!($($about),+);
            const KNOBS: &'static [$crate::config::knob::Knob] = &[$(
                $crate::config::knob::Knob {
                    section: $section,
                    name: stringify!($field),
                    kind: <$type as $crate::config::value::Setting>::KIND,
                    default: $default,
                    bounds: section!(@bounds $($min, $max)?),
                    doc: concat!($($doc),+),
                    secret: <$type as $crate::config::value::Setting>::SECRET,
                    live: section!(@live $($live)?),
                }
            ),+];

            fn read(
                raw: &$crate::config::layers::Raw,
                problems: &mut Vec<$crate::config::Problem>,
            ) -> Option<Self> {
                $(let $field = raw.read::<$type>(Self::knob(stringify!($field)), problems);)+
                Some($name { $($field: $field?,)+ })
            }

            fn differences(&self, other: &Self) -> Vec<&'static $crate::config::knob::Knob> {
                let differs = [$(self.$field != other.$field),+];
                let knobs = Self::KNOBS.iter().zip(differs);
                knobs.filter_map(|(knob, differs)| differs.then_some(knob)).collect()
            }

            fn adopt(&mut self, _other: &Self) {
                $(section!(@adopt self _other $field $($live)?);)+
            }
        }
    };
    (@live) => { false };
    (@live live) => { true };
    (@adopt $self:ident $other:ident $field:ident) => {};
    (@adopt $self:ident $other:ident $field:ident live) => {
        $self.$field.clone_from(&$other.$field)
    };
    (@bounds) => { None };
    (@bounds $min:literal, $max:literal) => { Some(($min, $max)) };
}
pub(crate) use section;
