"""Why a row was not measured."""


class Missing(Exception):
    """Something that this machine lacks: a program, a peer's environment, a variable."""


class Failed(Exception):
    """A program ended or answered other than it should."""


class Different(Exception):
    """Peer and plumb do not give the same answers, so their times are not comparable."""
