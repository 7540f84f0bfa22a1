"""What a user may have meant by a name that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches

from mlxc.errors import InvalidInput


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean NAME?` for the closest known name, a full stop where none is close."""
    names = {name.lower(): name for name in known}
    closest = get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    return f"; did you mean {names[closest[0]]}?" if closest else "."


def refuse_unknown(found: Iterable[str], known: Iterable[str], where: str, what: str) -> None:
    """Raises InvalidInput where a name is not known, with the closest one that is."""
    known = list(known)
    for name in found:
        if name not in known:
            raise InvalidInput(f"{where}: unknown {what} {name!r}{did_you_mean(name, known)} "
                               f"Accepted: {', '.join(known)}")
