"""The Redis server of this run: databases of their own for each side, refused if somebody else's data is in them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from .failure import Failed, Missing
from .machine import Machine

PLUMB, FEAST, LIMIT = 1, 2, 3
# Where plumb keeps the rows of key 0.
KEY_0 = b"plumb:{}:bench:\x01i\x80" + bytes(7)


@dataclass(frozen=True)
class Database:
    host: str
    port: int
    number: int

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/{self.number}"

    def ask(self, *words: str | bytes) -> str:
        """The first line of a reply, or the text that it announces."""
        with socket.create_connection((self.host, self.port), timeout=60) as connection:
            reader = connection.makefile("rb")
            answer = ""
            for command in (("SELECT", str(self.number)), words):
                connection.sendall(b"".join([b"*%d\r\n" % len(command), *(bulk(word) for word in command)]))
                kind, _, answer = (line := reader.readline().decode().strip())[:1], None, line[1:]
                if kind == "-":
                    raise Failed(f"redis on {command[0]}: {answer}")
                if kind == "$" and int(answer) >= 0:
                    answer = reader.read(int(answer) + 2).decode(errors="replace")
            return answer

    def plumbs_field(self) -> str:
        """The field under which plumb keeps its one view: it names the view's meaning and a generation."""
        return self.ask("HRANDFIELD", KEY_0).strip()

    def size(self) -> int:
        return int(self.ask("DBSIZE"))

    def empty(self) -> None:
        self.ask("FLUSHDB")


def bulk(word: str | bytes) -> bytes:
    data = word.encode() if isinstance(word, str) else word
    return b"$%d\r\n%s\r\n" % (len(data), data)


@contextmanager
def databases(machine: Machine, *numbers: int) -> Iterator[list[Database]]:
    """Databases that are empty before and after."""
    if not machine.redis_url:
        raise Missing("PLUMB_TEST_REDIS does not name a Redis server; start this by `cargo xtask bench`")
    address = urlsplit(machine.redis_url)
    ours = [Database(address.hostname or "127.0.0.1", address.port or 6379, number) for number in numbers]
    for database in ours:
        if database.size():
            raise Failed(f"database {database.number} of Redis is not empty; start this by `cargo xtask bench`")
    info = dict(line.split(":", 1) for line in ours[0].ask("INFO", "server").splitlines() if ":" in line)
    machine.versions["redis"] = info["redis_version"]
    try:
        yield ours
    finally:
        for database in ours:
            database.empty()
