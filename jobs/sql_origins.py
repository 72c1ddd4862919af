"""Which columns the columns of a table are made from, as Spark's analyser understands the transforms.

    python -m jobs.sql_origins       writes sql_origins.json anew; a test says when that was forgotten

Each table's SQL is planned over empty inputs, as its job runs it, and the analysed plan is followed back from
every output column to the columns of the tables. A column has what its own expression reads, with aggregates,
windows and conditions of CASE, but not what only chooses rows (joins, filters, grouping). Columns that Python
makes are in no plan; see `jobs/column_origins.py`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feature_store import asof, spark
from feature_store.settings import load_settings
from feature_store.tables import TABLES
from jobs.column_origins import BY_SQL, Origin

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# The transforms behind a table, in order: each becomes a view of its name for those after it.
CHAINS = {
    "lifetimes": ("lifetimes",),
    "item_features": ("item_features",),
    "user_features": ("user_items", "user_features"),
    "training_set": ("label_queries", "taken", "training_pairs", "pair_features"),
    "synthetic_pairs": ("synthetic_pairs", "pair_features"),
}
JOINED = ("item_features", "user_features", "item_embeddings", "user_embeddings")
# Any value will do: nothing is computed.
_DAY = datetime(2000, 1, 1, tzinfo=UTC)
VALUES: dict[str, Any] = {"as_of": _DAY, "history_start": _DAY, "repeats": False, "weight": 1.0}


def find(session: "SparkSession") -> dict[str, dict[str, list[Origin]]]:
    """By table and column, the columns it is made from, in order; only tables that SQL makes."""
    found = {}
    for table, chain in CHAINS.items():
        spark.views(session, {name: [] for name in TABLES})
        rows = _planned(session, chain)
        plan = json.loads(rows._jdf.queryExecution().analyzed().toJSON())
        declared = {column.name for column in TABLES[table].columns}
        origins = _Plan(plan).origins()
        found[table] = {name: origins[name] for name in rows.columns if name in declared and origins[name]}
    return found


def _planned(session: "SparkSession", chain: Sequence[str]) -> "DataFrame":
    for name in chain[:-1]:
        rows = _transform(session, name)
        if name == chain[-2] and chain[-1] == "pair_features":
            sides = [asof.Side(side, session.table(side), TABLES[side].key) for side in JOINED]
            rows, name = asof.join(rows, "query_time", sides), "pairs"
        rows.createOrReplaceTempView(name)
    return _transform(session, chain[-1])


def _transform(session: "SparkSession", name: str) -> "DataFrame":
    markers = re.findall(r":([a-z_]+)", (spark.TRANSFORMS / f"{name}.sql").read_text("utf-8"))
    return spark.run_sql(session, name, **{marker: VALUES.get(marker, 1) for marker in markers})


class _Node:
    """A node of a plan or an expression: Spark writes a tree as the list of its nodes, parents first."""

    def __init__(self, nodes: Iterator[Mapping[str, Any]]) -> None:
        self.fields = next(nodes)
        self.kind = str(self.fields["class"]).rsplit(".", 1)[-1]
        self.children = [_Node(nodes) for _ in range(self.fields["num-children"])]

    @property
    def id(self) -> int:
        number: int = self.fields["exprId"]["id"]
        return number

    def trees(self, name: str) -> "list[_Node]":
        """The expressions in one of the fields."""
        return [_Node(iter(tree)) for tree in self.fields[name]]


class _Plan:
    """Where each expression of an analysed plan comes from."""

    def __init__(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        self.root = _Node(iter(nodes))
        self.made: dict[int, list[_Node]] = {}
        self.leaves: dict[int, Origin] = {}
        self.ctes: dict[int, list[_Node]] = {}
        self.output = self._outputs(self.root)

    def origins(self) -> dict[str, list[Origin]]:
        """The columns behind each column of the plan's result."""
        return {str(out.fields["name"]): sorted(set(self._of(out, ()))) for out in self.output}

    def _outputs(self, node: _Node) -> list[_Node]:
        """The columns a node hands on; what they are made of is noted on the way."""
        if node.kind == "WithCTE":
            # The definitions stand in front of the plan, and refer to those before them only.
            return [self._outputs(child) for child in node.children][-1]
        below = [self._outputs(child) for child in node.children]
        listed = {"Project": "projectList", "Aggregate": "aggregateExpressions"}
        if node.kind in listed:
            return [self._named(tree) for tree in node.trees(listed[node.kind])]
        if node.kind == "Window":
            return below[0] + [self._named(tree) for tree in node.trees("windowExpressions")]
        if node.kind == "Generate":
            made = node.trees("generatorOutput")
            self.made.update({column.id: [_Node(iter(node.fields["generator"]))] for column in made})
            return below[0] + made
        if node.kind == "Union":
            for column, *others in zip(*below, strict=True):
                self.made.setdefault(column.id, []).extend(others)
            return below[0]
        if node.kind == "CTERelationDef":
            self.ctes[node.fields["id"]] = below[0]
        if node.kind == "CTERelationRef":
            columns = node.trees("output")
            for column, source in zip(columns, self.ctes[node.fields["cteId"]], strict=True):
                if column.id != source.id:
                    self.made[column.id] = [source]
            return columns
        if node.kind == "View":
            table = node.fields["desc"]["identifier"]["table"]
            if table in TABLES and node.children[0].kind == "LogicalRDD":
                self.leaves.update({column.id: (table, column.fields["name"]) for column in below[0]})
            return below[0]
        if node.kind == "Join":
            return below[0] if "LeftSemi" in str(node.fields["joinType"]) else below[0] + below[1]
        return below[0] if below else node.trees("output")

    def _named(self, tree: _Node) -> _Node:
        if tree.kind == "Alias":
            self.made[tree.id] = tree.children
        return tree

    def _of(self, node: _Node, path: tuple[str, ...]) -> Iterator[Origin]:
        """The columns an expression reads; path: the fields of a struct, innermost last."""
        if node.kind in {"AttributeReference", "Alias"}:
            if node.id in self.leaves:
                yield self.leaves[node.id]
            for source in self.made.get(node.id, ()):
                yield from self._of(source, path)
        elif node.kind == "GetStructField" and (name := _field(node)):
            yield from self._of(node.children[0], (*path, name))
        elif node.kind == "CreateNamedStruct" and path:
            for key, value in zip(node.children[::2], node.children[1::2], strict=True):
                if key.fields.get("value") == path[-1]:
                    yield from self._of(value, path[:-1])
        elif node.kind == "CaseWhen" and path:
            # A struct that is null where a condition fails: its fields are what they are without it.
            for value in node.children[1::2]:
                yield from self._of(value, path)
        elif node.kind in {"IsNull", "IsNotNull"} and _struct(node.children[0]):
            return  # whether there is a row to join, not what it says
        else:
            for child in node.children:
                yield from self._of(child, path if len(node.children) == 1 else ())


def _field(node: _Node) -> str | None:
    """The name of the field that is asked for; of `struct.*` Spark notes the place only."""
    name: str | None = node.fields.get("name")
    fields = _struct(node.children[0])
    return name or (fields[node.fields["ordinal"]]["name"] if fields else None)


def _struct(node: _Node) -> list[Any]:
    """The fields of a column that is a struct; of anything else none."""
    type_ = node.fields.get("dataType")
    return type_["fields"] if isinstance(type_, dict) and type_.get("type") == "struct" else []


def render(found: Mapping[str, Mapping[str, Sequence[Origin]]]) -> str:
    """The page: a line a column, so that a change of SQL is a change of few lines."""
    tables = (
        f"{json.dumps(table)}: {{\n"
        + ",\n".join(f"  {json.dumps(column)}: {json.dumps(origins)}" for column, origins in columns.items())
        + "\n}"
        for table, columns in found.items()
    )
    return "{\n" + ",\n".join(tables) + "\n}\n"


def main() -> None:
    """Write the page anew."""
    with spark.session(load_settings()) as session:
        BY_SQL.write_text(render(find(session)), "utf-8")


if __name__ == "__main__":
    main()
