#!/usr/bin/env python3
"""The bundled model on a device: 1,024 greedy tokens against a float32 reference.

    tests/gpu/reference.py [--device cuda:0] [--generate examples-c/build/generate]

Where the reference's two best logits were closer than 0.02, either is right; what comes after is then not compared.
"""
import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLOSE = 0.02


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--generate", default=str(ROOT / "examples-c/build/generate"))
    options = parser.parse_args()
    cases = json.loads((ROOT / "tests/data/reference.json").read_text())
    equal, compared, wrong, speeds = 0, 0, [], []
    for case in cases:
        tokens, speed = generate(options, case)
        speeds.append(speed)
        for step, (got, want) in enumerate(zip(tokens, case["output_tokens"])):
            compared += 1
            if got == want:
                equal += 1
            else:
                if case["gaps"][step] >= CLOSE:
                    wrong.append(f"{case['prompt']!r} step {step}: {got} for {want} (gap {case['gaps'][step]})")
                break
    print("\n".join(wrong))
    print(f"reference tokens on {options.device}: {equal} of {compared} compared equal, {len(wrong)} wrong; "
          f"decode {min(speeds):.0f} to {max(speeds):.0f} tok/s")
    return 1 if wrong or compared < 900 else 0


def generate(options, case):
    count = len(case["output_tokens"])
    command = [options.generate, "--model", str(ROOT / "examples-c/models/pycode.gguf"), "--device", options.device, "-p",
               case["prompt"], "-n", str(count), "--temperature", "0", "--tokens"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{' '.join(command)}: {run.stderr}")
    speed = re.search(r"decode[^0-9]*([0-9.]+) tok/s", run.stderr)
    return [int(word) for word in run.stdout.split()], float(speed.group(1)) if speed else 0.0


if __name__ == "__main__":
    sys.exit(main())
