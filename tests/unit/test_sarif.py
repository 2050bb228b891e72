"""What we write in SARIF is SARIF, and one finding is one alert in every run."""

import json
from pathlib import PurePath, PurePosixPath
from typing import Any

import jsonschema
import pytest

from credmgr.sarif import InFile, Level, Result, Rule, Suppression, Thing, log

AGE = Rule("secret-age", "A secret is too old.", Level.ERROR, "Rotate it.", "https://x.test", 8.0)
LEAK = Rule("managed-secret", "A managed secret stands in a file.")

_TEXT = {
    "type": "object",
    "required": ["text"],
    "additionalProperties": False,
    "properties": {"text": {"type": "string", "minLength": 1}},
}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
_LOCATION = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "physicalLocation": {
            "type": "object",
            "additionalProperties": False,
            "required": ["artifactLocation"],
            "properties": {
                "artifactLocation": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["uri"],
                    "properties": {
                        "uri": {"type": "string", "pattern": "^[!-~]+$"},
                        "uriBaseId": {"type": "string"},
                    },
                },
                "region": {
                    "type": "object",
                    "required": ["startLine"],
                    "additionalProperties": False,
                    "properties": {"startLine": {"type": "integer", "minimum": 1}},
                },
            },
        },
        "logicalLocations": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["fullyQualifiedName"],
                "properties": {
                    "fullyQualifiedName": {"type": "string"},
                    "kind": {"type": "string"},
                },
            },
        },
    },
}
_RESULT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints"],
    "properties": {
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": _LEVEL,
        "message": _TEXT,
        "locations": {"type": "array", "items": _LOCATION},
        "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
        "properties": {"type": "object"},
        "suppressions": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["kind"],
                "properties": {
                    "kind": {"enum": ["inSource", "external"]},
                    "status": {"enum": ["accepted", "underReview", "rejected"]},
                    "justification": {"type": "string"},
                },
            },
        },
    },
}
_RULE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "shortDescription": _TEXT,
        "help": _TEXT,
        "helpUri": {"type": "string", "format": "uri"},
        "defaultConfiguration": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"level": _LEVEL},
        },
        "properties": {
            "type": "object",
            "properties": {
                "security-severity": {"type": "string", "pattern": r"^(10|\d)\.\d$"},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
        },
    },
}
SARIF_2_1_0: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "additionalProperties": False,
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "semanticVersion": {"type": "string"},
                                    "rules": {"type": "array", "items": _RULE},
                                },
                            }
                        },
                    },
                    "invocations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["executionSuccessful"],
                            "properties": {
                                "executionSuccessful": {"type": "boolean"},
                                "toolExecutionNotifications": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "required": ["message"],
                                        "additionalProperties": False,
                                        "properties": {"level": _LEVEL, "message": _TEXT},
                                    },
                                },
                            },
                        },
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {"type": "array", "items": _RESULT},
                },
            },
        },
    },
}
"""What section 3 of the specification says about the parts that we write, and no other part."""


def _written(*results: Result, notices: tuple[str, ...] = ()) -> Any:
    made = json.loads(json.dumps(log((AGE, LEAK), results, version="1.2.3", notices=notices)))
    jsonschema.validate(made, SARIF_2_1_0)
    return made["runs"][0]


def _found(where: InFile | Thing, **more: Any) -> Result:
    return Result("managed-secret", "It stands here.", (where,), ("team/key", "app.py"), **more)


def test_a_run_without_results_is_sound_and_lists_its_rules() -> None:
    run = _written()
    assert run["results"] == []
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [
        "secret-age",
        "managed-secret",
    ]
    assert run["tool"]["driver"]["semanticVersion"] == "1.2.3"


def test_a_rule_says_how_bad_it_is_and_what_to_do() -> None:
    age, leak = _written()["tool"]["driver"]["rules"]
    assert age["properties"]["security-severity"] == "8.0"
    assert age["help"] == {"text": "Rotate it."}
    assert age["helpUri"] == "https://x.test"
    assert "help" not in leak
    assert leak["defaultConfiguration"] == {"level": "warning"}


def test_a_result_has_its_rule_s_level_unless_it_says_another() -> None:
    usual, worse = _written(
        _found(Thing("team/key", "credential")),
        _found(Thing("team/key", "credential"), level=Level.ERROR),
    )["results"]
    assert (usual["level"], worse["level"]) == ("warning", "error")
    assert usual["ruleIndex"] == 1


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("src/app.py", "src/app.py"),
        ("a b/ä%.py", "a%20b/%C3%A4%25.py"),
        ("bad\udcff.py", "bad%FF.py"),
        ("/etc/app.conf", "file:///etc/app.conf"),
    ],
    ids=["plain", "escaped", "no-utf8", "absolute"],
)
def test_a_path_becomes_a_uri_whatever_its_name(path: str, uri: str) -> None:
    [result] = _written(_found(InFile(PurePosixPath(path), 7)))["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == uri
    assert ("uriBaseId" in place["artifactLocation"]) is not path.startswith("/")
    assert place["region"] == {"startLine": 7}


def test_a_file_as_a_whole_has_no_line() -> None:
    [result] = _written(_found(InFile(PurePath("image.tar"))))["results"]
    assert "region" not in result["locations"][0]["physicalLocation"]


def test_a_result_is_the_same_one_when_its_line_and_text_have_changed() -> None:
    first = _found(InFile(PurePath("app.py"), 3))
    moved = Result("managed-secret", "Now here.", (InFile(PurePath("app.py"), 9),), first.identity)
    other = Result("managed-secret", "It stands here.", first.where, ("team/other", "app.py"))
    one, two, three = (
        result["partialFingerprints"] for result in _written(first, moved, other)["results"]
    )
    assert one == two != three


def test_parts_of_an_identity_do_not_run_into_each_other() -> None:
    where = (Thing("x"),)
    glued = (Result("secret-age", "Old.", where, parts) for parts in (("ab", "c"), ("a", "bc")))
    one, two = (result["partialFingerprints"] for result in _written(*glued)["results"])
    assert one != two


def test_an_accepted_result_keeps_the_reason() -> None:
    beside = _found(InFile(PurePath("x"), 1), suppressed=Suppression("test data", in_source=True))
    listed = _found(InFile(PurePath("x"), 1), suppressed=Suppression("old, revoked"))
    kinds = [result["suppressions"][0] for result in _written(beside, listed)["results"]]
    assert [(kind["kind"], kind["justification"]) for kind in kinds] == [
        ("inSource", "test data"),
        ("external", "old, revoked"),
    ]


def test_what_could_not_be_looked_at_is_in_the_log() -> None:
    [invocation] = _written(notices=("big.bin: larger than 100 MiB",))["invocations"]
    assert invocation["toolExecutionNotifications"][0]["message"]["text"].startswith("big.bin")


def test_facts_stand_beside_the_result() -> None:
    [result] = _written(_found(Thing("team/key"), facts={"commit": "abc"}))["results"]
    assert result["properties"] == {"commit": "abc"}


def test_a_result_of_a_rule_that_is_not_listed_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        log((), [_found(Thing("x"))], version="1")
