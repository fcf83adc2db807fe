"""Large messages of wrapped lines, and where their bodies begin."""

import base64
import hashlib
import os
import shutil

END_OF_HEADER = b"\r\n\r\n"
DOT = b".\r\n"


def header(number, sender, recipient):
    """The header of a message; two of them differ by their number."""
    return (
        f"From: {sender}\r\nTo: {recipient}\r\nSubject: measurement\r\n"
        f"Date: Thu, 1 Oct 2026 10:00:00 +0000\r\nMessage-ID: <{number:04}@measurement.example>\r\n\r\n"
    ).encode()


class Body:
    """A body of `size` octets in a file: base64 of random octets, as attachments are.

    `digest` is the SHA-256 of the body as DATA sends it, with the final dot.
    """

    def __init__(self, path, size):
        self.path, self.size = path, size
        block = base64.encodebytes(os.urandom(57 * 16384)).replace(b"\n", b"\r\n")
        digest = hashlib.sha256()
        with open(path, "wb") as file:
            left = size
            while left:
                piece = block[: min(left, len(block))]
                if len(piece) == left:
                    piece = piece[:-2] + b"\r\n"
                file.write(piece)
                digest.update(piece)
                left -= len(piece)
        digest.update(DOT)
        self.digest = digest.hexdigest()

    def with_header(self, path, header):
        """Writes a whole message to a file."""
        with open(path, "wb") as file, open(self.path, "rb") as body:
            file.write(header)
            shutil.copyfileobj(body, file)
        return path
