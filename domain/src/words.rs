//! Closed lists of words: each list is written down once, with what its words mean.

/// Makes an enum of a closed list of words. One line per word: variant, word, meaning. The words
/// stand in events and tokens, so none is ever renamed or taken out; new ones go to the end.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($variant:ident $word:literal $doc:literal;)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum $name { $(#[doc = $doc] #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// Every word of the list, in its order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word as it is stored and as clients see it.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// What a word means, if it is one of the list: to the letter.
            pub fn of_word(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)* _ => None }
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    words! {
        /// Of a traffic light.
        Light {
            Stop "stop" "Stand.";
            GetReady "get:ready" "Wait.";
        }
    }

    #[test]
    fn a_word_is_the_same_in_code_and_in_json() {
        for light in Light::ALL.iter().copied() {
            let json = format!("\"{}\"", light.as_str());
            assert_eq!(serde_json::to_string(&light).expect("a word"), json);
            assert_eq!(serde_json::from_str::<Light>(&json).expect("a word"), light);
            assert_eq!(Light::of_word(light.as_str()), Some(light));
        }
        assert_eq!(Light::GetReady.as_str(), "get:ready");
        for strange in ["", "Stop", "STOP", " stop", "get_ready", "go"] {
            assert_eq!(Light::of_word(strange), None, "{strange:?}");
            let json = format!("{strange:?}");
            assert!(serde_json::from_str::<Light>(&json).is_err(), "{strange:?}");
        }
    }

    #[test]
    fn the_order_of_a_list_is_the_order_of_its_lines() {
        let sorted: BTreeSet<_> = Light::ALL.iter().rev().copied().collect();
        assert!(sorted.iter().eq(Light::ALL));
    }
}
