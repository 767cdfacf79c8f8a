//! The address of a broker.

/// The address of a broker: `mqtt://HOST[:PORT]`, or `mqtts://` for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_secure: bool,
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, is_secure, usual) = match text.split_once("://") {
            Some(("mqtt", rest)) => (rest, false, 1883),
            Some(("mqtts", rest)) => (rest, true, 8883),
            Some(_) | None => return Err("expected mqtt://HOST or mqtts://HOST".into()),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (
                host,
                port.parse().map_err(|_| format!("{port:?} is no port"))?,
            ),
            Some(_) | None => (rest, usual),
        };
        if host.is_empty() || host.contains(['/', '@']) {
            return Err("expected a host, and no user or path: see --user and --topic".into());
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).into(),
            port,
            is_secure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_perhaps_a_port() {
        let of = |text: &str| text.parse::<Address>();
        let plain = |host: &str, port| Address {
            host: host.into(),
            port,
            is_secure: false,
        };
        assert_eq!(of("mqtt://hub"), Ok(plain("hub", 1883)));
        assert_eq!(of("mqtt://hub:99"), Ok(plain("hub", 99)));
        assert_eq!(of("mqtt://[::1]:99"), Ok(plain("::1", 99)));
        assert_eq!(of("mqtt://[::1]"), Ok(plain("::1", 1883)));
        assert!(of("mqtts://hub").is_ok_and(|address| address.is_secure && address.port == 8883));
        for wrong in [
            "hub",
            "http://hub",
            "mqtt://",
            "mqtt://hub:x",
            "mqtt://me@hub",
            "mqtt://hub/topic",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
