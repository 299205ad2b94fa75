//! A network of our own: each port is a TUN device in a network namespace, and every packet between two of them goes
//! through [`switch`], which loses, delays, doubles and reorders as the [`link`] says on which it travels.
//!
//! No packet leaves the namespaces: there is no route out of them.

pub mod link;
pub mod namespace;
pub mod switch;

use std::net::Ipv4Addr;

use anyhow::Result;

use link::Links;
use namespace::Namespace;
use switch::Switch;

/// Ports of nodes by their place, and one more for all clients.
pub struct Network {
    nodes: Vec<Namespace>,
    switch: Switch,
}

impl Network {
    /// Makes a namespace for each node; the clients' port is in the namespace of the calling process.
    ///
    /// `seed` is for which packets are lost. The ports live as long as the process.
    pub fn new(nodes: usize, seed: u64) -> Result<Network> {
        let namespaces = (0..nodes)
            .map(|_| Namespace::new())
            .collect::<Result<Vec<_>>>()?;
        let mut devices = Vec::new();
        for (place, namespace) in namespaces.iter().enumerate() {
            devices.push(namespace.device(address(place))?);
        }
        devices.push(Namespace::device_here(address(nodes))?);
        Ok(Network {
            nodes: namespaces,
            switch: Switch::start(devices, seed),
        })
    }

    /// The namespace of a node.
    pub fn namespace(&self, place: usize) -> &Namespace {
        &self.nodes[place]
    }

    /// Has the links behave so from now on.
    pub fn set(&self, links: Links) {
        self.switch.set(links);
    }

    pub fn counts(&self) -> link::Counts {
        self.switch.counts()
    }
}

/// The address of a port.
pub fn address(place: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, place as u8 + 1)
}

/// The port of an address.
fn port_of(address: [u8; 4]) -> Option<usize> {
    match address {
        [10, 77, 0, number] => usize::from(number).checked_sub(1),
        _ => None,
    }
}
