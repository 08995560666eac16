"""Live listening with a listener that counts: when passes run, when an utterance ends, what is kept of long speech."""

import itertools

import numpy as np
import pytest
from voice_fakes import BOILER, FakeListener, Heard, samples, silence

from localmind.errors import Cancelled
from localmind.events import Event
from localmind.speech import SAMPLE_RATE
from localmind.speech import Heard as Partial
from localmind.voice.audio import Samples
from localmind.voice.live import LONGEST_PIECE_S, ListenOptions
from localmind.voice.turns import FINAL, LIVE


@pytest.fixture(scope="module")
def speech() -> Samples:
    return samples(BOILER)


def partials(events: list[Event]) -> list[Partial]:
    return [event for event in events if isinstance(event, Partial)]


def test_silence_after_speech_ends_the_utterance_with_one_real_pass(speech: Samples) -> None:
    listener = FakeListener()
    heard = Heard(listener, ListenOptions()).run(np.concatenate([silence(1), speech, silence(4)]), end=False)
    [transcript] = heard.transcripts
    assert transcript.text
    assert transcript.duration < 1 + 5.5 + 1.6, "it did not wait for the four seconds"
    assert len(listener.real_passes) == 1, "the pass that ran ahead in the pause was the last one"
    assert listener.real_passes[0][1] == LIVE


def test_text_comes_while_somebody_speaks_and_what_settled_stays(speech: Samples) -> None:
    heard = Heard(FakeListener(), ListenOptions()).run(speech)
    shown = partials(heard.events)
    assert len(shown) >= 4
    for before, after in itertools.pairwise(shown):
        assert after.settled.startswith(before.settled)


def test_pressing_stop_in_the_middle_of_a_word_gives_the_last_pass_first_place(speech: Samples) -> None:
    listener = FakeListener()
    heard = Heard(listener, ListenOptions()).run(speech[: 2 * SAMPLE_RATE])
    assert heard.transcripts[0].text
    assert listener.real_passes[-1][1] == FINAL


def test_nothing_said_is_no_text_and_costs_no_pass() -> None:
    listener = FakeListener()
    heard = Heard(listener, ListenOptions()).run(silence(5))
    assert (heard.transcripts[0].text, heard.transcripts[0].silent) == ("", "nothing was said")
    assert listener.real_passes == []
    assert listener.quick_passes == []


def test_patience_ends_listening_when_nobody_begins() -> None:
    heard = Heard(FakeListener(), ListenOptions(patience_s=2.0)).run(silence(60), end=False)
    assert heard.transcripts[0].duration == pytest.approx(2.0, abs=0.3)


def test_without_silence_only_the_speaker_ends(speech: Samples) -> None:
    options = ListenOptions(silence_s=None)
    heard = Heard(FakeListener(), options).run(np.concatenate([speech, silence(8), speech, silence(1)]))
    [transcript] = heard.transcripts
    assert transcript.duration == pytest.approx(2 * len(speech) / SAMPLE_RATE + 9, abs=0.2)
    assert len(transcript.text.split()) >= 8


def test_going_on_gives_a_transcript_for_each_utterance_and_none_for_silence(speech: Samples) -> None:
    options = ListenOptions(continuous=True)
    heard = Heard(FakeListener(), options).run(np.concatenate([speech, silence(2), speech, silence(3)]))
    assert len(heard.transcripts) == 2
    assert all(each.text for each in heard.transcripts)


def test_a_long_dictation_is_cut_in_its_pauses_and_loses_nothing(speech: Samples) -> None:
    listener = FakeListener()
    minute = np.concatenate([part for _ in range(9) for part in (speech, silence(0.7))])
    heard = Heard(listener, ListenOptions()).run(minute)
    [transcript] = heard.transcripts
    assert len(listener.real_passes) >= 3
    assert max(seconds for seconds, _, _ in listener.real_passes) <= LONGEST_PIECE_S
    assert any(prompt for _, _, prompt in listener.real_passes), "later pieces know what came before"
    assert transcript.speech_s == pytest.approx(len(minute) / SAMPLE_RATE, rel=0.25)


def test_speech_without_any_pause_is_cut_before_the_model_s_window_ends(speech: Samples) -> None:
    voiced = speech[int(0.2 * SAMPLE_RATE) : int(4.6 * SAMPLE_RATE)]
    listener = FakeListener()
    Heard(listener, ListenOptions(partial=False)).run(np.concatenate([voiced] * 14))
    assert len(listener.real_passes) >= 2
    assert max(seconds for seconds, _, _ in listener.real_passes) <= LONGEST_PIECE_S + 1


def test_an_odd_byte_between_two_pieces_shifts_nothing(speech: Samples) -> None:
    even = Heard(FakeListener(), ListenOptions()).run(speech)
    odd = Heard(FakeListener(), ListenOptions())
    data = (speech * 32767).astype("<i2").tobytes()
    for start in range(0, len(data), 3201):
        odd.inbox.put(data[start : start + 3201])
    odd.inbox.end()
    odd.live.run()
    assert odd.transcripts[0].text == even.transcripts[0].text


def test_one_who_hangs_up_gets_no_text(speech: Samples) -> None:
    heard = Heard(FakeListener(), ListenOptions())
    heard.gone = True
    with pytest.raises(Cancelled):
        heard.run(speech)
    assert heard.transcripts == []
