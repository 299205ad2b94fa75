//! One of several nodes as if it were alone: a list of all nodes becomes one of the node that is asked.
//!
//! It does only where the list is as it must be. A node that is missing, one too many, another order of replicas or an
//! address that is not a node's stays and shows as a difference.

use serde_json::Value;

use super::target::Target;

/// A list that answers carry in a field.
pub fn list(target: &Target, field: &str, mut entries: Vec<Value>) -> Vec<Value> {
    let nodes = target.nodes();
    let named: Option<Vec<i32>> = entries.iter().map(node_of).collect();
    let Some(named) = named.filter(|_| target.is_one_of_several()) else {
        return entries;
    };
    let is_whole = match field {
        "brokers" => sorted(named) == sorted(nodes) && are_alike(target, &entries),
        // In order of preference.
        "replica_nodes" => named == nodes,
        "isr_nodes" => sorted(named) == sorted(nodes),
        _ => false,
    };
    if is_whole {
        entries.retain(|entry| node_of(entry) == Some(target.broker_id));
    }
    entries
}

/// A node's id, or that of a description of one.
fn node_of(entry: &Value) -> Option<i32> {
    let fields = ["node_id", "broker_id"];
    let fields = fields.iter().filter_map(|field| entry.get(field));
    let id = fields.chain([entry]).find_map(Value::as_i64)?;
    i32::try_from(id).ok()
}

fn sorted(mut nodes: Vec<i32>) -> Vec<i32> {
    nodes.sort_unstable();
    nodes
}

/// Whether each node is described with its address, and in all else as the others are.
fn are_alike(target: &Target, entries: &[Value]) -> bool {
    let at_its_address = |entry: &Value| {
        let address = node_of(entry).and_then(|node| target.advertised_by(node.into()));
        address.is_some_and(|(host, port)| entry["host"] == *host && entry["port"] == *port)
    };
    let rest = |entry: &Value| {
        let mut entry = entry.clone();
        if let Some(fields) = entry.as_object_mut() {
            fields.retain(|name, _| !["node_id", "broker_id", "host", "port"].contains(&&**name));
        }
        entry
    };
    entries.iter().all(at_its_address)
        && entries
            .windows(2)
            .all(|pair| rest(&pair[0]) == rest(&pair[1]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::differential::target::Other;

    fn target() -> Target {
        let other = |broker_id| Other {
            broker_id,
            advertised: ("127.0.0.1".into(), 9090 + broker_id),
        };
        Target {
            name: "test",
            address: ([127, 0, 0, 1], 9092).into(),
            advertised: ("127.0.0.1".into(), 9092),
            broker_id: 2,
            others: vec![other(3), other(1)],
            cluster_id: "cluster".into(),
            mark: "0".into(),
        }
    }

    fn check(field: &str, list: Value, becomes: Value) {
        let entries = list.as_array().expect("a list").clone();
        let expected = becomes.as_array().expect("a list").clone();
        assert_eq!(super::list(&target(), field, entries), expected);
    }

    #[test]
    fn a_list_of_all_nodes_is_one_of_the_node_that_is_asked() {
        check("replica_nodes", json!([2, 3, 1]), json!([2]));
        check("isr_nodes", json!([3, 2, 1]), json!([2]));
        let broker =
            |id: i32| json!({"node_id": id, "host": "127.0.0.1", "port": 9090 + id, "rack": null});
        check(
            "brokers",
            json!([broker(1), broker(2), broker(3)]),
            json!([broker(2)]),
        );
    }

    #[test]
    fn a_list_that_is_not_as_it_must_be_stays() {
        for (field, list) in [
            ("replica_nodes", json!([2, 1, 3])),
            ("isr_nodes", json!([2, 1])),
            ("isr_nodes", json!([2, 1, 3, 4])),
            ("offline_replicas", json!([2, 3, 1])),
        ] {
            check(field, list.clone(), list);
        }
        let host = "127.0.0.1";
        let broker = |id: i32, port: i32, rack: &str| json!({"broker_id": id, "host": host, "port": port, "rack": rack});
        let wrong = [
            broker(1, 9091, ""),
            broker(2, 9092, ""),
            broker(3, 9094, ""),
        ];
        check("brokers", json!(wrong), json!(wrong));
        let unlike = [
            broker(1, 9091, ""),
            broker(2, 9092, ""),
            broker(3, 9093, "r"),
        ];
        check("brokers", json!(unlike), json!(unlike));
    }
}
