"""Raw rows of interactions -> events: who, what, when, of which type, and with which weight."""

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.errors import SettingsError
from feature_store.forgotten import Forgotten
from feature_store.sections import Source
from jobs.sources.places import File
from jobs.sources.times import Clock
from jobs.sources.values import numbers, text
from jobs.sources.verdicts import Verdicts

KEY = ["user_id", "item_id", "event_time", "event_type"]
TYPES_NAMED = 8  # event types an error names


class Events:
    """Maps the chunks of the files of interactions."""

    def __init__(self, source: Source, forgotten: Forgotten | None = None) -> None:
        self.source, self._forgotten = source, forgotten or Forgotten()
        self.weights = {kind: weight for kind, weight in source.event_weights.items() if weight}
        self.types: set[str] = set()
        self._file, self._clock = "", Clock(source, "")

    @property
    def columns(self) -> dict[str, str]:
        """The raw columns that are read, by the setting that names them."""
        names = {name: getattr(self.source, name) for name in ("user", "item", "time", "event", "value")}
        return {setting: name for setting, name in names.items() if name}

    def map(self, rows: Verdicts) -> pa.Table:
        """One event for each raw row; what cannot be one is refused."""
        source = self.source
        rows.require(**self.columns)
        users, items = text(rows.column(source.user)), text(rows.column(source.item))
        rows.forget(self._forgotten.among(users))
        types = self._types(rows)
        rows.refuse(pc.is_null(users), f"{source.user} is empty")
        rows.refuse(pc.is_null(items), f"{source.item} is empty")
        clock = self._clock_of(rows.file)
        moments = clock.moments(_standing(rows, rows.column(source.time)))
        rows.refuse(pc.is_null(moments), clock.problem, source.time)
        return pa.table(
            {
                "user_id": users,
                "item_id": items,
                "event_time": moments,
                "event_type": types,
                "weight": self._weights(rows, types),
            }
        )

    def _types(self, rows: Verdicts) -> pa.Array:
        if not self.source.event:
            return pa.repeat("event", rows.chunk.rows.num_rows)
        types = text(rows.column(self.source.event))
        rows.refuse(pc.is_null(types), f"{self.source.event} is empty")
        if self.source.event_weights:
            if len(self.types) < TYPES_NAMED:
                self.types |= set(pc.unique(types.filter(rows.stands)).to_pylist()[:TYPES_NAMED])
            rows.leave_out(pc.invert(pc.is_in(types, pa.array(self.weights, pa.string()))))
        return types

    def _weights(self, rows: Verdicts, types: pa.Array) -> pa.Array:
        """The weight of each event's type times its value.

        A type that speaks against an item has values of either sign (a returned quantity is often stored
        as a negative one); a negative value of any other type is refused.
        """
        of_type = pa.repeat(1.0, len(types))
        if self.source.event and self.weights:
            index = pc.index_in(types, pa.array(self.weights, pa.string()))
            of_type = pa.array(self.weights.values(), pa.float64()).take(index)
        if not (name := self.source.value):
            return of_type
        values = numbers(rows.column(name)).cast(pa.float64())
        rows.refuse(pc.is_null(values), f"{name} is not a number", name)
        against = pc.less(of_type, 0)
        wrong = pc.and_(pc.less(values, 0), pc.invert(against))
        rows.refuse(wrong, f"{name} is negative (give returns an event type with a negative weight)", name)
        return pc.multiply(of_type, pc.if_else(against, pc.abs(values), values))

    def _clock_of(self, file: File) -> Clock:
        if file.path != self._file:
            self._file, self._clock = file.path, Clock(self.source, file.path)
        return self._clock

    def require_some(self, events: pa.Table) -> None:
        """Refuse event_weights of which no type is in the data."""
        if self.types and not events.num_rows:
            raise SettingsError(
                f"no event is of a type in source.event_weights ({', '.join(self.weights)}); the column "
                f"{self.source.event} has {', '.join(sorted(map(str, self.types))[:TYPES_NAMED])}"
            )


def _standing(rows: Verdicts, column: pa.Array) -> pa.Array:
    """A column, null where its row was taken out: what is not asked for decides nothing."""
    return column if pc.all(rows.stands).as_py() is not False else pc.if_else(rows.stands, column, None)


def once(events: pa.Table) -> pa.Table:
    """The same thing at the same moment is one event; of several weights the largest is kept."""
    dictionaries: dict[str, pa.Array] = {}
    numbered = events
    # Arrow groups numbers in half the time it takes for texts.
    for name in ("user_id", "item_id", "event_type"):
        encoded = events[name].dictionary_encode().unify_dictionaries()
        indices = [chunk.indices for chunk in encoded.chunks]
        dictionaries[name] = encoded.chunk(0).dictionary if indices else pa.array([], pa.string())
        column = pa.chunked_array(indices, pa.int32())
        numbered = numbered.set_column(numbered.column_names.index(name), name, column)
    merged = numbered.group_by(KEY, use_threads=False).aggregate([("weight", "max")])
    texts = {name: dictionary.take(merged[name]) for name, dictionary in dictionaries.items()}
    return pa.table(texts | {"event_time": merged["event_time"], "weight": merged["weight_max"]})
