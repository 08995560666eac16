"""kill -9 in the middle of an answer: the question and the text so far are still there."""

import subprocess
import sys
from pathlib import Path

from localmind.errors import InternalError
from localmind.store.threads import Threads

WRITER = """
import itertools, sys
from pathlib import Path
from localmind.store.threads import DRAFT_SECONDS, Threads

ticks = itertools.count(step=DRAFT_SECONDS)
threads = Threads(Path(sys.argv[1]), monotonic=lambda: next(ticks))
thread = threads.create()
turn = threads.ask(thread.id, "Count as far as you can")
answer = threads.begin(turn.id, model="counter")
for number in itertools.count():
    threads.extend(answer, f"{number} ")
    if number == 100:
        print(thread.id, flush=True)
"""


def test_killing_the_process_in_mid_answer_keeps_the_question_and_the_partial_text(tmp_path: Path) -> None:
    path = tmp_path / "threads.db"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        thread_id = writer.stdout.readline().strip()
        writer.kill()
    assert thread_id

    threads = Threads(path)
    try:
        turn = threads.get(thread_id).turns[0]
        assert turn.question.content == "Count as far as you can"
        assert turn.answer is not None
        numbers = [int(word) for word in turn.answer.content.split()]
        assert len(numbers) > 100
        assert numbers == list(range(len(numbers)))
        assert turn.answer.state == "failed"
        assert isinstance(turn.answer.error, InternalError)
        assert turn.answer.finished_at is not None
        assert threads.ask(thread_id, "And now?").number == 2
    finally:
        threads.close()
