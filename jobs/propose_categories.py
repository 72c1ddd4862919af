"""propose_categories: items, item_embeddings -> item_categories_proposed.

For items that stand in no category of a catalogue that has some: a vote among the items with the most similar
texts names up to six, the model chooses among them in two orders. Both, the vote and the model, have to prove
themselves on items whose categories are known; the better one is published, as far as it is sure enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import floor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_store.errors import NightmillError
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.assets import ResolvedModel, resolve_model
from jobs.embed import vectors_of
from jobs.llm.assurance import Check, Source, fewest, proven
from jobs.llm.category_questions import PROMPT, Answered, Question, Questions
from jobs.llm.engine import asks, generation_fingerprint
from jobs.llm.prompt import load_prompt
from jobs.llm.vectors import text_hash
from jobs.llm.wording import wording_fingerprint
from jobs.night import Night
from jobs.recommender.category_vote import Vote, Voters
from jobs.recommender.vectors import aligned
from jobs.step import Input, Job
from jobs.taxonomy import Catalogue, Item, split

# What a proposal by vote says where one by the model names its prompt.
UNPROMPTED = {"generation_key": "", "prompt_name": "", "prompt_version": "", "prompt_hash": ""}


@dataclass(frozen=True)
class Proposal:
    """A category for an item; confidence 0 where it is not to be relied on.

    provenance: the columns that say where it comes from.
    """

    category: str
    confidence: float
    provenance: Mapping[str, str]


def run(night: Night) -> None:
    """Let vote and model prove themselves, and publish the better one's proposals that are sure enough."""
    profiles = night.settings.profiles
    columns = ["item_id", "title", "description", "categories", "listed"]
    rows = night.read("items", columns).to_pylist()
    catalogue = split(rows, profiles.category_checks, profiles.category_items)
    if why := _nothing_to_propose(catalogue, night.settings):
        night.note(f"nothing to propose: {why}")
        _publish(night, catalogue, None, {})
        return
    embedder = resolve_model(night.settings.embedding.model, night.settings)
    votes = _votes(night, catalogue, embedder)
    questions = Questions(night, "propose_categories") if asks(night.settings) else None
    if night.shard is None:
        best, proposals = _proposals(night, catalogue, votes, embedder, questions)
        _publish(night, catalogue, best, proposals)
    elif questions:
        # What all checks together will say no shard can know: it answers for both cases.
        questions.ask(_questions([*catalogue.checks, *catalogue.wanted], votes, questions.most))


def _proposals(
    night: Night,
    catalogue: Catalogue,
    votes: Mapping[str, Vote],
    embedder: ResolvedModel,
    questions: Questions | None,
) -> tuple[Source, dict[str, Proposal]]:
    """The better one of vote and model, and what it proposes; the model is asked no more where it is not."""
    precision = night.settings.profiles.category_precision
    by_vote = {item: _by_vote(vote, embedder) for item, vote in votes.items()}
    sources = [_prove("vote", by_vote, catalogue.checks, precision)]
    if questions:
        answers = questions.ask(_questions(catalogue.checks, votes, questions.most))
        sources.append(_prove("model", _by_model(answers), catalogue.checks, precision))
        questions.describe()
    best = max(sources, key=lambda source: source.worth)  # the vote, where they are worth the same
    _say(night, catalogue, sources, best)
    if not (questions and best.name == "model" and best.bar):
        return best, by_vote
    answers = questions.ask(_questions(catalogue.wanted, votes, questions.most))
    for item, answer in answers.items():
        if answer.reading is None:
            bad = answer.outcome
            night.quarantine(item, bad.reason, bad.detail, bad.raw, bad.request.key)
    return best, _by_model(answers)


def _nothing_to_propose(catalogue: Catalogue, settings: Settings) -> str:
    """Why nothing is asked tonight; empty where something is."""
    if not settings.profiles.category_items:
        return "profiles.category_items is 0"
    if not catalogue.known:
        return "no item of the catalogue has a category"
    if not catalogue.wanted:
        return "every item has a category"
    if len(catalogue.names) < 2:
        return "there are no two categories that tell items apart"
    needed = fewest(settings.profiles.category_precision)
    if len(catalogue.checks) < needed:
        return (
            f"{len(catalogue.checks)} items with categories are too few to show how often a proposal is "
            f"right: {needed} could (profiles.category_checks, profiles.category_precision)"
        )
    return ""


