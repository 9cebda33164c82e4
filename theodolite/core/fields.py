"""What the source says of a dataclass's fields, for messages and flags; needs no JAX."""

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise


@cache
def field_docs(cls: type) -> dict[str, str]:
    """The string below each field of a dataclass, its own or a base's; empty where the source is not at hand."""
    docs = {}
    for base in reversed(cls.__mro__):
        docs |= _own(base)
    return docs


def _own(cls: type) -> dict[str, str]:
    try:
        definition = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError):
        return {}
    docs = {}
    for field, text in pairwise(getattr(definition, "body", [])):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                docs[name] = inspect.cleandoc(said)
    return docs
