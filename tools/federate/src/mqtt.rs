//! Messages over a broker, by MQTT 5. The broker relays and keeps the last message of each head for those who come
//! later; it computes nothing. Learning is decentralised, transport is not.
//!
//! Messages go to `TOPIC/NAME/HEAD/PART`, so that a broker can see to it that nobody speaks for another: in mosquitto,
//! `pattern write graft/%u/+/+` and `pattern read graft/+/+/+`. A client asks for those of its neighbours, and keeps the newest
//! of each topic until it is read: whoever floods it replaces its own messages.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use patchtool::hint::Hint;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::PublishProperties;
use rumqttc::{Client, Connection, Event, Incoming, MqttOptions, PublishOptions, TlsConfiguration};

use crate::message::Federation;
use crate::transport::Transport;

/// Messages that wait to be sent.
const WAITING: usize = 1024;
/// Largest packet that the broker may send: larger ones it keeps to itself.
const MAX_PACKET: u32 = 1 << 20;
/// Shortest and longest time before another attempt to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
const KEEP_ALIVE: u16 = 20;
/// Seconds after which a broker drops what a client that vanished has said.
const EXPIRY: u32 = 3600;

/// The address of a broker: `mqtt://HOST[:PORT]`, or `mqtts://` for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    is_secure: bool,
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

/// Who a client is to a broker.
#[derive(Clone, Debug)]
pub struct Login {
    /// Name in the federation, which no two clients share.
    pub name: String,
    /// What all topics begin with.
    pub topic: String,
    /// User and password.
    pub credentials: Option<(String, String)>,
    /// Certificates of authorities, as PEM, in place of the system's.
    pub authorities: Option<Vec<u8>>,
}

/// A connection to a broker, which comes back whenever it is lost.
pub struct Broker {
    client: Client,
    own_topic: String,
    shared: Arc<Shared>,
}

/// What both threads see.
#[derive(Default)]
struct Shared {
    /// The last message of each own topic, for a broker that has forgotten.
    sent: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The newest message of each head and part of the neighbours that is not read yet.
    unread: Mutex<BTreeMap<(String, usize, usize), Vec<u8>>>,
    /// Something is unread.
    arrival: Condvar,
    /// Messages that the broker has not acknowledged.
    unacknowledged: Mutex<usize>,
    /// One is less.
    acknowledgement: Condvar,
}

impl Broker {
    /// Starts to connect, in a thread of its own, and goes on as long as it lives; for messages of these neighbours.
    ///
    /// # Errors
    /// A name or a topic that MQTT does not have, certificates that cannot be read, no thread.
    pub fn connect<'a>(
        address: &Address,
        login: &Login,
        neighbours: impl IntoIterator<Item = &'a String>,
        federation: &Federation,
    ) -> Result<Self> {
        let Login { name, topic, .. } = login;
        let neighbours: Vec<String> = neighbours.into_iter().cloned().collect();
        for name in neighbours.iter().chain([name]) {
            check_topic(name, name.contains('/'))?;
        }
        check_topic(topic, false)?;
        let options = options(address, login)?;
        let (client, connection) = Client::builder(options).capacity(WAITING).build();
        let shared = Arc::new(Shared::default());
        let link = Link {
            client: client.clone(),
            topic: topic.clone(),
            neighbours,
            slots: (federation.speaking, federation.parts().count()),
            shared: Arc::downgrade(&shared),
        };
        std::thread::Builder::new()
            .name("mqtt".into())
            .spawn(move || link.run(connection))
            .context("cannot start a thread")?;
        Ok(Self {
            client,
            own_topic: format!("{topic}/{name}"),
            shared,
        })
    }
}

impl Broker {
    /// Takes its messages back from the broker, where a later federation would find them, and leaves; without a broker it
    /// leaves after this time.
    pub fn leave(self, within: Duration) {
        let topics: Vec<String> = lock(&self.shared.sent).keys().cloned().collect();
        for topic in topics {
            self.shared.publish(&self.client, &topic, &[]);
        }
        let unacknowledged = lock(&self.shared.unacknowledged);
        let is_waiting = |count: &mut usize| *count > 0;
        let waited =
            self.shared
                .acknowledgement
                .wait_timeout_while(unacknowledged, within, is_waiting);
        if waited.is_ok_and(|(_, waited)| waited.timed_out()) {
            tracing::warn!("the broker may still have messages of this client");
        }
        if let Err(error) = self.client.try_disconnect() {
            tracing::debug!("left the broker without saying so: {error}");
        }
    }
}

impl Shared {
    /// What a full queue leaves out is sent again when the connection is back.
    fn publish(&self, client: &Client, topic: &str, bytes: &[u8]) {
        let properties = PublishProperties {
            message_expiry_interval: Some(EXPIRY),
            ..PublishProperties::default()
        };
        let kept = PublishOptions::new(QoS::AtLeastOnce)
            .retained()
            .properties(properties);
        match client.try_publish(topic, bytes.to_vec(), kept) {
            Ok(()) => *lock(&self.unacknowledged) += 1,
            Err(error) => tracing::debug!("a message waits for the next connection: {error}"),
        }
    }
}

