"""The reference's way of working, measured on the GPU that `grail bench` measured: torch and transformers, float32.

Usage: python reference.py [--bench FILE] [--seed N]

FILE is what `grail bench --window --json` printed; its last line is read and every ratio of the acceptance is printed.
The network is Qwen3-4B's shape with weights by formula, as the golden proofs have them. Measured are the forward as a
validator calls it (hidden states of every layer, logits of every row), the sketches position by position, and `generate`
with the protocol's sampling at batch 1, one rollout after another.
"""
import argparse
import json
import statistics
import time

import torch
import transformers
from transformers import Qwen3Config, Qwen3ForCausalLM

MASK = (1 << 64) - 1
MODULUS = 2_147_483_647
LENGTHS = (333, 700, 1024, 1354)
PROMPT, COMPLETION, COMPLETION_MAX, WINDOW_S = 330, 400, 1024, 330.0
# A window's files: of so many miners, with so many rollouts that a validator computes again.
MINERS, ROLLOUTS = 35, 20


def signed(x):
    return x - (1 << 64) if x >= 1 << 63 else x


def shifted(z, bits):
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def uniform(count, seed, device):
    """SplitMix64 by counter, the top 24 bits as a number in [0, 1)."""
    z = torch.arange(1, count + 1, dtype=torch.int64, device=device) * signed(0x9E3779B97F4A7C15) + signed(seed & MASK)
    z = (z ^ shifted(z, 30)) * signed(0xBF58476D1CE4E5B9)
    z = (z ^ shifted(z, 27)) * signed(0x94D049BB133111EB)
    return shifted(z ^ shifted(z, 31), 40).to(torch.float32) * 2.0**-24


def fill(model, seed):
    for name, parameter in model.named_parameters():
        stream = 0xCBF29CE484222325
        for byte in name.encode():
            stream = ((stream ^ byte) * 0x100000001B3) & MASK
        flat, step = parameter.data.view(-1), 1 << 26
        for start in range(0, flat.numel(), step):
            count = min(step, flat.numel() - start)
            u = uniform(count, stream + seed + start * 0x9E3779B97F4A7C15, parameter.device) - 0.5
            flat[start : start + count] = (1 + u * 0.4) if "norm" in name else u * 0.07


def build(seed):
    config = Qwen3Config(
        vocab_size=151936, hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32,
        num_key_value_heads=8, head_dim=128, max_position_embeddings=262144, rope_theta=5000000.0, rms_norm_eps=1e-6,
        tie_word_embeddings=True, attention_bias=False, eos_token_id=151645,
    )
    small = Qwen3Config(**{**config.to_dict(), "num_hidden_layers": 0, "vocab_size": 8, "layer_types": []})
    frequencies = Qwen3ForCausalLM(small).model.rotary_emb.inv_freq.clone()
    with torch.device("cuda"):
        model = Qwen3ForCausalLM(config).eval()
    model.model.rotary_emb.inv_freq = frequencies.cuda()
    with torch.no_grad():
        fill(model, seed)
    return model


def median_ms(work, repetitions=7):
    times = []
    for repetition in range(repetitions + 2):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        if repetition >= 2:
            times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def sketches(hidden, projection):
    rows = range(hidden.shape[0])
    return [int(torch.dot(torch.round(hidden[i] * 1024), projection.float()).item()) % MODULUS for i in rows]


def proofs(model):
    projection = torch.randint(-(2**31), 2**31 - 1, (2560,), dtype=torch.int64).to(torch.int32).cuda()
    measured = {}
    for length in LENGTHS:
        tokens = torch.randint(0, 151643, (1, length), device="cuda")
        forward = lambda: model(tokens, output_hidden_states=True).hidden_states[-1][0]
        hidden = forward()
        measured[length] = median_ms(forward), median_ms(lambda: sketches(hidden, projection), 3)
    return measured


