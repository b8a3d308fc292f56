//! What a quota is kept under: a keyed digest, so that no caller's text stands anywhere, and nobody can
//! choose texts whose keys fall together.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};

use domain::Actor;
use sha2::{Digest as _, Sha256};

/// Whose quota, and which of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; 16]);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The first byte tells the kind; of the others any eight are as good as a hash of all.
        let [_, a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ u64::from(self.0[0]));
    }
}

/// Which quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requests of an address.
    Address,
    /// Requests of a caller.
    User,
    /// Points of a caller's operations.
    Cost,
    /// Sign-ins from an address.
    SignInAddress,
    /// Sign-ins to an account.
    SignInAccount,
    /// Log records of a source.
    LogRecords,
}

/// Makes keys. All processes with the same secret make the same.
pub struct Keys {
    /// Has taken in the secret already: a block of the digest's own size.
    begun: Sha256,
}

/// The part of an address of version 6 that names its network.
const NETWORK_BITS: u128 = !(u64::MAX as u128);

impl Kind {
    /// All of them, each in the place of its number.
    pub const ALL: [Kind; 6] = [
        Kind::Address,
        Kind::User,
        Kind::Cost,
        Kind::SignInAddress,
        Kind::SignInAccount,
        Kind::LogRecords,
    ];

    /// As a metric's label and a header say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Address => "address",
            Kind::User => "user",
            Kind::Cost => "cost",
            Kind::SignInAddress => "sign_in_address",
            Kind::SignInAccount => "sign_in_account",
            Kind::LogRecords => "log_records",
        }
    }
}

impl Keys {
    /// Under this secret.
    pub fn new(secret: [u8; 32]) -> Keys {
        let mut block = [0; 64];
        block[..32].copy_from_slice(&secret);
        Keys {
            begun: Sha256::new_with_prefix(block),
        }
    }

    /// An address; of version 6 its network, since whoever has one address there has all of it.
    pub fn address(&self, kind: Kind, address: IpAddr) -> Key {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.make(kind, &[b"4", &v4.octets()]),
            IpAddr::V6(v6) => {
                let network = Ipv6Addr::from_bits(v6.to_bits() & NETWORK_BITS);
                self.make(kind, &[b"6", &network.octets()])
            }
        }
    }

    /// A caller of a tenant, across its tokens.
    pub fn caller(&self, tenant: &str, actor: &Actor) -> Key {
        let parts = [tenant, actor.kind.as_str(), actor.id.as_ref()];
        self.make(Kind::User, &parts.map(str::as_bytes))
    }

    /// A source of log records of a tenant.
    pub fn log_source(&self, tenant: &str, source: &str) -> Key {
        self.make(Kind::LogRecords, &[tenant, source].map(str::as_bytes))
    }

    /// An account, as it was named by whoever wants to sign in.
    pub fn account(&self, account: &str) -> Key {
        self.make(Kind::SignInAccount, &[account.as_bytes()])
    }

    /// The same, as it is named from an address, or another one of its network.
    pub fn account_from(&self, account: &str, address: IpAddr) -> Key {
        let network = self.address(Kind::SignInAccount, address);
        let parts = [account.as_bytes(), network.bytes()];
        self.make(Kind::SignInAccount, &parts)
    }

    fn make(&self, kind: Kind, parts: &[&[u8]]) -> Key {
        let mut hash = self.begun.clone();
        for part in parts {
            // Its length first, so that no two lists of parts look the same.
            hash.update((part.len() as u32).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Key(key).of(kind)
    }
}

impl Key {
    /// Another quota of the same one's.
    pub fn of(mut self, kind: Kind) -> Key {
        self.0[0] = kind as u8;
        self
    }

    /// Which quota.
    pub fn kind(self) -> Kind {
        Kind::ALL[usize::from(self.0[0])]
    }

    /// The digest itself.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Which of so many places.
    pub fn place(&self, places: usize) -> usize {
        usize::from(u16::from_be_bytes([self.0[14], self.0[15]])) % places
    }
}

/// A key is a digest already: what it gives serves as it is.
#[derive(Default)]
pub struct KeyHasher(u64);

/// For maps by [`Key`].
pub type ByKey = BuildHasherDefault<KeyHasher>;

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, digest: u64) {
        self.0 = self.0.rotate_left(8) ^ digest;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_version_6_is_one() {
        let keys = Keys::new([7; 32]);
        let key = |address: &str| keys.address(Kind::Address, address.parse().unwrap());
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), key("2001:db8:1:2:ffff::1"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:203.0.113.7"), key("203.0.113.7"));
        assert_ne!(key("203.0.113.7"), key("203.0.113.8"));
        assert_ne!(key("0.0.0.0"), key("::"));
    }

    #[test]
    fn whose_it_is_cannot_be_confused() {
        let keys = Keys::new([7; 32]);
        let actor = |kind, id: &str| Actor {
            kind,
            id: id.into(),
        };
        use domain::ActorKind::{ApiKey, User};
        let key = keys.caller("a", &actor(User, "bc"));
        assert_eq!(key, keys.caller("a", &actor(User, "bc")));
        assert_ne!(key, keys.caller("ab", &actor(User, "c")));
        assert_ne!(key, keys.caller("a", &actor(ApiKey, "bc")));
        assert_ne!(key, Keys::new([8; 32]).caller("a", &actor(User, "bc")));
        assert_ne!(key, key.of(Kind::Cost));
        assert_eq!(
            (key.kind(), key.of(Kind::Cost).kind()),
            (Kind::User, Kind::Cost)
        );
        assert_eq!(key.of(Kind::Cost).of(Kind::User), key);
    }
}
