//! Messages over a broker, by MQTT 5. The broker relays and keeps the last messages of each head for those who come
//! later; it computes nothing. Learning is decentralised, transport is not.
//!
//! Messages go to `TOPIC/NAME/TURN/HEAD/PART`, a topic for each [`Slot`], so that a broker can see to it that nobody speaks for
//! another: in mosquitto, `pattern write graft/%u/+/+/+` and `pattern read graft/+/+/+/+`. A client asks for those of its neighbours,
//! and keeps the newest of each topic until it is read: whoever floods it replaces its own messages.

mod address;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use patchtool::hint::Hint;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{
    ConnectReturnCode, PubAckReason, PublishProperties, SubscribeReasonCode,
};
use rumqttc::{
    Client, Connection, ConnectionError, Event, Incoming, MqttOptions, PublishOptions, StateError,
    TlsConfiguration,
};

use crate::message::{Federation, MAX_BYTES, Slot, TURNS, round_of};
use crate::transport::Transport;

pub use address::Address;

/// Messages that wait to be sent on a connection that is there; without one, the last of each topic waits.
const WAITING: usize = 1024;
/// Largest packet that the broker may send: larger ones it keeps to itself.
const MAX_PACKET: u32 = 1 << 20;
/// Shortest and longest time before another attempt to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
const KEEP_ALIVE: u16 = 20;
/// Seconds after which a broker drops what a client that vanished has said.
const EXPIRY: u32 = 3600;

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
    outgoing: Mutex<Outgoing>,
    /// The newest message of each slot of the neighbours that is not read yet.
    unread: Mutex<BTreeMap<(String, Slot), Vec<u8>>>,
    /// Something is unread, or the broker has refused the client.
    arrival: Condvar,
    /// A message is acknowledged.
    acknowledgement: Condvar,
    /// Why the broker will never take the client.
    refused: Mutex<Option<String>>,
}

/// Messages to the broker.
#[derive(Default)]
struct Outgoing {
    /// The last of each topic, for a broker that is not there, or has forgotten.
    last: BTreeMap<String, Vec<u8>>,
    is_connected: bool,
    /// Messages that the broker has not acknowledged.
    unacknowledged: usize,
}

