"""The mutations of the simulator still fit the code, so that the script can make each of them."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "bench" / "mutate_fleet.py"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutate_fleet", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


script = load_script()


def mutation_name(mutation: Any) -> str:
    return f"{mutation.module}: {mutation.right.strip()[:40]}"


@pytest.mark.parametrize("mutation", script.MUTATIONS, ids=mutation_name)
def test_each_mutation_changes_the_syntax_tree_of_its_module_and_names_a_test_file(mutation: Any) -> None:
    text = (script.ROOT / mutation.path).read_text()
    mutated = script.mutated_text(mutation, text)
    assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(text))
    assert (script.ROOT / "tests" / mutation.tests).is_file()


def test_a_text_that_is_missing_or_not_unique_is_refused() -> None:
    mutation = script.Mutation("plan.py", "right", "wrong", "test_fleet_twin.py")
    for text in ("left", "right and right"):
        with pytest.raises(ValueError, match="mend the table"):
            script.mutated_text(mutation, text)


def test_the_table_holds_all_mutations_once() -> None:
    assert len(set(script.MUTATIONS)) == len(script.MUTATIONS) == 31
