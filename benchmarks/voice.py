"""Speech to text held against plain faster-whisper: same text, errors, speed, the gate, and live latency.

    python benchmarks/voice.py MODEL_DIR same|gate|live|speed

Speech is made by espeak-ng in several voices and speeds, noise and music by sox (apt install espeak-ng sox). `same`
compares texts at no noise and at 20, 10 and 5 dB and counts word errors offline and live; `gate` counts invented and
lost clips; `live` and `speed` are timings and mean something on an idle machine only.
"""

import argparse
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel, decode_audio

from localmind.speech import RecognizeOptions, Transcript
from localmind.voice.audio import Recording, Samples
from localmind.voice.live import Inbox, ListenOptions, Live
from localmind.voice.recognizer import LADDER, SEED, Place, Recognizer
from localmind.voice.turns import Turns
from localmind.voice.worker import transcribed

SENTENCES = (
    "The boiler in the kitchen was serviced on the third of March by a man from the water company.",
    "Please remind me to call the dentist tomorrow morning before nine o'clock.",
    "She sells sea shells by the sea shore, and the shells she sells are surely sea shells.",
    "Open the report that I wrote last week and send it to the whole team.",
    "The quick brown fox jumps over the lazy dog while the cat sleeps in the sun.",
    "We should meet at the station at half past seven and take the train to London.",
)
VOICES = (("en-gb", 150), ("en-us+f3", 170), ("en-gb-x-rp", 130))
WORDS = (
    *("yes", "no", "stop", "hello", "okay", "thank you", "open the door", "good morning", "play music", "turn it off"),
    *("what time is it", "next page", "delete that", "help me", "not today", "call my mother", "save the file"),
    *("undo", "go back", "start again"),
)
NOISES = (None, 20, 10, 5)


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def speak(path: Path, text: str, voice: str, speed: int) -> None:
    run("espeak-ng", "-v", voice, "-s", speed, "-w", path, text)


def with_noise(source: Path, target: Path, snr: int | None) -> None:
    """Pink noise under speech, by sox, so many dB below it."""
    if snr is None:
        run("sox", source, "-r", 16000, "-c", 1, target)
        return
    stat = subprocess.run(["sox", str(source), "-n", "stat"], capture_output=True, text=True, check=True).stderr
    rms = float(next(line for line in stat.splitlines() if line.startswith("RMS     amplitude")).split()[-1])
    length = float(next(line for line in stat.splitlines() if line.startswith("Length")).split()[-1])
    noise = target.with_suffix(".noise.wav")
    run("sox", "-R", "-n", "-r", 16000, "-c", 1, noise, "synth", length, "pinknoise", "gain", "-n", -10)
    stat = subprocess.run(["sox", str(noise), "-n", "stat"], capture_output=True, text=True, check=True).stderr
    own = float(next(line for line in stat.splitlines() if line.startswith("RMS     amplitude")).split()[-1])
    clean = target.with_suffix(".clean.wav")
    run("sox", source, "-r", 16000, "-c", 1, clean)
    run("sox", "-m", "-v", 0.9, clean, "-v", 0.9 * rms / own / 10 ** (snr / 20), noise, target)


def words(text: str) -> list[str]:
    return "".join(c for c in text.lower().replace("-", " ") if c.isalnum() or c == " ").split()


