"""Every rule that comes with credmgr, by its code."""

from collections.abc import Mapping
from typing import Final

from credmgr.policy.rule import Rule
from credmgr.policy.rules import ages, keeping, scopes

CATALOGUE: Final[Mapping[str, Rule]] = {
    rule.code: rule for rule in (*ages.RULES, *scopes.RULES, *keeping.RULES)
}
