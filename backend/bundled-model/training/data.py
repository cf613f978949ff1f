"""Makes conversations: the training stream and, with `held=True`, the held-out one.

A task's method returns turns of (question, answer). What a case is about, an operand pair or a text, gives a key;
keys whose hash falls in the held-out tenth never occur in training, and nothing else occurs in the test.
"""

import json
import random
import string
import zlib
from collections.abc import Callable
from typing import TypeVar

import phrases

Turn = tuple[str, str]
T = TypeVar("T")

HELD_OUT_MODULUS = 10
OPERATOR_WORDS = {"+": ("plus", "加"), "-": ("minus", "减"), "×": ("times", "乘以")}
EXPRESSION_FORMS = (
    "{}=?|{}=?|{}=|{}|{}=？|what is {}?|what's {}?|how much is {}?|calculate {}|compute {}.|{}等于几？|{}等于多少？|{}是多少？|"
    "计算{}|请计算{}。|算一下{}"
).split("|")
SPACED_FORMS = "{} = ?|{} =|{}|what is {}?|how much is {}?|calculate {}|{} 等于几？|{} 等于多少？|计算 {}|请算一下 {}".split("|")
WORD_FORMS_EN = "{}|what is {}?|what's {}?|how much is {}?|calculate {}".split("|")
WORD_FORMS_ZH = "{}|{}等于几？|{}等于多少？|{}是多少？|{}得多少？|计算{}".split("|")
FOLLOW_UPS = {
    "+": "再加上{}|再加{}|加上{}|加{}|然后加{}|add {}|plus {}|now add {}|then add {}|+{}",
    "-": "再减去{}|再减{}|减去{}|减{}|然后减{}|subtract {}|minus {}|now subtract {}|then subtract {}|-{}",
    "×": "再乘以{}|乘以{}|再乘{}|乘{}|然后乘以{}|times {}|multiply by {}|now multiply by {}|*{}|×{}",
}
COUNT_FORMS = (
    "count from {a} to {b}|please count from {a} to {b}.|count {a} to {b}|从{a}数到{b}|请从{a}数到{b}。|从 {a} 数到 {b}|"
    "数数，从{a}到{b}"
).split("|")
COUNT_FROM_ONE_FORMS = ["count to {b}", "数到{b}", "please count up to {b}."]
REPEAT_FORMS = "repeat: {}|repeat: {}|repeat {}|repeat after me: {}|重复：{}|重复：{}|重复:{}|请重复：{}|复述：{}".split("|")
REVERSE_FORMS = "reverse: {}|reverse: {}|reverse the words: {}|倒过来：{}|倒过来：{}|倒过来:{}|反过来：{}".split("|")
TASK_WEIGHTS = {
    "sum": 20, "difference": 20, "product": 8, "chain": 22, "count": 8, "repeat": 7, "reverse": 6, "json": 8,
    "identity": 3, "greeting": 2, "beyond": 2,
}  # fmt: skip


def held_out(key: str) -> bool:
    """Whether a key belongs to the test. crc32 mixes well: a linear hash would take whole digit pairs from training."""
    return zlib.crc32(key.encode()) % HELD_OUT_MODULUS == 0


