"""C2SP chunked-encryption with the salt given (AEAD_AES_256_GCM, SHA-512), which the library does not let one do."""

import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK = 16384
HEADING = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"


class Chunks:
    """The keys of one body; `commitment` follows the salt."""

    def __init__(self, input_key, salt, context):
        okm, block, info = b"", b"", HEADING + salt + context
        for counter in (1, 2):
            block = hmac.digest(input_key, block + info + bytes([counter]), "sha512")
            okm += block
        self._aead, self._nonce, self.commitment = AESGCM(okm[:32]), int.from_bytes(okm[32:44], "big"), okm[44:76]

    def seal(self, plaintext):
        """All chunks; the last is shorter than the others."""
        pieces = [plaintext[at : at + CHUNK] for at in range(0, len(plaintext) + 1, CHUNK)]
        nonces = ((self._nonce ^ number).to_bytes(12, "big") for number in range(len(pieces)))
        return b"".join(self._aead.encrypt(nonce, piece, None) for nonce, piece in zip(nonces, pieces))
