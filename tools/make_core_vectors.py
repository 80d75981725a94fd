"""Make vectors/{chunker,nodes,segments,index}.txt from the text of the specification.

Nothing of Holdfast is imported: the rules of docs/spec/vault-format.md are written down here a
second time, as plainly as they stand there. Run it in the root of the project.
"""

import hashlib
import hmac
import struct
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MASK_WORDS = """
    0000000001804110 0000000001803110 0000000018035100 0000001800035300 0000019000353000
    0000590003530000 0000d90003530000 0000d90103530000 0000d90303530000 0000d90313530000
    0000d90f03530000 0000d90303537000 0000d90703537000 0000d90707537000 0000d91707537000
    0000d91747537000 0000d91767537000 0000d93767537000 0000d93777537000 0000d93777577000
    0000db3777577000"""
MASKS = [int(word, 16) for word in MASK_WORDS.split()]
HEAD = """# Test vectors of docs/spec/vault-format.md, section{}.
# Blocks are separated by blank lines; byte strings are hexadecimal, an empty one is nothing.
# Made by tools/make_core_vectors.py from the text of the specification.
"""


def write(name: str, sections: str, blocks: list[dict[str, object]]) -> None:
    """Write one file of vectors."""
    texts = []
    for block in blocks:
        lines = [
            f"{key}: {value.hex() if isinstance(value, bytes) else value}".rstrip()
            for key, value in block.items()
        ]
        texts.append("\n".join(lines) + "\n")
    Path("vectors", name).write_text(HEAD.format(sections) + "\n".join(texts))


