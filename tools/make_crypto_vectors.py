"""Write the vectors of the primitives: suites, HKDF, boxes, HPKE, signatures, passwords.

    PYTHONPATH=src python tools/make_crypto_vectors.py FOLDER

Everything is put together here a second time from the text of the specification, with the standard
library and the primitives of ``cryptography``; nothing of Holdfast is imported. The result is the
same at every run, but for ``hpke.txt``: encapsulation is random.
"""

import hashlib
import hmac
import sys
import unicodedata
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

Block = dict[str, bytes | str | int]

PADME_FLOOR = 16_384

HEADER = """\
# Test vectors of docs/spec/vault-format.md, {sections}.
# Blocks are separated by blank lines; byte strings are hexadecimal, an empty one is nothing.
# Made by tools/make_crypto_vectors.py from the text of the specification.
"""


def filler(name: str, length: int) -> bytes:
    """Return *length* bytes that look random and depend on *name* only."""
    return hashlib.shake_256(b"holdfast vectors " + name.encode()).digest(length)


def flip(data: bytes, position: int) -> bytes:
    """Return *data* with one bit of the byte at *position* turned."""
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


def write(folder: Path, name: str, sections: str, blocks: list[Block]) -> None:
    """Write one file of vectors."""
    lines = [HEADER.format(sections=sections)]
    for block in blocks:
        for key, value in block.items():
            text = value.hex() if isinstance(value, bytes) else str(value)
            lines.append(f"{key}: {text}".rstrip() + "\n")
        lines.append("\n")
    folder.joinpath(name).write_text("".join(lines).rstrip("\n") + "\n", encoding="utf-8")


def extract(salt: bytes, ikm: bytes) -> bytes:
    """HKDF-Extract with SHA-256, RFC 5869."""
    return hmac.digest(salt or bytes(32), ikm, "sha256")


