"""Writes the golden token ids and the golden renderings of the chat template, both by the Python libraries."""

import json

from tokenizers import Tokenizer
from transformers import AutoTokenizer

import tokenizer as tokenizer_files
from prompt import FIXTURE_DIR, MODEL_DIR, render

TEXTS = (
    # The empty text, digits and arithmetic
    *("", "0", "7", "42", "1234567890", "3+5=?", "3 + 5 = ?", "12×34=408", "-5", "3.14159", "1,000,000"),
    *("007", "٣٤٥", "１２３", "½ ² ③"),
    # English
    *("hello", "Hello, world!", " leading space", "trailing space ", "don't I'll we've you're he'd", "UPPER lower MiXeD"),
    *("count from 1 to 20", "what is 3+5?", "The quick brown fox jumps over the lazy dog."),
    *("naïve café résumé", "e\u0301 combining"),
    # Chinese and other scripts
    *("你是谁？", "你叫什么名字？", "再加上4", "从1数到50", "用JSON回答3+5"),
    *("我是 Burrow，一个自带的小模型", "龘靐齉", "繁體中文，標點「」"),
    *("こんにちは", "안녕하세요", "Привет", "مرحبا", "שלום", "नमस्ते", "Ελληνικά", "ไทย"),
    # Emoji and code points outside the basic plane
    *("😀", "👨‍👩‍👧‍👦", "🇨🇳", "👍🏽 ok", "𝒳𠀀"),
    # Whitespace and control characters
    *(" ", "   ", "a  b   c", "\n", "\n\n", "\n\n\n x", "\t\ttab"),
    *("line\r\nline", "a \n b", "\u00a0nbsp\u3000wide", "\x00\x01\x1f\x7f", "\ufeffbom\u200bzero"),
    # Code and markup
    *('{"a": 3, "b": 5, "sum": 8}', "for (let i = 0; i < 10; i++) {\n  f(i);\n}"),
    *("def f(x):\n    return x ** 2", "<div class='x'>&amp;</div>"),
    *("https://example.com/?q=1&r=%20", "SELECT * FROM t WHERE a != 'b';"),
    *("C:\\path\\file", "### Instruction:", "\n\n### Instruction:\n3+5=?\n\n### Response:\n"),
    # Special tokens written out
    *("<s>", "</s>", "a</s>b", "<s> x </s>", "< s >"),
)  # fmt: skip

CONVERSATIONS = (
    ("3+5=?",),
    ("3+5=?", "3+5=8", "再加上4"),
    ("hello", "Hello! How can I help?", "count from 1 to 3", "1 2 3", "你是谁？"),
    ("system:You are a helpful assistant.", "3+5=?"),
    ("system:你是一个有用的助手。", "3+5=?", "3+5=8", "add 4"),
    ("3+5=?", "3+5=8"),
    ("",),
    ("line one\nline two\n",),
    ("  spaces  ", "{{ not }} {% a %} template", "<b>&\"'</b>"),
    ("emoji 😀 and 龘",),
    (),
)


def as_messages(turns: tuple[str, ...]) -> list[dict]:
    """Alternate user and assistant after an optional system message."""
    messages = []
    if turns and turns[0].startswith("system:"):
        messages.append({"role": "system", "content": turns[0].removeprefix("system:")})
        turns = turns[1:]
    return messages + [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]


def tokenization(tokenizer: Tokenizer) -> list[dict]:
    """Ids of every text; each must decode to itself."""
    records = [{"text": text, "ids": tokenizer.encode(text).ids} for text in TEXTS]
    for record in records:
        assert tokenizer.decode(record["ids"], skip_special_tokens=False) == record["text"], record
    return records


def chat_template() -> list[dict]:
    """Renderings by transformers, which must be those of training."""
    tokenizer, records = AutoTokenizer.from_pretrained(MODEL_DIR), []
    for turns in CONVERSATIONS:
        for flag in (True, False):
            messages = as_messages(turns)
            rendered = (
                tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=flag)
                if messages
                else render([], flag)
            )
            assert rendered == render(messages, flag)
            records.append({"messages": messages, "add_generation_prompt": flag, "rendered": rendered})
    for text in TEXTS:
        assert tokenizer(text)["input_ids"] == tokenizer_files.load().encode(text).ids
    return records


def main() -> None:
    FIXTURE_DIR.mkdir(parents=True, exist_ok=True)
    for name, records in (("tokenization", tokenization(tokenizer_files.load())), ("chat-template", chat_template())):
        lines = ",\n".join(json.dumps(record) for record in records)
        (FIXTURE_DIR / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
