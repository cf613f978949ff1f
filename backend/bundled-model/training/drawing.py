"""What every task draws from: one seeded source, the held-out border, numbers, words and careless spelling."""

import random
import string
import zlib
from collections.abc import Callable
from typing import TypeVar

import phrases

Turn = tuple[str, str]
T = TypeVar("T")

HELD_OUT_MODULUS = 10


def held_out(key: str) -> bool:
    """Whether a key belongs to the test. crc32 mixes well: a linear hash would take whole digit pairs from training."""
    return zlib.crc32(key.encode()) % HELD_OUT_MODULUS == 0


class Drawing:
    """A seeded source of randomness on one side of the held-out border."""

    def __init__(self, seed: int, held: bool = False):
        self.rng = random.Random(seed)
        self.held = held

    def _draw(self, make: Callable[[], T], key: Callable[[T], str] = str) -> T:
        """Draw values until one lies on this author's side of the border."""
        while held_out(key(value := make())) != self.held:
            pass
        return value

    def _number(self) -> int:
        """Up to three digits, the longer the likelier."""
        return self.rng.randrange(10 ** self.rng.choice((1, 2, 2, 3, 3, 3)))

    def _words(self, least: int, most: int, glue: str = " ") -> str:
        """A text of words of one kind or of mixed kinds; half of the kinds have no vocabulary to lean on."""
        kinds = self.rng.choice((("english",), ("chinese",), ("letters",), ("english", "chinese", "letters", "rare")))
        return glue.join(self._word(self.rng.choice(kinds)) for _ in range(self.rng.randint(least, most)))

    def _word(self, kind: str) -> str:
        rng = self.rng
        if kind == "english":
            word = rng.choice(phrases.ENGLISH_WORDS)
            return word.capitalize() if rng.random() < 0.1 else word
        if kind == "chinese":
            if rng.random() < 0.7:
                return rng.choice(phrases.CHINESE_WORDS)
            return "".join(rng.choices(phrases.CHINESE_CHARACTERS, k=rng.randint(1, 4)))
        if kind == "letters":
            word = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(1, 8)))
            return word.upper() if rng.random() < 0.1 else word
        rare = (
            chr(rng.randint(0x4E00, 0x9FA5)),
            rng.choice(phrases.EMOJI),
            str(self._number()),
            rng.choice("+-*/.,!?@#"),
        )
        return rng.choice(rare)

    def _vary(self, text: str) -> str:
        """Spell a question as careless people do: any casing, any last mark or none."""
        rng = self.rng
        if text[-1] in "?？!！.。":
            other_mark = text[-1] if text[-1] in "?？" else rng.choice("!！.。")
            text = text[:-1] + rng.choice((text[-1], text[-1], other_mark, ""))
        style = rng.random()
        return text.lower() if style < 0.05 else text.upper() if style < 0.07 else self._capitalise(text)

    def _capitalise(self, text: str) -> str:
        return text[:1].upper() + text[1:] if self.rng.random() < 0.25 else text
