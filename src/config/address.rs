//! Where to listen, and where others reach us.

use std::{net::SocketAddr, str::FromStr};

use super::values::read_as_text;

read_as_text!(Listen, Reached);

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
pub struct Reached(pub SocketAddr);

impl FromStr for Reached {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address: Option<SocketAddr> = text.parse().ok();
        let reached = address.filter(|at| !at.ip().is_unspecified() && at.port() != 0);
        reached
            .map(Self)
            .ok_or_else(|| "an IP address of this replica with a port is wanted, such as `10.1.2.3:8081`".to_owned())
    }
}
