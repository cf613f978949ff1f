"""Writes the golden logits our own inference is tested against: transformers, float32 on the CPU, from the fp16 weights.

golden.safetensors holds, for prompt i, `i.prefill_logits` [prompt, vocab] and `i.decode_logits` [64, vocab], the logits
that chose each greedy token; golden.json holds the texts and ids. Decoding goes on past </s>.
"""

import json

import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

import tokenizer as tokenizer_files
from prompt import FIXTURE_DIR, MODEL_DIR, render

DECODE_STEPS = 64
CONVERSATIONS = (
    ["count from 1 to 40"],
    ["3+5=?", "3+5=8", "add 4"],
    ["从95数到130"],
    ["你是谁？"],
)


def decode(model, prompt_ids: list[int]) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Return the prefill logits, the logits of each greedy step and the ids they chose."""
    output = model(torch.tensor([prompt_ids]), use_cache=True)
    prefill, steps, ids = output.logits[0], [], []
    for _ in range(DECODE_STEPS):
        steps.append(output.logits[0, -1])
        ids.append(int(steps[-1].argmax()))
        output = model(torch.tensor([[ids[-1]]]), past_key_values=output.past_key_values, use_cache=True)
    return prefill, torch.stack(steps), ids


@torch.no_grad()
def main() -> None:
    model = LlamaForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = tokenizer_files.load()
    tensors, records = {}, []
    for index, turns in enumerate(CONVERSATIONS):
        messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
        prompt = render(messages)
        prompt_ids = tokenizer.encode(prompt).ids
        prefill, steps, decode_ids = decode(model, prompt_ids)
        tensors[f"{index}.prefill_logits"], tensors[f"{index}.decode_logits"] = prefill.contiguous(), steps
        best = steps.topk(2).values
        records.append(
            {
                "messages": messages,
                "prompt": prompt,
                "prompt_ids": prompt_ids,
                "decode_ids": decode_ids,
                "decode_text": tokenizer.decode(decode_ids, skip_special_tokens=False),
                # The smallest lead of the best logit over the second: how much error greedy decoding tolerates.
                "smallest_margin": float((best[:, 0] - best[:, 1]).min()),
            }
        )
    FIXTURE_DIR.mkdir(parents=True, exist_ok=True)
    save_file(tensors, FIXTURE_DIR / "golden.safetensors")
    text = json.dumps(records, indent=1, ensure_ascii=False)
    (FIXTURE_DIR / "golden.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
