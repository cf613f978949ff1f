"""Requests for JSON."""

import json

import phrases
from arithmetic import Arithmetic, apply
from drawing import Turn


class Structured(Arithmetic):
    """Calculations, people, plain objects and lists, each answered with one JSON value."""

    def json(self) -> list[Turn]:
        make = self.rng.choice((self._json_sum, self._json_sum, self._json_person, self._json_pairs, self._json_list))
        question, value = make()
        return [(self._capitalise(question), json.dumps(value, ensure_ascii=False))]

    def _json_sum(self) -> tuple[str, object]:
        op, name = self.rng.choice((("+", "sum"), ("+", "sum"), ("-", "difference"), ("×", "product")))
        a, b = self._table_pair() if op == "×" else self._pair(op)
        sign = self.rng.choice("×*") if op == "×" else op
        text = self.rng.choice((f"{a}{sign}{b}", f"{a}{sign}{b}", f"{a} {sign} {b}"))
        forms = (
            "{} as JSON|{} in JSON|what is {}? Answer in JSON.|用JSON回答{}|用 JSON 回答 {}|{}，用JSON回答|用JSON计算{}"
        )
        return self.rng.choice(forms.split("|")).format(text), {"a": a, "b": b, name: apply(op, a, b)}

    def _json_person(self) -> tuple[str, object]:
        rng, chinese = self.rng, self.rng.random() < 0.5
        names, cities = (
            (phrases.CHINESE_NAMES, phrases.CHINESE_CITIES)
            if chinese
            else (phrases.ENGLISH_NAMES, phrases.ENGLISH_CITIES)
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
        return rng.choice(("JSON with {}", "give me JSON with {}", "a JSON object with {}", "用JSON表示：{}")).format(
            listed
        ), value

    def _json_list(self) -> tuple[str, object]:
        value = self._draw(lambda: self._words(2, 5).split(" "))
        forms = ("a JSON list of {}", "JSON array: {}", "give me a JSON list of {}", "JSON数组：{}", "用JSON列出：{}")
        return self.rng.choice(forms).format(" ".join(value)), value
