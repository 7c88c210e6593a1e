//! A Redis Cluster of three masters on loopback.

use crate::redis::{FREE_PORT, Redis};

/// Three servers that share the slots.
#[derive(Debug)]
pub struct Cluster {
    masters: Vec<Redis>,
}

impl Cluster {
    /// A cluster that serves all slots.
    #[must_use]
    pub fn start() -> Self {
        let start = || {
            // Where its masters speak to each other is by default a port above 65,535 for many free ports.
            let mut settings = vec!["--cluster-enabled", "yes", "--cluster-port", FREE_PORT];
            settings.extend(["--cluster-node-timeout", "5000", "--appendonly", "yes"]);
            Redis::start(&settings)
        };
        let masters: Vec<Redis> = (0..3).map(|_| start()).collect();
        for ((at, master), slots) in masters.iter().enumerate().zip(["0 5460", "5461 10922", "10923 16383"]) {
            // Otherwise all have the same, and settle it among themselves later.
            master.command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
            let (first, last) = slots.split_once(' ').unwrap();
            master.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
        }
        let (first, others) = masters.split_first().unwrap();
        for other in others {
            let bus: Vec<String> = other.command(&["CONFIG", "GET", "cluster-port"]);
            let (port, bus) = (other.port().to_string(), bus.last().unwrap().clone());
            first.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let cluster = Self { masters };
        for master in &cluster.masters {
            master.until("the cluster serves all slots", || {
                let said: String = master.command(&["CLUSTER", "INFO"]);
                let is = |line| said.lines().any(|one| one.trim() == line);
                is("cluster_state:ok") && is("cluster_known_nodes:3") && is("cluster_size:3")
            });
        }
        cluster
    }

    /// Where one of them is; it tells of the others.
    #[must_use]
    pub fn url(&self) -> String {
        self.masters.first().unwrap().url()
    }

    /// All masters.
    #[must_use]
    pub fn masters(&self) -> &[Redis] {
        &self.masters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_served_by_one_of_them() {
        let cluster = Cluster::start();
        let mut served = 0;
        for key in ["a", "b", "c", "d", "e", "f"] {
            for master in cluster.masters() {
                match master.ask::<()>(&["SET", key, "value"]) {
                    Ok(()) => served += 1,
                    Err(error) => assert!(error.to_string().contains("Moved"), "{error}"),
                }
            }
        }
        assert_eq!(served, 6);
    }
}