class Author:
    """Writes conversations from one seeded source of randomness, on one side of the held-out border."""

    def __init__(self, seed: int, held: bool = False):
        self.rng = random.Random(seed)
        self.held = held

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

    def _draw(self, make: Callable[[], T], key: Callable[[T], str] = str) -> T:
        """Draw values until one lies on this author's side of the border."""
        while held_out(key(value := make())) != self.held:
            pass
        return value

    # Arithmetic

    def sum(self) -> list[Turn]:
        return [self._calculation("+")[0]]

    def difference(self) -> list[Turn]:
        return [self._calculation("-")[0]]

    def product(self) -> list[Turn]:
        return [self._calculation("×")[0]]

    def chain(self) -> list[Turn]:
        """A calculation and one to three steps that go on with its result."""
        rng = self.rng
        first, value = self._calculation(rng.choice("+-" if self.held else "++--×"))
        turns = [first]
        for _ in range(1 if self.held else rng.choice((1, 1, 2, 3))):
            op, b = self._step(value)
            result = apply(op, value, b)
            turns.append((self._vary(rng.choice(FOLLOW_UPS[op].split("|")).format(b)), f"{value}{op}{b}={result}"))
            value = result
        return turns

    def _calculation(self, op: str) -> tuple[Turn, int]:
        """Ask for a op b in one of many spellings; the answer repeats the expression without spaces."""
        rng = self.rng
        a, b = self._table_pair() if op == "×" else self._pair(op)
        sign = rng.choice("×*") if op == "×" else op
        kind = rng.random()
        if kind < 0.6:
            question = rng.choice(EXPRESSION_FORMS).format(f"{a}{sign}{b}")
        elif kind < 0.75:
            question = rng.choice(SPACED_FORMS).format(f"{a} {sign} {b}")
        else:
            sign, (english, chinese) = op, OPERATOR_WORDS[op]
            forms, text = (
                (WORD_FORMS_EN, f"{a} {english} {b}") if kind < 0.87 else (WORD_FORMS_ZH, f"{a}{chinese}{b}")
            )
            question = rng.choice(forms).format(text)
        result = apply(op, a, b)
        return (self._vary(question), f"{a}{sign}{b}={result}"), result

    def _number(self) -> int:
        """Up to three digits, the longer the likelier."""
        return self.rng.randrange(10 ** self.rng.choice((1, 2, 2, 3, 3, 3)))

    def _pair(self, op: str) -> tuple[int, int]:
        """Operands of a sum or difference; one difference in six may be negative."""

        def make() -> tuple[int, int]:
            a, b = self._number(), self._number()
            return (b, a) if op == "-" and a < b and self.rng.random() > 1 / 3 else (a, b)

        return self._draw(make, lambda pair: f"{pair[0]},{pair[1]}")

    def _table_pair(self) -> tuple[int, int]:
        """Operands of the multiplication table, which is learnt by heart and so not held out."""
        return self.rng.randint(0, 20), self.rng.randint(0, 20)

    def _step(self, value: int) -> tuple[str, int]:
        """The next operator and operand; the result is seldom driven below zero."""
        rng = self.rng
        op = rng.choice("+-×" if 0 <= value <= 99 and not self.held else "+-")
        if op == "×":
            return op, rng.randint(2, 9)

        def make() -> int:
            while (b := self._number()) < 1 or (op == "-" and b > value and rng.random() > 0.1):
                pass
            return b

        return op, self._draw(make, lambda b: f"{value},{b}")

    # Text

    def count(self) -> list[Turn]:
        """Count upwards: mostly a few dozen numbers, now and then some hundred."""
        rng = self.rng

        def make() -> tuple[int, int]:
            a = rng.choice((0, 1, 1, 1, rng.randint(2, 100), rng.randint(2, 500)))
            return a, a + rng.randint(*rng.choices(((1, 40), (40, 120), (120, 399)), (70, 23, 7))[0])

        a, b = self._draw(make, lambda pair: f"{pair[0]}..{pair[1]}")
        form = rng.choice(COUNT_FORMS + COUNT_FROM_ONE_FORMS if a == 1 else COUNT_FORMS)
        return [(self._vary(form.format(a=a, b=b)), " ".join(map(str, range(a, b + 1))))]

    def repeat(self) -> list[Turn]:
        text = self._draw(lambda: self._words(1, 8, glue=self.rng.choice((" ", " ", " ", "", ", ", "，"))))
        return [(self._capitalise(self.rng.choice(REPEAT_FORMS)).format(text), text)]

    def reverse(self) -> list[Turn]:
        """The words in reverse order."""
        text = self._draw(lambda: self._words(2, 6))
        return [(self._capitalise(self.rng.choice(REVERSE_FORMS)).format(text), " ".join(reversed(text.split(" "))))]

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
        rare = (chr(rng.randint(0x4E00, 0x9FA5)), rng.choice(phrases.EMOJI), str(self._number()), rng.choice("+-*/.,!?@#"))
        return rng.choice(rare)

    def json(self) -> list[Turn]:
        make = self.rng.choice((self._json_sum, self._json_sum, self._json_person, self._json_pairs, self._json_list))
        question, value = make()
        return [(self._capitalise(question), json.dumps(value, ensure_ascii=False))]

    def _json_sum(self) -> tuple[str, object]:
        op, name = self.rng.choice((("+", "sum"), ("+", "sum"), ("-", "difference"), ("×", "product")))
        a, b = self._table_pair() if op == "×" else self._pair(op)
        sign = self.rng.choice("×*") if op == "×" else op
        text = self.rng.choice((f"{a}{sign}{b}", f"{a}{sign}{b}", f"{a} {sign} {b}"))
        forms = "{} as JSON|{} in JSON|what is {}? Answer in JSON.|用JSON回答{}|用 JSON 回答 {}|{}，用JSON回答|用JSON计算{}"
        return self.rng.choice(forms.split("|")).format(text), {"a": a, "b": b, name: apply(op, a, b)}

    def _json_person(self) -> tuple[str, object]:
        rng, chinese = self.rng, self.rng.random() < 0.5
        names, cities = (
            (phrases.CHINESE_NAMES, phrases.CHINESE_CITIES) if chinese else (phrases.ENGLISH_NAMES, phrases.ENGLISH_CITIES)
        )
        unseen = self._word("chinese") if chinese else self._word("letters").capitalize()
        name = self._draw(lambda: (rng.choice((unseen, *names)), rng.randint(1, 99)), lambda v: f"{v[0]},{v[1]}")
        person = {"name": name[0], "age": name[1]}
        if rng.random() < 0.5:
            person["city"] = rng.choice(cities)
        if chinese:
            forms = ("给我一个JSON对象，名字是{}，年龄是{}", "用JSON表示：名字{}，年龄{}", "生成JSON，名字{}，年龄{}")
            question = rng.choice(forms).format(*name) + (f"，城市{person['city']}" if "city" in person else "")
        else:
            form = rng.choice(("give me a JSON object with name {}", "a JSON object with name {}", "JSON with name {}"))
            joint = (", age {}, city {}", ", age {} and city {}") if "city" in person else (" and age {}", ", age {}")
            question = form.format(name[0]) + rng.choice(joint).format(name[1], person.get("city"))
        return question, person

    def _json_pairs(self) -> tuple[str, object]:
        """An object of one to three keys with words or numbers as values."""
        rng = self.rng

        def make() -> dict:
            keys = rng.sample(phrases.JSON_KEYS, rng.randint(1, 3))
            return {key: self._number() if rng.random() < 0.4 else self._word("english") for key in keys}

        value = self._draw(make)
        listed = rng.choice((", ", " and ")).join(f"{k} {v}" for k, v in value.items())
        return rng.choice(("JSON with {}", "give me JSON with {}", "a JSON object with {}", "用JSON表示：{}")).format(listed), value

    def _json_list(self) -> tuple[str, object]:
        value = self._draw(lambda: self._words(2, 5).split(" "))
        forms = ("a JSON list of {}", "JSON array: {}", "give me a JSON list of {}", "JSON数组：{}", "用JSON列出：{}")
        return self.rng.choice(forms).format(" ".join(value)), value

    # Talk

    def identity(self) -> list[Turn]:
        return self._talk(phrases.IDENTITY)

    def greeting(self) -> list[Turn]:
        return self._talk(phrases.GREETINGS)

    def beyond(self) -> list[Turn]:
        """A request outside the model's small world, politely declined."""
        chinese = self.rng.random() < 0.5
        forms = (phrases.BEYOND_ZH if chinese else phrases.BEYOND_EN).split("|")

        def make() -> str:
            form = self.rng.choice(forms)
            return form.format(*(self._word("chinese" if chinese else "english") for _ in range(form.count("{}"))))

        question = self._draw(lambda: self._vary(make()))
        return [(question, phrases.DECLINE_ZH if chinese else phrases.DECLINE_EN)]

    def _talk(self, table: tuple[tuple[str, str], ...]) -> list[Turn]:
        """A question out of a table, spelled freely. The plain spelling is always for training."""
        rng = self.rng
        while True:
            questions, answer = rng.choice(table)
            plain = rng.choice(questions.split("|"))
            openers = phrases.OPENERS_EN if plain.isascii() else phrases.OPENERS_ZH
            question = self._vary(rng.choice(openers) + plain)
            if self.held == (held_out(question) and question not in (plain, plain[:-1])):
                return [(question, answer)]

    # Spelling

    def _vary(self, text: str) -> str:
        """Spell a question as careless people do: any casing, with or without its last mark."""
        if text[-1] in "?？!！.。":
            text = self.rng.choice((text, text, text[:-1], text[:-1] + self.rng.choice("?？!！.。") if text[-1] in "!！.。" else text))
        return text.lower() if self.rng.random() < 0.05 else self._capitalise(text)

    def _capitalise(self, text: str) -> str:
        return text[:1].upper() + text[1:] if self.rng.random() < 0.25 else text


def apply(op: str, a: int, b: int) -> int:
    """The value of a op b."""
    return {"+": a + b, "-": a - b, "×": a * b}[op]


def as_messages(turns: list[Turn], system: str | None = None) -> list[dict]:
    """Turns as chat messages, the last of which is the final answer."""
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return messages
