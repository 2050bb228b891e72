"""What types alone cannot say: each rule of the manifest as one small function.

Every check takes the draft and yields what it finds; none depends on another having passed. Where
a rule needs no more than texts it looks at the raw data, so that it speaks up even about an entry
that has other mistakes.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Final

from credmgr.errors import InvalidName, Problem
from credmgr.manifest.draft import Draft
from credmgr.manifest.durations import format_duration
from credmgr.manifest.forms import is_scope, name_mistake, nearest
from credmgr.manifest.leaks import shown
from credmgr.manifest.place_checks import PLACE_CHECKS
from credmgr.manifest.schema import NAMED
from credmgr.manifest.tree import Spot, Trail
from credmgr.manifest.walking import Check, grants, mappings, routes, texts, unknown, written
from credmgr.model.credential import Kind
from credmgr.model.names import Name

REJECT: Final = "reject"


def names_are_in_the_grammar(draft: Draft) -> Iterator[Problem]:
    """Backends, issuers, notifiers, consumers and credentials have proper names."""
    for section in NAMED:
        for name in draft.section(section):
            try:
                Name(name)
            except InvalidName:
                yield draft.tree.key((section, name)).problem(*name_mistake(name))


def names_do_not_end_as_a_path_of_the_api(draft: Draft) -> Iterator[Problem]:
    """`/v1/tokens/NAME/reject` is a request of its own."""
    for name in draft.section("credentials"):
        if name == REJECT or name.endswith(f"/{REJECT}"):
            spot = draft.tree.key(("credentials", name))
            what = f"a name's last part cannot be `{REJECT}`: a path of the API ends so"
            yield spot.problem(what, "call it otherwise")


def issuers_exist(draft: Draft) -> Iterator[Problem]:
    """Every credential's issuer is declared."""
    for at, entry in mappings(draft, "credentials"):
        yield from unknown(draft, ["issuers"], entry.get("issuer"), (*at, "issuer"))


def tokens_can_be_had(draft: Draft) -> Iterator[Problem]:
    """Tokens are kept of OAuth clients only, with scopes that the credential has."""
    for name, places in draft.tokens.items():
        credential = draft.credentials.get(name)
        for number, token in enumerate(places if credential else ()):
            at: Trail = ("credentials", name, "tokens", number)
            if credential and credential.kind is not Kind.OAUTH_CLIENT:
                yield draft.tree.at(at).problem(
                    "an API key has no tokens", "it is a target's business: use `targets`"
                )
            elif credential and (extra := token.scopes - (credential.scopes or token.scopes)):
                what = f"{name} does not have the scope {', '.join(sorted(extra))}"
                yield draft.tree.at((*at, "scopes")).problem(what, "take it out, or declare it")


def granted_credentials_exist(draft: Draft) -> Iterator[Problem]:
    """Every grant is for a credential that is declared."""
    for trail, grant in grants(draft):
        where = (*trail, "credential")
        yield from unknown(draft, ["credentials"], grant.get("credential"), where)


def scopes_are_in_the_catalogue(draft: Draft) -> Iterator[Problem]:
    """A credential asks only for scopes that its issuer has, where the issuer tells them."""
    for at, entry in mappings(draft, "credentials"):
        issuer = draft.issuers.get(str(entry.get("issuer")))
        catalogue = issuer.factory.traits(issuer.options).catalogue if issuer else {}
        for number, scope in texts(entry.get("scopes")):
            if catalogue and is_scope(scope) and scope not in catalogue:
                fix = nearest(scope, catalogue) or f"it has {', '.join(sorted(catalogue))}"
                spot = draft.tree.at((*at, "scopes", number))
                yield spot.problem(f"the issuer has no scope {shown(scope, 'like this')}", fix)


