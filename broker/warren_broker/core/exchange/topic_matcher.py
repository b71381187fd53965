"""Topic patterns in a trie, matched by walking it with a set of states.

A key is words with dots between them; the empty key has no words, as in RabbitMQ.
In a pattern ``*`` stands for one word and ``#`` for any number, none included.

The trie is read as a non-deterministic automaton. A live state is a node that the
words so far can lead to; each word moves every live state at once. So a match
costs words times live states whatever the patterns are: there is nothing to try
again, and no recursion. Two things keep the states few:

* A run of wildcards has one form: its stars, then one ``#`` if there was any.
  ``#.*.#`` and ``*.#`` mean the same and are the same nodes; below a ``#`` there
  is always a word.
* A ``#`` that ends its pattern matches whatever follows. Its destinations are
  found when it is reached, and it is not carried on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren_broker.core.exchange.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warren_broker.core.destination import Destination

ONE_WORD: Final = "*"
ANY_WORDS: Final = "#"

_States = dict["_Node", None]
"""A set that keeps its order, so that equal histories give equal results."""


@final
class _Node:
    """One step of a pattern. It knows what follows it, not what leads to it."""

    __slots__ = ("any_words", "is_any_words", "one_word", "targets", "words")

    def __init__(self, *, is_any_words: bool) -> None:
        self.is_any_words: bool = is_any_words
        self.words: dict[str, _Node] = {}
        self.one_word: _Node | None = None
        self.any_words: _Node | None = None
        self.targets: Targets = Targets()

    @property
    def is_empty(self) -> bool:
        """True if no pattern ends here or goes on from here."""
        return self.targets.is_empty and self.is_last

    @property
    def is_last(self) -> bool:
        """True if no pattern goes on from here."""
        return not self.words and self.one_word is None and self.any_words is None

    def child(self, step: str) -> _Node | None:
        """Return the node one step of a pattern leads to."""
        if step == ANY_WORDS:
            return self.any_words
        return self.one_word if step == ONE_WORD else self.words.get(step)

    def create_child(self, step: str) -> _Node:
        """Add and return the node one step of a pattern leads to."""
        child = _Node(is_any_words=step == ANY_WORDS)
        if step == ANY_WORDS:
            self.any_words = child
        elif step == ONE_WORD:
            self.one_word = child
        else:
            self.words[step] = child
        return child

    def remove_child(self, step: str) -> None:
        """Cut off the node one step of a pattern leads to."""
        if step == ANY_WORDS:
            self.any_words = None
        elif step == ONE_WORD:
            self.one_word = None
        else:
            del self.words[step]


@final
class TopicMatcher:
    """Patterns, and the destinations under each.

    ``visited_count`` counts the states looked at by all matches so far: what the
    matching has cost, independent of the machine.
    """

    __slots__ = ("_root", "visited_count")

    def __init__(self) -> None:
        self._root: _Node = _Node(is_any_words=False)
        self.visited_count: int = 0

    @property
    def is_empty(self) -> bool:
        """True if no pattern is left, nor anything that was kept for one."""
        return self._root.is_empty

    def add(self, pattern: str, destination: Destination) -> None:
        """Let ``pattern`` lead to ``destination``, once more if it does already."""
        node = self._root
        for step in _steps(pattern):
            node = node.child(step) or node.create_child(step)
        node.targets.add(destination)

    def remove(self, pattern: str, destination: Destination) -> None:
        """Undo one ``add``; KeyError if there was none."""
        path: list[tuple[_Node, str]] = []
        node = self._root
        for step in _steps(pattern):
            child = node.child(step)
            if child is None:
                raise KeyError(pattern)
            path.append((node, step))
            node = child
        node.targets.remove(destination)
        while path and node.is_empty:
            node, step = path.pop()
            node.remove_child(step)

    def match(self, key: str) -> Iterable[Destination]:
        """Return the destinations of every pattern that matches; may repeat."""
        found: _States = {}
        states: _States = {}
        _enter(self._root, states, found)
        for word in key.split(".") if key else ():
            self.visited_count += len(states)
            states = _advance(states, word, found)
            if not states:
                break
        found.update(states)
        return [each for node in found for each in node.targets.all()]


def _advance(states: _States, word: str, found: _States) -> _States:
    """Return the states one word later; put into ``found`` what is decided."""
    following: _States = {}
    for node in states:
        if node.is_any_words:
            following[node] = None
        child = node.words.get(word)
        if child is not None:
            _enter(child, following, found)
        if node.one_word is not None:
            _enter(node.one_word, following, found)
    return following


def _enter(node: _Node, states: _States, found: _States) -> None:
    """Add a node, and the ``#`` after it, which may stand for no words."""
    states[node] = None
    if node.any_words is not None:
        following = found if node.any_words.is_last else states
        following[node.any_words] = None


def _steps(pattern: str) -> Iterator[str]:
    """Yield the steps of a pattern, each run of wildcards in its one form."""
    any_words = False
    for word in pattern.split(".") if pattern else ():
        if word == ANY_WORDS:
            any_words = True
            continue
        if any_words and word != ONE_WORD:
            yield ANY_WORDS
            any_words = False
        yield word
    if any_words:
        yield ANY_WORDS
