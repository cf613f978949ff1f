"""Writes a checkpoint as a Hugging Face model folder: config.json, generation_config.json, model.safetensors (fp16)."""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from prompt import BOS_ID, EOS_ID, MODEL_DIR
from train import ARCHITECTURE

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    **ARCHITECTURE,
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "initializer_range": 0.02,
    "torch_dtype": "float16",
}
GENERATION_CONFIG = {
    "bos_token_id": BOS_ID,
    "eos_token_id": EOS_ID,
    "pad_token_id": EOS_ID,
    "do_sample": True,
    "temperature": 0.3,
    "top_p": 0.9,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoint.pt"))
    args = parser.parse_args()
    state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    # The output layer is the embedding (tie_word_embeddings), so it is stored once.
    tensors = {name: tensor.half().contiguous() for name, tensor in state.items() if name != "lm_head.weight"}
    save_file(tensors, MODEL_DIR / "model.safetensors", metadata={"format": "pt"})
    for name, value in (("config.json", CONFIG), ("generation_config.json", GENERATION_CONFIG)):
        (MODEL_DIR / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    print(f"{len(tensors)} tensors, {sum(t.numel() for t in tensors.values()):,} parameters")


if __name__ == "__main__":
    main()