impl Broker {
    /// Starts to connect, in a thread of its own, and goes on as long as it lives; for messages of these neighbours.
    ///
    /// # Errors
    /// A topic that MQTT does not have, certificates that cannot be read, no thread.
    pub fn connect<'a>(
        address: &Address,
        login: &Login,
        neighbours: impl IntoIterator<Item = &'a String>,
        federation: &Federation,
    ) -> Result<Self> {
        let Login { name, topic, .. } = login;
        let neighbours: Vec<String> = neighbours.into_iter().cloned().collect();
        check_topic(topic)?;
        let options = options(address, login)?;
        let (client, connection) = Client::builder(options).capacity(WAITING).build();
        let shared = Arc::new(Shared::default());
        let link = Link {
            client: client.clone(),
            topic: topic.clone(),
            neighbours,
            heads: federation.speaking,
            parts: federation.parts().count(),
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
    /// Sees to it that the broker has its last words, takes its messages back, which a later federation would find, and leaves.
    /// Without a broker it goes on to the next of these steps after this time.
    pub fn leave(self, within: Duration) {
        self.wait_for_acknowledgement(within);
        let mut outgoing = lock(&self.shared.outgoing);
        let topics: Vec<String> = outgoing.last.keys().cloned().collect();
        for topic in topics {
            outgoing.send(&self.client, topic, Vec::new());
        }
        drop(outgoing);
        if !self.wait_for_acknowledgement(within) {
            tracing::warn!("the broker may still have messages of this client");
        }
        if let Err(error) = self.client.try_disconnect() {
            tracing::debug!("left the broker without saying so: {error}");
        }
    }

    /// Whether the broker has acknowledged all messages within this time.
    fn wait_for_acknowledgement(&self, within: Duration) -> bool {
        let is_waiting =
            |outgoing: &mut Outgoing| outgoing.unacknowledged > 0 || !outgoing.is_connected;
        let outgoing = lock(&self.shared.outgoing);
        let acknowledgement = &self.shared.acknowledgement;
        let waited = acknowledgement.wait_timeout_while(outgoing, within, is_waiting);
        waited.is_ok_and(|(_, waited)| !waited.timed_out())
    }
}

impl Shared {
    fn refuse(&self, reason: String) {
        *lock(&self.refused) = Some(reason);
        // The lock is that of the condition, so that nobody misses it.
        let _unread = lock(&self.unread);
        self.arrival.notify_one();
    }
}

/// Whether it is of no use to try again.
fn is_lasting(error: &ConnectionError) -> bool {
    use ConnectReturnCode::{
        BadAuthenticationMethod, BadClientId, BadUserNamePassword, Banned,
        ClientIdentifierNotValid, NotAuthorized, RefusedProtocolVersion, RetainNotSupported,
        UnsupportedProtocolVersion,
    };
    matches!(
        error,
        ConnectionError::ConnectionRefused(
            BadAuthenticationMethod
                | BadClientId
                | BadUserNamePassword
                | Banned
                | ClientIdentifierNotValid
                | NotAuthorized
                | RefusedProtocolVersion
                | RetainNotSupported
                | UnsupportedProtocolVersion
        ) | ConnectionError::MqttState(StateError::OutgoingPacketTooLarge { .. })
    )
}

impl Outgoing {
    /// Sends a message, now or when there is a connection, in the place of the last of its topic.
    fn send(&mut self, client: &Client, topic: String, bytes: Vec<u8>) {
        if self.is_connected {
            self.unacknowledged += usize::from(publish(client, &topic, &bytes));
        }
        self.last.insert(topic, bytes);
    }

    /// Sends the last message of each topic on a new connection.
    fn begin(&mut self, client: &Client) {
        self.is_connected = true;
        let published = self
            .last
            .iter()
            .filter(|(topic, bytes)| publish(client, topic, bytes));
        self.unacknowledged = published.count();
    }
}

/// Whether there was room for a message.
fn publish(client: &Client, topic: &str, bytes: &[u8]) -> bool {
    let properties = PublishProperties {
        message_expiry_interval: Some(EXPIRY),
        ..PublishProperties::default()
    };
    let kept = PublishOptions::new(QoS::AtLeastOnce)
        .retained()
        .properties(properties);
    let published = client.try_publish(topic, bytes.to_vec(), kept);
    if let Err(error) = &published {
        tracing::warn!("a message is lost, as the connection is too slow: {error}");
    }
    published.is_ok()
}

impl Transport for Broker {
    fn send(&mut self, Slot { turn, head, part }: Slot, bytes: Vec<u8>) {
        let topic = format!("{}/{turn}/{head}/{part}", self.own_topic);
        lock(&self.shared.outgoing).send(&self.client, topic, bytes);
    }

    fn receive(&mut self, within: Duration) -> Result<Vec<(String, Vec<u8>)>> {
        let is_refused = || lock(&self.shared.refused).is_some();
        let unread = lock(&self.shared.unread);
        let arrival = &self.shared.arrival;
        let waited =
            arrival.wait_timeout_while(unread, within, |unread| unread.is_empty() && !is_refused());
        let (mut unread, _) = waited.expect("nobody panics with the lock");
        if let Some(reason) = lock(&self.shared.refused).clone() {
            bail!(Hint::new(
                format!("the broker refuses this client: {reason}"),
                "see --user and the broker's settings: who may write and read which topics, and its largest packet",
            ));
        }
        let messages = std::mem::take(&mut *unread).into_iter();
        Ok(messages
            .map(|((sender, _), bytes)| (sender, bytes))
            .collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with the lock")
}

fn check_topic(topic: &str) -> Result<()> {
    if !topic.is_empty() && !topic.contains(['+', '#', '$', '\0']) {
        return Ok(());
    }
    bail!(Hint::new(
        format!("{topic:?} is no topic of MQTT"),
        "use letters, digits, -, _ and /",
    ))
}

/// A name by which a broker knows the connection: of two with one name it would end the other.
fn client_id(login: &Login) -> String {
    let now = std::time::SystemTime::now();
    let own = format!(
        "{}/{}/{}/{now:?}",
        login.topic,
        login.name,
        std::process::id()
    );
    let own = blake3::hash(own.as_bytes()).to_hex();
    format!("graft-{}-{}", login.name, &own[..8])
}

fn options(address: &Address, login: &Login) -> Result<MqttOptions> {
    let broker = (address.host.clone(), address.port);
    let mut options = MqttOptions::new(client_id(login), broker);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_clean_start(true);
    options.set_max_packet_size(Some(MAX_PACKET));
    if let Some((user, password)) = &login.credentials {
        options.set_credentials(user.clone(), password.clone());
        if !address.is_secure {
            tracing::warn!("the password goes to the broker as it is: mqtts:// would hide it");
        }
    }
    if address.is_secure {
        let tls = match &login.authorities {
            Some(ca) if !contains(ca, b"-----BEGIN CERTIFICATE-----") => bail!(Hint::new(
                "--ca has no certificate".into(),
                "give a file in the PEM format",
            )),
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

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The thread's side of a [`Broker`].
struct Link {
    client: Client,
    topic: String,
    neighbours: Vec<String>,
    /// Heads of a neighbour that speak.
    heads: usize,
    /// Messages of a head in a round.
    parts: usize,
    /// Gone when the client is.
    shared: Weak<Shared>,
}

impl Link {
    fn run(self, mut connection: Connection) {
        let mut pause = PAUSE.0;
        while let (Ok(event), Some(shared)) = (connection.recv(), self.shared.upgrade()) {
            match event {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => self.begin(&shared),
                Ok(Event::Incoming(Incoming::Publish(publish))) => {
                    let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                    self.take(&shared, &topic, &publish.payload);
                }
                Ok(Event::Incoming(Incoming::SubAck(ack))) => {
                    // Only now does the connection serve.
                    pause = PAUSE.0;
                    let is_given = |code: &SubscribeReasonCode| {
                        matches!(code, SubscribeReasonCode::Success(_))
                    };
                    if let Some(code) = ack.return_codes.iter().find(|code| !is_given(code)) {
                        shared.refuse(format!("it may not read what neighbours say ({code:?})"));
                    }
                }
                Ok(Event::Incoming(Incoming::PubAck(ack))) => {
                    let is_taken = matches!(
                        ack.reason,
                        PubAckReason::Success | PubAckReason::NoMatchingSubscribers
                    );
                    if !is_taken {
                        shared.refuse(format!("it may not say anything ({:?})", ack.reason));
                    }
                    let mut outgoing = lock(&shared.outgoing);
                    outgoing.unacknowledged = outgoing.unacknowledged.saturating_sub(1);
                    shared.acknowledgement.notify_one();
                }
                Ok(_) => {}
                Err(error) => {
                    lock(&shared.outgoing).is_connected = false;
                    if is_lasting(&error) {
                        shared.refuse(error.to_string());
                        return;
                    }
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
            let topics = format!("{}/{name}/+/+/+", self.topic);
            if let Err(error) = self.client.try_subscribe(topics, QoS::AtLeastOnce) {
                tracing::warn!("cannot ask for the messages of {name}: {error}");
            }
        }
        lock(&shared.outgoing).begin(&self.client);
        shared.acknowledgement.notify_one();
    }

    /// Keeps a message until it is read, in the place of an older one of the same slot.
    fn take(&self, shared: &Shared, topic: &str, bytes: &[u8]) {
        let Some(slot) = self.slot(topic) else {
            tracing::debug!("{topic} is no topic of a neighbour");
            return;
        };
        // A neighbour has taken a message back.
        if bytes.is_empty() {
            return;
        }
        let mut unread = lock(&shared.unread);
        let is_older = unread
            .get(&slot)
            .is_some_and(|own| round_of(own) > round_of(bytes));
        if !is_older {
            // One byte more than a message may have is enough to see that it is too long.
            unread.insert(slot, bytes[..bytes.len().min(MAX_BYTES + 1)].to_vec());
        }
        shared.arrival.notify_one();
    }

    /// Sender and slot of a topic.
    fn slot(&self, topic: &str) -> Option<(String, Slot)> {
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
        let slot = Slot {
            turn: below(TURNS)?,
            head: below(self.heads)?,
            part: below(self.parts)?,
        };
        let is_whole = levels.next().is_none();
        is_whole.then(|| (sender.to_owned(), slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_of_a_neighbour_and_a_slot() {
        let (client, _) = Client::builder(MqttOptions::new("one", "hub")).build();
        let link = Link {
            client,
            topic: "graft".into(),
            neighbours: vec!["yard".into()],
            heads: 2,
            parts: 1,
            shared: Weak::new(),
        };
        let slot = Slot {
            turn: 1,
            head: 1,
            part: 0,
        };
        assert_eq!(link.slot("graft/yard/1/1/0"), Some(("yard".into(), slot)));
        for other in [
            "graft/yard/2/1/0",
            "graft/yard/1/2/0",
            "graft/yard/1/1/1",
            "graft/yard/1/1",
            "graft/yard/1/1/0/0",
            "graft/gate/1/1/0",
            "other/yard/1/1/0",
            "graft/yard/1/x/0",
        ] {
            assert_eq!(link.slot(other), None, "{other}");
        }
    }
}