def stream(seed: str, length: int) -> bytes:
    """Return SHA-256(seed, u64 0), SHA-256(seed, u64 1) and so on, joined."""
    blocks = (
        hashlib.sha256(seed.encode() + struct.pack(">Q", number)).digest()
        for number in range(length // 32 + 1)
    )
    return b"".join(blocks)[:length]


# --- 6.4 ----------------------------------------------------------------------------------------


def cut(data: bytes, key: bytes, rule: tuple[int, int, int, int]) -> list[int]:
    """Cut *data* by rule 1."""
    minimum, centre, maximum, normalisation = rule
    seed = int.from_bytes(key[:8], "little")
    gear = [
        int.from_bytes(hashlib.md5(bytes([value]) * 64, usedforsecurity=False).digest()[:8], "big")
        ^ seed
        for value in range(256)
    ]
    bits = next(bits for bits in range(40) if (2 * centre * centre) >> (2 * bits + 2) == 0)
    small, large = MASKS[bits + normalisation - 5], MASKS[bits - normalisation - 5]
    lengths = []
    while data:
        length = len(data)
        if length > minimum:
            length = end = min(len(data), maximum)
            middle = 2 * (min(centre, end) // 2)
            state = 0
            for place in range(minimum, 2 * (end // 2)):
                state = (2 * state + gear[data[place]]) % 2**64
                if state & (small if place < middle else large) == 0:
                    length = place
                    break
        lengths.append(length)
        data = data[length:]
    return lengths


def chunker_blocks() -> list[dict[str, object]]:
    """Sizes around every limit, odd lengths, seeds with the highest bit."""
    blocks: list[dict[str, object]] = []
    rules = [(64, 256, 1024, 0), (64, 256, 1024, 2), (128, 700, 2049, 3), (64, 257, 1025, 1)]
    sizes = [0, 1, 63, 64, 65, 66, 255, 256, 257, 258, 1023, 1024, 1025, 1026, 5001, 20000]
    for number, rule in enumerate(rules):
        for size in sizes:
            key = hashlib.sha256(b"chunker key %d" % (number * 100 + size)).digest()
            data = stream(f"data {size}", size)
            blocks.append(_chunker_block(key, rule, f"data {size}", data))
    zero = bytes(32)
    blocks.append(_chunker_block(zero, rules[1], "zero key", stream("zero key", 9000)))
    rule = (524288, 1048576, 4194304, 2)
    key = hashlib.sha256(b"default rule").digest()
    blocks.append(_chunker_block(key, rule, "default rule", stream("default rule", 6000001)))
    return blocks


def _chunker_block(
    key: bytes, rule: tuple[int, int, int, int], seed: str, data: bytes
) -> dict[str, object]:
    return {
        "key": key,
        "rule": " ".join(map(str, rule)),
        "data seed": seed,
        "size": len(data),
        "lengths": " ".join(map(str, cut(data, key, rule))),
        "expect": "ok",
    }


# --- 8 ------------------------------------------------------------------------------------------


def cbor(item: object) -> bytes:
    """Encode unsigned integers, byte strings and arrays as section 1.1 says."""

    def head(major: int, number: int) -> bytes:
        if number < 24:  # noqa: PLR2004 - RFC 8949, section 3
            return bytes([major << 5 | number])
        for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
            if number < 1 << (8 * width):
                return bytes([major << 5 | code]) + number.to_bytes(width, "big")
        raise ValueError(number)

    if isinstance(item, int):
        return head(0, item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, list):
        return head(4, len(item)) + b"".join(map(cbor, item))
    raise TypeError(item)


def section(folder: bytes, rows: list[dict[str, object]]) -> list[object]:
    """Lay out the entries of one folder."""

    def column(name: str, code: str) -> bytes:
        return b"".join(struct.pack("<" + code, row.get(name, 0)) for row in rows)

    return [
        folder,
        len(rows),
        b"".join(struct.pack("<H", len(row["name"])) for row in rows),  # type: ignore[arg-type]
        b"".join(row["name"] for row in rows),  # type: ignore[misc]
        column("type", "B"),
        column("mode", "H"),
        column("uid", "I"),
        column("gid", "I"),
        column("mtime", "q"),
        column("ctime", "q"),
        column("inode", "Q"),
        column("size", "Q"),
        column("extents", "B"),
        b"".join(row.get("ids", b"") for row in rows),  # type: ignore[misc]
        b"".join(row.get("lengths", b"") for row in rows),  # type: ignore[misc]
        [
            [position, *rare]
            for position, row in enumerate(rows)
            for rare in row.get("rare", [])  # type: ignore[attr-defined]
        ],
    ]


def node_blocks() -> list[dict[str, object]]:
    """Good nodes of each kind, and leaves that are wrong in one place each."""
    xattrs = cbor([[b"user.x", b"1"]])
    one, two = hashlib.sha256(b"one").digest(), hashlib.sha256(b"two").digest()
    root = {"name": b"", "type": 2, "mode": 0o755, "mtime": -1, "ctime": 2**62, "inode": 2}
    top = section(b"", [root])
    inside = [
        {"name": b"a", "type": 2, "mode": 0o700, "uid": 7},
        {"name": b"b", "type": 1, "mode": 0o644, "size": 5, "extents": 1, "ids": one},
        {
            "name": b"c",
            "type": 1,
            "size": 300,
            "extents": 2,
            "ids": one + two,
            "lengths": struct.pack("<II", 100, 100),
            "rare": [
                [3, b"hardlink"],
                [4, struct.pack("<QQ", 50, 100)],
                [5, xattrs],
            ],
        },
        {"name": b"d", "type": 1, "size": 2**40, "extents": 255, "ids": two},
        {"name": b"e", "type": 3, "rare": [[1, b"\xff/target"]]},
        {"name": b"f", "type": 7, "rare": [[2, [8, 1]]]},
        {"name": b"g", "type": 3, "rare": [[1, [1025, one]]]},
        {"name": b"\xffh", "type": 4, "mode": 0o7777},
    ]
    below = section(b"home\0", inside)
    good = [1, [[0, b"root"], [7, b"ann"]], [[0, b"root"]], [top, below]]
    key = hashlib.sha256(b"node id key").digest()

    def block(node: object, expect: str, why: str) -> dict[str, object]:
        encoded = cbor(node)
        identity = blake3(encoded, key=key).digest()
        return {"case": why, "key": key, "node": encoded, "id": identity, "expect": expect}

    group = [7, 3, b"hardlink"]

    def changed(item: int, value: object) -> list[object]:
        return [1, [], [], [top, [*below[:item], value, *below[item + 1 :]]]]

    leaf_extents = [3, one + two, struct.pack("<II", 1, 2**32 - 1)]
    u64 = struct.pack("<QQ", 1, 2**40)
    inner = [2, 1, struct.pack("<II", 1, 3), b"\0a\0\0", one + two, struct.pack("<QQ", 1, 8), u64]
    return [
        block(good, "ok", "leaf with everything"),
        block([1, [], [], [top]], "ok", "the root alone"),
        block(inner, "ok", "inner node"),
        block(leaf_extents, "ok", "extent leaf"),
        block([4, 1, one + two, struct.pack("<QQ", 2**33, 1)], "ok", "inner extent node"),
        block([5, one], "refuse", "reserved kind"),
        block([1, [], [], []], "refuse", "no section"),
        block([1, [], [], [below, top]], "refuse", "sections descend"),
        block([1, [[9, b"nobody"]], [], [top]], "refuse", "owner that owns nothing"),
        block(changed(0, b"home"), "refuse", "folder without its final 00"),
        block(changed(0, b"..\0"), "refuse", "folder that goes up"),
        block(changed(1, 7), "refuse", "count that fits no column"),
        block(changed(3, b"abcdeff\xffh"), "refuse", "equal names"),
        block(changed(3, b"abcde/g\xffh"), "refuse", "name with a slash"),
        block(changed(4, b"\x02\x01\x01\x01\x03\x07\x03\x08"), "refuse", "type 8"),
        block(changed(5, b"\xff\xff" * 8), "refuse", "mode above 07777"),
        block(changed(11, struct.pack("<8Q", 1, 5, 300, 1, 0, 0, 0, 0)), "refuse", "sized folder"),
        block(changed(11, struct.pack("<8Q", 0, 5, 301, 1, 0, 0, 0, 0)), "refuse", "extents, size"),
        block(changed(12, b"\0\x01\x02\x11\0\0\0\0"), "refuse", "17 extents"),
        block(changed(13, one + one + two), "refuse", "an id too few"),
        block(changed(15, below[15][:-1]), "refuse", "one symlink without target"),
        block(changed(15, []), "refuse", "symlinks without target"),
        block(changed(15, [*below[15], group, group]), "refuse", "twice"),
        block([*inner[:3], b"b\0a\0", *inner[4:]], "refuse", "inner keys descend"),
        block([2, 0, *inner[2:]], "refuse", "inner node of level 0"),
        block([3, one + two, struct.pack("<II", 1, 0)], "refuse", "empty extent"),
    ]


# --- 6.2 ----------------------------------------------------------------------------------------


def hkdf_expand(key: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, section 2.3, with SHA-256."""
    output, block = b"", b""
    while len(output) < length:
        block = hmac.digest(key, block + info + bytes([len(output) // 32 + 1]), "sha256")
        output += block
    return output[:length]


def segment_blocks() -> list[dict[str, object]]:
    """One segment of every kind in every suite, and changes of each."""
    sizes = {1: (16, 0, 12), 2: (24, 0, 12), 3: (32, 0, 12)}
    sizes |= {4: (16, 32, 16), 5: (24, 32, 16), 6: (32, 32, 16), 0: (0, 0, 0)}
    session_key, vault = hashlib.sha256(b"session").digest(), hashlib.sha256(b"vault").digest()
    session, salt = b"session id 16 by", hashlib.sha256(b"salt").digest()
    blocks: list[dict[str, object]] = []
    raw = b"a segment, " * 9
    # The same bytes as a Zstandard frame: one segment, one raw block, size stated.
    frame = bytes.fromhex("28b52ffd20") + bytes([len(raw)])
    frame += struct.pack("<I", len(raw) << 3 | 1)[:3] + raw
    for suite, (key_size, mac_size, nonce_size) in sizes.items():
        for kind, number, compression, body in (
            (1, 0, 0, raw),
            (2, 7, 1, frame),
            (3, 2**32 - 2, 0, raw),
            (4, 2**32 - 1, 0, raw[:16]),
        ):
            length = 16 if kind == 4 else len(raw)  # noqa: PLR2004 - a trailer
            label = b"data" if kind == 1 else b"tree"
            derived = hkdf_expand(
                hmac.digest(vault, session_key, "sha256"),
                b"holdfast/0 " + label + b"\0" + session,
                32,
            )
            place = bytes([kind]) + struct.pack(">I", number)
            material = hkdf_expand(
                hmac.digest(salt, derived, "sha256"),
                b"holdfast/0 segment\0" + bytes([suite]) + place,
                key_size + mac_size + nonce_size,
            )
            bound = (
                b"holdfast/0 segment\0" + bytes([suite]) + vault + session + bytes([kind]) + salt
            )
            bound += struct.pack(">IIB", number, length, compression)
            key, nonce = material[:key_size], material[key_size + mac_size :]
            stored = body
            if key_size and not mac_size:
                stored = AESGCM(key).encrypt(nonce, body, bound)
            elif key_size:
                missing = 16 - len(body) % 16
                encryptor = Cipher(algorithms.AES(key), modes.CBC(nonce)).encryptor()
                stored = encryptor.update(body + bytes([missing]) * missing) + encryptor.finalize()
                mac_key = material[key_size : key_size + mac_size]
                stored += hmac.digest(
                    mac_key, bound + stored + struct.pack(">Q", len(bound)), "sha256"
                )
            block: dict[str, object] = {
                "suite": suite,
                "vault": vault,
                "session": session,
                "session key": session_key,
                "salt": salt,
                "kind": kind,
                "number": number,
                "compression": compression,
                "raw length": length,
                "stored": stored,
                "raw": raw[:length],
                "expect": "ok",
            }
            blocks.append(block)
            if suite and kind == 1:
                blocks.append(block | {"number": number + 1, "expect": "refuse"})
                blocks.append(
                    block | {"stored": bytes([stored[0] ^ 1]) + stored[1:], "expect": "refuse"}
                )
            if not suite and compression:
                blocks += [
                    block | {"stored": wrong, "expect": "refuse"}
                    for wrong in (
                        frame + b"\0",
                        frame + frame,
                        frame[:-1],
                        b"\x28\xb5\x2f\xfd\x21\x01" + frame[5:],
                        bytes.fromhex("28b52ffd0058") + frame[6:],
                        frame[:5] + bytes([len(raw) - 1]) + frame[6:],
                    )
                ]
    return blocks


# --- 7 ------------------------------------------------------------------------------------------


def index_blocks() -> list[dict[str, object]]:
    """Rows of two packs, and the two parts that they give."""
    key = hashlib.sha256(b"locator key").digest()
    packs = [(1268, [(516, 500, 0), (116, 1000, 1)]), (100, [(2000, 2000, 0)])]
    rows = [
        (blake3(b"chunk %d" % number, key=key).digest()[:20], pack, segment, offset, length)
        for number, (pack, segment, offset, length) in enumerate(
            [(0, 0, 0, 200), (0, 0, 200, 300), (0, 1, 0, 1000), (1, 0, 0, 1999), (1, 0, 1999, 1)]
        )
    ]
    lines = sorted(
        (struct.pack(">20sIHH", *row[:3], 0), struct.pack(">II", *row[3:])) for row in rows
    )
    positions = b"".join(struct.pack(">II", first, len(segments)) for first, segments in packs)
    for _, segments in packs:
        for segment in segments:
            positions += struct.pack(">II", segment[0], segment[2] << 31 | segment[1])
    positions += b"".join(place for _, place in lines)
    presence = b"".join(row for row, _ in lines)
    block: dict[str, object] = {
        "packs": " / ".join(
            f"{first} " + " ".join(":".join(map(str, segment)) for segment in segments)
            for first, segments in packs
        ),
        "rows": " ".join(f"{row[0].hex()}:{row[1]}:{row[2]}:{row[3]}:{row[4]}" for row in rows),
        "presence": presence,
        "positions": positions,
        "expect": "ok",
    }
    descending = presence[28:] + presence[:28]
    beyond = presence[:26] + b"\0\1" + presence[28:]
    return [
        block,
        block | {"presence": descending, "expect": "refuse"},
        block | {"presence": presence[:28] + presence[:-28], "expect": "refuse"},
        block | {"presence": beyond, "expect": "refuse"},
        block | {"presence": presence[:20] + b"\0\0\0\2" + presence[24:], "expect": "refuse"},
        block | {"positions": positions[:-1], "expect": "refuse"},
        block | {"positions": positions[:-4] + b"\0\1\0\0", "expect": "refuse"},
        block | {"positions": positions[:-4] + bytes(4), "expect": "refuse"},
    ]


if __name__ == "__main__":
    write(
        "chunker.txt",
        " 6.4: data is SHA-256(seed ‖ u64 0) ‖ SHA-256(seed ‖ u64 1) …",
        chunker_blocks(),
    )
    write("nodes.txt", "s 6.3 and 8", node_blocks())
    write("segments.txt", "s 1.3, 4.1, 4.6 and 6.2", segment_blocks())
    write("index.txt", " 7", index_blocks())
