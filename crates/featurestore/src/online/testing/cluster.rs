//! A Redis Cluster for tests: masters with all slots between them, and replicas.

use super::server::TestServer;
use super::until;

/// Masters, then replicas.
#[derive(Debug)]
pub struct TestCluster {
    /// The nodes; a test may kill and restart them.
    pub nodes: Vec<TestServer>,
    n_masters: usize,
}

impl TestCluster {
    /// `n_masters` share the slots; then comes a replica of each of the first `n_replicas` of them. A node is held for
    /// dead after `node_timeout_ms`.
    ///
    /// # Panics
    /// If there is no `redis-server` to start, or the nodes do not find each other.
    pub fn start(n_masters: usize, n_replicas: usize, node_timeout_ms: u32) -> Self {
        Self::start_with(n_masters, n_replicas, node_timeout_ms, &[])
    }

    /// As [`Self::start`], each node with more arguments.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with(n_masters: usize, n_replicas: usize, node_timeout_ms: u32, more: &[&str]) -> Self {
        let timeout = node_timeout_ms.to_string();
        let arguments = ["--cluster-enabled", "yes", "--cluster-port", "PORT", "--cluster-node-timeout", &timeout];
        let arguments = [&arguments, more].concat();
        let nodes: Vec<TestServer> = (0..n_masters + n_replicas).map(|_| TestServer::start(&arguments)).collect();
        let cluster = Self { nodes, n_masters };
        for (i, node) in cluster.nodes.iter().enumerate() {
            // Without it the nodes agree on their epochs one collision after the other.
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()]);
            if i < n_masters {
                let bounds = [16_384 * i / n_masters, 16_384 * (i + 1) / n_masters - 1].map(|slot| slot.to_string());
                node.ask(&["CLUSTER", "ADDSLOTSRANGE", &bounds[0], &bounds[1]]);
            }
            let first = &cluster.nodes[0];
            let (port, bus) = (first.port().to_string(), first.argument("--cluster-port"));
            node.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
        }
        let known = format!("cluster_known_nodes:{}", cluster.nodes.len());
        until("the nodes know each other", || {
            cluster.nodes.iter().all(|node| node.ask_text(&["CLUSTER", "INFO"]).contains(&known))
        });
        for (master, replica) in cluster.nodes.iter().zip(&cluster.nodes[n_masters..]) {
            let id = master.ask_text(&["CLUSTER", "MYID"]);
            // It has to have heard of the master as a master.
            until("a replica follows", || replica.try_ask(&["CLUSTER", "REPLICATE", &id]).is_ok());
            until("a replica has its data", || master.ask_text(&["INFO", "replication"]).contains("state=online"));
        }
        until("the cluster works", || cluster.works());
        cluster
    }

    /// The URLs of the masters.
    pub fn urls(&self) -> Vec<String> {
        self.nodes[..self.n_masters].iter().map(|node| format!("redis://{}", node.address())).collect()
    }

    /// Whether all nodes think so.
    pub fn works(&self) -> bool {
        self.nodes.iter().all(|node| node.ask_text(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    }
}