def expand(prk: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-256, RFC 5869."""
    result = block = b""
    count = 0
    while len(result) < length:
        count += 1
        block = hmac.digest(prk, block + info + bytes([count]), "sha256")
        result += block
    return result[:length]


SUITES = (
    (0, "none", 0, 0, 0),
    (1, "aes-128-gcm", 16, 0, 12),
    (2, "aes-192-gcm", 24, 0, 12),
    (3, "aes-256-gcm", 32, 0, 12),
    (4, "aes-128-cbc-hmac-sha256", 16, 32, 16),
    (5, "aes-192-cbc-hmac-sha256", 24, 32, 16),
    (6, "aes-256-cbc-hmac-sha256", 32, 32, 16),
)


def cbc(key: bytes, iv: bytes, padded: bytes) -> bytes:
    """AES-CBC without padding."""
    encryptor = Cipher(AES(key), CBC(iv)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def suites() -> list[Block]:
    """Every suite: lengths around a block, then what must be refused."""
    blocks: list[Block] = []
    for number, name, key_bytes, mac_bytes, nonce_bytes in SUITES:
        material = filler(f"material {name}", key_bytes + mac_bytes + nonce_bytes)
        key, nonce = material[:key_bytes], material[key_bytes + mac_bytes :]
        mac_key = material[key_bytes : key_bytes + mac_bytes]
        associated = filler(f"associated {name}", 41)

        def mac(
            ciphertext: bytes, mac_key: bytes = mac_key, associated: bytes = associated
        ) -> bytes:
            whole = associated + ciphertext + len(associated).to_bytes(8, "big")
            return ciphertext + hmac.digest(mac_key, whole, "sha256")

        base: Block = {"suite": name, "number": number}
        stored = b""
        for length in (0, 1, 15, 16, 17, 100):
            raw = filler(f"raw {length}", length)
            if not key_bytes:
                stored = raw
            elif not mac_bytes:
                stored = AESGCM(key).encrypt(nonce, raw, associated)
            else:
                missing = 16 - length % 16
                stored = mac(cbc(key, nonce, raw + bytes([missing]) * missing))
            inputs: Block = {"material": material, "associated": associated}
            blocks.append({**base, **inputs, "raw": raw, "stored": stored, "expect": "ok"})
        if not key_bytes:
            continue
        good: Block = {**base, "material": material, "associated": associated, "stored": stored}
        bad: list[Block] = [
            {"stored": flip(stored, position)} for position in (0, 50, len(stored) - 1)
        ]
        bad += [{"stored": stored[:-1]}, {"stored": stored[-16:]}, {"stored": b""}]
        bad += [{"stored": stored + b"\x00"}]
        bad += [{"associated": flip(associated, 40)}, {"associated": associated[:-1]}]
        bad += [{"material": flip(material, 0)}]
        if mac_bytes:
            # The MAC is right, the padding is not: it must look like a wrong MAC.
            for ending in (b"\x00", b"\x11", b"\x01\x02"):
                padded = bytes(32 - len(ending)) + ending
                bad.append({"stored": mac(cbc(key, nonce, padded))})
            bad.append({"stored": mac(b"")})
        blocks += [{**good, **change, "expect": "auth"} for change in bad]
    return blocks


def hkdf() -> list[Block]:
    """RFC 5869, appendix A, then the derivations of the format."""
    ikm = b"\x0b" * 22
    blocks: list[Block] = [
        {
            "function": "extract",
            "salt": bytes.fromhex("000102030405060708090a0b0c"),
            "ikm": ikm,
            "output": bytes.fromhex(
                "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
            ),
        },
        {
            "function": "expand",
            "prk": bytes.fromhex(
                "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
            ),
            "info": bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"),
            "length": 42,
            "output": bytes.fromhex(
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
                "34007208d5b887185865"
            ),
        },
        {
            "function": "extract",
            "salt": b"",
            "ikm": ikm,
            "output": bytes.fromhex(
                "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04"
            ),
        },
    ]
    vault, secret = filler("vault id", 32), filler("secret", 32)
    epoch = (7).to_bytes(4, "big")
    group, session, writer = filler("group", 16), filler("session", 16), filler("writer", 16)
    contexts = {
        "vault key": epoch, "root commitment": epoch, "statement": epoch, "names": epoch,
        "reader index": epoch, "chunk id": group, "node id": group, "locator": group,
        "chunker": group, "data": session, "tree": session, "writer signing": writer,
        "writer kem": writer, "series": writer, "no context": b"",
    }  # fmt: skip
    cases = [(label, context, 32) for label, context in contexts.items()]
    cases.append(("data", session, 76))
    blocks += [
        {
            "function": "derive", "secret": secret, "vault id": vault, "label": label,
            "context": context, "length": length,
            "output": expand(
                extract(vault, secret), b"holdfast/0 " + label.encode() + b"\x00" + context, length
            ),
        }
        for label, context, length in cases
    ]  # fmt: skip
    for number in (0, 1, 4095):
        info = b"holdfast/0 authority\x00" + number.to_bytes(4, "big")
        seed = expand(extract(b"", secret), info, 32)
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        blocks.append({
            "function": "authority", "root": secret, "epoch": number, "output": seed,
            "public key": public,
        })  # fmt: skip
    return [{**block, "expect": "ok"} for block in blocks]


def padme(size: int) -> int:
    """Section 1.2."""
    if size <= PADME_FLOOR:
        return PADME_FLOOR
    exponent = size.bit_length() - 1
    step = 2 ** (exponent - exponent.bit_length())
    return -(-size // step) * step


def boxes() -> list[Block]:
    """Plain and padded boxes, wrong keys and damage."""
    secret, context, salt = filler("box secret", 32), b"place\x00" + bytes(4), filler("salt", 32)
    both = expand(extract(salt, secret), b"holdfast/0 box\x00" + context, 64)

    def box(plaintext: bytes) -> bytes:
        return salt + both[32:] + AESGCM(both[:32]).encrypt(bytes(12), plaintext, context)

    def padded(content: bytes, *, fill: int = 0, length: int | None = None) -> bytes:
        size = 4 + len(content)
        stated = len(content) if length is None else length
        return box(stated.to_bytes(4, "big") + content + bytes([fill]) * (padme(size) - size))

    base: Block = {"secret": secret, "context": context}
    good = box(b"plaintext")
    blocks: list[Block] = [
        {**base, "padded": "no", "box": box(b""), "plaintext": b"", "expect": "ok"},
        {**base, "padded": "no", "box": good, "plaintext": b"plaintext", "expect": "ok"},
        {**base, "padded": "yes", "box": padded(b""), "plaintext": b"", "expect": "ok"},
        {**base, "padded": "yes", "box": padded(b"x" * 99), "plaintext": b"x" * 99,
         "expect": "ok"},
        {**base, "padded": "yes", "box": padded(b"y" * 16_381), "plaintext": b"y" * 16_381,
         "expect": "ok"},
    ]  # fmt: skip
    blocks += [
        {**base, "padded": "no", "box": flip(good, 0), "expect": "no-key"},
        {**base, "padded": "no", "box": flip(good, 63), "expect": "no-key"},
        {**base, "padded": "no", "box": good, "secret": flip(secret, 31), "expect": "no-key"},
        {**base, "padded": "no", "box": good, "context": context + b"!", "expect": "no-key"},
    ]
    for damaged in (flip(good, 64), flip(good, len(good) - 1), good[:-1], good[:79], b""):
        blocks.append({**base, "padded": "no", "box": damaged, "expect": "auth"})
    for wrong in (
        padded(b"content", fill=1),
        padded(b"content", length=8_000_000),
        padded(b"content", length=16_381),
        box((7).to_bytes(4, "big") + b"content"),
        box(b"\x00\x00\x00"),
        box((1).to_bytes(4, "big") + bytes(padme(5) + 1024)),
    ):
        blocks.append({**base, "padded": "yes", "box": wrong, "expect": "auth"})
    return blocks


def hpke() -> list[Block]:
    """Sealed by the written-out encapsulation of section 4.2 and RFC 9180, section 5.1."""
    suite_id = b"HPKE" + bytes.fromhex("647a00010002")

    def labeled_extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return extract(salt, b"HPKE-v1" + suite_id + label + ikm)

    def labeled_expand(prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
        head = length.to_bytes(2, "big") + b"HPKE-v1" + suite_id
        return expand(prk, head + label + info, length)

    seed = filler("kem seed", 32)
    expanded = hashlib.shake_256(seed).digest(96)
    lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).public_key()
    curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:]).public_key()
    ephemeral = x25519.X25519PrivateKey.from_private_bytes(filler("ephemeral", 32))
    curve_part = ephemeral.public_key().public_bytes_raw()
    base: Block = {
        "seed": seed,
        "public key": lattice.public_bytes_raw() + curve.public_bytes_raw(),
    }
    blocks: list[Block] = []
    for info, plaintext in ((b"", b""), (b"holdfast/0 root\x00" + bytes(72), filler("root", 32))):
        secret, ciphertext = lattice.encapsulate()
        shared = hashlib.sha3_256(
            secret + ephemeral.exchange(curve) + curve_part + curve.public_bytes_raw()
            + bytes.fromhex("5c2e2f2f5e5c")
        ).digest()  # fmt: skip
        context = b"\x00" + labeled_extract(b"", b"psk_id_hash", b"")
        context += labeled_extract(b"", b"info_hash", info)
        prk = labeled_extract(shared, b"secret", b"")
        key = labeled_expand(prk, b"key", context, 32)
        nonce = labeled_expand(prk, b"base_nonce", context, 12)
        sealed = ciphertext + curve_part + AESGCM(key).encrypt(nonce, plaintext, b"")
        blocks.append(
            {**base, "info": info, "sealed": sealed, "plaintext": plaintext, "expect": "ok"}
        )
    bad: list[Block] = [{"sealed": flip(sealed, at)} for at in (0, 1088, 1120, 1167)]
    bad += [{"sealed": sealed[:-1]}, {"sealed": sealed[:1119]}, {"info": info + b"!"}]
    bad += [{"sealed": sealed[:1088] + bytes(32) + sealed[1120:]}, {"seed": flip(seed, 0)}]
    blocks += [
        {**base, "info": info, "sealed": sealed, **change, "expect": "auth"} for change in bad
    ]
    return blocks


P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    """Add two points of edwards25519 in affine coordinates."""
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, P - 2, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, P - 2, P)
    return x % P, y % P


def times(scalar: int, point: Point) -> Point:
    """Multiply a point."""
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def encode(point: Point) -> bytes:
    """RFC 8032, section 5.1.2."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point:
    """RFC 8032, section 5.1.3, without its checks."""
    number = int.from_bytes(data, "little")
    y = (number & (2**255 - 1)) % P
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return ((P - x) % P if x & 1 != number >> 255 else x), y


BASE = decode(bytes.fromhex("58" + "66" * 31))
ORDER_8 = decode(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))