def _votes(night: Night, catalogue: Catalogue, embedder: ResolvedModel) -> dict[str, Vote]:
    """The vote on each item, by its text without categories: an item that is a check gives nothing away."""
    ids = pa.array(sorted(item.item_id for item in catalogue.known), pa.string())
    rows = night.read("item_embeddings", ["item_id", "embedding", "model_id", "model_revision"])
    made_by = pc.unique(pc.binary_join_element_wise(rows["model_id"], rows["model_revision"], "@"))
    if set(made_by.to_pylist()) - {f"{embedder.model_id}@{embedder.revision}"}:
        raise NightmillError(
            f"item_embeddings of {night.ds} are not by {embedder.model_id}: "
            f"run `nightmill embed --ds {night.ds}`"
        )
    vectors = aligned(rows, "item_id", ids)
    categories = {item.item_id: item.categories for item in catalogue.known}
    voting = [item for item, known in zip(ids.to_pylist(), vectors.known, strict=True) if known]
    voters = Voters(
        voting, vectors.matrix[vectors.known], [categories[item] for item in voting], catalogue.names
    )
    items = [*catalogue.checks, *catalogue.wanted]
    made = vectors_of(night, embedder, {item.item_id: item.text for item in items}, "propose_categories")
    matrix = np.stack([made[text_hash(item.text)] for item in items])
    names = [item.item_id for item in items]
    return dict(zip(names, voters.vote(names, matrix), strict=True))


def _by_vote(vote: Vote, embedder: ResolvedModel) -> Proposal:
    model = {"model_id": embedder.model_id, "model_revision": embedder.revision}
    return Proposal(vote.categories[0], vote.shares[0], UNPROMPTED | model)


def _by_model(answers: Mapping[str, Answered]) -> dict[str, Proposal]:
    """What the model proposes; nothing to rely on where its two answers differ."""
    return {
        item: Proposal(said.option, said.probability if said.agree else 0.0, answer.outcome.provenance)
        for item, answer in answers.items()
        if (said := answer.reading)
    }


def _questions(items: Sequence[Item], votes: Mapping[str, Vote], most: int) -> list[Question]:
    """The categories with the most votes, to choose from."""
    return [
        Question(item.item_id, item.row, item.text, votes[item.item_id].categories[:most]) for item in items
    ]


def _prove(name: str, proposals: Mapping[str, Proposal], checks: Sequence[Item], precision: float) -> Source:
    """Compare proposals with the categories that the checks are known to have."""
    said = [(proposals.get(item.item_id), item.categories) for item in checks]
    return proven(
        name, [Check(p.confidence, p.category in known) if p else None for p, known in said], precision
    )


def _say(night: Night, catalogue: Catalogue, sources: Sequence[Source], best: Source) -> None:
    """What the checks showed, into the manifest and onto the console."""
    checks, precision = catalogue.checks, night.settings.profiles.category_precision
    majority = sum(catalogue.names[0] in item.categories for item in checks)
    night.provenance["category_checks"] = {
        "items": len(checks),
        "most_common_right": majority,
        **{s.name: {k: v for k, v in asdict(s).items() if k != "name"} for s in sources},
        "published": best.name if best.bar else "none",
    }
    found = ", ".join(
        f"the {source.name} {source.right}"
        + (f" (no answer about {silent})" if (silent := len(checks) - source.answered) else "")
        for source in sources
    )
    night.note(
        f"of {len(checks)} items whose categories are known, one of them is named by {found}, by always "
        f"naming the most common category {majority}"
    )
    if best.bar is None:
        night.note(
            f"nothing is proposed: nobody is sure to have {precision:.0%} of any part of them right "
            "(profiles.category_precision)"
        )
    else:
        bar = best.bar
        night.note(
            f"proposed by {best.name} where its confidence is at least {bar.confidence:.2f}: of "
            f"{bar.answered} such checks {bar.right} are right, so at least {floor(100 * bar.low)}% are"
        )


def _publish(
    night: Night, catalogue: Catalogue, best: Source | None, proposals: Mapping[str, Proposal]
) -> None:
    """Publish the proposals that are sure enough; the others are counted."""
    if night.shard is not None:
        return
    bar, rows = best.bar if best else None, []
    for item in catalogue.wanted if bar else []:
        said = proposals.get(item.item_id)
        if best and bar and said and said.confidence >= bar.confidence:
            row = {"item_id": item.item_id, "llm_category": said.category, "confidence": said.confidence}
            rows.append(row | {"precision_low": bar.low, "source": best.name, **said.provenance})
    refused = sum(night.quarantined_by_reason().values())
    selected = len(catalogue.wanted)
    night.count(selected=selected, written=len(rows), withheld=selected - len(rows) - refused)
    contract = TABLES["item_categories_proposed"]
    names = [column.name for column in contract.columns] + ["input_max_event_time"]
    night.write(
        contract.name, pa.Table.from_pylist(rows, pa.schema([contract.schema.field(n) for n in names]))
    )


def fingerprint(settings: Settings) -> Any:
    """Prompt, wording, both models, and how many are considered and checked."""
    profiles, embedder = settings.profiles, resolve_model(settings.embedding.model, settings)
    return [
        load_prompt(PROMPT, profiles.category_prompt_version).hash,
        wording_fingerprint(settings),
        generation_fingerprint(settings),
        [embedder.model_id, embedder.revision],
        [profiles.category_items, profiles.category_checks, profiles.category_precision],
    ]


JOB = Job(
    name="propose_categories",
    summary="items, item_embeddings -> item_categories_proposed",
    inputs=(Input("items"), Input("item_embeddings")),
    outputs=("item_categories_proposed",),
    run=run,
    fingerprint=fingerprint,
    shardable=True,
)
