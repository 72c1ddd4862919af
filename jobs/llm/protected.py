"""Attributes of a person that are neither asked for nor inferred, and the words that speak of them."""

from collections.abc import Collection, Iterable

from jobs.llm.text import words

# Words of English, German, French, Spanish, Italian and Portuguese; an answer may be in any of them. Words
# that mean something else in another of these languages are left out.
_SEX = (
    "male female men man woman women boy boys girl girls gender sex mann männer frau frauen junge jungen "
    "mädchen geschlecht homme hommes femme femmes garçon fille filles hombre hombres mujer mujeres niña "
    "chico chica uomo uomini donna donne ragazzo ragazza homem homens mulher mulheres"
)
_ORIGIN = (
    "asian african hispanic latino latina arab caucasian ethnicity ethnic racial immigrant immigrants "
    "einwanderer ethnisch ethnique immigré étnico étnica inmigrante etnico immigrato imigrante"
)
PROTECTED_WORDS: dict[str, frozenset[str]] = {
    attribute: frozenset(text.split())
    for attribute, text in {
        "age": "age aged elderly senior seniors year-old years-old jährige jähriger rentner âgé âgée anciano "
        "anciana anziano anziana idoso idosa",
        "gender": _SEX + " he him his she her hers himself herself nonbinary",
        "sex": _SEX,
        "ethnicity": _ORIGIN,
        "race": _ORIGIN,
        "religion": "christian muslim jewish hindu buddhist atheist catholic protestant religion religious "
        "muslimisch jüdisch katholisch religiös chrétien chrétienne musulman musulmane juif juive catholique "
        "religieux cristiano cristiana musulmán judío católico religioso musulmano ebreo cattolico cristão",
        "health": "disabled disability pregnant illness disease depressed autistic behindert schwanger "
        "krankheit handicapé enceinte maladie discapacitado embarazada enfermedad disabile incinta malattia",
        "politics": "republican democrat conservative liberal socialist communist konservativ sozialist "
        "kommunist républicain démocrate conservateur socialiste communiste conservador comunista",
        "sexual_orientation": "gay lesbian bisexual transgender queer heterosexual homosexual schwul "
        "lesbisch bisexuell lesbienne bisexuel lesbiana gays lesbica",
    }.items()
}
# In a text about an item they stand for somebody in its story.
PRONOUNS = "he him his she her hers himself herself"


def protected(text: str, source: Iterable[str] = (), allowed: Collection[str] = ()) -> list[str]:
    """Words about protected attributes that the text brings in and no source text contains.

    allowed: attributes it may speak of; a word of theirs is allowed under any other attribute as well.
    """
    known = set[str]().union(*(_parts(piece) for piece in source))
    refused = set[str]().union(*PROTECTED_WORDS.values())
    refused -= set[str]().union(*(PROTECTED_WORDS[attribute] for attribute in allowed))
    return sorted((_parts(text) & refused) - known)


def _parts(text: str) -> set[str]:
    """The words of a text, and the parts of those with a hyphen: 40-year-old speaks of an age."""
    found = words(text)
    return found | {"-".join(word.split("-")[at:]) for word in found if "-" in word for at in (0, 1, -1)}
