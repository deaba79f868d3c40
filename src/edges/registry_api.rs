//! The web API of registries: uploads, as cargo makes them.

use cargo_credential::Secret;
use crates_io::{HttpClient, NewCrate};

use super::network::{self, Network};

/// Why nothing was uploaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The registry did not take it.
    #[error("{0}")]
    Refused(String),
}

/// Requests of the library, over the network that this program has.
struct Client<'a>(&'a Network);

impl HttpClient for Client<'_> {
    type Error = network::Error;

    fn request(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, network::Error> {
        self.0.send(request)
    }
}

/// Uploads the crate in a file to the registry whose API is at an address; gives what the registry warns of.
///
/// # Errors
/// Where it does not take it. Whether it has it all the same is for its index to say.
pub fn upload(
    network: &Network,
    api: &str,
    token: Secret<String>,
    new: &NewCrate,
    file: &std::path::Path,
) -> Result<Vec<String>, Error> {
    let opened = fs_err::File::open(file)?.into_file();
    let secret = token.expose();
    let mut registry = crates_io::Registry::new_handle(api.to_owned(), Some(secret.clone()), Client(network), false);
    // A server may repeat what it was sent.
    let refused = |error: crates_io::Error<network::Error>| Error::Refused(error.to_string().replace(&secret, "…"));
    let warnings = registry.publish(new, &opened).map_err(refused)?;
    let unknown = |what: &str, names: Vec<String>| {
        names.into_iter().map(move |name| format!("{what} {name} is unknown")).collect::<Vec<_>>()
    };
    let mut all = warnings.other;
    all.extend(unknown("the category", warnings.invalid_categories));
    all.iter_mut().for_each(|warning| *warning = warning.replace(&secret, "…"));
    all.extend(unknown("the badge", warnings.invalid_badges));
    Ok(all)
}