impl Transport for Broker {
    fn send(&mut self, head: usize, part: usize, bytes: Vec<u8>) {
        let topic = format!("{}/{head}/{part}", self.own_topic);
        self.shared.publish(&self.client, &topic, &bytes);
        lock(&self.shared.sent).insert(topic, bytes);
    }

    fn receive(&mut self, within: Duration) -> Option<(String, Vec<u8>)> {
        let unread = lock(&self.shared.unread);
        let wait = self
            .shared
            .arrival
            .wait_timeout_while(unread, within, |unread| unread.is_empty());
        let (mut unread, _) = wait.expect("nobody panics with the lock");
        let ((sender, ..), bytes) = unread.pop_first()?;
        Some((sender, bytes))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with the lock")
}

fn check_topic(part: &str, has_levels: bool) -> Result<()> {
    if !part.is_empty() && !has_levels && !part.contains(['+', '#', '$', '\0']) {
        return Ok(());
    }
    bail!(Hint::new(
        format!("{part:?} cannot be a part of a topic of MQTT"),
        "use letters, digits, - and _",
    ))
}

fn options(address: &Address, login: &Login) -> Result<MqttOptions> {
    let broker = (address.host.clone(), address.port);
    let mut options = MqttOptions::new(format!("graft-{}", login.name), broker);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_clean_start(true);
    options.set_max_packet_size(Some(MAX_PACKET));
    if let Some((user, password)) = &login.credentials {
        options.set_credentials(user.clone(), password.clone());
    }
    if address.is_secure {
        let tls = match &login.authorities {
            Some(ca) => TlsConfiguration::Simple {
                ca: ca.clone(),
                alpn: None,
                client_auth: None,
            },
            None => TlsConfiguration::try_default_rustls()
                .context("cannot use the system's certificates")?,
        };
        options.set_transport(rumqttc::Transport::tls_with_config(tls));
    }
    Ok(options)
}

/// The thread's side of a [`Broker`].
struct Link {
    client: Client,
    topic: String,
    neighbours: Vec<String>,
    /// Heads and parts that neighbours have.
    slots: (usize, usize),
    /// Gone when the client is.
    shared: Weak<Shared>,
}

impl Link {
    fn run(self, mut connection: Connection) {
        let mut pause = PAUSE.0;
        while let (Ok(event), Some(shared)) = (connection.recv(), self.shared.upgrade()) {
            match event {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                    pause = PAUSE.0;
                    self.begin(&shared);
                }
                Ok(Event::Incoming(Incoming::Publish(publish))) => {
                    let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                    match self.slot(&topic) {
                        // A neighbour has taken a message back.
                        Some(_) if publish.payload.is_empty() => {}
                        Some(slot) => {
                            lock(&shared.unread).insert(slot, publish.payload.to_vec());
                            shared.arrival.notify_one();
                        }
                        None => tracing::debug!("{topic} is no topic of a neighbour"),
                    }
                }
                Ok(Event::Incoming(Incoming::PubAck(_))) => {
                    let mut count = lock(&shared.unacknowledged);
                    *count = count.saturating_sub(1);
                    shared.acknowledgement.notify_one();
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!("no connection to the broker: {error}; again in {pause:?}");
                    drop(shared);
                    std::thread::sleep(pause);
                    pause = (2 * pause).min(PAUSE.1);
                }
            }
        }
    }

    /// Asks for the messages of neighbours, and says again what a broker may have forgotten.
    fn begin(&self, shared: &Shared) {
        for name in &self.neighbours {
            let topics = format!("{}/{name}/+/+", self.topic);
            if let Err(error) = self.client.try_subscribe(topics, QoS::AtLeastOnce) {
                tracing::warn!("cannot ask for the messages of {name}: {error}");
            }
        }
        *lock(&shared.unacknowledged) = 0;
        for (topic, bytes) in lock(&shared.sent).iter() {
            shared.publish(&self.client, topic, bytes);
        }
    }

    /// Sender, head and part of a topic.
    fn slot(&self, topic: &str) -> Option<(String, usize, usize)> {
        let rest = topic.strip_prefix(&self.topic)?.strip_prefix('/')?;
        let mut levels = rest.split('/');
        let sender = levels
            .next()
            .filter(|sender| self.neighbours.iter().any(|name| name == sender))?;
        let mut below = |limit| {
            levels
                .next()?
                .parse()
                .ok()
                .filter(|&index: &usize| index < limit)
        };
        Some((
            sender.to_owned(),
            below(self.slots.0)?,
            below(self.slots.1)?,
        ))
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
