//! Which node serves which slot, as the nodes tell it.

use redis::Value;

use super::address::Address;
use super::slot::N_SLOTS;

const NOBODY: u16 = u16::MAX;

/// The masters of a cluster and their slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotMap {
    /// Per slot, a position in `masters`.
    owners: Box<[u16]>,
    masters: Vec<Address>,
    /// They can be asked for the map, when no master answers.
    replicas: Vec<Address>,
}

impl SlotMap {
    /// Reads the reply to `CLUSTER SLOTS`; a node that does not say its own host is where it was asked.
    pub(super) fn parse(reply: &Value, asked: &Address) -> Option<Self> {
        let mut map = Self { owners: vec![NOBODY; N_SLOTS].into(), masters: Vec::new(), replicas: Vec::new() };
        let Value::Array(ranges) = reply else { return None };
        for range in ranges {
            let Value::Array(range) = range else { return None };
            let [Value::Int(first), Value::Int(last), nodes @ ..] = range.as_slice() else { return None };
            let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
            let mut nodes = nodes.iter().map(|node| address_of(node, asked));
            // Without a host it cannot be reached: as good as nobody.
            let Some(master) = nodes.next()? else { continue };
            let owner = map.position(master)?;
            map.owners.get_mut(first..=last).filter(|slots| !slots.is_empty())?.fill(owner);
            for replica in nodes.flatten() {
                if !map.replicas.contains(&replica) {
                    map.replicas.push(replica);
                }
            }
        }
        Some(map)
    }

    pub(super) fn owner(&self, slot: u16) -> Option<&Address> {
        self.masters.get(usize::from(self.owners[usize::from(slot) % N_SLOTS]))
    }

    /// As before, but for one slot that was said to be elsewhere.
    pub(super) fn assign(&mut self, slot: u16, owner: Address) {
        if let Some(owner) = self.position(owner) {
            self.owners[usize::from(slot) % N_SLOTS] = owner;
        }
    }

    pub(super) fn masters(&self) -> &[Address] {
        &self.masters
    }

    pub(super) fn replicas(&self) -> &[Address] {
        &self.replicas
    }

    /// Slots that somebody serves.
    pub(super) fn n_served(&self) -> usize {
        self.owners.iter().filter(|owner| **owner != NOBODY).count()
    }

    fn position(&mut self, master: Address) -> Option<u16> {
        let known = self.masters.iter().position(|known| *known == master);
        let position = known.unwrap_or(self.masters.len());
        if known.is_none() {
            self.masters.push(master);
        }
        u16::try_from(position).ok().filter(|position| *position != NOBODY)
    }
}

/// A node is `[host, port, id, ...]`; an empty or absent host means "where you asked", and `?` that it is not known.
fn address_of(node: &Value, asked: &Address) -> Option<Address> {
    let Value::Array(node) = node else { return None };
    let [host, Value::Int(port), ..] = node.as_slice() else { return None };
    let host = match host {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?,
        Value::SimpleString(text) => text,
        Value::Nil => "",
        _ => return None,
    };
    let host = match host {
        "" => asked.host()?,
        "?" => return None,
        host => host,
    };
    Some(Address::Tcp(host.to_owned(), u16::try_from(*port).ok()?))
}

/// Where a `MOVED` or `ASK` sends, as `(slot, node)`; an empty host is that of the node which said it.
pub(super) fn redirection(details: &str, said_by: &Address) -> Option<(u16, Address)> {
    let (slot, node) = details.split_once(' ')?;
    // `::1:6381` is no empty host.
    let node = match node.strip_prefix(':').filter(|port| !port.contains(':')) {
        Some(port) => Address::Tcp(said_by.host()?.to_owned(), port.parse().ok()?),
        None => Address::of_node(node)?,
    };
    Some((slot.parse().ok()?, node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Address {
        Address::Tcp("10.0.0.1".to_owned(), 7000)
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), text("id"), Value::Array(Vec::new())])
    }

    fn range(first: i64, last: i64, nodes: Vec<Value>) -> Value {
        Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat())
    }

    fn owner(map: &SlotMap, slot: u16) -> String {
        map.owner(slot).map_or_else(|| "nobody".to_owned(), ToString::to_string)
    }

    #[test]
    fn every_slot_has_the_master_of_its_range() {
        let (one, two) = (node(text("10.0.0.2"), 7001), node(text("::1"), 7002));
        let reply = Value::Array(vec![
            range(0, 99, vec![one.clone(), node(text("10.0.0.9"), 7009)]),
            range(100, 100, vec![two]),
            range(16_000, 16_383, vec![one]),
        ]);
        let mut map = SlotMap::parse(&reply, &here()).unwrap();
        let found = [0, 99, 100, 101, 15_999, 16_383].map(|slot| owner(&map, slot));
        assert_eq!(found, ["10.0.0.2:7001", "10.0.0.2:7001", "[::1]:7002", "nobody", "nobody", "10.0.0.2:7001"]);
        assert_eq!((map.masters().len(), map.replicas().len(), map.n_served()), (2, 1, 485));

        map.assign(101, here());
        map.assign(100, Address::Tcp("10.0.0.2".to_owned(), 7001));
        assert_eq!([100, 101, 102].map(|slot| owner(&map, slot)), ["10.0.0.2:7001", "10.0.0.1:7000", "nobody"]);
    }

    #[test]
    fn a_node_without_a_host_is_where_it_was_asked() {
        for host in [Value::Nil, text("")] {
            let map = SlotMap::parse(&Value::Array(vec![range(0, 5, vec![node(host, 7003)])]), &here()).unwrap();
            assert_eq!(owner(&map, 3), "10.0.0.1:7003");
        }
        let map = SlotMap::parse(&Value::Array(vec![range(0, 5, vec![node(text("?"), 7003)])]), &here()).unwrap();
        assert_eq!(owner(&map, 3), "nobody");
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for reply in [
            Value::Nil,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![range(0, 16_384, vec![node(text("a"), 1)])]),
            Value::Array(vec![range(5, 4, vec![node(text("a"), 1)])]),
            Value::Array(vec![range(-1, 4, vec![node(text("a"), 1)])]),
            Value::Array(vec![range(0, 4, Vec::new())]),
        ] {
            assert_eq!(SlotMap::parse(&reply, &here()), None, "{reply:?}");
        }
    }

    #[test]
    fn redirections_are_read() {
        for (details, want) in [
            ("3999 127.0.0.1:6381", Some("3999 127.0.0.1:6381")),
            ("3999 :6381", Some("3999 10.0.0.1:6381")),
            ("3999 redis-1.example:6381", Some("3999 redis-1.example:6381")),
            ("3999 ::1:6381", Some("3999 [::1]:6381")),
            ("3999", None),
            ("slot a:1", None),
            ("3999 a:port", None),
        ] {
            let found = redirection(details, &here()).map(|(slot, node)| format!("{slot} {node}"));
            assert_eq!(found.as_deref(), want, "{details}");
        }
    }
}
