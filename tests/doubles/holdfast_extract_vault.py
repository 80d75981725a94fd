# ruff: noqa: ANN401  # the tool has no stubs, and bodies are maps of anything
"""Make small vaults from the text of docs/spec/vault-format.md, for the tests of holdfast-extract.

This is no engine: nothing is deduplicated, files are cut at even lengths, and every random
number is a hash of a counter. All that a reader has to find is there.
"""

import hashlib
import importlib.machinery
import importlib.util
import itertools
import struct
import sys
from pathlib import Path
from typing import Any

from backports import zstd
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOOL = Path(__file__).parents[2] / "tools" / "holdfast-extract"


def load() -> Any:
    loader = importlib.machinery.SourceFileLoader("holdfast_extract", str(TOOL))
    spec = importlib.util.spec_from_loader("holdfast_extract", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["holdfast_extract"] = module
    write_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = write_bytecode
    return module


EXTRACT: Any = load()
PASSWORD = "correct horse"
KEY_FILE = bytes(range(64))
encode, expand, extract_, keyed = EXTRACT.encode, EXTRACT.expand, EXTRACT.extract, EXTRACT.keyed
sha256, u32, u64 = EXTRACT.sha256, EXTRACT.u32, EXTRACT.u64


class Maker:
    """One vault with one group and one writer; with two epochs when *rotated*."""

    def __init__(self, folder: Path, suite: int, slot: str = "password") -> None:
        self.counter = itertools.count()
        self.suite = suite
        self.slot = slot
        self.roots = [self.random(), self.random()]
        self.epoch = 0
        nonce = self.random()
        settings = [[1, 64, 1024, 4096, 2], 4096, 65536, [6, 16, 256, 65536], 65536]
        body = {1: 0, 2: suite, 3: 1, 4: self.authority().public_key().public_bytes_raw(), 5: nonce}
        body |= dict(enumerate(settings, 6)) | {11: [1, 3], 12: 65536, 13: [0, 0, 0], 14: True}
        data = self.frame(1, body, b"", [])
        self.id = sha256(data)
        self.folder = folder / "vaults" / self.id.hex()
        self.write("vault", data)
        start = self.frame(0, {1: bytes(16), 2: 0, 3: 0, 4: 1000}, b"", [])
        start = start[:20] + u64(32) + start[28:]
        (folder / "holdfast-repository").write_bytes(start + sha256(start))
        self.group, self.group_secret = self.random(16), self.random()
        self.index_keys = [self.random(), self.random()]
        self.writer, self.writer_seed = self.random(16), self.random()
        labels = ("chunk id", "node id", "locator")
        self.chunk_key, self.node_key, self.locator_key = (
            self.derive(self.group_secret, label, self.group) for label in labels
        )
        signing = self.derive(self.writer_seed, "writer signing", self.writer)
        self.signer = ed25519.Ed25519PrivateKey.from_private_bytes(signing)
        self.slot_seed = self.random()
        self.slot_hash = self.put_slot()
        self.statements: list[bytes] = []
        self.put_statement()
        self.certificate = self.put_certificate()

    # Small things.

    def random(self, size: int = 32) -> bytes:
        return hashlib.shake_128(b"filler" + u32(next(self.counter))).digest(size)

    def derive(self, secret: bytes, label: str, context: bytes) -> bytes:
        made: bytes = EXTRACT.derive(self.id, secret, label, context)
        return made

    def authority(self, epoch: int | None = None) -> ed25519.Ed25519PrivateKey:
        epoch = self.epoch if epoch is None else epoch
        prk = extract_(b"", self.roots[epoch])
        seed = expand(prk, b"holdfast/0 authority\0" + u32(epoch))
        return ed25519.Ed25519PrivateKey.from_private_bytes(seed)

    def of_root(self, label: str) -> bytes:
        return self.derive(self.roots[self.epoch], label, u32(self.epoch))

    def write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def frame(self, kind: int, body: Any, attachment: bytes, signers: list[Any]) -> bytes:
        if attachment:
            body = {0: sha256(attachment)} | body
        encoded = encode(body)
        lengths = len(encoded), 97 * len(signers), len(attachment)
        start = struct.pack(">8sBBHIIQI", b"HOLDFAST", kind, 0, 0, *lengths, 0) + encoded
        vault_id = getattr(self, "id", b"")
        message = EXTRACT.signed_message(kind, vault_id, sha256(start))
        for key in signers:
            start += b"\1" + key.public_key().public_bytes_raw() + key.sign(message)
        return start + attachment

    def put(
        self, kind: int, folder: str, body: Any, *, attachment: bytes = b"", by: Any = None
    ) -> bytes:
        data = self.frame(kind, body, attachment, by or [self.signer])
        digest: bytes = sha256(data)
        separator = "-" if folder.startswith("keys/") else "/"
        self.write(f"{folder}{separator}{digest.hex()}", data)
        return digest

    def box(
        self, secret: bytes, context: bytes, plaintext: bytes, *, always: bool = False
    ) -> bytes:
        if self.suite == 0 and not always:
            return plaintext
        salt = self.random()
        keys = expand(extract_(salt, secret), b"holdfast/0 box\0" + context, 64)
        sealed = AESGCM(keys[:32]).encrypt(bytes(12), plaintext, context)
        return salt + keys[32:] + sealed

    def padded(self, content: bytes) -> bytes:
        size = EXTRACT.padme(4 + len(content))
        return (u32(len(content)) + content).ljust(size, b"\0")

    def hpke(self, public: bytes, info: bytes, plaintext: bytes) -> bytes:
        lattice = mlkem.MLKEM768PublicKey.from_public_bytes(public[:1184])
        curve = x25519.X25519PublicKey.from_public_bytes(public[1184:])
        key = hpke.MLKEM768X25519PublicKey(lattice, curve)
        sealed: bytes = EXTRACT.HPKE.encrypt(plaintext, key, info)
        return sealed

    # 5 Objects.

    def put_slot(self) -> bytes:
        public = EXTRACT.KemKey(self.slot_seed).public
        kind, derivation = {"open": (0, [0]), "password": (1, [1, 1, 8192, 1]), "file": (2, [3])}[
            self.slot
        ]
        body = {1: kind, 2: public, 3: derivation, 4: self.random(), 5: "a hint", 7: 1000}
        wrapped = self.slot_seed
        if kind:
            secret = PASSWORD.encode() if kind == 1 else KEY_FILE
            key = EXTRACT.slot_key(derivation, body[4], secret)
            context = b"slot\0" + self.id + sha256(encode(body))
            wrapped = self.box(key, context, wrapped, always=True)
        return self.put(4, "slots", body | {6: wrapped}, by=[self.authority()])

    def put_statement(self, changes: Any = None, by: Any = None) -> None:
        """Store the next statement; with *changes* of its body, signed *by* others, a wrong one."""
        number, epoch = len(self.statements), self.epoch
        public = EXTRACT.KemKey(self.slot_seed).public
        place = u32(number) + u32(epoch)
        info = b"holdfast/0 root\0" + self.id + place + self.slot_hash
        kind = {"open": 0, "password": 1, "file": 2}[self.slot]
        slot = [self.slot_hash, kind, public, self.hpke(public, info, self.roots[epoch])]
        index_keys = [[n, key] for n, key in enumerate(self.index_keys[: epoch + 1])]
        groups = [[self.group, "a group", self.group_secret, index_keys]]
        secrets = {1: "a vault", 2: groups, 3: self.roots[epoch - 1] if epoch else b""}
        context = b"statement\0" + self.id + place
        secrets_box = self.box(self.of_root("statement"), context, encode(secrets))
        authority = self.authority()
        body = {1: number, 2: self.statements[-1] if number else b"", 3: epoch}
        body |= {4: authority.public_key().public_bytes_raw(), 5: self.kem().public}
        body |= {6: self.of_root("root commitment"), 7: [slot], 8: [], 9: [[self.group, 1]]}
        body |= {10: [], 11: [], 12: 1, 13: 2000, 14: secrets_box}
        signers = [authority]
        if epoch and number and self.last_epoch != epoch:
            signers = [self.authority(epoch - 1), authority]
        self.last_epoch = epoch
        body |= changes or {}
        self.statements.append(self.put(2, f"keys/{number}", body, by=by or signers))

    def kem(self) -> Any:
        return EXTRACT.KemKey(self.of_root("vault key"))

    def put_certificate(self) -> bytes:
        kem = EXTRACT.KemKey(self.derive(self.writer_seed, "writer kem", self.writer))
        record = encode({1: self.group_secret, 2: [[0, self.index_keys[0]]]})
        info = b"holdfast/0 writer\0" + self.id + self.writer + u32(self.epoch)
        name = self.box(self.of_root("names"), b"writer name\0" + self.id + self.writer, b"me")
        body = {1: self.writer, 2: self.signer.public_key().public_bytes_raw(), 3: kem.public}
        body |= {4: self.group, 5: 1, 6: 0, 7: len(self.statements) - 1, 8: self.epoch}
        body |= {9: self.hpke(kem.public, info, record), 10: name, 11: 3000}
        return self.put(3, "writers", body, by=[self.authority()])

    def rotate(self) -> None:
        self.epoch += 1
        self.put_statement()
        self.certificate = self.put_certificate()

    # 6 to 8: one backup.

    def back_up(
        self,
        entries: list[dict[str, Any]],
        counter: int = 1,
        series: bytes = b"",
        source: str = "source",
        time_ns: int = 0,
    ) -> bytes:
        """Store a restore point of *entries*, in the order of their keys; return its hash."""
        session = Session(self)
        root = session.tree(entries)
        packs = session.packs()
        series, number = series or self.random(16), len(self.statements) - 1
        body = {1: session.id, 2: self.writer, 3: self.certificate, 4: number}
        body |= {5: self.statements[-1], 6: self.epoch, 7: 1, 8: session.commitment}
        body |= {9: session.sealed, 10: [], 11: self.group, 12: series, 13: 4000, 14: b""}
        self.put(5, f"sessions/{session.id.hex()}", body)
        lists = {3: 0, 4: b"".join(packs), 5: b"".join(map(u32, session.sizes))}
        lists |= {1: session.id, 2: self.writer, 6: b"\3" * len(packs)}
        self.put(9, f"packlists/{session.id.hex()}", lists)
        self.index = session.put_index(packs)
        self.last_session, self.last_packs = session, packs
        runs = {1: session.id, 2: self.writer, 3: [[session.id, [0, len(packs)]]]}
        refs = self.put(10, "refs", runs | {4: self.random(16)})
        record = {1: self.id, 2: self.writer, 3: session.id, 4: "host", 5: source, 6: 1}
        record |= {
            7: b"/home",
            8: [],
            9: root,
            10: 5,
            11: 6,
            12: time_ns or 5_000_000_000 * counter,
        }
        record |= {13: [1] * 8, 14: ["tag"], 15: [], 16: "a program"}
        place = self.writer + session.id + series + u64(counter)
        context = b"point\0" + self.id + place
        attachment = self.box(session.tree_key, context, self.padded(encode(record)))
        body = {1: self.writer, 2: self.certificate, 3: series, 4: counter, 5: b"", 6: refs}
        body |= {7: [session.id], 8: session.id, 9: number, 10: self.statements[-1], 11: 5000}
        return self.put(11, "points", body | {12: self.random(16)}, attachment=attachment)


class Session:
    """The packs of one session."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.id = maker.random(16)
        self.segments: list[tuple[int, list[tuple[bytes, bytes]]]] = []
        self.sizes: list[int] = []
        self.rows: list[tuple[bytes, int, int, int, int]] = []
        self.tables: list[tuple[int, list[tuple[int, int]]]] = []
        self.commitment = self.sealed = self.tree_key = self.data_key = b""
        if maker.suite:
            key = maker.random()
            self.commitment = expand(extract_(self.id, key), b"holdfast/0 commitment")
            self.data_key = maker.derive(key, "data", self.id)
            self.tree_key = maker.derive(key, "tree", self.id)
            public = maker.kem().public
            place = maker.id + self.id + u32(maker.epoch) + sha256(public) + sha256(b"\x80")
            self.sealed = maker.hpke(public, b"holdfast/0 session\0" + place, key)

    def chunk(self, *chunks: bytes) -> list[bytes]:
        named = [(keyed(self.maker.chunk_key, chunk), chunk) for chunk in chunks]
        self.segments.append((1, named))
        return [id_ for id_, _ in named]

    def node(self, item: Any) -> bytes:
        node = encode(item)
        id_: bytes = keyed(self.maker.node_key, node)
        self.segments.append((2, [(id_, node)]))
        return id_

    def long(self, value: bytes) -> Any:
        if len(value) <= 1024:
            return value
        parts = [value[n : n + 524288] for n in range(0, len(value), 524288)]
        return [len(value), *(self.chunk(part)[0] for part in parts)]

    def tree(self, entries: list[dict[str, Any]]) -> bytes:
        """Store a tree with five entries a leaf and one inner node; return the root's id."""
        built = sorted(map(self.entry, entries), key=lambda entry: entry["key"])
        leaves = []
        for some in (built[n : n + 5] for n in range(0, len(built), 5)):
            sections = []
            for folder, group in itertools.groupby(some, key=lambda entry: entry["folder"]):
                sections.append(self.section(folder, list(group)))
            users = [[0, b"root"]] if any(entry["owner"][0] == 0 for entry in some) else []
            id_ = self.node([1, users, [], sections])
            size = sum(entry["size"] for entry in some)
            leaves.append((some[0]["key"], id_, len(some), size))
        if len(leaves) == 1:
            return leaves[0][1]
        keys, ids, counts, sums = zip(*leaves, strict=True)
        lengths = b"".join(struct.pack("<I", len(key)) for key in keys)
        totals = struct.pack(f"<{len(counts)}Q", *counts), struct.pack(f"<{len(sums)}Q", *sums)
        return self.node([2, 1, lengths, b"".join(keys), b"".join(ids), *totals])

    def entry(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Store what belongs to an entry: `path`, `type`, and what else it has."""
        *above, name = wanted["path"]
        folder = b"".join(part + b"\0" for part in above)
        made = {
            "mode": 0o640,
            "mtime": 1_600_000_000_123_456_789,
            "extents": 0,
            "size": 0,
            "owner": (0, 0),
        }
        made |= {"ids": [], "lengths": [], "rare": []} | wanted
        made |= {"folder": folder, "name": name, "key": folder + b"\0" + name}
        rare = {1: wanted.get("target"), 5: wanted.get("attributes"), 2: wanted.get("device")}
        rare |= {3: wanted.get("link")}
        data, holes = wanted.get("data", b""), wanted.get("holes", [])
        if holes:
            rare[4] = b"".join(struct.pack("<QQ", *hole) for hole in holes)
        if rare[5] is not None:
            rare[5] = encode(rare[5])
        made["rare"] = [
            [n, self.long(rare[n]) if n in (1, 4, 5) else rare[n]]
            for n in sorted(rare)
            if rare[n] is not None
        ]
        made["size"] = len(data) + sum(length for _, length in holes)
        parts = [data[n : n + 1000] for n in range(0, len(data), 1000)]
        ids = [id_ for n in range(0, len(parts), 3) for id_ in self.chunk(*parts[n : n + 3])]
        made |= {"extents": len(ids), "ids": ids}
        if 2 <= len(ids) <= 16:
            made["lengths"] = [len(part) for part in parts]
        elif len(ids) > 16:
            halves = [slice(0, 10), slice(10, None)]
            children, sums = [], []
            for half in halves:
                lengths = [len(part) for part in parts[half]]
                packed = struct.pack(f"<{len(lengths)}I", *lengths)
                children.append(self.node([3, b"".join(ids[half]), packed]))
                sums.append(sum(lengths))
            top = self.node([4, 1, b"".join(children), struct.pack("<2Q", *sums)])
            made |= {"extents": 255, "ids": [top]}
        return made

    @staticmethod
    def section(folder: bytes, entries: list[dict[str, Any]]) -> list[Any]:
        def column(letter: str, values: list[int]) -> bytes:
            return struct.pack(f"<{len(values)}{letter}", *values)

        def each(key: str) -> list[Any]:
            return [entry[key] for entry in entries]

        zeros = [0] * len(entries)
        rare = [[n, *pair] for n, entry in enumerate(entries) for pair in entry["rare"]]
        lengths = [length for entry in entries for length in entry["lengths"]]
        ids = b"".join(b"".join(entry["ids"]) for entry in entries)
        names = column("H", [len(name) for name in each("name")]), b"".join(each("name"))
        columns = [
            column("B", each("type")),
            column("H", each("mode")),
            column("I", [owner for owner, _ in each("owner")]),
        ]
        columns += [
            column("I", [group for _, group in each("owner")]),
            column("q", each("mtime")),
            column("q", zeros),
        ]
        columns += [column("Q", zeros), column("Q", each("size")), column("B", each("extents"))]
        return [folder, len(entries), *names, *columns, ids, column("I", lengths), rare]

    # 6 Packs.

    def seal(
        self, salt: bytes, kind: int, number: int, packed: bytes, raw: tuple[int, int]
    ) -> bytes:
        suite = self.maker.suite
        secret = self.data_key if kind == 1 else self.tree_key
        label = b"holdfast/0 segment\0" + bytes([suite])
        info = label + bytes([kind]) + u32(number)
        associated = label + self.maker.id + self.id + bytes([kind]) + salt + u32(number)
        associated += u32(raw[0]) + bytes([raw[1]])
        key_size, nonce_size, mac_size = EXTRACT.SUITES[suite]
        size = key_size + nonce_size + mac_size
        material = expand(extract_(salt, secret), info, size)
        if suite == 0:
            return packed
        if suite < 4:
            return AESGCM(material[:key_size]).encrypt(material[key_size:], packed, associated)
        mac_key, initial = material[key_size : key_size + 32], material[key_size + 32 :]
        padding = 16 - len(packed) % 16
        cipher = Cipher(algorithms.AES(material[:key_size]), modes.CBC(initial)).encryptor()
        text = cipher.update(packed + bytes([padding]) * padding) + cipher.finalize()
        authentic = associated + text + u64(len(associated))
        return text + EXTRACT.hmac.digest(mac_key, authentic, "sha256")

    def packs(self) -> list[bytes]:
        """Store all segments, twelve a pack."""
        return [
            self.pack(position, self.segments[n : n + 12])
            for position, n in enumerate(range(0, len(self.segments), 12))
        ]

    def pack(self, position: int, segments: list[Any]) -> bytes:
        maker, salt = self.maker, self.maker.random()
        start = struct.pack(">8sBBBBI16s", b"HOLDFAST", 7, 0, maker.suite, 0, maker.epoch, self.id)
        start += (self.commitment or bytes(32)) + salt
        data = start + struct.pack(">HH", len(self.sealed), 0) + self.sealed
        first, table, descriptions, chunk_list = len(data), [], b"", b""
        for number, (kind, chunks) in enumerate(segments):
            raw = b"".join(chunk for _, chunk in chunks)
            packed, compression = zstd.compress(raw), 1
            if len(packed) > 0.97 * len(raw):
                packed, compression = raw, 0
            sealed = self.seal(salt, kind, number, packed, (len(raw), compression))
            data += sealed
            table.append((len(sealed), compression << 31 | len(raw)))
            sizes = len(sealed), len(raw), len(chunks)
            descriptions += struct.pack(">BBHIII", kind, compression, 0, *sizes)
            at = 0
            for id_, chunk in chunks:
                chunk_list += id_ + u32(len(chunk))
                locator = keyed(maker.locator_key, id_)[:20]
                self.rows.append((locator, position, number, at, len(chunk)))
                at += len(chunk)
        self.tables.append((first, table))
        data += maker.random(100)
        directory = u32(len(segments)) + descriptions + chunk_list
        sealed = self.seal(salt, 3, 2**32 - 2, directory, (len(directory), 0))
        trailer = struct.pack(">4I", len(data), len(sealed), len(directory), len(segments))
        data += sealed + self.seal(salt, 4, 2**32 - 1, trailer, (16, 0))
        digest: bytes = sha256(data)
        self.sizes.append(len(data))
        maker.write(f"packs/{digest.hex()[:2]}/{digest.hex()}", data)
        return digest

    # 7 Index.

    def put_index(
        self, packs: list[bytes], replaces: bytes = b"", drops: bytes = b"", *, merged: bool = False
    ) -> bytes:
        """Store an index object: of the session, or a merged one that the authority signs."""
        maker, epoch = self.maker, self.maker.epoch
        packed = [(row[0] + struct.pack(">IHH", row[1], row[2], 0), row) for row in self.rows]
        rows = sorted(dict(packed).items())
        presence = b"".join(row for row, _ in rows)
        positions = b"".join(u32(first) + u32(len(table)) for first, table in self.tables)
        positions += b"".join(u32(n) + u32(m) for _, table in self.tables for n, m in table)
        positions += b"".join(u32(row[3]) + u32(row[4]) for _, row in rows)
        place = maker.id + maker.group + u32(epoch)
        key = maker.index_keys[epoch]
        first = maker.box(key, b"index presence\0" + place, maker.padded(presence))
        secret = maker.of_root("reader index") if merged else self.tree_key
        second = maker.box(secret, b"index positions\0" + place, maker.padded(positions))
        body = {1: maker.group, 2: epoch, 3: b"" if merged else self.id, 5: b"".join(packs)}
        body |= {4: b"" if merged else maker.writer}
        body |= {6: [[self.id, maker.writer, len(packs)]], 7: len(rows), 8: len(first), 9: replaces}
        body |= {10: drops, 11: 2 if merged else 1, 12: maker.random(16)}
        signer = maker.authority() if merged else maker.signer
        folder = f"index/{maker.group.hex()}"
        return maker.put(8, folder, body, attachment=first + second, by=[signer])
