"""Bylines: who wrote a review, after words that announce a name in several languages, or as a signature."""

# ruff: noqa: RUF001 - letters of other alphabets are meant here

import re
from collections.abc import Sequence

# A word that may be part of a name: a letter, then what does not end a word. Its case is looked at below.
WORD = r"[^\W\d_][^\s\d,;:!?()\[\]{}<>\"“”«»。、！？|/@\\]{0,60}"
# What stands before a name.
BY = (
    r"(?:review|reviewed|rating|rated|comment|commented|posted|submitted|testimonial|feedback) (?:by|from)",
    r"(?:kunden)?(?:rezension|bewertung|kommentar|meinung) von|(?:rezensiert|bewertet|kommentiert) von",
    r"(?:avis|commentaire|témoignage) (?:de|par)|(?:critique|évalué|notée?|commenté|posté) par",
    r"(?:reseña|opinión|comentario|valoración) (?:de|por)|(?:reseñado|valorado|comentado) por",
    r"(?:avaliação|resenha|comentário|opinião) (?:de|por)|avaliado por",
    r"(?:recensione|commento|opinione) di|(?:recensito|valutato|commentato) da",
    r"(?:recensie|beoordeling|reactie) (?:van|door)|beoordeeld door",
    r"(?:recension|omdöme|recenserad|anmeldelse|anmeldt) (?:av|af|från|fra)",
    r"(?:recenzja|opinia|recenze|hodnocení) (?:od|użytkownika)",
    r"(?:отзыв|рецензия|відгук) (?:от|від)|автор отзыва",
    r"(?:κριτική|αξιολόγηση) (?:από|του|της)",
    r"ביקורת מאת|مراجعة (?:بواسطة|من)|تقييم (?:بواسطة|من)|รีวิวโดย",
    r"đánh giá (?:bởi|của)|(?:ulasan|komentar) (?:oleh|dari)",
)
# Who a name belongs to; a colon follows, and then a name or a nickname in any case.
ROLE = (
    r"reviewer|review author|rezensent(?:in)?|auteur de l['’]avis|autor de la reseña|avaliador|recensore"
    r"|recensent|recenzent|рецензент|отзыв|yorum yapan|投稿者|レビュアー"
    r"|评论者|评论人|评价人|評論者|리뷰어|작성자|समीक्षक|ผู้รีวิว"
)
AFTER = (
    r"tarafından (?:yaz|değerlendir|yorum)|द्वारा (?:समीक्षा|लिखित)|さん(?:の|による)(?:レビュー|口コミ)"
    r"|님의 (?:리뷰|후기)|的(?:评论|评价|評論)"
)
NAMES = rf"{WORD}(?:[ \u00a0]{WORD}){{0,3}}"
ANNOUNCED = re.compile(rf"(?<!\w)(?i:{'|'.join(BY)})\s*[:：]?\s+(?P<name>{NAMES})")
GLUED = re.compile(rf"(?:รีวิวโดย)(?P<name>{NAMES})")
ROLES = re.compile(
    rf"(?<![^\W\d_])(?i:{ROLE})\s*[:：]\s*(?P<name>[^\s,;:!?()\[\]<>]{{1,64}}(?: {WORD}){{0,3}})"
)
FOLLOWED = re.compile(rf"(?P<name>{WORD}?(?: {WORD}?){{0,2}}) ?(?={AFTER})")
SIGNATURE = re.compile(rf"(?m)(?P<dash>[-–—―~])[ \t]*(?P<name>{WORD}(?: {WORD}){{0,2}})[ \t\"”»]*$")
PARTICLES = re.compile(r"d[aeio]|do[sm]|das|dell?a?|von|van|d[ae]r|den|ter|l[ae]|el|al|bin|ibn")
# Letters of these scripts have no case and put no space between words: one run of them is the whole name.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")
# Part of every announcement above.
LATIN_STEMS = (
    *("review", "rating", "rated", "comment", "posted", "submitted", "testimonial", "feedback", "rezens"),
    *("bewert", "meinung", "kommentar", "avis", "critique", "valora", "avalia", "resenha", "coment", "opini"),
    *("recens", "beoordel", "reactie", "anmeld", "recenz", "ulasan", "yorum"),
)
OTHER_STEMS = (
    *("témoignage", "évalué", "noté", "posté", "reseña", "omdöme", "hodnocení", "đánh", "tarafından"),
    *("отзыв", "рецензи", "відгук", "κριτικ", "αξιολόγηση", "ביקורת", "مراجعة", "تقييم", "รีวิว", "投稿者"),
    *("レビュ", "口コミ", "评论", "评价", "評論", "리뷰", "작성자", "후기", "समीक्ष", "लिखित"),
)
STEMS = LATIN_STEMS + OTHER_STEMS
# No announcement with a name is shorter.
SHORTEST = 6


