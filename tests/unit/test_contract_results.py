"""The page of the contract's results, from what pytest reports."""

from tests.contract.results import outcomes, page

REPORT = """<testsuites><testsuite>
<testcase classname="tests.contract.test_backends.TestLocalBackend" name="test_a_b[x]"/>
<testcase classname="tests.contract.test_backends.TestLocalBackend" name="test_a_b[y]"/>
<testcase classname="tests.contract.test_vault_backend.TestVaultBackend" name="test_a_b[x]">
<failure/></testcase>
<testcase classname="tests.contract.test_aws_backend.TestAwsBackend" name="test_a_b[x]">
<skipped/></testcase>
<testcase classname="tests.contract.test_backends.TestMemoryBackend" name="test_a_b[x]"/>
<testcase classname="tests.contract.test_vault_backend" name="test_of_no_class"/>
</testsuite></testsuites>"""


def test_a_row_is_a_check_and_a_column_a_store() -> None:
    rows = page(outcomes(REPORT)).splitlines()

    assert "| a b | 2 | **1 of 1 failed** | *n/a* | *not run* | *not run* | *not run* |" in rows
    assert rows[-1].startswith("| **passed of run** | 2 of 2 | 0 of 1 | *not run* |")
    assert not any("of no class" in row for row in rows)
