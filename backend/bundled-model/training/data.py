"""Makes conversations: the training stream and, with `held=True`, the held-out one.

A task's method returns turns of (question, answer). What a case is about, an operand pair or a text, gives a key;
keys whose hash falls in the held-out tenth never occur in training, and nothing else occurs in the test. Products
alone have no key: the multiplication table is learnt by heart.
"""

import phrases
from drawing import Turn
from structured import Structured
from text import Text

TASK_WEIGHTS = {
    "sum": 20, "difference": 20, "product": 8, "chain": 22, "count": 8, "repeat": 7, "reverse": 6, "json": 8,
    "identity": 3, "greeting": 2, "beyond": 2,
}  # fmt: skip


class Author(Structured, Text):
    """Writes conversations about every task."""

    def conversation(self) -> list[dict]:
        """Return messages that end with the answer to learn: one task, at times after others or a system message."""
        rng, turns = self.rng, []
        if rng.random() < 0.2:
            for _ in range(rng.randint(1, 2)):
                turns += self.turns(self._any_task())
        turns += self.turns(self._any_task())
        system = rng.choice(phrases.SYSTEM_PROMPTS) if rng.random() < 0.15 else None
        return as_messages(turns, system)

    def turns(self, task: str) -> list[Turn]:
        """Return the turns of one task by name."""
        return getattr(self, task)()

    def _any_task(self) -> str:
        return self.rng.choices(list(TASK_WEIGHTS), TASK_WEIGHTS.values())[0]


def as_messages(turns: list[Turn], system: str | None = None) -> list[dict]:
    """Turns as chat messages, the last of which is the final answer."""
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return messages
