"""The presentation language of RFC 8446, section 3: integers and length-prefixed vectors."""


class WireError(ValueError):
    """The octets are not an encoding of the structure."""


class Truncated(WireError):
    """The octets end before the structure does."""


def length_size(ceiling):
    """Octets of the length field of a vector with this ceiling (draft, "Content")."""
    size = 1
    while ceiling >= 1 << (8 * size):
        size += 1
    return size


def vector(data, floor, ceiling):
    """`opaque data<floor..ceiling>`."""
    if not floor <= len(data) <= ceiling:
        raise WireError(f"vector of {len(data)} octets outside <{floor}..{ceiling}>")
    return len(data).to_bytes(length_size(ceiling), "big") + data


def uint(value, octets):
    """An unsigned integer in network byte order."""
    return value.to_bytes(octets, "big")


class Reader:
    """Takes fields off the front of an encoding."""

    def __init__(self, data):
        self.data = data
        self.position = 0

    def take(self, count):
        """`opaque field[count]`."""
        end = self.position + count
        if end > len(self.data):
            raise Truncated(f"ends {end - len(self.data)} octets early")
        field = self.data[self.position : end]
        self.position = end
        return bytes(field)

    def uint(self, octets):
        """An unsigned integer."""
        return int.from_bytes(self.take(octets), "big")

    def vector(self, floor, ceiling):
        """`opaque field<floor..ceiling>`."""
        length = self.uint(length_size(ceiling))
        if not floor <= length <= ceiling:
            raise WireError(f"vector of {length} octets outside <{floor}..{ceiling}>")
        return self.take(length)

    def rest(self):
        """What has not been taken."""
        return bytes(self.data[self.position :])

    def end(self):
        """Nothing may be left."""
        if self.position != len(self.data):
            raise WireError(f"{len(self.data) - self.position} octets too many")