def challenge(r: bytes, public: bytes, message: bytes) -> int:
    """Return k of RFC 8032, section 5.1.7."""
    return int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % L


def signatures() -> list[Block]:
    """RFC 8032's own, then everything on which libraries differ."""
    blocks: list[Block] = []
    for private, message in (
        ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", b""),
        ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", b"\x72"),
        ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", b"\xaf\x82"),
    ):
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private))
        public, signature = key.public_key().public_bytes_raw(), key.sign(message)
        good: Block = {"public key": public, "message": message, "signature": signature}
        blocks.append({"why": "RFC 8032, section 7.1", **good, "expect": "ok"})
    bad: list[Block] = [
        {"why": "another message", "message": b"\xaf\x83"},
        {"why": "R changed", "signature": flip(signature, 0)},
        {"why": "S changed", "signature": flip(signature, 32)},
        {"why": "cut short", "signature": signature[:-1]},
        {"why": "public key too long", "public key": public + b"\x00"},
    ]
    larger = int.from_bytes(signature[32:], "little") + L
    bad.append({
        "why": "S not reduced", "signature": signature[:32] + larger.to_bytes(32, "little")
    })  # fmt: skip
    blocks += [{**good, **change, "expect": "signature"} for change in bad]

    # With A of small order, [S]B = R + [k]A holds for R = [S]B - [k]A, whatever was signed.
    s = 123456789
    for times_torsion in range(8):
        point = times(times_torsion, ORDER_8)
        public = encode(point)
        for count in range(256):
            message = bytes([count])
            r = encode(times(s, BASE))
            if challenge(r, public, message) % 8 == 0:
                blocks.append({
                    "why": "public key of small order", "public key": public, "message": message,
                    "signature": r + s.to_bytes(32, "little"), "expect": "signature",
                })  # fmt: skip
                break
    r = encode(times(s, BASE))
    for why, public in (
        ("y of the public key is p + 1", (P + 1).to_bytes(32, "little")),
        ("public key is 1 with the sign of x set", b"\x01" + bytes(30) + b"\x80"),
        ("public key is -1 with the sign of x set", b"\xec" + b"\xff" * 31),
    ):
        blocks.append({
            "why": why, "public key": public, "message": b"any", "expect": "signature",
            "signature": r + s.to_bytes(32, "little"),
        })  # fmt: skip
    public = encode(times(s, BASE))
    for why, odd_r in (
        ("y of R is p + 1", (P + 1).to_bytes(32, "little")),
        ("R is 1 with the sign of x set", b"\x01" + bytes(30) + b"\x80"),
    ):
        # R stands for the neutral point, so that S = k·a satisfies the equation.
        response = challenge(odd_r, public, b"any") * s % L
        blocks.append({
            "why": why, "public key": public, "message": b"any", "expect": "signature",
            "signature": odd_r + response.to_bytes(32, "little"),
        })  # fmt: skip

    # A key with a part of small order: with and without the cofactor the answers differ.
    public = encode(add(times(s, BASE), ORDER_8))
    nonce = 987654321
    r = encode(times(nonce, BASE))
    for wanted, expect in ((True, "ok"), (False, "signature")):
        for count in range(256):
            k = challenge(r, public, bytes([count]))
            if (k % 8 == 0) == wanted:
                signature = r + ((nonce + k * s) % L).to_bytes(32, "little")
                why = "the equation holds " + ("as it is" if wanted else "with the cofactor only")
                blocks.append({
                    "why": why, "public key": public, "message": bytes([count]),
                    "signature": signature, "expect": expect,
                })  # fmt: skip
                break
    report_lenient(blocks)
    return blocks


