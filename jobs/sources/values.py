"""Columns of any type as text, numbers, prices or lists of texts; what is none of it is null."""

import re

import pyarrow as pa
import pyarrow.compute as pc

NUMBER = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
TEXTS = pa.list_(pa.string())
# A price as shops write it: "$1,299.00", "12,50 €", "USD 5.99 - 12.49" (then the lower one counts).
PRICE = re.compile(
    r"(?P<sign>-?)(?:[A-Z]{3} ?|[^\w\s.,-] ?)?(?P<amount>-?\d[\d.,' ]*)(?: ?[A-Z]{3}| ?[^\w\s.,-])?"
    r"(?: ?[-–] ?[^\d]{0,4}\d[\d.,']*)?"  # noqa: RUF001
)


def array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as one array of a plain type: dictionaries are decoded, large types made ordinary."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return column.cast(pa.string())
    if pa.types.is_large_list(kind) or pa.types.is_list_view(kind):
        return column.cast(pa.list_(kind.value_type))
    return column


def text(column: pa.Array, joined_by: str = " ") -> pa.Array:
    """Trimmed text, null where it is empty; whole numbers are written without a point, lists joined."""
    kind = column.type
    if pa.types.is_list(kind):
        return text(pc.binary_join(texts(column), joined_by))
    if pa.types.is_struct(kind) or pa.types.is_map(kind):
        return pa.nulls(len(column), pa.string())
    if pa.types.is_floating(kind):
        whole = pc.fill_null(
            pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 2.0**53)), False
        )
        integers = pc.if_else(whole, column, None).cast(pa.int64()).cast(pa.string())
        rest = pc.if_else(pc.or_(whole, pc.is_nan(column)), None, column).cast(pa.string())
        return pc.coalesce(integers, rest)
    trimmed = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(trimmed, ""), None, trimmed)


def numbers(column: pa.Array) -> pa.Array:
    """Integers where all are, else doubles; null for what is no finite number."""
    if pa.types.is_string(column.type):
        column = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.match_substring_regex(column, NUMBER), column, None)
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            column = column.cast(pa.float64())
    elif pa.types.is_integer(column.type):
        return column.cast(pa.int64(), safe=False)
    elif pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    else:
        return pa.nulls(len(column), pa.float64())
    return pc.if_else(pc.is_finite(column), column, None)


def prices(column: pa.Array) -> pa.Array:
    """Prices as doubles, from numbers or from what shops write; null for what is none."""
    found = numbers(column).cast(pa.float64())
    if not pa.types.is_string(column.type):
        return found
    rest = pc.if_else(pc.is_null(found), column, None)
    if rest.null_count == len(rest):
        return found
    known = {text: price(text) for text in pc.unique(rest).to_pylist() if text}
    return pc.coalesce(found, pa.array([known.get(text) for text in rest.to_pylist()], pa.float64()))


def price(text: str) -> float | None:
    """The number in a price; of a span the lower one, None for anything else.

    The last comma or point is the decimal sign where it is not followed by exactly three digits.
    """
    match = PRICE.fullmatch(text.strip()) if len(text) < 64 else None
    if not match:
        return None
    amount = match["amount"].strip().replace("'", "").replace(" ", "")
    last = max(amount.rfind("."), amount.rfind(","))
    thousands = last >= 0 and len(amount) - last - 1 == 3 and (amount[last] == "," or amount.count(".") > 1)
    whole, part = (amount, "") if last < 0 or thousands else (amount[:last], amount[last + 1 :])
    digits = re.sub(r"[.,]", "", whole)
    try:
        return float(f"{match['sign']}{digits}.{part or '0'}")
    except ValueError:
        return None


def texts(column: pa.Array, separator: str = "") -> pa.Array:
    """Lists of texts: lists as they are (lists in lists flattened), text parted by `separator`."""
    if not pa.types.is_list(column.type):
        parts = pc.split_pattern(pc.fill_null(text(column), ""), separator)
        return pa.array([[p.strip() for p in row if p.strip()] for row in parts.to_pylist()], TEXTS)
    return pa.array([_flat(row) for row in column.to_pylist()], TEXTS)


def _flat(value: object) -> list[str]:
    if isinstance(value, list):
        return list(dict.fromkeys(part for entry in value for part in _flat(entry)))
    found = "" if value is None else str(value).strip()
    return [found] if found else []
