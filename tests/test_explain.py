"""``explain`` names the reason why a gateway is not updated, on one screen."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fakes import DAY_S, FIRMWARE, HOUR_S, NEW, OLD, OTHER, OWNER, STATION, STRANGER, World

from lorafw.clock import format_iso
from lorafw.errors import (
    AccessDenied,
    CertificateNotAllowed,
    FirmwareError,
    NoSuchObject,
    NotFound,
    RoleNotTrusted,
    SourceUnavailable,
)
from lorafw.eui import GatewayEui
from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.tasks.explain import Explanation, differences
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.tasks.model import NO_VERSION
from lorafw.testbed import Testbed
from lorafw.version import GatewayVersion

PENDING, IN_PROGRESS, FIRST_RETRY, SECOND_RETRY, COMPLETED, FAILED = TaskStatus

SCREEN_LINES = 24


@pytest.fixture
def world():
    return World()


@pytest.fixture
def gateway(world):
    return world.gateway(name="roof")


def says(world: World, gateway, *words: str) -> Explanation:
    """The explanation fits a screen and has all these words in it."""
    explanation = world.service.explain(gateway.owner, gateway.id)
    assert str(explanation).splitlines() == list(explanation.lines)
    assert len(explanation.lines) <= SCREEN_LINES
    assert explanation.gateway_eui == gateway.eui.hex
    for each in words:
        assert each in str(explanation), f"{each!r} is not in:\n{explanation}"
    return explanation


# --- before there is a task ---------------------------------------------------------------------------------------


def test_a_gateway_that_has_never_polled(world, gateway):
    explanation = says(world, gateway, "000000000000000a", "roof", "has not sent a CUPS request yet", "cups.uri")
    assert explanation.status is None
    assert len(explanation.lines) == 2


def test_a_gateway_that_has_never_polled_and_has_a_task(world, gateway):
    definition = world.definition(auto=False)
    world.service.create_task(OWNER, gateway.id, definition.id)
    explanation = says(world, gateway, "has not sent a CUPS request yet", "PENDING", f"of definition {definition.id}")
    assert explanation.status is PENDING


def test_a_refused_request_is_told_until_one_is_answered(world, gateway):
    error = CertificateNotAllowed("no certificate is bound")
    world.service.record_refusal(gateway.eui, error)
    world.service.record_refusal(GatewayEui(99), error)
    world.clock.advance(5)
    words = "The last CUPS request in its name was refused 2021-03-12T09:56:12.047Z (5 s ago): no certificate is bound."
    assert says(world, gateway, words).lines[1:] == (words,)
    world.poll(gateway)
    assert "refused" not in str(says(world, gateway, "There is no task definition"))
    world.service.record_refusal(gateway.eui, error)
    says(world, gateway, "was refused", "Last CUPS request", "There is no task definition")


def test_a_gateway_without_version_txt(world, gateway):
    world.definition()
    world.poll(gateway, replace(OLD, package=None))
    words = says(world, gateway, "presents no PackageVersion", "no version.txt", "PackageVersion: ", "'1.0.0'", "None")
    assert "the gateway presents none" in str(words)


def test_explain_does_not_say_that_version_txt_is_missing_if_it_exists(world, gateway):
    world.poll(gateway)
    assert "version.txt" not in str(says(world, gateway, "PackageVersion='1.0.0'", format_iso(world.clock.now_ms())))


def test_no_definitions(world, gateway):
    world.definition(owner=STRANGER)
    world.poll(gateway)
    says(world, gateway, "There is no task definition in this account and Region.", "It has no task.")


def test_definitions_but_none_that_is_near(world, gateway):
    world.definition(GatewayVersion("other", "2.0.0", "other"))
    world.poll(gateway)
    explanation = says(world, gateway, "No task definition with AutoCreateTasks matches.", "It has no task.")
    assert explanation.near_misses == ()
    assert "Nearly" not in str(explanation)


NEAR = [
    ("case", replace(OLD, model="Linux"), "Model", "'Linux'", "'linux'", "upper and lower case differ"),
    ("a blank behind", replace(OLD, package="1.0.0 "), "PackageVersion", "'1.0.0 '", "'1.0.0'", "a space too many"),
    ("a blank in front", replace(OLD, package=" 1.0.0"), "PackageVersion", "' 1.0.0'", "'1.0.0'", "a space too many"),
    ("a line end", replace(OLD, package="1.0.0\n"), "PackageVersion", r"'1.0.0\n'", "'1.0.0'", "a space too many"),
    (
        "a blank more inside",
        replace(OLD, station=STATION.replace(" ", "  ")),
        "Station",
        "'2.0.4(linux/std)  2021-03-12  09:03:20'",
        f"'{STATION}'",
        "a space too many",
    ),
    (
        "the build time",
        replace(OLD, station="2.0.4(linux/std) 2021-03-12 09:04:00"),
        "Station",
        "'2.0.4(linux/std) 2021-03-12 09:04:00'",
        f"'{STATION}'",
        "only the build time differs",
    ),
    (
        "no build time",
        replace(OLD, station="2.0.4(linux/std)"),
        "Station",
        "'2.0.4(linux/std)'",
        f"'{STATION}'",
        "only the build time differs",
    ),
    ("another package", replace(OLD, package="1.0.1"), "PackageVersion", "'1.0.1'", "'1.0.0'", "the values differ"),
    (
        "a field left out",
        replace(OLD, package=None),
        "PackageVersion",
        "None",
        "'1.0.0'",
        "the definition does not give this field",
    ),
]


@pytest.mark.parametrize(
    ("current", "field", "wanted", "presented", "kind"), [row[1:] for row in NEAR], ids=[row[0] for row in NEAR]
)
def test_a_near_miss_is_shown_with_the_field_and_both_values(world, gateway, current, field, wanted, presented, kind):
    definition = world.definition(current, name="roof update")
    world.poll(gateway)
    line = f"{field}: the definition wants {wanted}, the gateway presents {presented} ({kind}"
    explanation = says(world, gateway, f"Nearly: {definition.id} (roof update)", line)
    (miss,) = explanation.near_misses
    assert (miss.definition, [d.field for d in miss.differences]) == (definition, [field])


def test_a_near_miss_in_several_fields_is_shown_where_each_is_a_slip(world, gateway):
    world.definition(GatewayVersion("2.0.4(linux/std)", "1.0.0 ", "Linux"))
    world.poll(gateway)
    explanation = says(world, gateway, "upper and lower case differ", "a space too many", "only the build time")
    assert [d.field for d in explanation.near_misses[0].differences] == ["PackageVersion", "Model", "Station"]


def test_two_fields_that_differ_are_no_near_miss(world, gateway):
    world.definition(replace(OLD, package="9", model="rpi"))
    world.definition(replace(OLD, package="9", model="Linux"))
    world.poll(gateway)
    assert says(world, gateway).near_misses == ()


def test_a_slip_is_shown_before_versions_that_merely_differ(world, gateway):
    for minor in range(10, 20):
        world.definition(replace(OLD, package=f"1.{minor}.0"))
    slip = world.definition(replace(OLD, model="Linux"))
    world.poll(gateway)
    explanation = says(world, gateway, "upper and lower case differ")
    assert explanation.near_misses[0].definition == slip
    assert len(explanation.near_misses) == 3
    assert [m.definition.id for m in explanation.near_misses[1:]] == ["2", "3"]


def test_what_makes_no_task_by_itself_is_no_near_miss(world, gateway):
    world.definition(replace(OLD, model="Linux"), auto=False)
    world.poll(gateway)
    assert says(world, gateway).near_misses == ()


def test_a_definition_that_only_lacks_auto_create_tasks_is_named(world, gateway):
    manual = world.definition(auto=False)
    world.definition(replace(OLD, package="9"), auto=False)
    world.poll(gateway)
    words = f"Without AutoCreateTasks, these need CreateWirelessGatewayTask (documented): {manual.id}."
    says(world, gateway, "No task definition with AutoCreateTasks matches.", words)
    world.service.create_task(gateway.owner, gateway.id, manual.id)
    assert "Without AutoCreateTasks" not in str(says(world, gateway))


def test_a_definition_in_another_region_that_would_match_is_named(world, gateway):
    elsewhere = world.definition(owner=replace(OWNER, region="eu-west-1"))
    world.definition(owner=STRANGER)
    world.definition(replace(OLD, package="9"), owner=replace(OWNER, region="sa-east-1"))
    world.poll(gateway)
    words = f"These would match, but they are in eu-west-1, and the gateway is in {OWNER.region}: {elsewhere.id}."
    assert "sa-east-1" not in str(says(world, gateway, "There is no task definition", words))
    world.definition(replace(OLD, package="9"))
    says(world, gateway, "No task definition with AutoCreateTasks matches.", words)
    world.definition()
    assert "would match" not in str(says(world, gateway))


def test_explain_does_not_show_a_near_miss_of_another_account(world, gateway):
    world.definition(replace(OLD, model="Linux"), owner=STRANGER)
    world.definition(replace(OLD, model="other", package="other"))
    world.poll(gateway)
    assert says(world, gateway).near_misses == ()


def test_a_definition_without_update(world, gateway):
    definition = world.service.create_definition(OWNER, auto_create_tasks=True, name="hollow")
    world.poll(gateway)
    says(world, gateway, "No task definition", "Without Update", "never offering anything", definition.id)


def test_explain_shows_a_near_miss_only_while_no_definition_matches(world, gateway):
    world.definition()
    world.definition(replace(OLD, model="Linux"))
    world.poll(gateway)
    world.poll(gateway, NEW)
    for version in (OLD, NEW):
        world.poll(gateway, version)
        assert says(world, gateway).near_misses == ()


# --- several match ------------------------------------------------------------------------------------------------


def test_several_match(world, gateway):
    first, second, third = (world.definition(name=name) for name in ("first", "second", "third"))
    world.poll(gateway)
    says(
        world,
        gateway,
        f"Matches task definition {first.id} (first).",
        f"Also matched by {second.id}, {third.id}; the oldest wins (assumed).",
    )


def test_several_match_and_by_policy_the_newest_wins():
    world = World(several_matches="newest")
    gateway = world.gateway()
    first, second, third = (world.definition() for _ in range(3))
    world.poll(gateway)
    assert world.task(gateway).definition == third
    says(
        world,
        gateway,
        f"Matches task definition {third.id} ",
        f"Also matched by {second.id}, {first.id}; the newest wins (assumed).",
    )


def test_of_many_that_match_some_are_named(world, gateway):
    for _ in range(500):
        world.definition()
    world.poll(gateway)
    explanation = says(world, gateway, "Also matched by 3, 4, 5 and 496 more;")
    assert max(map(len, explanation.lines)) < 200


def test_explain_does_not_say_several_if_one_definition_matches(world, gateway):
    world.definition(name="only")
    world.poll(gateway)
    assert "Also" not in str(says(world, gateway, "(only)"))


def test_where_by_policy_no_task_is_made_by_itself():
    world = World(automatic_creation="never")
    gateway = world.gateway()
    world.definition()
    world.poll(gateway)
    says(world, gateway, "Matches", "automatic_creation is 'never'", "It has no task.")


def test_where_by_policy_a_field_left_out_matches_it_is_no_difference():
    world = World(absent_field="wildcard")
    gateway = world.gateway()
    world.definition(replace(OLD, package=None, model="Linux"))
    world.poll(gateway)
    (miss,) = says(world, gateway, "upper and lower case differ").near_misses
    assert [d.field for d in miss.differences] == ["Model"]


def test_where_by_policy_case_does_not_count_it_is_no_difference():
    world = World(comparison="trimmed")
    gateway = world.gateway()
    world.definition(replace(OLD, package="2.0.0", model="Linux "))
    world.poll(gateway)
    (miss,) = says(world, gateway).near_misses
    assert [d.field for d in miss.differences] == ["PackageVersion"]


def test_differences_of_equal_versions_are_none():
    assert differences(OLD, OLD) == ()
    assert [d.field for d in differences(NO_VERSION, OLD)] == ["PackageVersion", "Model", "Station"]


# --- a task that waits --------------------------------------------------------------------------------------------


def test_what_a_pending_manual_task_waits_for(world, gateway):
    definition = world.definition(replace(OLD, model="Linux"), auto=False)
    world.service.create_task(OWNER, gateway.id, definition.id)
    world.poll(gateway)
    explanation = says(
        world,
        gateway,
        f"Task (manual, of definition {definition.id}): PENDING, 0 whole send(s).",
        "It waits for a request that presents PackageVersion='1.0.0', Model='Linux', Station=",
        "Model: the definition wants 'Linux', the gateway presents 'linux' (upper and lower case differ)",
        "created manually",
    )
    assert explanation.status is PENDING


def test_a_task_that_runs_waits_for_no_version_in_particular(world, gateway):
    world.definition(update_version=NEW)
    for version in (OLD, OTHER):
        world.poll(gateway, version)
    explanation = says(world, gateway, "FIRST_RETRY", "presents neither the old nor the new version")
    assert not [line for line in explanation.lines if "the definition wants" in line]


def test_only_the_fields_that_are_given_keep_a_manual_task_waiting(world, gateway):
    definition = world.definition(GatewayVersion(package="2.0.0"), auto=False)
    world.service.create_task(OWNER, gateway.id, definition.id)
    world.poll(gateway)
    explanation = says(world, gateway, "It waits for a request that presents PackageVersion='2.0.0'.")
    assert [line for line in explanation.lines if "the definition wants" in line] == [
        "  PackageVersion: the definition wants '2.0.0', the gateway presents '1.0.0' (the values differ)"
    ]


@pytest.mark.parametrize("policy", [{}, {"manual_start": "any_request"}], ids=str)
def test_a_manual_task_that_waits_for_any_request(policy):
    world = World(**policy)
    gateway = world.gateway()
    world.poll(gateway)
    current = NEW if policy else NO_VERSION
    definition = world.definition(current, auto=False)
    world.service.create_task(OWNER, gateway.id, definition.id)
    explanation = says(world, gateway, "It waits for any request.")
    assert not [line for line in explanation.lines if "the definition wants" in line]


def test_a_definition_without_data_source(world, gateway):
    world.definition(source=None)
    world.poll(gateway)
    says(world, gateway, "Task (automatic", "PENDING", "no UpdateDataSource, so it never offers anything")


def test_a_manual_task_from_a_definition_without_update(world, gateway):
    definition = world.service.create_definition(OWNER, auto_create_tasks=False)
    world.service.create_task(OWNER, gateway.id, definition.id)
    world.poll(gateway)
    says(world, gateway, "no UpdateDataSource, so it never offers anything")


@pytest.mark.parametrize("status", [IN_PROGRESS, FIRST_RETRY, SECOND_RETRY])
def test_a_sent_update_waits_for_the_next_request(world, status):
    gateway = world.in_status(status)
    number = [IN_PROGRESS, FIRST_RETRY, SECOND_RETRY].index(status) + 1
    explanation = says(world, gateway, f"{status}, {number} whole send(s)", "it waits for the next request")
    assert explanation.status is status
    assert ("FAILED" in str(explanation)) == (status is SECOND_RETRY)


@pytest.mark.parametrize(
    ("whole", "versions"), [(False, [OLD]), (True, [OLD, OTHER])], ids=["broken", "after another version"]
)
def test_an_update_that_has_not_gone_out_whole_is_sent_at_the_next_request_with_the_old_version(
    world, gateway, whole, versions
):
    world.definition(update_version=NEW)
    for version in versions:
        world.poll(gateway, version, whole=whole)
    says(world, gateway, "not gone out whole yet; it is sent at the next request that presents PackageVersion='1.0.0'")


def test_explain_does_not_announce_another_send_if_the_policy_counts_broken_replies():
    world = World(broken_reply="counts")
    gateway = world.gateway()
    world.definition()
    world.poll(gateway, whole=False)
    says(world, gateway, "it waits for the next request", "reply not wholly written")


def test_the_deadline_of_silence(world):
    gateway = world.in_status(SECOND_RETRY)
    deadline = world.service.last_seen_ms(OWNER, gateway.id) + 48 * HOUR_S * 1000
    says(world, gateway, f"Without one until {format_iso(deadline)} it is FAILED (assumed).")
    world.clock.advance(48 * HOUR_S)
    assert format_iso(deadline) in str(says(world, gateway, "FAILED", "silent after the last retry"))


def test_explain_shows_the_longest_silence_timeout_of_a_policy():
    world = World(silence_timeout_s=100 * 365.25 * DAY_S)
    says(world, world.in_status(SECOND_RETRY), "Without one until 2121-")


@pytest.mark.parametrize(("versions", "status"), [([OLD, NEW], COMPLETED), ([OLD] * 4, FAILED)], ids=str)
def test_a_task_that_has_ended(world, gateway, versions, status):
    world.definition()
    for version in versions:
        world.poll(gateway, version)
    words = says(world, gateway, str(status), "It has ended; delete it before starting a new one (documented).")
    assert words.status is status
    cause = "presents the new version" if status is COMPLETED else "still presents the old version"
    assert f"Last event {format_iso(world.clock.now_ms())}: {cause}." in words.lines


def test_explain_does_not_advise_to_delete_an_ended_task_if_the_policy_replaces_it():
    world = World(existing_task="ended_gives_way")
    explanation = says(world, world.in_status(COMPLETED), "It has ended; a new one takes its place")
    assert "delete" not in str(explanation)


# --- problems and keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        NoSuchObject("there is no key '1.0.1' in bucket 'firmware'"),
        AccessDenied("the role may not s3:GetObject"),
        RoleNotTrusted("the role does not trust iotwireless.amazonaws.com"),
        SourceUnavailable("S3 does not answer"),
        FirmwareError("the file has 0 bytes"),
        SourceUnavailable("many\n" * 50),
    ],
    ids=lambda error: type(error).__name__,
)
def test_why_the_update_cannot_be_read(world, gateway, trouble):
    world.definition()
    world.source.trouble = trouble
    world.poll(gateway)
    words = " ".join(str(trouble).split())
    says(world, gateway, "PENDING", f"The update cannot be read ({type(trouble).__name__}): {words}")


def test_the_update_is_looked_at_before_any_request_needs_it(world, gateway):
    world.poll(gateway)
    world.definition()
    assert "Object and role can be read: the update has 19 bytes." in says(world, gateway).lines
    world.source.trouble = AccessDenied("statement 'No' of policy 'Read' denies it")
    says(world, gateway, "The update cannot be read (AccessDenied): statement 'No' of policy 'Read' denies it")


def test_explain_distinguishes_an_earlier_read_error_from_the_present_state(world, gateway):
    world.definition()
    world.source.trouble = SourceUnavailable("S3 does not answer")
    world.poll(gateway)
    world.source.trouble = None
    says(
        world,
        gateway,
        "At the last request that needed it the update could not be read (SourceUnavailable): S3 does not answer",
        "Object and role can be read: the update has 19 bytes.",
    )


def test_the_update_of_the_definition_that_wins_is_the_one_looked_at():
    world = World(several_matches="newest")
    gateway = world.gateway()
    world.poll(gateway)
    for source in ("s3://firmware/first", "s3://firmware/second"):
        world.definition(source=source)
    says(world, gateway)
    assert [opened[0] for opened in world.source.opened] == ["s3://firmware/second"]


@pytest.mark.parametrize("source", [None, FIRMWARE])
def test_where_nothing_will_be_sent_nothing_is_looked_at(world, gateway, source):
    world.definition(source=source)
    world.poll(gateway)
    world.poll(gateway, NEW)
    before = len(world.source.opened)
    assert "can be read" not in str(says(world, gateway))
    assert len(world.source.opened) == before


SIGNED = {"signature": b"der", "sig_key_crc": 3434210794}


def test_a_key_that_the_gateway_has_not(world, gateway):
    world.definition(**SIGNED)
    world.poll(gateway, keys=(925985846, 7))
    says(
        world,
        gateway,
        "signed with SigKeyCrc 3434210794 (CCB1E5EA)",
        "the gateway has the keys 925985846 (37316C36), 7 (00000007)",
        "It is offered all the same (assumed).",
    )


def test_a_gateway_without_any_key(world, gateway):
    world.definition(**SIGNED)
    world.poll(gateway)
    says(world, gateway, "signed with SigKeyCrc 3434210794", "the gateway has no key.")


def test_a_signature_without_sig_key_crc(world, gateway):
    world.definition(signature=b"der")
    world.poll(gateway, keys=(7,))
    says(world, gateway, "signed with no SigKeyCrc")


def test_by_policy_the_update_is_withheld():
    world = World(key_mismatch="withhold")
    gateway = world.gateway()
    world.definition(**SIGNED)
    world.poll(gateway, keys=(7,))
    says(world, gateway, "It is withheld (assumed).", "gateway has not the key")


def test_a_key_that_the_gateway_has(world, gateway):
    world.definition(**SIGNED)
    world.poll(gateway, keys=(7, 3434210794))
    says(world, gateway, "The update is signed with SigKeyCrc 3434210794 (CCB1E5EA), and the gateway has this key.")


def test_keys_are_compared_before_there_is_a_task_and_after_one_has_failed(world, gateway):
    words = "signed with SigKeyCrc 3434210794 (CCB1E5EA); the gateway has the keys 7 (00000007)"
    world.poll(gateway, keys=(7,))
    world.definition(**SIGNED)
    says(world, gateway, words, "It has no task.")
    for _ in range(4):
        world.poll(gateway, keys=(7,))
    says(world, gateway, words, "FAILED")


def test_after_an_update_that_took_effect_its_key_is_not_worth_a_word(world, gateway):
    world.definition(**SIGNED)
    for version in (OLD, NEW):
        world.poll(gateway, version, keys=(7,))
    assert "SigKeyCrc" not in str(says(world, gateway, "COMPLETED"))


def test_an_unsigned_update_for_a_gateway_with_keys(world, gateway):
    world.definition()
    world.poll(gateway, keys=(7,))
    says(world, gateway, "The update is not signed, and the gateway has keys (7 (00000007)): a station refuses it")


def test_an_unsigned_update_for_a_gateway_without_keys(world, gateway):
    world.definition()
    world.poll(gateway)
    says(world, gateway, "The update is not signed, and the gateway has no key: a station runs it (observed).")


# --- the screen ---------------------------------------------------------------------------------------------------


def test_the_longest_explanation_fits_a_screen():
    world = World()
    gateway = world.gateway(name="long\n" * 100)
    for _ in range(50):
        world.definition(GatewayVersion("2.0.4(linux/std)", "1.0.0 ", "Linux"), name="also\nlong " * 200)
        world.service.create_definition(OWNER, auto_create_tasks=True)
    world.poll(gateway, keys=tuple(range(1, 100)))
    explanation = says(world, gateway)
    assert len(explanation.near_misses) == 3
    assert len(explanation.lines) > 12
    assert max(map(len, explanation.lines)) < 200


def test_the_longest_explanation_of_a_task_fits_a_screen(world):
    gateway = world.gateway()
    definition = world.definition(GatewayVersion("2.0.4(linux/std)", "1.0.0 ", "Linux"), auto=False, **SIGNED)
    for _ in range(50):
        world.definition(replace(OLD, package=None), auto=True)
        world.definition(replace(NEW, package="3"))
    world.service.create_task(OWNER, gateway.id, definition.id)
    world.poll(gateway, replace(OLD, package=None), keys=tuple(range(1, 100)))
    explanation = says(world, gateway, "1 (00000001), 2 (00000002), 3 (00000003) and 96 more")
    assert max(map(len, explanation.lines)) < 300


@pytest.mark.parametrize("word", ["wins", "FAILED (", "offered all the same", "delete it"])
def test_a_sentence_that_rests_on_a_decision_carries_its_tag(word):
    world = World()
    gateway = world.gateway()
    for _ in range(2):
        world.definition(**SIGNED)
    told = []
    for _ in range(4):
        world.poll(gateway)
        told += world.explain(gateway).splitlines()
    tagged = re.compile(r"\((documented|observed|assumed)\)\.")
    lines = [line for line in told if word in line]
    assert lines
    assert all(tagged.search(line) for line in lines)


def test_to_explain_changes_nothing(world):
    gateway = world.in_status(FIRST_RETRY)
    before = world.service.log, world.task(gateway)
    assert world.explain(gateway) == world.explain(gateway)
    assert (world.service.log, world.task(gateway)) == before


def test_an_unknown_gateway_is_not_explained(world):
    with pytest.raises(NotFound):
        world.service.explain(OWNER, "none such")


def test_explain_shows_the_last_three_exchanges_with_their_answers_and_the_time_of_the_next(world, gateway) -> None:
    world.definition()
    world.poll(gateway)
    world.clock.advance(10)
    world.poll(gateway, whole=False)
    world.clock.advance(10)
    world.poll(gateway, NEW)
    world.clock.advance(10)
    world.poll(gateway, NEW)
    due = format_iso(world.clock.now_ms() + 10_000)
    text = str(
        says(world, gateway, "Last 3 exchange(s):", "got the update, broken off", f"The next is due {due}, in 10 s")
    )
    assert text.count(" presented 1.0.") == 3
    assert "got the update, all of it" not in text, "that was the fourth from the end"


def test_after_one_exchange_the_next_is_due_after_a_stations_regular_check(world, gateway) -> None:
    world.poll(gateway, replace(OLD, package=None))
    due = format_iso(world.clock.now_ms() + DAY_S * 1000)
    says(world, gateway, "presented no PackageVersion, got nothing to do", f"due {due}, in 1 d", "24 h (observed)")
    world.clock.advance(DAY_S + 90 * 60)
    says(world, gateway, "(1 d 1 h ago) presented:", "; that was 1 h 30 min ago, if")


def test_after_a_broken_reply_the_next_is_due_a_minute_later(world, gateway) -> None:
    world.definition()
    for _ in range(2):
        world.poll(gateway, whole=False)
        says(
            world,
            gateway,
            f"due {format_iso(world.clock.now_ms() + 60_000)}, in 1 min",
            "after a broken reply (observed)",
        )
        world.clock.advance(60)


@pytest.mark.parametrize("package", ["x" * 5000, "two\nlines", "   "])
def test_an_odd_package_does_not_break_the_screen(world, gateway, package) -> None:
    world.poll(gateway, replace(OLD, package=package))
    assert len(says(world, gateway).lines[-2]) < 150


def test_in_a_notebook_and_at_a_prompt_it_shows_itself(world) -> None:
    gateway = world.gateway(name="<b>roof</b>")
    world.definition(replace(OLD, model="Linux"))
    world.poll(gateway)
    explanation = says(world, gateway, "Nearly")
    assert repr(explanation) == str(explanation)
    html = explanation._repr_html_()
    assert "<strong>Gateway 000000000000000a (&lt;b&gt;roof&lt;/b&gt;)</strong>" in html
    for line in explanation.lines[1:]:
        assert line.strip() in html


# --- an object that is not the one that was signed -----------------------------------------------------------------

PAIR = KeyPair.from_secret(4711)
CONTENT = FIRMWARE.encode()
"""What the source in memory gives out."""


def signed(content: bytes, **members: object) -> dict[str, object]:
    made = sign_update(PAIR, content)
    return {"signature": made.signature, "sig_key_crc": made.key_crc, **members}


def test_an_object_that_was_overwritten_is_named_while_it_is_sent_and_when_that_was_in_vain(world, gateway):
    world.definition(**signed(b"the update of before"))
    for _ in range(4):
        world.poll(gateway, keys=(PAIR.public_key.crc,))
        says(
            world,
            gateway,
            f"does not belong to the object that is there now: no key with SigKeyCrc {PAIR.public_key.crc}",
            "Was the object overwritten?",
        )
    assert world.status(gateway) is FAILED


@pytest.mark.parametrize("keys", [(PAIR.public_key.crc,), (7,), ()], ids=["its key", "another", "none"])
def test_of_a_signature_that_fits_nothing_is_said(world, gateway, keys):
    world.definition(**signed(CONTENT))
    for _ in range(4):
        world.poll(gateway, keys=keys)
        assert "belong" not in str(says(world, gateway))


def test_a_wrong_sig_key_crc_is_no_wrong_object_where_the_gateway_has_the_key_that_signed(world, gateway):
    world.definition(**signed(CONTENT, sig_key_crc=7))
    world.poll(gateway, keys=(PAIR.public_key.crc,))
    assert "belong" not in str(says(world, gateway))
    world.poll(gateway, keys=(8,))
    says(world, gateway, "does not belong", "SigKeyCrc 7 (00000007)")


def test_of_an_object_that_was_not_read_no_signature_is_judged(world, gateway):
    world.definition(**signed(b"the update of before"))
    world.source.trouble = NoSuchObject("gone")
    world.poll(gateway)
    assert "belong" not in str(says(world, gateway, "cannot be read"))


def test_two_updates_under_one_key_of_the_bucket() -> None:
    with Testbed() as bed:
        bed.define_update("1.0.1")
        bed.poll()
        assert "belong" not in str(bed.explain())
        bed.define_update("1.0.2", auto_create_tasks=False)
        assert "does not belong to the object that is there now" in str(bed.explain())


# --- what it waits for ----------------------------------------------------------------------------------------------


def test_a_task_whose_update_cannot_be_read_waits_for_that_first(world, gateway):
    world.definition()
    world.source.trouble = NoSuchObject("gone")
    world.poll(gateway)
    wanted = "a request that presents PackageVersion='1.0.0'"
    says(world, gateway, "PENDING", f"It waits for an update that can be read, and then for {wanted}")
    world.source.trouble = None
    says(world, gateway, f"It waits for {wanted}")
    world.poll(gateway, whole=False)
    world.source.trouble = NoSuchObject("gone")
    says(world, gateway, "not gone out whole yet; once it can be read, it is sent at the next request")


@pytest.mark.parametrize("package", [" 1.0.1", "1.0.1 ", "1.0  .1", "1.0.1\x07", " "])
def test_an_exchange_shows_what_cannot_be_seen_of_a_version(world, gateway, package):
    world.poll(gateway, replace(OLD, package=package))
    says(world, gateway, f"presented {package!r}, got nothing to do")


def test_an_exchange_shows_an_ordinary_version_as_it_is(world, gateway):
    world.poll(gateway)
    says(world, gateway, "presented 1.0.0, got nothing to do")
