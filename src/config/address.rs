//! Where to listen, and where others reach us.

use std::{net::SocketAddr, str::FromStr};

use super::values::read_as_text;

read_as_text!(Listen, AdvertisedAddress);

/// Where to listen, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|address| Self(Some(address))).map_err(|_| {
            "an IP address with a port is wanted, such as `127.0.0.1:8080` or `[::]:8080`, or `off`".to_owned()
        })
    }
}

/// Where others reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdvertisedAddress(pub SocketAddr);

impl FromStr for AdvertisedAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // `$(POD_IP):8081` has no brackets around an address of version 6.
        let apart = || {
            let (address, port) = text.rsplit_once(':')?;
            Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
        };
        let address = text.parse().ok().or_else(apart);
        let reached = address.filter(|at: &SocketAddr| !at.ip().is_unspecified() && at.port() != 0);
        reached
            .map(Self)
            .ok_or_else(|| "an IP address of this replica with a port is wanted, such as `10.1.2.3:8081`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_reached_at_an_address_of_either_version() {
        let reached = |text: &str| text.parse().map(|AdvertisedAddress(address)| address.to_string());
        assert_eq!(reached("10.1.2.3:8081").as_deref(), Ok("10.1.2.3:8081"));
        assert_eq!(reached("[fd00::5]:8081").as_deref(), Ok("[fd00::5]:8081"));
        assert_eq!(reached("fd00::5:8081").as_deref(), Ok("[fd00::5]:8081"));
        for wrong in ["0.0.0.0:8081", "10.1.2.3", "10.1.2.3:0", "drift:8081", ":8081", ""] {
            assert!(reached(wrong).is_err(), "{wrong}");
        }
    }
}
