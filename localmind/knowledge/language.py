"""Words of other languages than English, for a full-text index that stems English and splits at blanks.

Chinese, Japanese and Korean are written without blanks, or with endings grown onto words: their runs are
indexed as pairs of characters, in a column of their own. German, French, Spanish, Italian, Dutch and Portuguese
questions lose their small words, and look for the beginnings of the others, since the index does not know their
endings. camelCase names are indexed by their parts as well. Pure functions; the index and the query must use the same.
"""

import re
import unicodedata
from collections.abc import Iterator

# Bounds what one chunk adds to the index, in characters.
EXTRA_LIMIT = 8000
# A beginning is never shorter than this, and at most so many letters shorter than its word.
STEM_MINIMUM, STEM_CUT = 4, 2

_RUN = re.compile(
    "["
    "\u3040-\u30ff"  # Hiragana, Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\uac00-\ud7af"  # Hangul
    "\u0e00-\u0e7f"  # Thai
    "\U00020000-\U0003134f"
    "]+"
)
_HUMP = re.compile("[a-z][A-Z]")
_CAMEL = re.compile(r"\b[A-Za-z]*[a-z][A-Z][A-Za-z]*\b")
_CAMEL_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

STOP_WORDS = {
    "en": frozenset(
        """a about above after again all also am an and any are as at be because been before being below
        between both but by can could did do does doing done down during each else ever few for from further
        get gets got had has have having he her here hers him his how i if in into is it its itself just me
        more most much my no nor not now of off on once only or other our ours out over own please same she
        should so some such tell than that the their theirs them then there these they this those through to
        too under until up us use used using very was we were what when where which while who whom whose why
        will with would you your yours""".split()  # noqa: SIM905
    ),
    "de": frozenset(
        """aber als am an auch auf aus bei beim bin bis da damit dann das dass dein deine dem den denn der des
        die dies diese dieser dieses doch du durch ein eine einem einen einer eines er es für hat habe haben
        hatte hatten ich ihr ihre im in ins ist ja kann kein keine können man mein meine meinem meinen
        meiner mich mir mit muss nach nicht noch nur oder ob sein seine sich sie sind so über um und uns
        unser unsere unserem unseren unserer vom von vor war waren was wann warum wo woher wohin welche
        welcher welches wer wem wen wessen wie wieviel wir wird wurde wurden zu zum zur""".split()  # noqa: SIM905
    ),
    "fr": frozenset(
        """a ai au aux avec avez avons ce ces cet cette combien comment dans de depuis des du elle en est et
        été être eu il ils je la le les leur leurs lui ma mais me mes moi mon ne nos notre nous on ont ou où
        par pas pendant pour pourquoi qu quand que quel quelle quelles quels qui quoi sa sans se ses son
        sont sur ta te tes toi ton tu un une vos votre vous y c d j l m n s t""".split()  # noqa: SIM905
    ),
    "es": frozenset(
        """a al cómo como con cuál cuándo cuando cuánto de del desde donde dónde el ella en entre era es esta
        este esto está están fue ha han hay la las le lo los más me mi mis muy no nos nuestra nuestro o para
        pero por porque qué que quién se ser si sin sobre son su sus también te tiene un una uno y ya yo""".split()  # noqa: SIM905
    ),
    "it": frozenset(
        """a al alla che chi ci come con cosa da dal dalla dei del della delle di dove e è era gli ha hanno i
        il in io la le lo ma mi mia mio ne nei nel nella non nostra nostro o per perché più quale quali
        quando quanto questa questo se si sono su sua suo tra un una uno""".split()  # noqa: SIM905
    ),
    "nl": frozenset(
        """aan al als bij dan dat de den der deze die dit doen door een en er ge had heb hebben heeft het hij
        hoe hoeveel ik in is je kan maar me met mij mijn na naar niet of om onder ons onze ook op over te
        toen tot uit van voor waar waarom wanneer was wat we welke werd wie wij wordt zal ze zich zij zijn
        zo""".split()  # noqa: SIM905
    ),
    "pt": frozenset(
        """a ao aos as às com como da das de do dos e é ela ele em era essa esse esta este está eu foi há isso
        já la mais mas me meu minha na não nas no nos nossa nosso o onde os ou para pela pelo por porque
        qual quando quanto que quem se sem ser seu sua são também te tem um uma""".split()  # noqa: SIM905
    ),
}


def language(text: str) -> str:
    """The likeliest of the languages above by its small words; "en" when nothing speaks for another."""
    found = re.findall(r"[^\W\d_]+", text.lower())
    counts = {name: sum(word in stop for word in found) for name, stop in STOP_WORDS.items()}
    best = max(counts, key=lambda name: counts[name])
    # English words are borrowed everywhere: another language must show more of its own.
    return best if counts[best] > counts["en"] else "en"


def pairs(run: str) -> list[str]:
    """A run of characters without blanks as its overlapping pairs; a single one as itself."""
    return [run[at : at + 2] for at in range(len(run) - 1)] or [run]


def runs(text: str) -> Iterator[str]:
    """The stretches of text that are written without blanks between words."""
    for match in _RUN.finditer(text):
        yield match[0]


def extra_words(text: str) -> str:
    """What the index gets beside the text: pairs of characters, and the parts of camelCase names."""
    words = [] if text.isascii() else [pair for run in runs(text) for pair in pairs(run)]
    if _HUMP.search(text):
        words += [part for name in dict.fromkeys(_CAMEL.findall(text)) for part in _CAMEL_PART.findall(name)]
    return " ".join(words)[:EXTRA_LIMIT]


def spellings(word: str) -> list[str]:
    """A word and the other ways in which its German letters are typed: straße, strasse; Küche, Kueche."""
    lowered = unicodedata.normalize("NFC", word.lower())
    found = [lowered]
    if "ß" in lowered:
        found.append(lowered.replace("ß", "ss"))
    elif "ss" in lowered:
        found.append(lowered.replace("ss", "ß"))
    for letter, typed in (("ä", "ae"), ("ö", "oe"), ("ü", "ue")):
        found += [form.replace(letter, typed) for form in found if letter in form]
        found += [form.replace(typed, letter) for form in found if typed in form]
    return list(dict.fromkeys(found))


def beginnings(word: str) -> list[str]:
    """What the inflected forms of a word begin with: `Wohnungen` and `Wohnung` with `wohnung`."""
    return list(
        dict.fromkeys(
            form[: max(STEM_MINIMUM, len(form) - STEM_CUT)] if len(form) > STEM_MINIMUM else form
            for form in spellings(word)
        )
    )
