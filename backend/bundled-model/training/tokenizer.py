"""Trains the byte-level BPE tokenizer and writes tokenizer.json and tokenizer_config.json."""

import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data import Author
from prompt import BOS, BOS_ID, CHAT_TEMPLATE, EOS, EOS_ID, MAX_LENGTH, MODEL_DIR, render

VOCAB_SIZE = 640
SAMPLE_CONVERSATIONS = 60_000
SEED = 1


def load() -> Tokenizer:
    """Return the tokenizer that train() wrote."""
    return Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))


def train() -> Tokenizer:
    """Learn merges from conversations. Digits stay single; all 256 bytes are in the alphabet, so any text round-trips."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    author = Author(SEED)
    tokenizer.train_from_iterator(
        (render(author.conversation(), add_generation_prompt=False) for _ in range(SAMPLE_CONVERSATIONS)),
        trainers.BpeTrainer(
            vocab_size=VOCAB_SIZE,
            special_tokens=[BOS, EOS],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    assert tokenizer.get_vocab_size() == VOCAB_SIZE
    assert (tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)) == (BOS_ID, EOS_ID)
    return tokenizer


def main() -> None:
    train().save(str(MODEL_DIR / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": EOS,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": MAX_LENGTH,
        "chat_template": CHAT_TEMPLATE,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (MODEL_DIR / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
