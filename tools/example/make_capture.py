#!/usr/bin/env python3
"""Writes `data/example.pcap`: a few minutes of the example network, every packet once.

`data/example-counts.md` says, flow by flow, what Azure does with them. `--list` prints the flows with the number of
their packets instead of writing. Run without arguments; the same bytes come out each time. Needs Python 3.9, standard
library only.
"""

import argparse
import ipaddress
import struct
from pathlib import Path

OUTPUT = Path(__file__).resolve().parents[2] / "data" / "example.pcap"

# 2026-11-02 09:00:00 UTC.
START_S = 1_793_610_000
ROUTER = bytes.fromhex("123456789abc")
SYN, ACK, PSH, FIN, RST = 0x02, 0x10, 0x08, 0x01, 0x04

HOSTS = {
    "dns-1": "10.10.1.4",
    "mgmt-1": "10.10.1.5",
    "jump-old": "10.10.3.4",
    "web-1": "10.20.1.4",
    "web-2": "10.20.1.5",
    "web-3": "10.20.1.6",
    "web-1/6": "fd00:20:0:1::4",
    "web-2/6": "fd00:20:0:1::5",
    "web-3/6": "fd00:20:0:1::6",
    "app-1": "10.20.2.4",
    "app-2": "10.20.2.5",
    "db-1": "10.20.3.4",
    "db-2": "10.20.3.5",
    "batch-1": "10.20.4.4",
    "compute-1": "10.30.1.4",
    "compute-2": "10.30.1.5",
}
# The interfaces' numbers in `make_network.py`, by which it gives them their hardware addresses.
NUMBERS = ["dns-1", "mgmt-1", "nva-1", "jump-old", "web-1", "web-2", "web-3", "app-1", "app-2", "db-1", "db-2", "batch-1"]
NUMBERS += ["compute-1", "compute-2"]

# Addresses of these tags in the snapshot of 2026-10-26, each in one alone of the tags that `nsg-ml-compute` names.
AZURE_ACTIVE_DIRECTORY = "13.69.66.165"
AZURE_MACHINE_LEARNING = "13.69.64.197"
BATCH_NODE_MANAGEMENT = "13.69.65.69"
AZURE_RESOURCE_MANAGER = "13.69.67.37"
STORAGE_WEST_EUROPE = "13.69.40.21"
STORAGE_NORTH_EUROPE = ("13.70.208.21", "13.74.208.69")
# In AzureContainerRegistry.WestEurope, which the mistyped rule meant, and in no tag that the NSG names.
CONTAINER_REGISTRY = "13.69.64.93"

packets = []  # (time in microseconds, order of writing, label, captured bytes, length on the wire)


def add(label, time_us, frame, captured=None):
    packets.append((time_us, len(packets), label, frame if captured is None else frame[:captured], len(frame)))


def address(name):
    return HOSTS.get(name, name)


def hardware(name):
    host = name.split("/")[0]
    return bytes.fromhex("000d3a2000") + bytes([NUMBERS.index(host) + 1]) if host in NUMBERS else ROUTER


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def framed(source, destination, protocol, payload):
    """An Ethernet frame; `payload` has zeros in place of its checksum, which is filled in here."""
    sender, receiver = ipaddress.ip_address(address(source)), ipaddress.ip_address(address(destination))
    at = {1: 2, 58: 2, 6: 16, 17: 6}[protocol]
    covered = payload
    if protocol != 1:
        covered = sender.packed + receiver.packed + struct.pack("!II", len(payload), protocol) + payload
    payload = payload[:at] + struct.pack("!H", checksum(covered)) + payload[at + 2:]
    if sender.version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), len(packets) & 0xFFFF, 0x4000, 64, protocol, 0)
        head += sender.packed + receiver.packed
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        kind = 0x0800
    else:
        head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + sender.packed + receiver.packed
        kind = 0x86DD
    # A packet leaves an interface for the platform's router, or comes from it: hosts never see each other's address.
    here, there = (hardware(source), ROUTER) if hardware(source) != ROUTER else (ROUTER, hardware(destination))
    return there + here + struct.pack("!H", kind) + head + payload


def segment(source_port, destination_port, sequence, acknowledged, flags, data=b""):
    # A SYN carries the maximum segment size, SACK, timestamps and a window scale, as Linux sends them: 74 bytes in all.
    options = bytes.fromhex("020405840402080a000000010000000001030307") if flags & SYN else b""
    offset = (20 + len(options)) // 4 << 4
    head = struct.pack("!HHIIBBHHH", source_port, destination_port, sequence, acknowledged, offset, flags, 64240, 0, 0)
    return head + options + data


