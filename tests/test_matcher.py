"""Which definition a gateway matches. Finding it takes as long among ten definitions as among ten thousand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from fakes import NEW, OLD, OWNER, STRANGER

from lorafw.tasks.matcher import Matcher
from lorafw.tasks.model import NO_VERSION, AccountRegion, Definition, UpdateSpec
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion

NO_PACKAGE = replace(OLD, package=None)


def definition(
    sequence: int,
    current: GatewayVersion = OLD,
    *,
    owner: AccountRegion = OWNER,
    auto: bool = True,
    source: str | None = "s",
) -> Definition:
    return Definition(f"d{sequence}", owner, sequence, auto, update=UpdateSpec(source, current_version=current))


def matcher(*definitions: Definition, **policy: Any) -> Matcher:
    made = Matcher(Policy(**policy))
    for each in definitions:
        made.add(each)
    return made


def found(made: Matcher, presented: GatewayVersion = OLD, owner: AccountRegion = OWNER) -> list[str]:
    """All that match; the one that wins must be among them, or none."""
    every = [d.id for d in made.find_all(owner, presented)]
    winner = made.find_best(owner, presented)
    assert (winner is None) == (not every)
    assert winner is None or winner.id in every
    return every


# --- exact --------------------------------------------------------------------------------------------------------


def test_three_equal_fields_match():
    assert found(matcher(definition(1))) == ["d1"]


def test_an_older_definition_that_is_removed_and_added_again_is_still_the_older_one():
    index = matcher(definition(1), definition(2), definition(3))
    for number in (2, 1):
        index.remove(definition(number))
        index.add(definition(number))
    assert found(index) == ["d1", "d2", "d3"]
    assert index.find_best(OWNER, OLD) == definition(1)


def test_an_empty_matcher_matches_nothing():
    assert found(matcher()) == []


NEAR = [
    replace(OLD, model="Linux"),
    replace(OLD, package="1.0.0 "),
    replace(OLD, package=" 1.0.0"),
    replace(OLD, package="1.0.0\n"),
    replace(OLD, station=OLD.station and OLD.station.replace(") ", ")  ")),
    replace(OLD, station="2.0.4(linux/std) 2021-03-12 09:03:21"),
    replace(OLD, package="1.0"),
    replace(OLD, package=""),
    GatewayVersion(station=OLD.package, package=OLD.station, model=OLD.model),
]


@pytest.mark.parametrize("presented", NEAR, ids=str)
def test_a_near_miss_is_a_miss_from_either_side(presented):
    assert found(matcher(definition(1)), presented) == []
    assert found(matcher(definition(1, presented)), OLD) == []
    assert found(matcher(definition(1, presented)), presented) == ["d1"]


def test_without_auto_create_tasks_nothing_matches():
    assert found(matcher(definition(1, auto=False))) == []


def test_without_update_nothing_matches():
    for absent_field in ("strict", "wildcard"):
        assert found(matcher(Definition("d1", OWNER, 1, True), absent_field=absent_field)) == []


def test_a_definition_without_data_source_matches_all_the_same():
    assert found(matcher(definition(1, source=None))) == ["d1"]


# --- absent fields ------------------------------------------------------------------------------------------------

PARTS = [GatewayVersion(*fields) for fields in product(*((text, None) for text in OLD.as_tuple()))]


@pytest.mark.parametrize("current", PARTS[1:], ids=str)
def test_a_definition_that_leaves_out_a_field_matches_nothing(current):
    made = matcher(definition(1, current))
    for presented in (OLD, current, *PARTS):
        assert found(made, presented) == []


def test_a_gateway_without_a_package_matches_nothing():
    assert found(matcher(definition(1), definition(2, NO_PACKAGE)), NO_PACKAGE) == []


@pytest.mark.parametrize(("current", "presented"), list(product(PARTS, PARTS)), ids=str)
def test_by_policy_a_field_left_out_matches_anything_and_one_not_presented_only_that(current, presented):
    made = matcher(definition(1, current), absent_field="wildcard")
    matches = all(
        want is None or want == show for want, show in zip(current.as_tuple(), presented.as_tuple(), strict=True)
    )
    assert found(made, presented) == (["d1"] if matches else [])


def test_by_policy_another_value_still_does_not_match():
    made = matcher(definition(1, NO_PACKAGE), absent_field="wildcard")
    assert found(made, replace(OLD, model="rpi")) == []
    assert found(made, NEW) == ["d1"]


def test_by_policy_a_definition_without_any_field_matches_every_gateway():
    assert found(matcher(definition(1, NO_VERSION), absent_field="wildcard"), NEW) == ["d1"]


# --- trimmed ------------------------------------------------------------------------------------------------------


def test_by_policy_blanks_at_the_ends_and_case_do_not_count():
    made = matcher(definition(1, replace(OLD, model=" Linux", package="1.0.0\n")), comparison="trimmed")
    assert found(made) == ["d1"]
    assert found(made, replace(OLD, model="LINUX ")) == ["d1"]
    assert found(made, replace(OLD, package="1.0. 0")) == []


def test_by_policy_a_blank_package_is_still_a_package():
    made = matcher(definition(1, replace(OLD, package="")), comparison="trimmed")
    assert found(made, replace(OLD, package=" ")) == ["d1"]
    assert found(made, NO_PACKAGE) == []


# --- several ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("several_matches", "winner"), [("oldest", "d1"), ("newest", "d3")])
def test_of_several_the_oldest_or_by_policy_the_newest_wins(several_matches, winner):
    made = matcher(*map(definition, (1, 2, 3)), several_matches=several_matches)
    assert made.find_best(OWNER, OLD).id == winner
    assert found(made) == ["d1", "d2", "d3"]


@pytest.mark.parametrize(("several_matches", "winner"), [("oldest", "d1"), ("newest", "d4")])
@pytest.mark.parametrize("turn", range(4))
def test_age_decides_also_between_definitions_that_give_different_fields(several_matches, winner, turn):
    parts = [OLD, NO_PACKAGE, NO_VERSION, replace(OLD, model=None)]
    parts = parts[turn:] + parts[:turn]
    made = matcher(
        *(definition(age, part) for age, part in enumerate(parts, 1)),
        absent_field="wildcard",
        several_matches=several_matches,
    )
    assert made.find_best(OWNER, OLD).id == winner
    assert found(made) == ["d1", "d2", "d3", "d4"]


# --- owners and removal -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other", [STRANGER, replace(OWNER, region="eu-west-1"), replace(OWNER, account="999999999999")], ids=str
)
@pytest.mark.parametrize("absent_field", ["strict", "wildcard"])
def test_owners_do_not_see_each_other(other, absent_field):
    made = matcher(definition(1, owner=other), definition(2), absent_field=absent_field)
    assert found(made) == ["d2"]
    assert found(made, owner=other) == ["d1"]
    made.remove(definition(2))
    assert found(made) == []
    assert found(made, owner=other) == ["d1"]


def test_what_was_removed_is_not_found_and_the_next_oldest_wins():
    first, second, third = map(definition, (1, 2, 3))
    made = matcher(first, second, third)
    made.remove(second)
    assert found(made) == ["d1", "d3"]
    made.remove(first)
    assert found(made) == ["d3"]
    made.remove(third)
    assert found(made) == []
    made.add(definition(4))
    assert found(made) == ["d4"]


def test_to_remove_what_is_not_there_or_was_never_indexed_changes_nothing():
    made = matcher(definition(1))
    for stranger in (
        definition(9),
        definition(2, auto=False),
        definition(3, NO_PACKAGE),
        definition(4, NEW),
        Definition("d5", OWNER, 5, True),
    ):
        made.remove(stranger)
        made.remove(stranger)
    assert found(made) == ["d1"]


def test_nothing_is_kept_of_what_was_removed():
    made = matcher()
    for sequence in range(100):
        made.add(definition(sequence, replace(OLD, package=f"1.0.{sequence}")))
        made.remove(definition(sequence, replace(OLD, package=f"1.0.{sequence}")))
    assert not made._groups


# --- cost ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def work(monkeypatch):
    """How often versions are hashed and compared."""
    counted: Counter[str] = Counter()
    originals = {name: getattr(GatewayVersion, name) for name in ("__hash__", "__eq__")}

    def count(name):
        def counting(self, *others):
            counted[name] += 1
            return originals[name](self, *others)

        return counting

    for name in originals:
        monkeypatch.setattr(GatewayVersion, name, count(name))
    return counted


def cost(size: int, presented: GatewayVersion, counted: Counter[str], **policy: Any) -> dict[str, int]:
    made = matcher(*(definition(n, replace(OLD, package=f"1.0.{n}")) for n in range(size)), **policy)
    counted.clear()
    made.find_best(OWNER, presented)
    return dict(counted)


@pytest.mark.parametrize(
    "policy",
    [{}, {"several_matches": "newest"}, {"comparison": "trimmed"}, {"absent_field": "wildcard"}],
    ids=str,
)
@pytest.mark.parametrize("presented", [replace(OLD, package="1.0.7"), replace(OLD, package="none such")], ids=str)
def test_a_look_up_costs_the_same_among_ten_and_among_ten_thousand(work, policy, presented):
    few, many = cost(10, presented, work, **policy), cost(10_000, presented, work, **policy)
    assert few == many
    assert 1 <= many["__hash__"] <= (8 if policy.get("absent_field") == "wildcard" else 1)
    assert many.get("__eq__", 0) <= 1


class Watched(list):
    """Counts how many of its items are looked at."""

    seen = 0

    def __getitem__(self, index):
        Watched.seen += 1
        return super().__getitem__(index)

    def __iter__(self):
        for item in super().__iter__():
            Watched.seen += 1
            yield item


@pytest.mark.parametrize(("several_matches", "winner"), [("oldest", "d0"), ("newest", "d9999")])
def test_of_ten_thousand_that_match_one_is_looked_at(several_matches, winner):
    made = matcher(*map(definition, range(10_000)), several_matches=several_matches)
    ((key, group),) = made._groups.items()
    made._groups[key] = Watched(group)
    Watched.seen = 0
    assert made.find_best(OWNER, OLD).id == winner
    assert Watched.seen == 1
