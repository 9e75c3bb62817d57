//! Which proxy leads to a server, by the rules of Go's `httpproxy`, which are kubectl's.

use std::net::IpAddr;

use http::{Uri, uri::InvalidUri};

/// The proxy that leads to a server: the one that the kubeconfig names, always; else that of the environment, unless `NO_PROXY`
/// names the server or it is this machine.
pub(super) fn proxy(
    said: Option<&str>,
    env: impl Fn(&str) -> Option<String>,
    server: &Uri,
) -> Result<Option<Uri>, InvalidUri> {
    if let Some(said) = said {
        return said.parse().map(Some);
    }
    if is_here(server) {
        return Ok(None);
    }
    let first = |names: [&str; 2]| names.into_iter().find_map(|name| env(name).filter(|value| !value.is_empty()));
    let of_scheme = match server.scheme_str() {
        Some("http") => ["HTTP_PROXY", "http_proxy"],
        _ => ["HTTPS_PROXY", "https_proxy"],
    };
    let Some(proxy) = first(of_scheme) else { return Ok(None) };
    let without = first(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    if without.split(',').any(|entry| names(&entry.trim().to_ascii_lowercase(), server)) {
        return Ok(None);
    }
    let proxy = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
    proxy.parse().map(Some)
}

/// Whether a server is this machine.
pub(super) fn is_here(server: &Uri) -> bool {
    host(server) == "localhost" || address(host(server)).is_some_and(|address| address.is_loopback())
}

fn host(server: &Uri) -> &str {
    server.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// Whether an entry of `NO_PROXY` names this server.
fn names(entry: &str, server: &Uri) -> bool {
    let host = host(server).to_ascii_lowercase();
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let parsed = (address(network), bits.parse().ok(), address(&host));
        return matches!(parsed, (Some(network), Some(bits), Some(address)) if holds(network, bits, address));
    }
    let (entry, port) = split_port(entry);
    let usual = if server.scheme_str() == Some("http") { 80 } else { 443 };
    if port.is_some_and(|port| port != server.port_u16().unwrap_or(usual).to_string()) {
        return false;
    }
    if let Some(entry) = address(entry) {
        return address(&host) == Some(entry);
    }
    let entry = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
    match entry.strip_prefix('.') {
        Some("") => false,
        Some(_) => host.ends_with(entry),
        None => !entry.is_empty() && (host == entry || host.ends_with(&format!(".{entry}"))),
    }
}

/// `host`, `host:port`, `[address]:port`; an address without brackets has no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if host.starts_with('[') && host.ends_with(']') => (&host[1..host.len() - 1], Some(port)),
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        _ => (entry.trim_start_matches('[').trim_end_matches(']'), None),
    }
}

fn holds(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_is_the_one_that_kubectl_would_take() {
        let taken = |said: Option<&str>, env: &[(&str, &str)], server: &str| {
            let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            proxy(said, env, &server.parse().unwrap()).unwrap().map(|proxy| proxy.to_string())
        };
        let some = |proxy: &str| Some(proxy.to_owned());
        let proxy = ("HTTPS_PROXY", "http://proxy:3128");
        assert_eq!(taken(None, &[proxy], "https://k8s.example"), some("http://proxy:3128/"));
        assert_eq!(taken(None, &[("https_proxy", "proxy:3128")], "https://k8s.example"), some("http://proxy:3128/"));
        assert_eq!(taken(None, &[proxy], "http://k8s.example"), None);
        // Not by NO_PROXY, and never to this machine.
        assert_eq!(taken(None, &[proxy, ("NO_PROXY", "10.0.0.0/8, .example,")], "https://k8s.example"), None);
        assert_eq!(taken(None, &[proxy, ("no_proxy", "10.0.0.0/8")], "https://10.1.2.3:6443"), None);
        assert_eq!(taken(None, &[proxy, ("NO_PROXY", "proxy")], "https://k8s.example"), some("http://proxy:3128/"));
        for here in ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443"] {
            assert_eq!(taken(None, &[proxy], here), None, "{here}");
        }
        // What the kubeconfig says holds whatever the environment says.
        let here =
            taken(Some("http://127.0.0.1:18888"), &[("NO_PROXY", "localhost,127.0.0.1")], "https://127.0.0.1:6443");
        assert_eq!(here, some("http://127.0.0.1:18888/"));
        assert_eq!(taken(Some("socks5://proxy:1080"), &[proxy], "https://k8s.example"), some("socks5://proxy:1080/"));
    }

    #[test]
    fn an_entry_of_no_proxy_names_what_it_names_to_go() {
        let server = |text: &str| text.parse::<Uri>().unwrap();
        let api = server("https://API.k8s.example:6443");
        for entry in ["*", "example", "k8s.example", ".k8s.example", "*.k8s.example", "api.k8s.example:6443"] {
            assert!(names(entry, &api), "{entry}");
        }
        for entry in
            ["", ".", "*.", "s.example", ".api.k8s.example", "*.api.k8s.example", "k8s.example:443", "*example"]
        {
            assert!(!names(entry, &api), "{entry}");
        }
        let four = server("https://10.1.2.3");
        for entry in ["10.1.2.3", "10.1.2.3:443", "10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32"] {
            assert!(names(entry, &four), "{entry}");
        }
        for entry in ["10.1.2.4", "10.1.2.3:6443", "11.0.0.0/8", "10.0.0.0/33", "10.1.2", "::/0"] {
            assert!(!names(entry, &four), "{entry}");
        }
        let six = server("https://[fd00::1]:6443");
        for entry in ["fd00::1", "[fd00::1]:6443", "[fd00::1]", "fd00::/8", "::/0"] {
            assert!(names(entry, &six), "{entry}");
        }
        assert!(!names("[fd00::1]:443", &six) && !names("fe80::/10", &six) && !names("fd00::/129", &six));
    }
}
