"""Trains the model and saves a float32 checkpoint.

    python train.py --steps 24000

One GPU, AdamW, bfloat16 autocast, a cosine schedule. Attention does not cross from one packed conversation to another.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from packing import IGNORE, batches
from prompt import BOS_ID, EOS_ID, MAX_LENGTH
from tokenizer import VOCAB_SIZE

# Every size divides by 8, so the model can be split over up to eight devices.
ARCHITECTURE = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 6,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 16,
    "max_position_embeddings": MAX_LENGTH,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "bos_token_id": BOS_ID,
    "eos_token_id": EOS_ID,
}
PEAK_LR, FINAL_LR_SHARE, WARMUP_STEPS = 2e-3, 0.01, 300
LOG_EVERY = 250


def packed_attention(module, query, key, value, attention_mask: BlockMask, scaling=None, **_):
    """Attention under a block mask, in the signature transformers calls."""
    query, key = query.to(value.dtype), key.to(value.dtype)
    output = flex_attention(query, key, value, block_mask=attention_mask, scale=scaling, enable_gqa=True)
    return output.transpose(1, 2).contiguous(), None


def document_mask(positions: torch.Tensor) -> BlockMask:
    """Causal inside a document; a document starts wherever the position is 0."""
    documents = (positions == 0).cumsum(-1, dtype=torch.int32)

    def visible(b, h, q, k):
        return (q >= k) & (documents[b, q] == documents[b, k])

    rows, length = positions.shape
    return create_block_mask(visible, rows, None, length, length, device=positions.device)


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a small share of the peak."""
    if step < WARMUP_STEPS:
        return PEAK_LR * (step + 1) / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return PEAK_LR * (FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * 0.5 * (1 + math.cos(math.pi * progress)))


def train(steps: int, rows: int, seed: int, workers: int) -> LlamaForCausalLM:
    """Run the training loop and return the model."""
    torch.manual_seed(seed)
    ALL_ATTENTION_FUNCTIONS.register("packed", packed_attention)
    model = LlamaForCausalLM._from_config(LlamaConfig(**ARCHITECTURE), attn_implementation="packed").cuda()
    matrices = [p for p in model.parameters() if p.dim() > 1]
    norms = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": norms, "weight_decay": 0.0}],
        lr=PEAK_LR, betas=(0.9, 0.95), fused=True,
    )  # fmt: skip
    make_mask = torch.compile(document_mask)

    @torch.compile
    def loss_of(ids, targets, positions, mask):
        logits = model(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False).logits
        return cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE)

    started, tokens = time.time(), 0
    for step, batch in enumerate(batches(seed, steps, rows, workers)):
        ids, targets, positions = torch.from_numpy(batch).cuda(non_blocking=True).long()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        with torch.autocast("cuda", torch.bfloat16):
            loss = loss_of(ids, targets, positions, make_mask(positions))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens += ids.numel()
        if (step + 1) % LOG_EVERY == 0 or step + 1 == steps:
            print(
                f"step {step + 1} loss {loss.item():.5f} tokens {tokens:,} seconds {time.time() - started:.0f}",
                flush=True,
            )
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=24_000)
    parser.add_argument("--rows", type=int, default=32, help="rows of 2048 tokens a step")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=15, help="processes that make data")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoint.pt"))
    args = parser.parse_args()
    model = train(args.steps, args.rows, args.seed, args.workers)
    torch.save(model.state_dict(), args.checkpoint)


if __name__ == "__main__":
    main()
