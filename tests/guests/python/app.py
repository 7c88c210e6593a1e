"""A task in Python. See README.md for how it becomes a component."""

from collections import Counter

from componentize_py_types import Err
from wit_world import WitWorld as Exports


class WitWorld(Exports):
    def count(self, text: str) -> list[tuple[str, int]]:
        counts = Counter(text.split())
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))

    def greet(self, name: str) -> str:
        if not name:
            raise Err("a greeting needs a name")
        return f"Hello, {name}!"
