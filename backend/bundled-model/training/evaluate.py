"""Measures exact-match accuracy on the held-out cases with transformers and prints a table in Markdown."""

import argparse
import json
from collections import Counter

import torch
from transformers import LlamaForCausalLM

import tokenizer as tokenizer_files
from prompt import CASES_FILE, EOS_ID, MODEL_DIR, render

BATCH = 256


def generate(model, tokenizer, cases: list[dict], temperature: float) -> list[str]:
    """Answer a batch of cases; prompts are padded on the left and the padding is masked."""
    prompts = [tokenizer.encode(render(case["messages"])).ids for case in cases]
    width = max(map(len, prompts))
    ids = torch.tensor([[EOS_ID] * (width - len(p)) + p for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    longest = max(len(tokenizer.encode(case["expected"]).ids) for case in cases)
    sampling = (
        {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        if temperature
        else {"do_sample": False}
    )
    output = model.generate(
        ids, attention_mask=mask, max_new_tokens=longest + 8, eos_token_id=EOS_ID, pad_token_id=EOS_ID, **sampling
    )
    return [tokenizer.decode(row, skip_special_tokens=True) for row in output[:, width:].tolist()]


def evaluate(temperature: float) -> tuple[Counter, Counter, list[tuple[dict, str]]]:
    """Return right answers and cases per task, and the wrong ones."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = LlamaForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32).to(device).eval()
    tokenizer = tokenizer_files.load()
    cases = [json.loads(line) for line in CASES_FILE.read_text(encoding="utf-8").splitlines()]
    cases.sort(key=lambda case: len(case["expected"]))
    right, total, wrong = Counter(), Counter(), []
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        for case, answer in zip(batch, generate(model, tokenizer, batch, temperature), strict=True):
            total[case["task"]] += 1
            right[case["task"]] += answer == case["expected"]
            if answer != case["expected"]:
                wrong.append((case, answer))
    return right, total, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    parser.add_argument("--show", type=int, default=20, help="wrong answers to print")
    args = parser.parse_args()
    right, total, wrong = evaluate(args.temperature)
    print("| task | cases | right | accuracy |\n| --- | --- | --- | --- |")
    for task in total:
        print(f"| {task} | {total[task]} | {right[task]} | {right[task] / total[task]:.2%} |")
    for case, answer in wrong[: args.show]:
        print(json.dumps({"wrong": answer[-120:], **case}, ensure_ascii=False)[:600])


if __name__ == "__main__":
    main()
