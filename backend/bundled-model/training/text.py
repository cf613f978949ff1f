"""Counting, repeating, reversing, introducing itself, greeting and declining."""

import phrases
from drawing import Drawing, Turn, held_out

COUNT_FORMS = (
    "count from {a} to {b}|please count from {a} to {b}.|count {a} to {b}|从{a}数到{b}|请从{a}数到{b}。|从 {a} 数到 {b}|"
    "数数，从{a}到{b}"
).split("|")
COUNT_FROM_ONE_FORMS = ["count to {b}", "数到{b}", "please count up to {b}."]
REPEAT_FORMS = (
    "repeat: {}|repeat: {}|repeat {}|repeat after me: {}|重复：{}|重复：{}|重复:{}|请重复：{}|复述：{}".split("|")
)
REVERSE_FORMS = "reverse: {}|reverse: {}|reverse the words: {}|倒过来：{}|倒过来：{}|倒过来:{}|反过来：{}".split("|")


class Text(Drawing):
    """The range or the text that a request is about is the key."""

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
        """The text as it is: mostly some words, at times some dozen."""
        most = 30 if self.rng.random() < 0.1 else 8
        text = self._draw(lambda: self._words(1, most, glue=self.rng.choice((" ", " ", " ", "", ", ", "，"))))
        return [(self._capitalise(self.rng.choice(REPEAT_FORMS)).format(text), text)]

    def reverse(self) -> list[Turn]:
        """The words in reverse order."""
        text = self._draw(lambda: self._words(2, 6))
        return [(self._capitalise(self.rng.choice(REVERSE_FORMS)).format(text), " ".join(reversed(text.split(" "))))]

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
