"""More of vim's keys: back to ends of words, brackets and their partners, what stands in them and in quotes, and `.`.

As in test_vim each case is a text, keys from normal mode with the cursor at its end, and what Vim 9.0 makes of them.
"""

import pytest
from textual.widgets import TextArea
from tui_driver import Start
from vi_typist import Editor, press, shown

from localmind_tui.vim.modes import Vim

BRACES = "if (a) {\n    b(c[1], d);\n}\nelse {}"

BACKWARD = [
    ("one, two.three\n\nfour five", "g e x", "one, two.three\n\nfou| five"),
    ("one, two.three\n\nfour five", "b g e x", "one, two.three\n\nfou| five"),
    ("one, two.three\n\nfour five", "0 g e x", "one, two.three\n|\nfour five"),
    ("one, two.three\n\nfour five", "2 g e x", "one, two.three\n|\nfour five"),
    ("one, two.three\n\nfour five", "3 g e x", "one, two.thr|e\n\nfour five"),
    ("one, two.three\n\nfour five", "0 2 g E x", "one, two.thr|e\n\nfour five"),
    ("one, two.three\n\nfour five", "9 g e x", "|ne, two.three\n\nfour five"),
    ("one two three", "d g e", "one t|w"),
    ("one two three", "0 d g e", "|one two three"),
    ("one two three", "b d g e", "one tw|hree"),
    ("one two three", "d 2 g E", "o|n"),
    ("one two three", "b v g e d", "one tw|hree"),
    ("one two three", "y g e P", "one two thre|eo three"),
    ("f(a, (b c), d) e", "0 % x", "f(a, (b c), d| e"),
    ("f(a, (b c), d) e", "$ b b % x", "f|a, (b c), d) e"),
    ("f(a, (b c), d) e", "0 f b d %", "f(a, | c), d) e"),
    ("f(a, (b c), d) e", "0 d %", "| e"),
    ("f(a, (b c), d) e", "0 f , % x", "f(a, (b c|, d) e"),
    (BRACES, "g g f { % x", "if (a) {\n    b(c[1], d);\n|\nelse {}"),
    (BRACES, "g g f { d %", "if (a)| \nelse {}"),
    (BRACES, "g g f [ y % P", "if (a|)if (a) {\n    b(c[1], d);\n}\nelse {}"),
    (BRACES, "g g v % d", "| {\n    b(c[1], d);\n}\nelse {}"),
    ("no brackets", "0 % x", "|o brackets"),
    ("(one", "0 % x", "|one"),
    ("(one", "0 d %", "|(one"),
    ("one\ntwo\nthree", "5 0 % x", "one\n|wo\nthree"),
    ("one\ntwo\nthree", "g g d 5 0 %", "|three"),
    ("one\ntwo\nthree", "1 0 1 % x", "one\ntwo\nthr|e"),
    ("[one (two] three)", "0 % x", "[one (two| three)"),
]
ENCLOSED = [
    ('say "one two" and "three" end', '0 f n d i "', 'say "|" and "three" end'),
    ('say "one two" and "three" end', '0 f n d a "', 'say |and "three" end'),
    ('say "one two" and "three" end', 'd a "', 'say "one two" and "three" en|d'),
    ('say "one two" and "three" end', '0 d i "', 'say "|" and "three" end'),
    ('say "one two" and "three" end', '0 c i " X escape', 'say "|X" and "three" end'),
    ('say "one two" and "three" end', '0 f a d i "', 'say "|" and "three" end'),
    ('say "one two" and "three" end', '0 f n d 2 i "', 'say | and "three" end'),
    ('say "one two" and "three" end', '0 f n v i " d', 'say "|" and "three" end'),
    ('say "one two" and "three" end', '0 f n v a " U', 'say |"ONE TWO" and "three" end'),
    ('say "one two" and "three" end', '0 f n y i " P', 'say "one tw|oone two" and "three" end'),
    ('say "one two" and "three" end', '$ d i "', 'say "one two" and "three" en|d'),
    ("it's 'a b' c", "0 f a d i '", "it's '|' c"),
    ("a `b c`", "d a `", "|a"),
    ('""', '0 d i "', '"|"'),
    ('""', '0 c i " X escape', '"|X"'),
    ('a "b \\" c" d', '0 f b d i "', 'a "|" d'),
    ('one "two', 'd i "', 'one "tw|o'),
    ("one two", '0 d i "', "|one two"),
    ("f(a, (b c), d) e", "0 f b d i (", "f(a, (|), d) e"),
    ("f(a, (b c), d) e", "0 f b d a (", "f(a, |, d) e"),
    ("f(a, (b c), d) e", "0 f b d 2 i (", "f(|) e"),
    ("f(a, (b c), d) e", "0 f b 2 d a b", "f| e"),
    ("f(a, (b c), d) e", "0 d i (", "f(|) e"),
    ("f(a, (b c), d) e", "0 l d i b", "f(|) e"),
    ("f(a, (b c), d) e", "0 f c c i ) X escape", "f(a, (|X), d) e"),
    ("f(a, (b c), d) e", "0 f b v i ( d", "f(a, (|), d) e"),
    ("f(a, (b c), d) e", "0 f b v i ( i ( d", "f(|) e"),
    ("f(a, (b c), d) e", "0 f b v a ( a ( d", "f| e"),
    ("f(a, (b c), d) e", "0 f b y i ( P", "f(a, (b |cb c), d) e"),
    ("f(a, (b c), d) e", "d i (", "f(a, (b c), d) |e"),
    ("f(a, (b c), d) e", "d i {", "f(a, (b c), d) |e"),
    ("f()", "0 l d i (", "f(|)"),
    ("f()", "0 l c i ( X escape", "f(|X)"),
    ("f()", "0 l v i ( d", "f|)"),
    (BRACES, "g g j d i {", "if (a) {\n|}\nelse {}"),
    (BRACES, "g g j d a {", "if (a)| \nelse {}"),
    (BRACES, "g g j c i { X escape", "if (a) {\n|X\n}\nelse {}"),
    (BRACES, "g g j > i {", "if (a) {\n        |b(c[1], d);\n}\nelse {}"),
    (BRACES, "g g j v i { d", "if (a) {\n|}\nelse {}"),
    (
        "if (a) {\n    b(c[1], d);\n}\nelse {}",
        "g g j y i B P",
        "if (a) {\n    |b(c[1], d);\n    b(c[1], d);\n}\nelse {}",
    ),
    (BRACES, "g g j f c d i [", "if (a) {\n    b(c[|], d);\n}\nelse {}"),
    (BRACES, "g g j f 1 d a ]", "if (a) {\n    b(c|, d);\n}\nelse {}"),
    (BRACES, "g g j f 1 d i {", "if (a) {\n|}\nelse {}"),
    ("a <b c> d", "0 f b d i <", "a <|> d"),
    ("a <b c> d", "0 f b d a >", "a | d"),
    ("(\none two\n)", "g g j d i (", "(\n|)"),
    ("(\none two\n)", "g g j d a (", "|"),
    ("{ one }", "0 l l c i } X escape", "{|X}"),
    ("one two three", "0 d 2 i w", "|two three"),
    ("one two three", "0 c 3 i w X escape", "|X three"),
    ("one two three", "0 d 2 a w", "|three"),
]
AGAIN = [
    ("one two three", "0 x .", "|e two three"),
    ("one two three", "0 x 3 .", "|two three"),
    ("one two three", "0 2 x .", "|two three"),
    ("one two three", "0 2 x 3 . .", "|three"),
    ("one two three", "0 d w .", "|three"),
    ("one two three", "0 2 d w .", "|"),
    ("one two three", "0 d w 2 .", "|"),
    ("a b c d e f g h", "0 2 d 2 w .", "|"),
    ("one two three", "0 c w X escape w .", "X |X three"),
    ("one two three", "0 c w X escape w . 0 .", "|X X three"),
    ("one two three", "0 i X escape .", "|XXone two three"),
    ("one two three", "0 a X Y escape .", "oXYX|Yne two three"),
    ("one two three", "0 A X escape 0 .", "one two threeX|X"),
    ("one two three", "I X escape $ .", "|XXone two three"),
    ("one two three", "0 3 i X escape", "XX|Xone two three"),
    ("one two three", "0 3 i X escape .", "XXXX|XXone two three"),
    ("one two three", "0 i X escape 3 . .", "XXXX|XXXone two three"),
    ("one\ntwo\nthree", "g g o X escape .", "one\nX\n|X\ntwo\nthree"),
    ("one\ntwo\nthree", "O X escape .", "one\ntwo\n|X\nX\nthree"),
    ("one\ntwo\nthree", "g g 2 o X escape", "one\nX\n|X\ntwo\nthree"),
    ("one\ntwo\nthree", "g g o X escape 2 .", "one\nX\nX\n|X\ntwo\nthree"),
    ("one\ntwo\nthree", "g g A X escape j . j .", "oneX\ntwoX\nthree|X"),
    ("one\ntwo\nthree", "g g d d .", "|three"),
    ("a\nb\nc\nd\ne", "g g d d 2 . p", "d\n|b\nc\ne"),
    ("one\ntwo\nthree", "g g > > j .", "    one\n    |two\nthree"),
    ("one\ntwo\nthree", "g g J .", "one two| three"),
    ("one\ntwo\nthree", "g g y y p . .", "one\none\none\n|one\ntwo\nthree"),
    ("one two three", "0 y w P .", "oneone|  one two three"),
    ("one two three", "0 ~ .", "ON|e two three"),
    ("one two three", "0 r z l .", "z|ze two three"),
    ("one two three", "0 3 r z w .", "zzz zz|z three"),
    ("one two three", "0 d f o .", "| three"),
    ("one two three", "0 d i w w .", " | three"),
    ("one two three", "0 d i w w 2 .", " |three"),
    ("one two three", "0 D u .", "|"),
    ("one two three", "0 w C X escape 0 .", "|X"),
    ("one\ntwo\nthree", "g g S X escape j .", "X\n|X\nthree"),
    ("one two three", "0 s X escape l .", "X|Xe two three"),
    ("one two three", "$ X .", "one two th|e"),
    ("one two three", ".", "one two thre|e"),
    ("one two three", "0 y w .", "|one two three"),
    ("one two three", "0 x y w .", "|e two three"),
    ("one two three", "0 x d f z .", "|e two three"),
    ("one two three", "0 v e d .", "|o three"),
    ("one two three", "0 v e d 3 .", "|o three"),
    ("one two three", "0 v e c X escape w .", "X |X three"),
    ("one two three", "0 v e U w .", "ONE |TWO three"),
    ("one two three", "0 v l r z w .", "zze |zzo three"),
    ("a b\nc d\ne f\ng h", "g g v j d .", "| f\ng h"),
    ("one\ntwo\nthree", "g g V > j .", "    one\n    |two\nthree"),
    ("one\ntwo\nthree", "g g V d .", "|three"),
    ("one\ntwo\nthree", "g g V j > . .", "            |one\n            two\nthree"),
    ("one\ntwo\nthree", "g g V c X escape j .", "X\n|X\nthree"),
    ("one\ntwo\nthree", "g g v $ d .", "|three"),
    ("a\nb\nc\nd", "g g V j J j .", "a b\nc| d"),
    ('say "one two" and "three" end', '0 c i " X escape w w w .', 'say "X" and "|X" end'),
    ("f(a, (b c), d) e", "0 f b d i ( .", "f(a, (|), d) e"),
    (BRACES, "g g j d i { u .", "if (a) {\n|}\nelse {}"),
    ("one two three", "d g e .", "o|n"),
    ("one two three", "0 x p .", "no|oe two three"),
    ("a b", "0 c w X escape w 2 .", "X |X"),
    ("one two three", "0 x u .", "|ne two three"),
    ("one two three", "0 d w escape .", "|three"),
    ("one two three", "0 i escape .", "|one two three"),
    ("one two three", "0 c w escape w .", "|  three"),
]


@pytest.mark.parametrize("cases", [BACKWARD, ENCLOSED, AGAIN], ids=["backward", "enclosed", "again"])
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


async def test_what_was_pasted_or_completed_while_typing_is_typed_again_and_undone_at_once(start: Start) -> None:
    async with start() as driver:
        driver.composer.use_vim(True)
        driver.type("one two three")
        await driver.press("escape", "0", "c", "w", "a")
        driver.composer.insert("nother")
        await driver.press("escape", "w", ".", "w", ".")
        assert driver.composer.text == "another another another"
        await driver.press("u")
        assert driver.composer.text == "another another three"
        assert driver.composer.vim is not None
        assert driver.composer.vim.mode == "normal"


async def test_what_was_changed_elsewhere_while_typing_is_not_typed_again(start: Start) -> None:
    async with start() as driver:
        driver.composer.use_vim(True)
        driver.type("one two three")
        await driver.press("escape", "0", "i", "X")
        driver.composer.load_text("another question")  # as when one that was asked before is fetched
        await driver.press("escape", ".")
        assert driver.composer.text == "another question"
