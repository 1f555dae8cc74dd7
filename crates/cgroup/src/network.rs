//! A container's network devices.

use model::NetworkCounters;

use crate::flat::{lines, number, words};

/// Sums `/proc/<pid>/net/dev` over the devices that an engine gave to the container: those called `eth…`, or where
/// none is, all but `lo` and the tunnels that the kernel puts into every namespace. `None` where there is none.
pub(crate) fn sum(text: &[u8]) -> Option<NetworkCounters> {
    let engines = sum_of(text, |name| name.starts_with(b"eth"));
    engines.or_else(|| sum_of(text, |name| name != b"lo" && !TUNNELS.contains(&name)))
}

/// Made by the kernel's modules in each network namespace.
const TUNNELS: [&[u8]; 9] =
    [b"tunl0", b"sit0", b"ip6tnl0", b"gre0", b"gretap0", b"erspan0", b"ip_vti0", b"ip6_vti0", b"ip6gre0"];

fn sum_of(text: &[u8], counts: impl Fn(&[u8]) -> bool) -> Option<NetworkCounters> {
    let mut sum = NetworkCounters::default();
    for line in lines(text) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if !counts(line[..colon].trim_ascii()) {
            continue;
        }
        let mut columns = [0; 12];
        let mut words = words(&line[colon + 1..]);
        if columns.iter_mut().any(|column| words.next().and_then(number).map(|number| *column = number).is_none()) {
            continue;
        }
        // Received: bytes packets errs drop fifo frame compressed multicast; sent: bytes packets errs drop …
        sum.interfaces += 1;
        sum.rx_bytes = sum.rx_bytes.wrapping_add(columns[0]);
        sum.rx_packets = sum.rx_packets.wrapping_add(columns[1]);
        sum.rx_errors = sum.rx_errors.wrapping_add(columns[2]);
        sum.rx_dropped = sum.rx_dropped.wrapping_add(columns[3]);
        sum.tx_bytes = sum.tx_bytes.wrapping_add(columns[8]);
        sum.tx_packets = sum.tx_packets.wrapping_add(columns[9]);
        sum.tx_errors = sum.tx_errors.wrapping_add(columns[10]);
        sum.tx_dropped = sum.tx_dropped.wrapping_add(columns[11]);
    }
    (sum.interfaces > 0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Inter-|   Receive                                                |  Transmit\n \
                        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

    fn counted(devices: &[&str]) -> Option<NetworkCounters> {
        sum(format!("{HEAD}{}\n", devices.join("\n")).as_bytes())
    }

    #[test]
    fn devices_of_the_engine_are_summed_and_no_others() {
        let lo = "    lo: 999 9 0 0 0 0 0 0 999 9 0 0 0 0 0 0";
        let eth0 = "  eth0:     736       8    1    2    3    4          5         6       70       7    8    9    0     0       0          0";
        let eth1 = "eth1:1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0";
        let tunnel = "  tun0: 500 5 0 0 0 0 0 0 500 5 0 0 0 0 0 0";
        let told = counted(&[lo, eth0, eth1, tunnel]).unwrap();
        let expected = NetworkCounters {
            interfaces: 2,
            rx_bytes: 737,
            rx_packets: 9,
            rx_errors: 2,
            rx_dropped: 3,
            tx_bytes: 71,
            tx_packets: 8,
            tx_errors: 9,
            tx_dropped: 10,
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn where_no_device_is_called_as_engines_do_all_of_its_own_are_summed() {
        let tunnel = " tunl0: 500 5 0 0 0 0 0 0 500 5 0 0 0 0 0 0";
        let other = "  net1: 3 5 0 0 0 0 0 0 4 5 0 0 0 0 0 0";
        assert_eq!(counted(&[tunnel, other]).map(|sum| (sum.interfaces, sum.rx_bytes, sum.tx_bytes)), Some((1, 3, 4)));
        assert_eq!(counted(&[tunnel]), None);
        assert_eq!(counted(&["  eth0: 1 2 3"]), None, "a line that is cut tells nothing");
    }
}