def granted_scopes_are_the_credentials(draft: Draft) -> Iterator[Problem]:
    """A grant gives no scope that its credential does not have."""
    credentials = draft.section("credentials")
    for trail, grant in grants(draft):
        credential = credentials.get(str(grant.get("credential")))
        if isinstance(credential, dict) and credential.get("scopes"):
            held = {scope for _, scope in texts(credential["scopes"])}
            for number, scope in texts(grant.get("scopes")):
                if scope not in held:
                    fix = nearest(scope, held) or f"it has {', '.join(sorted(held))}"
                    what = f"the credential has no scope {shown(scope, 'like this')}"
                    yield draft.tree.at((*trail, "scopes", number)).problem(what, fix)


def grants_can_be_used(draft: Draft) -> Iterator[Problem]:
    """One grant per credential; tokens only of OAuth clients; scopes only with tokens."""
    credentials = draft.section("credentials")
    seen: set[tuple[Any, str]] = set()
    for trail, grant in grants(draft):
        name, read = grant.get("credential"), grant.get("read")
        entry = credentials.get(str(name))
        tokens = isinstance(read, list) and "token" in read
        if isinstance(name, str) and (trail[1], name) in seen:
            spot = draft.tree.at((*trail, "credential"))
            yield spot.problem("this consumer has two grants for this credential", "merge them")
        if tokens and isinstance(entry, dict) and entry.get("kind") == Kind.API_KEY:
            spot = draft.tree.at((*trail, "read"))
            yield spot.problem("an API key has no tokens", "write `read: [secret]`")
        if grant.get("scopes") and isinstance(read, list) and not tokens:
            spot = draft.tree.key((*trail, "scopes"))
            yield spot.problem("scopes narrow tokens only", "add `token` to `read`")
        seen.add((trail[1], str(name)))


def consumers_are_told_apart(draft: Draft) -> Iterator[Problem]:
    """No two consumers have one user on this machine, and none has two."""
    first: dict[Any, Spot] = {}
    for at, entry in mappings(draft, "consumers"):
        known = [(key, entry[key]) for key in ("uid", "user") if entry.get(key) is not None]
        if len(known) > 1:
            spot = draft.tree.key((*at, "user"))
            yield spot.problem("`user` stands beside `uid`", "take one of them out")
        for key, value in known:
            spot = draft.tree.at((*at, key))
            other = first.setdefault((key, str(value)), spot)
            if other != spot:
                yield spot.problem(f"another consumer has this `{key}`", f"see {other}")


def the_api_stays_on_this_machine(draft: Draft) -> Iterator[Problem]:
    """An address that other machines reach is chosen in so many words."""
    entry = draft.root.api if draft.root else None
    if entry is None or entry.listen is None or entry.beyond_loopback:
        return
    host = entry.listen.rpartition(":")[0].strip("[]")
    if not ip_address(host).is_loopback:
        yield draft.tree.at(("api", "listen")).problem(
            "other machines could reach this, and it is HTTP without TLS",
            "listen on 127.0.0.1 with a TLS proxy before it, or say `beyond_loopback: true`",
        )


def channels_exist(draft: Draft) -> Iterator[Problem]:
    """Alerts go to notifiers that are declared."""
    routing = draft.section("alerts")
    places: list[tuple[Trail, Any]] = [(("alerts", "default"), routing.get("default"))]
    for number, route in routes(draft):
        places.append((("alerts", "routes", number, "to"), route.get("to")))
    for trail, names in places:
        for number, name in texts(names):
            yield from unknown(draft, ["notifiers"], name, (*trail, number))


def routes_can_be_reached(draft: Draft) -> Iterator[Problem]:
    """After a route that takes every alert there is none."""
    taken: Spot | None = None
    for number, route in routes(draft):
        spot = draft.tree.at(("alerts", "routes", number))
        if taken is not None:
            what = "no alert comes to this route: one before it takes them all"
            yield spot.problem(what, f"put it first, or give a `match` to {taken}")
        elif not route.get("match"):
            taken = spot


def client_ids_fit_the_kind(draft: Draft) -> Iterator[Problem]:
    """An OAuth client has a client id, an API key has none."""
    for at, entry in mappings(draft, "credentials"):
        kind = entry.get("kind")
        if kind == Kind.OAUTH_CLIENT and "client_id" not in entry:
            fix = "add `client_id: …`, as the issuer shows it"
            yield draft.tree.key(at).problem("missing key `client_id` of an `oauth-client`", fix)
        if kind == Kind.API_KEY and "client_id" in entry:
            spot = draft.tree.key((*at, "client_id"))
            yield spot.problem("an API key has no `client_id`", "take it out")


