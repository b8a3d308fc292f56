//! Settings about roles: lists of them, and what others call them.

use domain::user::Role;

use super::lists::items;
use super::value::Setting;

/// Roles, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

/// What somebody else's words for roles mean here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolesMap(Vec<(String, Role)>);

impl Roles {
    /// In the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = Role> {
        self.0.iter().copied()
    }
}

impl RolesMap {
    /// What a word means: none, one or several roles.
    pub fn of(&self, word: &str) -> impl Iterator<Item = Role> {
        let meant = self.0.iter().filter(move |(their, _)| their == word);
        meant.map(|(_, role)| *role)
    }
}

impl Setting for Roles {
    const KIND: &'static str = "roles separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        let mut roles = Vec::new();
        for word in items(text) {
            let role = role(word)?;
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        Ok(Roles(roles))
    }
}

impl Setting for RolesMap {
    const KIND: &'static str = "pairs `their-word=our-role` separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        let pair = |item: &str| match item.rsplit_once('=') {
            Some((their, our)) if !their.trim().is_empty() => {
                Ok((their.trim().to_owned(), role(our.trim())?))
            }
            _ => Err(format!("is not a list of {}", Self::KIND)),
        };
        items(text)
            .map(pair)
            .collect::<Result<_, _>>()
            .map(RolesMap)
    }
}

fn role(word: &str) -> Result<Role, String> {
    Role::of_word(word).ok_or_else(|| {
        let known: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
        format!("names a role that is none of {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_told_by_their_words() {
        let roles = Roles::parse("viewer, analyst,viewer").unwrap();
        assert_eq!(
            roles.iter().collect::<Vec<_>>(),
            [Role::Viewer, Role::Analyst]
        );
        assert_eq!(Roles::parse(""), Ok(Roles::default()));
        for bad in ["root", "Viewer", "viewer;admin"] {
            assert!(Roles::parse(bad).unwrap_err().contains("viewer"), "{bad}");
        }
    }

    #[test]
    fn a_word_means_what_the_map_says_and_nothing_else() {
        let map = RolesMap::parse("ops team=operator, /a=b=admin,ops team=analyst").unwrap();
        let of = |word: &str| map.of(word).collect::<Vec<_>>();
        assert_eq!(of("ops team"), [Role::Operator, Role::Analyst]);
        assert_eq!(of("/a=b"), [Role::Admin]);
        assert_eq!(of("admin"), []);
        assert_eq!(of("OPS TEAM"), []);
        for bad in ["admin", "=admin", "x=", "x=root"] {
            assert!(RolesMap::parse(bad).is_err(), "{bad}");
        }
    }
}