def tcp(label, start_s, client, server, client_port, server_port, exchanges=1, close="fin"):
    """A whole connection: 3 packets to open, 3 an exchange, then 3 (`fin`), 1 (`rst`) or none to close."""
    time = int(start_s * 1_000_000)
    mine, theirs = 1000, 5000

    def send(from_client, flags, data=b"", later_us=700):
        nonlocal time, mine, theirs
        acknowledged = 0 if flags == SYN else (theirs if from_client else mine)
        if from_client:
            payload = segment(client_port, server_port, mine, acknowledged, flags, data)
            frame = framed(client, server, 6, payload)
            mine += len(data) + bool(flags & (SYN | FIN))
        else:
            payload = segment(server_port, client_port, theirs, acknowledged, flags, data)
            frame = framed(server, client, 6, payload)
            theirs += len(data) + bool(flags & (SYN | FIN))
        add(label, time, frame)
        time += later_us

    send(True, SYN)
    send(False, SYN | ACK)
    send(True, ACK)
    for number in range(exchanges):
        send(True, PSH | ACK, b"q" * (60 + 10 * number), 2000)
        send(False, PSH | ACK, b"a" * (180 + 20 * number))
        send(True, ACK, later_us=20_000)
    if close == "fin":
        send(True, FIN | ACK)
        send(False, FIN | ACK)
        send(True, ACK)
    elif close == "rst":
        send(False, RST | ACK)


def syns(label, start_s, client, server, client_port, server_port, count):
    """A connection that gets no answer: the first SYN and its repetitions after 1, 2, 4 ... seconds."""
    time = int(start_s * 1_000_000)
    for number in range(count):
        frame = framed(client, server, 6, segment(client_port, server_port, 1000, 0, SYN))
        add(label, time, frame)
        time += 1_000_000 << number


def udp(label, start_s, client, server, client_port, server_port, answered=True, count=1):
    time = int(start_s * 1_000_000)
    for _ in range(count):
        query, answer = b"query " * 5, b"answer " * 12
        head = struct.pack("!HHHH", client_port, server_port, 8 + len(query), 0)
        add(label, time, framed(client, server, 17, head + query))
        if answered:
            head = struct.pack("!HHHH", server_port, client_port, 8 + len(answer), 0)
            add(label, time + 900, framed(server, client, 17, head + answer))
        time += 1_000_000


def ping(label, start_s, client, server, identifier, count, answered):
    version_6 = "/6" in client
    request, reply, protocol = (128, 129, 58) if version_6 else (8, 0, 1)
    for number in range(count):
        time = int((start_s + number) * 1_000_000)
        body = struct.pack("!HH", identifier, number + 1) + bytes(range(48))
        add(label, time, framed(client, server, protocol, struct.pack("!BBH", request, 0, 0) + body))
        if answered:
            add(label, time + 800, framed(server, client, protocol, struct.pack("!BBH", reply, 0, 0) + body))


