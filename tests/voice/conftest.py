"""One Whisper model for all tests of speech: loading it takes a second."""

from pathlib import Path

import pytest

from localmind.models.store import Store
from localmind.voice.recognizer import Place, Recognizer
from localmind.voice.turns import Turns


@pytest.fixture(scope="session")
def speech_model_dir(starter_store: Store) -> Path:
    """whisper:tiny.en for CTranslate2."""
    return starter_store.locate("whisper:tiny.en")


@pytest.fixture(scope="session")
def recognizer(speech_model_dir: Path) -> Recognizer:
    return Recognizer(Place(str(speech_model_dir), "cpu", "int8", 2), Turns())
