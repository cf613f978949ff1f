"""The chat template and the one function that turns messages into a prompt.

Training, evaluation and the shipped tokenizer_config.json all use the string below, so the model never
meets a prompt at inference that was spelled differently in training.
"""

from functools import cache
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment

MODEL_DIR = Path(__file__).resolve().parent.parent
REPO_DIR = MODEL_DIR.parent.parent
FIXTURE_DIR = REPO_DIR / "test" / "fixtures" / "bundled-model"
CASES_FILE = REPO_DIR / "test" / "bench" / "accuracy" / "cases.jsonl"

BOS, EOS = "<s>", "</s>"
BOS_ID, EOS_ID = 0, 1
MAX_LENGTH = 2048

# The first line yields one line break; a prompt starts there, with no beginning-of-sequence token.
# Earlier answers are not closed with </s>: the next heading does that.
CHAT_TEMPLATE = r"""{{ "" }}
{% for message in messages %}
{% if message['role'] == 'system' %}
{{ message['content'] }}
{% elif message['role'] == 'user' %}
{{ "\n### Instruction:" }}
{{ message['content'] }}
{% else %}
{{ "\n### Response:" }}
{{ message['content'] }}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ "\n### Response:" }}
{% endif %}"""


@cache
def _compiled():
    """Compile with the options Hugging Face uses for chat templates."""
    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(CHAT_TEMPLATE)


def render(messages: list[dict], add_generation_prompt: bool = True) -> str:
    """Return the text the model sees for these messages."""
    return _compiled().render(messages=messages, add_generation_prompt=add_generation_prompt)
