"""Every problem answer points to /docs#problem-<code>: the list there has the codes that the source can answer with."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain

from plimsoll.settings import PROJECT_DIR

ANSWERING = ("serving", "ingest/gateways", "ingest/registry", "plimsoll/contracts")
PLACE_OF_CODE = {
    "InvalidEvent": 0, "RegistryError": 0,
    "ProblemError": 1, "RequestRefused": 1, "problem_answer": 1, "carried_out": 2,
}  # fmt: skip
OF_THE_FRAMEWORK = {"not_found", "method_not_allowed"}  # named after their HTTP status
NOT_OVER_HTTP = {"empty", "unexpected"}


def codes_in(source: str) -> Iterator[str]:
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in PLACE_OF_CODE:
            code = call.args[PLACE_OF_CODE[call.func.id]]
            if isinstance(code, ast.Constant):
                yield code.value


def test_the_documentation_lists_every_code_of_a_problem_once() -> None:
    files = chain.from_iterable((PROJECT_DIR / folder).rglob("*.py") for folder in ANSWERING)
    answered = set(chain.from_iterable(codes_in(file.read_text()) for file in files))

    page = (PROJECT_DIR / "serving" / "web" / "docs.js").read_text()
    listed = re.findall(r'^  \["(\w+)", "\d{3}', page, re.MULTILINE)

    assert sorted(listed) == sorted(answered - NOT_OVER_HTTP | OF_THE_FRAMEWORK)
