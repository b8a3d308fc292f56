//! Settings of what is asked of services that are not ours.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::knob::section;
use crate::config::roles::{Roles, RolesMap};
use crate::config::value::Bytes;
use crate::config::web::WebUrl;

section! {
    /// Asking other services by HTTP. No proxy is asked on the way, and nothing is followed elsewhere.
    HttpClient in "http_client" {
        /// How long connecting may take, TLS included.
        connect_timeout: Duration = "2s", "10ms" ..= "30s";
        /// How long one request may take, from its name's look-up to the last byte of the answer.
        timeout: Duration = "5s", "10ms" ..= "2m";
        /// Certificates in PEM of authorities that are trusted beside those of the web.
        ca_file: Option<PathBuf> = "";
    }
}

section! {
    /// An OpenID Connect issuer whose access tokens are accepted beside our own.
    Oidc in "oidc" {
        /// Claim `iss` of its tokens, to the letter; not set: none is trusted.
        issuer: Option<WebUrl> = "";
        /// What must be in claim `aud` of a token: what the issuer calls us.
        audience: Option<String> = "";
        /// Where its keys are; not set: where `<issuer>/.well-known/openid-configuration` says.
        jwks_url: Option<WebUrl> = "";
        /// The tenant that its tokens are good for.
        tenant: String = "default";
        /// The claim that names it instead, such as `org_id`. A token without it is refused.
        tenant_claim: Option<String> = "";
        /// The claim that names roles, such as `realm_access.roles`: a list of words, or words with spaces
        /// between them.
        roles_claim: String = "roles";
        /// What the issuer's words mean, such as `ops-team=operator,boss=admin`. Words that are not in it
        /// give nothing, also where they are spelt like one of ours.
        roles_map: RolesMap = "";
        /// Roles that everybody with an accepted token has.
        default_roles: Roles = "";
        /// How long its keys are believed before they are fetched again.
        jwks_ttl: Duration = "10m", "1s" ..= "1d";
        /// Least time between two fetches, however many tokens name keys that are not known.
        jwks_min_interval: Duration = "30s", "1s" ..= "1h";
        /// How long the last known keys are good while they cannot be fetched.
        jwks_stale_max: Duration = "24h", "0s" ..= "30d";
        /// Bytes of the issuer's keys, or of its configuration.
        jwks_bytes_max: Bytes = "256KiB", "1KiB" ..= "4MiB";
    }
}
