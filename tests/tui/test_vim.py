"""Vim's keys in the question, by what the real vim makes of the same keys.

Each case is a text, keys from normal mode with the cursor at its end, and the text that comes of it with `|` where the
cursor is. Every one of them is what Vim 9.0 answers (`vim -u NONE -N`, shiftwidth=4, expandtab), as were all but rare
corners of thousands of random ones.
"""

import random

import pytest
from textual.widgets import TextArea
from textual.widgets.text_area import Selection
from tui_driver import Start
from vi_typist import Editor, press, shown

from localmind.events import Done
from localmind_tui.vim.modes import Vim

MOTIONS = [
    ("one two three", "0 w x", "one |wo three"),
    ("one two three", "0 2 w x", "one two |hree"),
    ("one two three", "0 e x", "on| two three"),
    ("one two three", "0 2 e x", "one tw| three"),
    ("one two three", "b b x", "one |wo three"),
    ("a.b c.d", "0 W x", "a.b |.d"),
    ("a.b c.d", "B x", "a.b |.d"),
    ("a.b c.d", "0 E x", "a.| c.d"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g w w w x", "one two\nthree |our\n\nfive, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g w w w w x", "one two\nthree four\n|\nfive, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g e e e e e x", "one two\nthree four\n\nfiv|, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g e e e e e e x", "one two\nthree four\n\nfive| six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "b b x", "one two\nthree four\n\nfive, |ix\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "b b b b x", "one two\nthree four\n\n|ive, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "b b b b b x", "one two\nthree four\n|\nfive, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g } x", "one two\nthree four\n|\nfive, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "2 G x", "one two\n|hree four\n\nfive, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "G ^ x", "one two\nthree four\n\nfive, six\n  |even"),
    ("one two\nthree four\n\nfive, six\n  seven", "G 0 x", "one two\nthree four\n\nfive, six\n| seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "4 g g x", "one two\nthree four\n\n|ive, six\n  seven"),
    ("one\na\nthree", "g g 0 l l j j x", "one\na\nth|ee"),
    ("one\na\nthree", "g g $ j j x", "one\na\nthr|e"),
    ("one two three", "0 f t x", "one |wo three"),
    ("one two three", "0 2 f t x", "one two |hree"),
    ("one two three", "0 f t ; x", "one two |hree"),
    ("one two three", "0 f t ; , x", "one |wo three"),
    ("one two three", "0 t t x", "one|two three"),
    ("one two three", "0 t t ; x", "one two|three"),
    ("one two three", "$ F t x", "one two |hree"),
    ("one two three", "$ T t x", "one two t|ree"),
    ("one two three", "0 f z x", "|ne two three"),
    ("one two three", "0 ; x", "|ne two three"),
    ("  one", "0 ^ x", "  |ne"),
    ("one two three", "9 9 9 h x", "|ne two three"),
]
OPERATORS = [
    ("one two three", "0 d w", "|two three"),
    ("one two three", "0 2 d w", "|three"),
    ("one two three", "0 d 2 w", "|three"),
    ("one two three", "0 w d e", "one | three"),
    ("one two three", "$ d b", "one two |e"),
    ("one two three", "0 w D", "one| "),
    ("one two three", "0 w d $", "one| "),
    ("one two three", "0 w d 0", "|two three"),
    ("one two three", "0 d f w", "|o three"),
    ("one two three", "0 d t w", "|wo three"),
    ("one two three", "$ d F w", "one t|e"),
    ("one two three", "$ d T w", "one tw|e"),
    ("one two three", "0 d f z", "|one two three"),
    ("one two three", "0 c f z d w", "|two three"),
    ("one two three", "0 c w", "| two three"),
    ("one two three", "0 2 c w", "| three"),
    ("a two", "0 c w", "| two"),
    ("one  two", "0 l l l c w", "one|two"),
    ("one two three", "0 l l c w", "on| two three"),
    ("one two three", "0 w C", "one |"),
    ("one\ntwo", "g g d w", "|\ntwo"),
    ("one\ntwo three", "g g d 2 w", "|three"),
    ("one\ntwo\nthree", "g g d d", "|two\nthree"),
    ("one\ntwo\nthree", "g g 2 d d", "|three"),
    ("one\ntwo\nthree", "g g 9 d d", "|"),
    ("one\ntwo\nthree", "d d", "one\n|two"),
    ("one\ntwo\nthree", "2 d d", "one\ntwo\nthre|e"),
    ("one\ntwo\nthree", "g g d j", "|three"),
    ("one\ntwo\nthree", "d k", "|one"),
    ("one\ntwo\nthree", "d j", "one\ntwo\nthre|e"),
    ("one\ntwo\nthree", "g g d G", "|"),
    ("one\ntwo\nthree", "d g g", "|"),
    ("one\ntwo\nthree", "g g c c", "|\ntwo\nthree"),
    ("one\ntwo\nthree", "g g c j", "|\nthree"),
    ("one\ntwo\nthree", "g g j S", "one\n|\nthree"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g d }", "|\nfive, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g l d }", "|o\n\nfive, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "d {", "one two\nthree four\n|n"),
    ("one two three", "0 w l d i w", "one | three"),
    ("one two three", "0 w l d a w", "one |three"),
    ("one two three", "$ d a w", "one tw|o"),
    ("one two three", "0 c i w", "| two three"),
    ("a.b c", "0 d i W", "| c"),
    ("a.b c", "0 d a W", "|c"),
    ("one  two", "0 l l l d i w", "one|two"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g d i p", "|\nfive, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g d a p", "|five, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "d a p", "one two\n|three four"),
    (
        "one two\nthree four\n\nfive, six\n  seven",
        "g g y i p P",
        "|one two\nthree four\none two\nthree four\n\nfive, six\n  seven",
    ),
    ("one\ntwo\nthree", "g g > >", "    |one\ntwo\nthree"),
    ("one\ntwo\nthree", "g g > j", "    |one\n    two\nthree"),
    ("    one\n  two\n three", "g g < G", "|one\ntwo\nthree"),
    ("      one", "< <", "  |one"),
    ("one\ntwo\nthree", "g g 2 > >", "    |one\n    two\nthree"),
    ("one two three", "0 d 2 x", "|one two three"),
    ("one two three", "0 y w P", "one| one two three"),
    ("one two three", "0 y w $ p", "one two threeone| "),
    ("one two three", "0 y e 2 P", "oneon|eone two three"),
    ("one\ntwo\nthree", "g g y y p", "one\n|one\ntwo\nthree"),
    ("one\ntwo\nthree", "g g y y P", "|one\none\ntwo\nthree"),
    ("one\ntwo\nthree", "g g y j G p", "one\ntwo\nthree\n|one\ntwo"),
    ("one\ntwo\nthree", "g g y y 2 p", "one\n|one\none\ntwo\nthree"),
    ("one\ntwo\nthree", "g g d d p", "two\n|one\nthree"),
    ("one", "Y p", "one\n|one"),
    ("one\ntwo", "g g y } P", "|one\ntwoone\ntwo"),
    ("one two three", "0 d w w P", "two one| three"),
    ("one two three", "0 d escape w x", "one |wo three"),
    ("one two three", "0 d i escape x", "|ne two three"),
    ("one two three", "0 d q x", "|ne two three"),
]
COMMANDS = [
    ("one two three", "0 x", "|ne two three"),
    ("one two three", "0 3 x", "| two three"),
    ("one two three", "$ x p", "one two thre|e"),
    ("one two three", "0 x p", "n|oe two three"),
    ("one two three", "0 w X", "one|two three"),
    ("one two three", "0 w 2 X", "on|two three"),
    ("one two three", "0 r O", "|One two three"),
    ("one two three", "0 3 r z", "zz|z two three"),
    ("one two three", "$ 3 r z", "one two thre|e"),
    ("one two three", "0 ~", "O|ne two three"),
    ("one two three", "0 5 ~", "ONE T|wo three"),
    ("one\ntwo\nthree", "g g J", "one| two\nthree"),
    ("one\ntwo\nthree", "g g 3 J", "one two| three"),
    ("one\ntwo\nthree", "J", "one\ntwo\nthre|e"),
    ("one\n  two", "g g J", "one| two"),
    ("one \ntwo", "g g J", "one |two"),
    ("one\n\ntwo", "g g 3 J", "one| two"),
    ("one two three", "0 s", "|ne two three"),
    ("one two three", "0 3 s", "| two three"),
    ("one two three", "I", "|one two three"),
    ("  one", "I", "  |one"),
    ("one two three", "0 A", "one two three|"),
    ("one two three", "0 a", "o|ne two three"),
    ("one", "o", "one\n|"),
    ("one", "O", "|\none"),
    ("one\ntwo\nthree", "g g o", "one\n|\ntwo\nthree"),
    ("one\ntwo\nthree", "O", "one\ntwo\n|\nthree"),
    ("one two three", "0 d w u", "|one two three"),
    ("one two three", "0 d w d w 2 u", "|one two three"),
    ("one\ntwo\nthree", "g g > j u", "|one\ntwo\nthree"),
    ("one\ntwo\nthree", "g g J u", "|one\ntwo\nthree"),
    ("", "x", "|"),
    ("", "d d", "|"),
    ("", "p J w b e G", "|"),
    ("one", "9 9 l x", "o|n"),
    ("one two three", "0 3 r z u", "|one two three"),
]
VISUAL = [
    ("one two three", "0 v d", "|ne two three"),
    ("one two three", "0 v e d", "| two three"),
    ("one two three", "0 v w d", "|wo three"),
    ("one two three", "0 v l l y P", "on|eone two three"),
    ("one two three", "0 v e y $ p", "one two threeon|e"),
    ("one two three", "0 w v e c", "one | three"),
    ("one two three", "0 w v e s", "one | three"),
    ("one two three", "0 w v e x", "one | three"),
    ("one two three", "$ v b d", "one two| "),
    ("one two three", "$ v b b d", "one| "),
    ("one two three", "0 v $ d", "|"),
    ("one\ntwo", "g g v $ d", "|two"),
    ("one\ntwo", "g g v $ y P", "|one\none\ntwo"),
    ("one\ntwo", "g g l v j d", "o|o"),
    ("one\ntwo", "v k d", "o|n"),
    ("one two three", "0 w v o h d", "one|wo three"),
    ("one two three", "0 v e o o l d", "|two three"),
    ("one two three", "0 v f t d", "|wo three"),
    ("one two three", "0 v t t d", "|two three"),
    ("one two three", "0 v 2 f t d", "|hree"),
    ("one two three", "0 v f t ; d", "|hree"),
    ("one two three", "$ v F t d", "one two| "),
    ("one two three", "0 v 2 e d", "| three"),
    ("one two three", "0 v 3 l d", "|two three"),
    ("one two three", "0 w l v i w d", "one | three"),
    ("one two three", "0 w l v a w d", "one |three"),
    ("one two three", "0 v i w i w d", "|two three"),
    ("a.b c", "0 v i W d", "| c"),
    ("a.b c", "0 v a W d", "|c"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g v i p d", "|\nfive, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g v a p d", "|five, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g v } d", "|five, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "v { d", "one two\nthree four\n|"),
    ("one two\nthree four\n\nfive, six\n  seven", "v g g d", "|"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g v G d", "|even"),
    ("one two three", "0 v e ~", "|ONE two three"),
    ("one two three", "0 v e U", "|ONE two three"),
    ("one two three", "0 v e U u", "|one two three"),
    ("ONE two", "0 v e u", "|one two"),
    ("one two three", "0 v e r z", "|zzz two three"),
    ("one\ntwo", "g g v j r z", "|zzz\nzwo"),
    ("one\ntwo\nthree", "g g v j J", "one| two\nthree"),
    ("one\ntwo\nthree", "g g v J", "one| two\nthree"),
    ("one\ntwo\nthree", "g g v j >", "    |one\n    two\nthree"),
    ("one\ntwo\nthree", "g g v j 2 >", "        |one\n        two\nthree"),
    ("    one\n    two", "g g v j <", "|one\ntwo"),
    ("one two three", "0 v e escape x", "on| two three"),
    ("one two three", "0 v e v x", "on| two three"),
    ("one two three", "0 v e 2 escape x", "on| two three"),
    ("one two three", "0 v e escape g v d", "| two three"),
    ("one two three", "0 v e y $ g v d", "| two three"),
    ("one two three", "0 w v e y 0 v e p", "tw|o two three"),
    ("one two three", "0 w v e y 0 v e p $ p", "two two threeon|e"),
    ("one two three", "0 w v e y 0 v e P $ p", "two two threetw|o"),
    ("one\ntwo\nthree", "g g y y j v l p", "one\n\n|one\no\nthree"),
    ("one\ntwo\nthree", "g g v l y j V p", "one\n|on\nthree"),
    ("one\ntwo\nthree", "g g v e D", "|two\nthree"),
    ("one\ntwo\nthree", "g g v e Y P", "|one\none\ntwo\nthree"),
    ("one\ntwo\nthree", "g g v e C", "|\ntwo\nthree"),
    ("one\ntwo\nthree", "g g v e S", "|\ntwo\nthree"),
    ("one\ntwo\nthree", "g g v e R", "|\ntwo\nthree"),
    ("", "v d", "|"),
    ("", "v y p", "|"),
    ("", "V d", "|"),
    ("one two three", "0 v q d", "|ne two three"),
]
LINES = [
    ("one\ntwo\nthree", "g g V d", "|two\nthree"),
    ("one\ntwo\nthree", "g g V j d", "|three"),
    ("one\ntwo\nthree", "V k d", "|one"),
    ("one\ntwo\nthree", "V d", "one\n|two"),
    ("one\ntwo\nthree", "g g V G d", "|"),
    ("one\ntwo\nthree", "g g V y P", "|one\none\ntwo\nthree"),
    ("one\ntwo\nthree", "g g V j y G p", "one\ntwo\nthree\n|one\ntwo"),
    ("one\ntwo\nthree", "g g V c", "|\ntwo\nthree"),
    ("one\ntwo\nthree", "g g V j c", "|\nthree"),
    ("one\ntwo\nthree", "g g V j J", "one| two\nthree"),
    ("one\ntwo\nthree", "g g V >", "    |one\ntwo\nthree"),
    ("one\ntwo\nthree", "g g V j >", "    |one\n    two\nthree"),
    ("one\ntwo\nthree", "g g V j > u", "|one\ntwo\nthree"),
    ("one\ntwo\nthree", "g g V U", "|ONE\ntwo\nthree"),
    ("one\ntwo\nthree", "g g V j ~", "|ONE\nTWO\nthree"),
    ("one\ntwo\nthree", "g g V r z", "|zzz\ntwo\nthree"),
    ("one\ntwo\nthree", "g g V y j V p", "one\n|one\nthree"),
    ("one\ntwo\nthree", "g g V y j V p P", "one\n|two\none\nthree"),
    ("one\ntwo\nthree", "g g V y G V P p", "one\ntwo\none\n|one"),
    ("one\ntwo\nthree", "g g V v l d", "|e\ntwo\nthree"),
    ("one\ntwo\nthree", "g g v V d", "|two\nthree"),
    ("one\ntwo\nthree", "g g V V x", "|ne\ntwo\nthree"),
    ("one\ntwo\nthree", "g g V escape x", "|ne\ntwo\nthree"),
    ("one\ntwo\nthree", "g g V j o k escape x", "|ne\ntwo\nthree"),
    ("one\ntwo\nthree", "g g V j escape G g v d", "|three"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g V i p d", "|\nfive, six\n  seven"),
    ("one two\nthree four\n\nfive, six\n  seven", "g g V } d", "|five, six\n  seven"),
    ("one\n\n\ntwo", "g g V 2 j d", "|two"),
    ("one\ntwo\nthree", "g g V $ j d", "|three"),
    ("one\ntwo\nthree", "g g l V j y x", "|ne\ntwo\nthree"),
    ("a", "V p", "|"),
    ("one\ntwo\nthree", "g g V x p", "two\n|one\nthree"),
    ("one\ntwo\nthree", "g g V X", "|two\nthree"),
    ("one\ntwo\nthree", "g g V D", "|two\nthree"),
    ("one\ntwo\nthree", "g g V Y p", "one\n|one\ntwo\nthree"),
]


@pytest.mark.parametrize(
    "cases",
    [MOTIONS, OPERATORS, COMMANDS, VISUAL, LINES],
    ids=["motions", "operators", "commands", "visual", "lines"],
)
async def test_keys_edit_as_in_vi(cases: list[tuple[str, str, str]]) -> None:
    app = Editor()
    async with app.run_test():
        area = app.query_one(TextArea)
        for text, keys, result in cases:
            area.load_text(text)
            area.move_cursor(area.document.end)
            vim = Vim()
            press(vim, area, ["escape", *keys.split()])
            assert shown(area) == result, (text, keys)


async def test_no_keys_break_it_and_normal_mode_marks_nothing() -> None:
    chance = random.Random(7)
    words = [
        "escape",
        "up",
        "down",
        "left",
        "delete",
        "backspace",
        *"hjklwbeWBE0^$gG{}fFtT;,dcy><iaoOxXsSDCYJ~rpPuvV123 q.%.%\"'()[",
    ]
    app = Editor()
    async with app.run_test():
        area = app.query_one(TextArea)
        for _ in range(400):
            area.load_text(
                chance.choice(["", "one", "one two\n\n  three", "\n\n", "  ", "日本 e\u0301\n\tx", "a (b\n) 'c' \"d\""])
            )
            vim = Vim()
            keys = ["escape", *chance.choices(words, k=30)]
            press(vim, area, keys)
            if vim.mode == "normal":
                assert area.selection.is_empty, keys
            elif vim.marking:
                assert vim.marked(area) in area.text, keys


async def test_visual_mode_is_told_and_what_it_marks_is_copied_whole(start: Start) -> None:
    async with start() as driver:
        driver.composer.use_vim(True)
        driver.type("one two three")
        await driver.press("escape", "0", "w", "v", "e")
        assert driver.composer.border_title == "Ask your files · visual mode: y d c p, Esc ends it"
        assert not driver.composer.cursor_blink  # it shows that the character under it is marked too
        await driver.press("ctrl+c")
        await driver.until(lambda: driver.app.clipboard == "two")
        assert driver.composer.vim is not None
        assert driver.composer.vim.mode == "visual"
        await driver.press("ctrl+x")
        await driver.until(lambda: driver.composer.text == "one  three")
        await driver.press("V")
        assert driver.composer.border_title == "Ask your files · visual lines: y d c p, Esc ends it"
        await driver.press("enter")  # it is sent in every mode, and nothing is marked in what comes then
        await driver.until(lambda: driver.chat.answering and driver.composer.text == "")
        assert driver.composer.border_title.endswith("normal mode, i inserts")
        await driver.press("i")
        assert driver.composer.cursor_blink
        driver.daemon.say(Done())


async def test_what_the_mouse_marks_is_visual_mode_too(start: Start) -> None:
    async with start() as driver:
        driver.composer.use_vim(True)
        driver.type("one two three")
        await driver.press("escape")
        driver.composer.selection = Selection((0, 4), (0, 8))
        await driver.press("d")
        assert driver.composer.text == "one three"
        driver.composer.selection = Selection((0, 6), (0, 3))
        await driver.press("x")
        assert driver.composer.text == "oneree"
        await driver.press("v", "h")
        driver.composer.move_cursor((0, 0))  # a click elsewhere ends it
        await driver.press("x")
        assert driver.composer.text == "neree"


async def test_in_normal_mode_the_arrows_find_what_was_asked_before(start: Start) -> None:
    async with start() as driver:
        await driver.settled("an older one", Done())
        driver.composer.use_vim(True)
        await driver.press("escape", "up")
        assert driver.composer.text == "an older one"
        await driver.press("down")
        assert driver.composer.text == ""
