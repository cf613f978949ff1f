"""Sums, differences, products, and chains that go on with a result."""

from drawing import Drawing, Turn

OPERATOR_WORDS = {"+": ("plus", "加"), "-": ("minus", "减"), "×": ("times", "乘以")}
EXPRESSION_FORMS = (
    "{}=?|{}=?|{}=|{}|{}=？|what is {}?|what's {}?|how much is {}?|calculate {}|compute {}.|{}等于几？|{}等于多少？|{}是多少？|"
    "计算{}|请计算{}。|算一下{}"
).split("|")
SPACED_FORMS = (
    "{} = ?|{} =|{}|what is {}?|how much is {}?|calculate {}|{} 等于几？|{} 等于多少？|计算 {}|请算一下 {}".split("|")
)
WORD_FORMS_EN = "{}|what is {}?|what's {}?|how much is {}?|calculate {}".split("|")
WORD_FORMS_ZH = "{}|{}等于几？|{}等于多少？|{}是多少？|{}得多少？|计算{}".split("|")
FOLLOW_UPS = {
    "+": "再加上{}|再加{}|加上{}|加{}|然后加{}|add {}|plus {}|now add {}|then add {}|+{}",
    "-": "再减去{}|再减{}|减去{}|减{}|然后减{}|subtract {}|minus {}|now subtract {}|then subtract {}|-{}",
    "×": "再乘以{}|乘以{}|再乘{}|乘{}|然后乘以{}|times {}|multiply by {}|now multiply by {}|*{}|×{}",
}


def apply(op: str, a: int, b: int) -> int:
    """The value of a op b."""
    return {"+": a + b, "-": a - b, "×": a * b}[op]


class Arithmetic(Drawing):
    """Operand pairs of + and - are the keys; the multiplication table is learnt by heart."""

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
            forms, text = (WORD_FORMS_EN, f"{a} {english} {b}") if kind < 0.87 else (WORD_FORMS_ZH, f"{a}{chinese}{b}")
            question = rng.choice(forms).format(text)
        result = apply(op, a, b)
        return (self._vary(question), f"{a}{sign}{b}={result}"), result

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