def report_lenient(blocks: list[Block]) -> None:
    """Say which refused signatures the library alone would have accepted."""
    for block in blocks:
        if block["expect"] == "ok":
            continue
        public, message, signature = (
            bytes(block[key])  # type: ignore[arg-type] # these three are bytes in every block
            for key in ("public key", "message", "signature")
        )
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except (InvalidSignature, ValueError):
            continue
        print("the library alone accepts:", block["why"])


def passwords() -> list[Block]:
    """Text, files, derivations, bounds."""
    blocks: list[Block] = []
    for text in (
        "correct horse",
        "Gr\u00fc\u00dfe",
        "Gru\u0308\u00dfe",
        "\ufb01\u212b",
        " a ",
        "\n",
    ):
        normal = unicodedata.normalize("NFC", text).encode()
        blocks.append({"text": text.encode(), "password": normal, "expect": "ok"})
    blocks += [{"text": text, "expect": "password"} for text in (b"", b"a\x00b")]
    for data in (b"secret\n", b"secret\r\n", b"secret\n\n", b"secret", b"Gru\xcc\x88n\n"):
        kept = data[:-2] if data.endswith(b"\r\n") else data.removesuffix(b"\n")
        normal = unicodedata.normalize("NFC", kept.decode()).encode()
        blocks.append({"file": data, "password": normal, "expect": "ok"})
    blocks += [{"file": data, "expect": "password"} for data in (b"", b"\n", b"\xff", b"a\x00\n")]

    salt, password = filler("password salt", 32), "Grüße".encode()
    for passes, memory, lanes in ((1, 8192, 1), (3, 65536, 4)):
        argon = Argon2id(
            salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory
        )  # fmt: skip
        blocks.append({
            "parameters": f"1 {passes} {memory} {lanes}", "salt": salt, "input": password,
            "output": argon.derive(password), "expect": "ok",
        })  # fmt: skip
    pbkdf2 = PBKDF2HMAC(hashes.SHA256(), 32, salt, 600_000)
    blocks.append({
        "parameters": "2 600000", "salt": salt, "input": password,
        "output": pbkdf2.derive(password), "expect": "ok",
    })  # fmt: skip
    for length in (32, 33, 1000):
        data = filler("key file", length)
        info = b"holdfast/0 key file\x00" + length.to_bytes(8, "big")
        blocks.append({
            "parameters": "3", "salt": salt, "input": data,
            "output": expand(extract(salt, data), info, 32), "expect": "ok",
        })  # fmt: skip
    blocks.append({"parameters": "3", "salt": salt, "input": bytes(31), "expect": "key-file"})

    gib = 2**30
    for parameters, memory, test, expect in (
        ("1 3 65536 1", 4 * gib, "no", "ok"),
        ("1 16 524288 16", 4 * gib, "no", "ok"),
        ("1 4 2097152 4", 4 * gib, "no", "ok"),
        ("1 2 65536 4", 4 * gib, "no", "kdf"),
        ("1 17 65536 4", 4 * gib, "no", "kdf"),
        ("1 3 65535 4", 4 * gib, "no", "kdf"),
        ("1 3 2097153 4", 8 * gib, "no", "kdf"),
        ("1 3 65536 0", 4 * gib, "no", "kdf"),
        ("1 3 65536 17", 4 * gib, "no", "kdf"),
        ("1 5 2097152 4", 8 * gib, "no", "kdf"),
        ("1 3 1048576 4", 2 * gib - 1, "no", "kdf"),
        ("1 1 8192 1", 4 * gib, "yes", "ok"),
        ("1 1 8192 1", 4 * gib, "no", "kdf"),
        ("1 1 8191 1", 4 * gib, "yes", "kdf"),
        ("1 0 8192 1", 4 * gib, "yes", "kdf"),
        ("2 600000", gib, "no", "ok"),
        ("2 10000000", gib, "no", "ok"),
        ("2 599999", gib, "no", "kdf"),
        ("2 599999", gib, "yes", "kdf"),
        ("2 10000001", gib, "no", "kdf"),
        ("0", gib, "no", "ok"),
        ("3", gib, "no", "ok"),
        ("4", gib, "no", "kdf"),
    ):
        blocks.append(
            {"parameters": parameters, "memory": memory, "test vault": test, "expect": expect}
        )
    return blocks


def main() -> None:
    """Write all six files into the folder named on the command line."""
    folder = Path(sys.argv[1])
    write(folder, "suites.txt", "section 4.1", suites())
    write(folder, "hkdf.txt", "sections 1 and 4.4", hkdf())
    write(folder, "boxes.txt", "sections 1.2 and 4.3", boxes())
    write(folder, "hpke.txt", "section 4.2", hpke())
    write(folder, "signatures.txt", "section 3", signatures())
    write(folder, "passwords.txt", "section 5.4", passwords())


if __name__ == "__main__":
    main()