def script():
    # Between the tiers.
    tcp("A1", 1.0, "web-2", "app-1", 40001, 8080, exchanges=2)
    tcp("A2", 2.1, "web-3", "app-2", 40002, 8080, exchanges=2)
    tcp("A3", 3.2, "web-1", "app-1", 40003, 8080)
    tcp("A4", 4.3, "app-1", "db-1", 40004, 1433, exchanges=2)
    tcp("A5", 5.4, "db-1", "db-2", 40005, 5022)
    syns("A6", 6.5, "web-2", "db-1", 40006, 1433, 4)
    syns("A7", 7.6, "app-1", "db-2", 40007, 1433, 3)
    syns("A8", 8.7, "app-2", "db-1", 40008, 5432, 3)
    syns("A9", 9.8, "batch-1", "db-1", 40009, 1433, 3)

    # From the internet.
    tcp("B1", 10.1, "198.51.100.8", "web-1", 50001, 443, exchanges=2)
    syns("B2", 11.2, "198.51.100.7", "203.0.113.10", 50002, 443, 1)
    syns("B3", 12.3, "198.51.100.7", "203.0.113.10", 50003, 22, 3)
    syns("B4", 13.4, "198.51.100.7", "203.0.113.10", 50004, 3389, 3)
    syns("B5", 14.5, "198.51.100.7", "203.0.113.20", 50005, 443, 2)
    tcp("B6", 16.7, "198.51.100.99", "jump-old", 50006, 22)

    # Within and out of the hub and the application.
    tcp("C1", 20.1, "jump-old", "web-2", 41001, 22, close="rst")
    tcp("C2", 21.2, "mgmt-1", "web-1", 41002, 22)
    udp("C3", 22.3, "web-2", "dns-1", 41003, 53)
    udp("C4", 23.4, "app-1", "dns-1", 41004, 53)
    udp("C5", 24.5, "compute-1", "dns-1", 41005, 53, count=2)
    udp("C6", 25.6, "batch-1", "dns-1", 41006, 53)
    ping("C7", 26.7, "mgmt-1", "web-2", 700, 4, answered=True)
    ping("C8", 27.8, "app-1", "db-1", 701, 3, answered=False)
    tcp("C9", 28.9, "app-1", "198.51.100.80", 41009, 443)
    syns("C10", 29.0, "db-1", "198.51.100.50", 41010, 443, 3)
    syns("C11", 30.1, "web-2", "10.20.1.200", 41011, 443, 2)
    syns("C12", 31.2, "app-1", "compute-1", 41012, 22, 2)
    syns("C13", 32.3, "web-2", "10.30.2.4", 41013, 443, 2)
    udp("C14", 33.4, "db-1", "168.63.129.16", 41014, 53, answered=False, count=2)

    # IPv6.
    tcp("D1", 35.1, "web-2/6", "web-3/6", 42001, 8443, exchanges=2)
    tcp("D2", 36.2, "web-3/6", "web-1/6", 42002, 8443)
    syns("D3", 37.3, "web-2/6", "web-3/6", 42003, 22, 3)
    ping("D4", 38.4, "web-2/6", "web-3/6", 702, 2, answered=False)

    # Azure Machine Learning.
    tcp("E1", 40.1, "compute-1", AZURE_ACTIVE_DIRECTORY, 43001, 443)
    tcp("E2", 41.2, "compute-1", AZURE_MACHINE_LEARNING, 43002, 443, exchanges=2)
    udp("E3", 42.3, "compute-1", AZURE_MACHINE_LEARNING, 43003, 5831, count=2)
    tcp("E4", 43.4, "compute-1", BATCH_NODE_MANAGEMENT, 43004, 443)
    tcp("E5", 44.5, "compute-1", AZURE_RESOURCE_MANAGER, 43005, 443)
    tcp("E6", 45.6, "compute-1", STORAGE_WEST_EUROPE, 43006, 443, exchanges=3)
    tcp("E7", 46.7, "compute-2", STORAGE_NORTH_EUROPE[0], 43007, 443)
    tcp("E8", 47.8, "compute-2", STORAGE_NORTH_EUROPE[1], 43008, 445)
    syns("E9", 48.9, "compute-1", "10.30.2.4", 43009, 443, 3)
    syns("E10", 50.0, "compute-1", "10.30.2.5", 43010, 443, 3)
    tcp("E11", 51.1, "compute-1", CONTAINER_REGISTRY, 43011, 443, close=None)
    syns("E12", 52.2, "compute-2", "198.51.100.44", 43012, 80, 3)
    syns("E13", 53.3, "compute-1", "compute-2", 43013, 29500, 1)

    # Through the appliance.
    syns("F1", 55.1, "batch-1", "198.51.100.30", 44001, 443, 4)
    syns("F2", 56.2, "batch-1", "198.51.100.30", 44002, 80, 3)

    # Silent for five minutes, longer than the four after which a record goes.
    tcp("G1", 60.0, "app-1", "db-1", 45001, 1433, close=None)
    tcp("G2", 61.0, "app-2", "db-1", 45002, 1433, close=None)
    head = segment(45001, 1433, 1061, 5181, PSH | ACK, b"q" * 60)
    add("G1", 360_000_000, framed("app-1", "db-1", 6, head))
    head = segment(1433, 45002, 5181, 1061, PSH | ACK, b"a" * 180)
    add("G2", 361_000_000, framed("db-1", "app-2", 6, head))

    # What is not filtered, or cannot be read.
    for number in range(4):
        asked = bytes([10, 20, 1, 1 + number])
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + hardware("web-2") + bytes([10, 20, 1, 5]) + bytes(6) + asked
        add("X1", (62 + number) * 1_000_000, b"\xff" * 6 + hardware("web-2") + b"\x08\x06" + body)
    for number in range(2):
        body = bytes.fromhex("020704123456789abc") + bytes.fromhex("0402053106020078" "0000")
        add("X2", (66 + number) * 1_000_000, bytes.fromhex("0180c200000e") + ROUTER + b"\x88\xcc" + body + bytes(26))
    udp("X3", 68.0, "192.168.77.5", "192.168.77.6", 46003, 514, answered=False, count=2)
    whole = framed("web-2", "app-1", 6, segment(46004, 8080, 1000, 0, SYN))
    # The IPv4 header's length says 16 bytes, less than a header has.
    add("X4", 70_000_000, whole[:14] + b"\x44" + whole[15:])
    whole = framed("web-2", "app-1", 6, segment(46005, 8080, 1000, 0, SYN))
    assert len(whole) == 74, len(whole)
    add("X5", 71_000_000, whole, captured=30)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print the flows with the number of their packets")
    arguments = parser.parse_args()
    script()
    if arguments.list:
        counts = {}
        for _, _, label, _, _ in packets:
            counts[label] = counts.get(label, 0) + 1
        for label, count in counts.items():
            print(f"{label}\t{count}")
        print(f"all\t{len(packets)}")
        return
    out = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    for time_us, _, _, captured, length in sorted(packets, key=lambda packet: packet[:2]):
        seconds, microseconds = divmod(time_us, 1_000_000)
        out += struct.pack("<IIII", START_S + seconds, microseconds, len(captured), length) + captured
    OUTPUT.write_bytes(out)


if __name__ == "__main__":
    main()