def announces(text: str) -> bool:
    """Whether a byline may be in the text: a cheap look that leaves most texts alone."""
    if len(text) < SHORTEST:
        return False
    folded = text.casefold()
    # A plain loop: most texts go through all of it, and a generator costs twice as much.
    for stem in LATIN_STEMS if text.isascii() else STEMS:  # noqa: SIM110
        if stem in folded:
            return True
    return False


def redact_bylines(text: str) -> str:
    """The text with [name] for each name that a byline announces or that signs a sentence."""
    if announces(text):
        for pattern in (ANNOUNCED, GLUED, ROLES, FOLLOWED):
            text = pattern.sub(_announced, text)
    return SIGNATURE.sub(_signed, text)


def _announced(match: re.Match[str]) -> str:
    """The match with [name] for as many of the words after the announcement as make a name."""
    whole, start = match.group(), match.start("name") - match.start()
    length = _length(match["name"], handle=match.re is ROLES)
    return whole[:start] + "[name]" + whole[start + length :] if length else whole


def _length(words: str, handle: bool) -> int:
    """How many characters of a run of words are a name; 0 where its first word is none."""
    end = 0
    found = list(re.finditer(r"\S+", words))
    for place, match in enumerate(found):
        word = match.group()
        following = found[place + 1].group() if place + 1 < len(found) else ""
        particle = place and PARTICLES.fullmatch(word) and following[:1].isupper()
        if not (_capital(word) or particle or (handle and not place)):
            break
        ends = word.endswith(".") and not _initial(word)
        end = match.end() - ends
        if ends or UNSPACED.match(word):
            break
    return end


def _capital(word: str) -> bool:
    """Whether a word can be a name: it begins with a capital, or its script has none."""
    return word[0].isupper() or word[0].lower() == word[0].upper()


def _initial(word: str) -> bool:
    return len(word.rstrip(".")) <= 2 or word.count(".") > 1


def _signed(match: re.Match[str]) -> str:
    if not _is_signature(match.string[: match.start()], match["name"].split()):
        return match.group()
    start, end = (at - match.start() for at in match.span("name"))
    return match.group()[:start] + "[name]" + match.group()[end:]


def _is_signature(before: str, words: Sequence[str]) -> bool:
    """Whether words after a dash at the end of a line sign what stands before them.

    "Jane D." does anywhere. "Jane Doe" does after a sentence, which ends in a word that is not a name, and
    "Jane" after a closing quote; so "Inc. - Special Edition" and lists of properties are none.
    """
    if not all(word[0].isupper() for word in words):
        return False
    if len(words) > 1 and any(len(word) == 2 and word[1] == "." for word in words):
        return True
    said = before.rstrip()
    quoted = said[-1:] in {'"', "”", "»", "“"}
    last = re.search(r"([^\W\d_][\w'’]*)[.!?…]?[\"”»“]?$", said)
    sentence = quoted or said[-1:] in {".", "!", "?", "…"}
    plain = last is not None and last[1][0].islower()
    alone = "\n-" not in before and not said.startswith("-")
    return bool(said) and sentence and plain and alone and (len(words) > 1 or quoted)