def judging(model):
    """Seconds for a window's files, one rollout after another as the reference's verifier does: the forward, the
    probability of each token, and the sketches of 16 positions. Lengths as `grail bench` has them."""

    def seconds(lengths):
        begin = 0.0
        for repetition in range(2):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for length in lengths:
                tokens = torch.randint(0, 151643, (1, PROMPT + length), device="cuda")
                out = model(tokens, output_hidden_states=True)
                hidden = out.hidden_states[-1][0]
                torch.softmax(out.logits[0].float(), -1).gather(1, tokens.T).cpu()
                sketches(hidden[:16], torch.ones(2560, device="cuda"))
        return (time.perf_counter() - begin) * MINERS * ROLLOUTS / len(lengths)

    usual = [100 + 31 * i + file * 7919 % 31 for file in range(5) for i in range(ROLLOUTS)]
    return seconds(usual), seconds([COMPLETION_MAX] * 4)


def decoding(model, new_tokens=128):
    """Tokens a second of `generate`, batch 1, with the protocol's sampling."""
    tokens = torch.randint(0, 151643, (1, PROMPT), device="cuda")
    settings = dict(do_sample=True, temperature=0.7, top_k=50, top_p=0.95, repetition_penalty=1.1, use_cache=True,
                    attention_mask=torch.ones_like(tokens), pad_token_id=151643)
    model.generate(tokens, max_new_tokens=8, min_new_tokens=8, **settings)
    torch.cuda.synchronize()
    begin = time.perf_counter()
    model.generate(tokens, max_new_tokens=new_tokens, min_new_tokens=new_tokens, **settings)
    torch.cuda.synchronize()
    return new_tokens / (time.perf_counter() - begin)


def report_ratios(path, measured, judged, rate, window):
    lines = [line for line in open(path) if line.startswith("{")]
    ours = {m["what"]: m["value"] for m in json.loads(lines[-1])["measurements"]}
    forward, sketch = measured[700]
    rows = [
        ("700 tokens: hidden states / reference's forward", ours["proof, 700 tokens: hidden states"] / forward, "<= 0.82"),
        ("700 tokens: with self-check / reference's forward", ours["proof, 700 tokens: with self-check"] / forward, "<= 0.88"),
        ("700 tokens: with sketches / forward and sketches", ours["proof, 700 tokens: with sketches"] / (forward + sketch), "<= 0.60"),
        ("  the same, each of 4 rollouts with a common prompt", ours["proof, 4 rollouts of 700 tokens with a prompt of 300, each: with sketches"] / (forward + sketch), "<= 0.60"),
        ("decode, 256 rollouts, tokens/s", ours["decode, 256 rollouts"], ">= 10000"),
        ("decode, 1 rollout / reference's", ours["decode, 1 rollouts"] / rate, ""),
    ]
    for completions, seconds in zip(("410 tokens on average", "1024 tokens"), judged):
        what = f"judging {MINERS} files of {ROLLOUTS} rollouts, completions of {completions}"
        rows.append((f"judging, {completions} / reference's", ours[what] / seconds, ""))
        rows.append(("  of a window's third, 120 s", ours[what] / 120, "<= 1"))
    if "rollouts in a window of 330 s" in ours:
        rows.append(("window: rollouts / reference's", ours["rollouts in a window of 330 s"] / window, ">= 80"))
    for what, value, wanted in rows:
        print(f"{what:<52} {value:>10.3f}  {wanted}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    model = build(arguments.seed)
    with torch.inference_mode():
        measured = proofs(model)
        judged = judging(model)
        rate = decoding(model)
    for length, (forward, sketch) in measured.items():
        print(f"reference, {length} tokens: forward {forward:.1f} ms, sketches {sketch:.1f} ms")
    print(f"reference: {MINERS} files of {ROLLOUTS} rollouts judged in {judged[0]:.0f} s, of the longest in {judged[1]:.0f} s")
    print(f"reference: {rate:.1f} tokens/s at batch 1")
    # A rollout of the window's work lies between the measured lengths of 700 and 1024 tokens.
    at = (PROMPT + COMPLETION - 700) / (1024 - 700)
    proof_s = sum((1 - at) * a + at * b for a, b in zip(measured[700], measured[1024])) / 1e3
    window = WINDOW_S / (COMPLETION / rate + proof_s)
    print(f"reference: {window:.1f} rollouts in a window of {WINDOW_S:.0f} s")
    print(torch.__version__, transformers.__version__, torch.cuda.get_device_name(0))
    if arguments.bench:
        report_ratios(arguments.bench, measured, judged, rate, window)


if __name__ == "__main__":
    main()
