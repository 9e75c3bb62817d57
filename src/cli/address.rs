//! Addresses of a daemon, as a person gives them.

use http::Uri;

/// Reads an address at which the daemon serves something. It speaks plain HTTP: to others by way of what asks who they are.
pub(super) fn read(text: &str) -> Result<Uri, String> {
    let wrong = "an address that begins with http:// is wanted, such as `http://localhost:8081`";
    let uri: Uri = text.parse().map_err(|_| wrong.to_owned())?;
    let plain = uri.scheme_str() == Some("http") && uri.host().is_some() && uri.query().is_none();
    if plain { Ok(uri) } else { Err(wrong.to_owned()) }
}
