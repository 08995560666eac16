"""Prints ggml's list of devices as one line of JSON: `python -P -m localmind.engine.devices`.

A process of its own for a list, since asking starts every driver, and a broken driver ends the process.
"""

import ctypes
import json
import sys
from dataclasses import asdict


def main() -> None:
    from llama_cpp import llama_cpp as native

    from localmind.engine.llama.devices import devices

    silent = native.llama_log_callback(lambda _level, _text, _data: None)
    native.llama_log_set(silent, ctypes.c_void_p(0))
    sys.stdout.write(json.dumps([asdict(device) for device in devices()]) + "\n")


if __name__ == "__main__":
    main()
