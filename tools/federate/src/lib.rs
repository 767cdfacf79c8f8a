//! Clients that teach each other without sharing data: "Decentralized Learning with Multi-Headed Distillation"
//! (Zhmoginov, Sandler, Miller, Kristiansen, Vladymyrov, CVPR 2023).
//!
//! Each client has a frozen backbone, private labelled images, and public images without labels that all have. It
//! trains a patch and a last layer of several heads ([`client`], [`lessons`]). The main head learns private labels alone, head k
//! learns on public images from the most confident ([`choice`]) of what the neighbours' heads k - 1 say ([`inbox`]),
//! and its own. All that leaves a client is [`predictions`] in [`message`]s. Two patches come out ([`files`]): the
//! main head's for private use, the last head's, which knows what the others know.
//!
//! A [`member`] is a client with a way to its neighbours ([`transport`]): `patchtool federate` runs all of them in one
//! process ([`federate`]), `patchtool agent` is one of them over a broker ([`agent`], [`mqtt`]).

pub mod agent;
pub mod choice;
pub mod client;
pub mod federate;
pub mod files;
pub mod inbox;
pub mod lessons;
pub mod lie;
pub mod member;
pub mod message;
pub mod mqtt;
pub mod predictions;
pub mod setup;
pub mod skew;
pub mod topology;
pub mod transport;