def client_ids_are_not_shared(draft: Draft) -> Iterator[Problem]:
    """Two credentials with one client id at one issuer would revoke each other's secrets."""
    first: dict[tuple[str, str], str] = {}
    for at, entry in mappings(draft, "credentials"):
        key = (str(entry.get("issuer")), entry.get("client_id"))
        if isinstance(key[1], str):
            other = first.setdefault((key[0], key[1]), str(at[1]))
            if other != at[1]:
                yield draft.tree.at((*at, "client_id")).problem(
                    f"{shown(other, 'another credential')} has the same client_id at this issuer",
                    f"see {draft.tree.at(('credentials', other, 'client_id'))}",
                )


def accounts_are_not_shared(draft: Draft) -> Iterator[Problem]:
    """Nor two API keys that the issuer would count as one."""
    first: dict[tuple[str, str], Spot] = {}
    for credential in draft.credentials.values():
        issuer = draft.issuers.get(credential.issuer)
        if issuer is None or credential.client_id is not None:
            continue
        account = issuer.factory.account(issuer.options, credential) or credential.name
        spot = draft.tree.key(("credentials", credential.name))
        other = first.setdefault((credential.issuer, account), spot)
        if other != spot:
            what = f"another credential has the keys named {shown(account, 'the same')} already"
            yield spot.problem(what, f"give it another name there; see {other}")


def overlap_is_long_enough(draft: Draft) -> Iterator[Problem]:
    """The overlap has an order, covers the issuer's propagation and ends before the next one."""
    for name, credential in draft.credentials.items():
        overlap, every = credential.policy.overlap, credential.policy.schedule.every
        at: Trail = ("credentials", name, "rotation", "overlap")
        minimum = format_duration(overlap.minimum)
        spot = written(draft, (*at, "minimum"))
        if overlap.minimum > overlap.maximum:
            maximum = format_duration(overlap.maximum)
            yield spot.problem(f"the overlap's minimum {minimum} is above its maximum {maximum}")
        issuer = draft.issuers.get(credential.issuer)
        if issuer:
            propagation = issuer.factory.traits(issuer.options).propagation
            if overlap.minimum < propagation:
                known = format_duration(propagation)
                what = f"the overlap's minimum {minimum} is below the issuer's propagation {known}"
                yield spot.problem(what, "add twice the slowest consumer's refresh to that")
        if every is not None and overlap.minimum >= every:
            what = f"the overlap's minimum {minimum} is not below `every` {format_duration(every)}"
            yield spot.problem(what, "a rotation ends before the next one is due")


def manual_has_no_schedule(draft: Draft) -> Iterator[Problem]:
    """`manual: true` stands alone."""
    for at, entry in mappings(draft, "credentials"):
        rotation = entry.get("rotation")
        if isinstance(rotation, dict) and rotation.get("manual") is True:
            for key in sorted(rotation.keys() & {"every", "cron"}):
                spot = draft.tree.key((*at, "rotation", key))
                yield spot.problem(f"`{key}` stands beside `manual: true`", "take one of them out")


CHECKS: Final[tuple[Check, ...]] = (
    names_are_in_the_grammar,
    names_do_not_end_as_a_path_of_the_api,
    issuers_exist,
    tokens_can_be_had,
    granted_credentials_exist,
    scopes_are_in_the_catalogue,
    granted_scopes_are_the_credentials,
    grants_can_be_used,
    consumers_are_told_apart,
    the_api_stays_on_this_machine,
    channels_exist,
    routes_can_be_reached,
    client_ids_fit_the_kind,
    client_ids_are_not_shared,
    accounts_are_not_shared,
    overlap_is_long_enough,
    manual_has_no_schedule,
    *PLACE_CHECKS,
)
