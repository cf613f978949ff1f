"""Writes the held-out accuracy cases: none of their operand pairs or texts occurs in training."""

import json
from collections.abc import Iterator

from data import Author, as_messages
from prompt import CASES_FILE

SEED = 20_261_123
CASES_PER_TASK = {
    "sum": 500, "difference": 500, "chain": 500, "product": 500, "count": 500, "repeat": 500, "reverse": 500, "json": 500,
    "identity": 100, "greeting": 60, "beyond": 100, "context": 200,
}  # fmt: skip


def cases(task: str, count: int) -> Iterator[dict]:
    """Yield `count` distinct cases. "context" is any task after other turns or a system message."""
    author, seen = Author(SEED, held=True), set()
    while len(seen) < count:
        messages = author.conversation() if task == "context" else as_messages(author.turns(task))
        *messages, answer = messages
        key = json.dumps(messages, ensure_ascii=False)
        in_context = len(messages) > 1 and messages[-1]["content"] not in json.dumps(messages[:-1])
        if key in seen or (task == "context" and not in_context):
            continue
        seen.add(key)
        yield {"task": task, "messages": messages, "expected": answer["content"]}


def main() -> None:
    CASES_FILE.parent.mkdir(parents=True, exist_ok=True)
    with CASES_FILE.open("w", encoding="utf-8") as file:
        for task, count in CASES_PER_TASK.items():
            for case in cases(task, count):
                file.write(json.dumps(case, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