def errors(reference: str, heard: str) -> tuple[int, int]:
    """Word errors (Levenshtein) and words."""
    ours, theirs = words(reference), words(heard)
    row = list(range(len(theirs) + 1))
    for i, word in enumerate(ours, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(theirs, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1], len(ours)


def plain(model: WhisperModel, audio: Samples) -> str:
    """faster-whisper by itself, with our settings."""
    ctranslate2.set_random_seed(SEED)
    found, _ = model.transcribe(
        audio, language="en", vad_filter=True, condition_on_previous_text=False, temperature=LADDER
    )
    return "".join(segment.text for segment in found).strip()


def ours(recognizer: Recognizer, path: Path) -> Transcript:
    events = transcribed(recognizer, Recording(path), RecognizeOptions(language="en"), lambda: False)
    return next(event for event in events if isinstance(event, Transcript))


def live(recognizer: Recognizer, audio: Samples, *, realtime: bool) -> tuple[str, float, float]:
    """Text, seconds to the first partial after the sound began, and from its end to the last text."""
    pcm = (np.concatenate([audio, np.zeros(32000, dtype=np.float32)]) * 32767).astype("<i2").tobytes()
    inbox, said = Inbox(), []
    began = time.monotonic()

    def say(event: object) -> None:
        said.append((time.monotonic() - began, event))

    options = ListenOptions(RecognizeOptions(language="en"), silence_s=1.2, partial=realtime)
    listening = Live(recognizer, options, inbox, say, lambda: False)
    if realtime:
        import threading

        thread = threading.Thread(target=listening.run)
        thread.start()
        for number, start in enumerate(range(0, len(pcm), 3200), 1):
            time.sleep(max(0.0, began + number * 0.1 - time.monotonic()))
            inbox.put(pcm[start : start + 3200])
        inbox.end()
        thread.join()
    else:
        inbox.put(pcm)
        inbox.end()
        listening.run()
    text = said[-1][1].text
    partials = [at for at, event in said[:-1] if getattr(event, "tentative", "") or getattr(event, "settled", "")]
    shown = [at for at, event in said if getattr(event, "settled", getattr(event, "text", "")) == text]
    return text, partials[0] if partials else -1.0, (shown or [said[-1][0]])[0] - len(audio) / 16000


def same(recognizer: Recognizer, model: WhisperModel, folder: Path) -> None:
    total: dict[str, list[int]] = {}
    equal = count = 0
    for snr in NOISES:
        for number, sentence in enumerate(SENTENCES):
            for voice, speed in VOICES:
                raw, path = folder / "raw.wav", folder / f"{snr}-{number}-{voice}.wav"
                speak(raw, sentence, voice, speed)
                with_noise(raw, path, snr)
                audio = decode_audio(str(path))
                texts = {"plain": plain(model, audio), "worker": ours(recognizer, path).text}
                texts["live"] = live(recognizer, audio, realtime=False)[0]
                count += 1
                equal += texts["plain"] == texts["worker"]
                if texts["plain"] != texts["worker"]:
                    print(f"different at {snr} dB: {texts['plain']!r} / {texts['worker']!r}")
                for name, text in texts.items():
                    wrong, of = errors(sentence, text)
                    sums = total.setdefault(f"{name} {snr}", [0, 0])
                    sums[0] += wrong
                    sums[1] += of
        for name in ("plain", "worker", "live"):
            wrong, of = total[f"{name} {snr}"]
            print(f"{snr or 'no noise'!s:>8} dB  {name:6} WER {100 * wrong / of:5.1f} %", flush=True)
    print(f"same text: {equal} of {count}")


def noises(folder: Path) -> Iterator[Path]:
    """60 clips without a word: silence, noise, hum, keys, music."""
    chance = random.Random(1)
    form = ("-n", "-r", 16000, "-c", 1, "-b", 16)
    makers: list[tuple[object, ...]] = [("trim", 0, length) for length in (1, 2, 3, 5, 8)]
    for kind in ("whitenoise", "brownnoise", "pinknoise"):
        makers += [("synth", chance.randint(2, 6), kind, "vol", vol) for vol in (0.003, 0.01, 0.05, 0.1, 0.3)]
    for hertz, vol in ((50, 0.05), (60, 0.1), (100, 0.3), (120, 0.02), (50, 0.4)):
        makers.append(("synth", 4, "sine", hertz, "synth", 4, "sine", "mix", 3 * hertz, "vol", vol))
    for number, maker in enumerate(makers):
        path = folder / f"noise{number}.wav"
        run("sox", "-R", *form, path, *maker)
        yield path
    for number in range(15):
        yield keys(folder / f"keys{number}.wav", chance)
    for number in range(20):
        kind = ("pluck", "sine", "sawtooth", "triangle", "square")[number % 5]
        parts = []
        for note in range(chance.randint(3, 10)):
            part = folder / f"part{note}.wav"
            name, other = (
                chance.choice(["C4", "E4", "G4", "A3", "D4", "F4", "B3", "C5"]),
                chance.choice(["C3", "G3", "E4", "A4"]),
            )
            run("sox", "-R", *form, part, "synth", 0.4, kind, name, "synth", "pluck", "mix", other, "vol", 0.4)
            parts.append(part)
        path = folder / f"music{number}.wav"
        run("sox", *parts, path)
        yield path


def keys(path: Path, chance: random.Random) -> Path:
    import wave

    length = chance.randint(16000, 80000)
    rng = np.random.default_rng(chance.randint(0, 9999))
    sound = rng.normal(0, 0.001, length)
    at = 1600
    while at < length - 800:
        size = chance.randint(60, 400)
        click = rng.normal(0, 0.5, size) + 0.5 * np.sin(np.arange(size) * chance.uniform(0.6, 2.0))
        sound[at : at + size] += chance.uniform(0.1, 0.7) * np.exp(-np.arange(size) * 5 / size) * click
        at += chance.randint(1000, 5600)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def gate(recognizer: Recognizer, model: WhisperModel, folder: Path) -> None:
    invented = bare = count = 0
    for path in noises(folder):
        count += 1
        text = ours(recognizer, path).text
        heard = live(recognizer, decode_audio(str(path)), realtime=False)[0]
        if text or heard:
            print(f"{path.name}: {text!r}, live {heard!r}")
        invented += len(words(text)) + len(words(heard))
        found, _ = model.transcribe(decode_audio(str(path)), language="en")
        bare += len(words("".join(segment.text for segment in found)))
    print(
        f"{count} clips without speech: {invented} invented words; faster-whisper without its VAD: {bare}", flush=True
    )
    kept = kept_live = 0
    voices = ("en-gb", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-us+f3", "en-gb+f2", "en-gb+m3", "en-us+m7")
    for number, word in enumerate((*WORDS, *WORDS)):
        path = folder / "word.wav"
        speak(path, word, voices[(number * 3 + number // 20) % len(voices)], (130, 150, 175, 200)[number % 4])
        kept += bool(ours(recognizer, path).text)
        kept_live += bool(live(recognizer, decode_audio(str(path)), realtime=False)[0])
    print(f"40 short clips of speech: {kept} kept, live {kept_live}")


def timings(recognizer: Recognizer, folder: Path) -> None:
    for sentence in SENTENCES[:3]:
        path = folder / "live.wav"
        speak(path, sentence, "en-gb", 150)
        audio = decode_audio(str(path))
        text, first, last = live(recognizer, audio, realtime=True)
        print(f"{len(audio) / 16000:.1f} s: first text after {first:.2f} s, last {last:.2f} s after the end: {text}")


def speed(recognizer: Recognizer, model: WhisperModel, folder: Path) -> None:
    path = folder / "long.wav"
    for number, sentence in enumerate(SENTENCES):
        speak(folder / f"part{number}.wav", sentence, "en-gb", 150)
    run("sox", *(folder / f"part{number}.wav" for number in range(6)), path)
    length = len(decode_audio(str(path))) / 16000
    for _ in range(3):
        spent = []
        for work in (lambda: plain(model, decode_audio(str(path))), lambda: ours(recognizer, path)):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            spent.append((time.perf_counter() - wall, time.process_time() - cpu))
        (theirs, their_cpu), (own, own_cpu) = spent
        print(
            f"{length:.0f} s: plain {theirs / length:.4f}, worker {own / length:.4f} × real time, {own / theirs:.3f}; "
            f"by CPU time {own_cpu / their_cpu:.3f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("what", choices=("same", "gate", "live", "speed"))
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    place = Place(str(given.model), "cpu", "int8", given.threads)
    recognizer = Recognizer(place, Turns())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.what == "live":
            timings(recognizer, folder)
            return
        model = WhisperModel(str(given.model), device="cpu", compute_type="int8", cpu_threads=given.threads)
        {"same": same, "gate": gate, "speed": speed}[given.what](recognizer, model, folder)


if __name__ == "__main__":
    main()
