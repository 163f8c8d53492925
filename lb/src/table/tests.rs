use super::*;
use crate::balancer::Balancer;
use crate::policy::Policy;

fn keys(count: usize) -> Vec<Arc<str>> {
    (0..count).map(|host| Arc::from(format!("127.0.0.1:{}", 9000 + host))).collect()
}

fn ring(function: HashFunction) -> Policy {
    let table = Kind::RingHash(RingHash { min_size: 1024, max_size: 8 << 20, function });
    Policy::Consistent(Consistent { table, balance_factor: 0, by_hostname: false })
}

fn maglev() -> Policy {
    let table = Kind::Maglev(Maglev { table_size: 65537 });
    Policy::Consistent(Consistent { table, balance_factor: 0, by_hostname: false })
}

fn weighted(weights: &[u32]) -> Vec<Host> {
    weights.iter().map(|weight| Host { weight: *weight, ..Host::PLAIN }).collect()
}

fn tables(hosts: &[Host], policy: &Policy) -> HashTables {
    let settings = Settings::default();
    Balancer::hash_tables(hosts, &keys(hosts.len()), policy, &settings).expect("it hashes")
}

/// How many of 10,000 keys each host gets.
fn spread(hosts: &[Host], policy: &Policy) -> Vec<usize> {
    let keys: Arc<[Arc<str>]> = keys(hosts.len()).into();
    let tables = Arc::new(tables(hosts, policy));
    let balancer = Balancer::new(hosts, policy, &Settings::default(), 1);
    let mut balancer = balancer.with_tables(keys, tables);
    let mut counts = vec![0; hosts.len()];
    for key in 0..10_000_u32 {
        let hash = hash(&key.to_le_bytes());
        let host = balancer.pick_hashed(Some(hash), || 0, |_| 0).expect("a host");
        assert_eq!(balancer.pick_hashed(Some(hash), || 7, |_| 9), Some(host), "a key stays");
        counts[host] += 1;
    }
    counts
}

#[test]
fn shares_follow_weights() {
    for policy in [ring(HashFunction::XxHash), ring(HashFunction::MurmurHash2), maglev()] {
        let counts = spread(&weighted(&[1, 1, 2]), &policy);
        for (count, share) in counts.iter().zip([0.25, 0.25, 0.5]) {
            let got = *count as f64 / 10_000.0;
            assert!((got - share).abs() < 0.06, "{policy:?} {counts:?}");
        }
    }
}

#[test]
fn the_figures_are_those_of_the_tables() {
    let figures = tables(&weighted(&[1, 1, 2]), &ring(HashFunction::XxHash)).figures();
    assert_eq!(figures, Figures { size: 1024, min_per_host: 256, max_per_host: 512 });
    let figures = tables(&weighted(&[1, 1, 1]), &ring(HashFunction::XxHash)).figures();
    assert_eq!(figures, Figures { size: 1026, min_per_host: 342, max_per_host: 342 });
    let figures = tables(&weighted(&[1, 1, 1]), &maglev()).figures();
    assert_eq!(figures, Figures { size: 65537, min_per_host: 21845, max_per_host: 21846 });
}

#[test]
fn a_host_that_goes_takes_only_its_own_keys_with_it() {
    for policy in [ring(HashFunction::XxHash), maglev()] {
        let hosts = weighted(&[1; 10]);
        let keys: Arc<[Arc<str>]> = keys(10).into();
        let tables = Arc::new(tables(&hosts, &policy));
        let balancer = Balancer::new(&hosts, &policy, &Settings::default(), 1);
        let mut balancer = balancer.with_tables(keys, tables);
        let pick_all = |balancer: &mut Balancer| -> Vec<usize> {
            let hash = |key: u32| Some(hash(&key.to_le_bytes()));
            (0..1000)
                .map(|key| balancer.pick_hashed(hash(key), || 0, |_| 0).expect("a host"))
                .collect()
        };
        let before = pick_all(&mut balancer);
        balancer.set_health(3, Health::Unhealthy);
        let after = pick_all(&mut balancer);
        assert!(!after.contains(&3));
        let moved = before.iter().zip(&after).filter(|(old, new)| **old != 3 && old != new);
        // The ring has a whole number of places for each host, which is another one for nine.
        assert!(moved.count() < 200, "{policy:?}");
    }
}

#[test]
fn without_hosts_there_is_none() {
    for policy in [ring(HashFunction::XxHash), maglev()] {
        let tables = Arc::new(tables(&[], &policy));
        let balancer = Balancer::new(&[], &policy, &Settings::default(), 1);
        let mut balancer = balancer.with_tables(Arc::from([]), tables);
        assert_eq!(balancer.pick_hashed(Some(1), || 0, |_| 0), None);
        assert_eq!(balancer.panic_picks(), 1);
    }
}

#[test]
fn localities_share_by_their_weights() {
    let host = |locality| Host { locality, ..Host::PLAIN };
    let hosts = [host(0), host(0), host(1), host(2)];
    let settings = Settings { locality_weights: Some(vec![1, 3, 0]), ..Settings::default() };
    let policy = maglev();
    let tables = Balancer::hash_tables(&hosts, &keys(4), &policy, &settings).expect("it hashes");
    let Table::Maglev(table) = &tables.levels[0].table else { panic!("another table") };
    let count = |id: u32| table.iter().filter(|host| **host == id).count();
    let share = |id: u32| (count(id) as f64 / 65537.0 * 1000.0).round();
    assert_eq!([0, 1, 2, 3].map(share), [125.0, 125.0, 750.0, 0.0]);
}
