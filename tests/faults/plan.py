"""What happens in one run: a pure function of its seed.

A plan names chats, messages and replies by a number that is taken modulo those that exist when a
step comes to be carried out: which ones do is a matter of timing, which a seed does not fix.
"""

from random import Random
from typing import Any, Literal

import msgspec

By = Literal["event_id", "stream_token", "reply_id", "chat_id", "cookie"]
StopBy = Literal["reply_id", "chat_id", "client_message_id"]
Kind = Literal["rename", "archive", "select", "delete"]

PEOPLE = ("ada", "bob", "visitor")
"""Two users with a balance, and one with an anonymous allowance."""

KILLED_ONE_IN = 60
DRAINED_ONE_IN = 120
"""By the seed itself, so that any few hundred in a row have their share: a start is dear."""

QUICK = ("echo", "echo", "tokens-40", "tokens-120", "reasoning", "surrogate")
TIMED = ("tokens-20-at-100", "tokens-50-at-100", "tokens-80-at-300", "tokens-15-at-20")
FAULTY = (
    "cut",
    "cut-clean",
    "malformed",
    "midstream-error",
    "refuse-500",
    "rate-limited-429",
    "content-filter",
    "content-filter-late",
    "no-usage",
    "negative-usage",
    "absurd-usage",
)
STALLING = ("stall-first", "stall-middle")
LONG = ("tokens-300-at-100", "tokens-2000-at-1000", "tokens-60-at-20")
"""For runs whose server goes down: most replies are still under way then."""


class Frozen(msgspec.Struct, frozen=True):
    """Compared by value, so that two plans of one seed can be."""


class Cut(Frozen, frozen=True):
    """The connection is cut after so many bytes of the body, and taken up again.

    Fewer than none: in a moment, most likely before there is an answer.
    """

    after: int
    pause: float
    resume: By


class Reading(Frozen, frozen=True):
    """How an answer is read. `abandoned`: nobody comes back after the last cut."""

    cuts: tuple[Cut, ...] = ()
    abandoned: bool = False


class Send(Frozen, frozen=True):
    """A message to a chat, or to a new one. `twins` go out at once under one key."""

    chat: int | None
    place: Literal["end", "edit", "branch"]
    pick: int
    script: str
    words: int
    key: Literal["header", "body"] | None
    twins: int
    max_tokens: int | None
    reading: Reading


class Regenerate(Frozen, frozen=True):
    chat: int
    key: bool
    twins: int
    reading: Reading


class Repeat(Frozen, frozen=True):
    """An earlier request again, under its key."""

    pick: int
    reading: Reading


class Follow(Frozen, frozen=True):
    """One more follower of a reply, from its beginning."""

    pick: int
    by: By
    reading: Reading


class Stop(Frozen, frozen=True):
    pick: int
    by: StopBy


class Change(Frozen, frozen=True):
    chat: int
    kind: Kind
    pick: int


class Claim(Frozen, frozen=True):
    """A user takes over the visitor's chats."""


Action = Send | Regenerate | Repeat | Follow | Stop | Change | Claim


class Step(Frozen, frozen=True):
    """`waits`: the next step comes only when the answer has been read."""

    pause: float
    action: Action
    waits: bool


class Device(Frozen, frozen=True):
    person: str
    steps: tuple[Step, ...]


class Fault(Frozen, frozen=True):
    """The server goes down `at` seconds into the run, and again so long after it is back."""

    kind: Literal["kill", "drain"]
    at: float
    again: float | None


class Blow(Frozen, frozen=True):
    """What happens to a node, or to what all of them share, `at` seconds into the run.

    A pause or a cut that `lasts` longer than a lease makes a zombie of the node.
    """

    kind: Literal["kill", "drain", "pause", "cut", "disconnect", "valkey"]
    at: float
    node: int
    lasts: float


class Storm(Frozen, frozen=True):
    """What happens to several nodes, one after another."""

    seed: int
    blows: tuple[Blow, ...]


class Plan(Frozen, frozen=True):
    seed: int
    devices: tuple[Device, ...]
    fault: Fault | Storm | None


def plan_of(seed: int) -> Plan:
    dice = Random(seed)
    fault = _fault(seed, dice)
    devices = [_device(dice, person, fault is not None) for person in _people(dice, fault)]
    return Plan(seed, tuple(devices), fault)


def stormy_plan_of(seed: int, nodes: int, lease: float) -> Plan:
    """A crowd, and every kind of blow in turn: the first one goes by the seed itself."""
    dice = Random(seed)
    kinds: tuple[Any, ...] = ("kill", "pause", "cut", "disconnect", "valkey", "drain")
    blows = [
        Blow(
            kind,
            at=dice.uniform(0.1, 1.5),
            node=dice.randrange(nodes),
            lasts=dice.choice((dice.uniform(0.1, 0.8), lease + dice.uniform(0.6, 1.5))),
        )
        for kind in (kinds[seed % len(kinds)], *dice.choices(kinds, k=dice.randrange(3)))
    ]
    devices = [_device(dice, person, True) for person in _people(dice, Fault("kill", 0.0, None))]
    return Plan(seed, tuple(devices), Storm(seed, tuple(sorted(blows, key=lambda b: b.at))))


def _fault(seed: int, dice: Random) -> Fault | None:
    again = dice.uniform(0.0, 0.6) if dice.random() < 0.3 else None
    at = dice.uniform(0.02, 1.2)
    if seed % KILLED_ONE_IN == KILLED_ONE_IN // 2:
        return Fault("kill", at, again)
    if seed % DRAINED_ONE_IN == 0:
        return Fault("drain", at, None)
    return None


def _people(dice: Random, fault: Fault | None) -> list[str]:
    """Whose each device is: a crowd where the server goes down, as that is dear."""
    count = dice.randint(9, 14) if fault else dice.randint(2, 5)
    return dice.choices(PEOPLE, (5, 3, 3), k=count)


def _device(dice: Random, person: str, going_down: bool) -> Device:
    first = Step(dice.uniform(0, 0.02), _send(dice, going_down), dice.random() < 0.3)
    more = [
        Step(
            dice.choice((0.0, dice.uniform(0, 0.03), dice.uniform(0, 0.15))),
            _action(dice, going_down),
            dice.random() < 0.4,
        )
        for _ in range(dice.randint(1, 5))
    ]
    return Device(person, (first, *more))


def _action(dice: Random, going_down: bool) -> Action:
    kinds = ("send", "regenerate", "repeat", "follow", "stop", "change", "claim")
    match dice.choices(kinds, (30, 12, 10, 14, 18, 12, 2))[0]:
        case "send":
            return _send(dice, going_down)
        case "regenerate":
            return Regenerate(_pick(dice), dice.random() < 0.6, _twins(dice), _reading(dice))
        case "repeat":
            return Repeat(_pick(dice), _reading(dice))
        case "follow":
            by: By = dice.choice(("stream_token", "reply_id", "chat_id", "cookie"))
            return Follow(_pick(dice), by, _reading(dice))
        case "stop":
            return Stop(_pick(dice), dice.choice(("reply_id", "chat_id", "client_message_id")))
        case "change":
            kind: Kind = dice.choices(("rename", "archive", "select", "delete"), (3, 1, 2, 2))[0]
            return Change(_pick(dice), kind, _pick(dice))
        case _:
            return Claim()


def _send(dice: Random, going_down: bool) -> Send:
    key: Literal["header", "body"] | None = dice.choice((None, "header", "body"))
    return Send(
        chat=None if dice.random() < 0.3 else _pick(dice),
        place=dice.choices(("end", "edit", "branch"), (6, 2, 2))[0],
        pick=_pick(dice),
        script=_script(dice, going_down),
        words=dice.choice((0, 3, 40)),
        key=key,
        twins=_twins(dice),
        max_tokens=dice.choice((None, 20, 200)),
        reading=_reading(dice),
    )


def _script(dice: Random, going_down: bool) -> str:
    if going_down and dice.random() < 0.8:
        return dice.choice(LONG)
    kinds = dice.choices((QUICK, TIMED, FAULTY, STALLING), (30, 48, 20, 2))[0]
    return dice.choice(kinds)


def _reading(dice: Random) -> Reading:
    cuts = tuple(
        Cut(
            after=dice.choice((-1, 0, *(dice.randrange(n) for n in (300, 600, 2000, 6000)))),
            pause=dice.choice((0.0, dice.uniform(0, 0.1))),
            resume=dice.choices(
                ("event_id", "stream_token", "reply_id", "chat_id", "cookie"), (10, 2, 2, 2, 1)
            )[0],
        )
        for _ in range(dice.choices((0, 1, 2, 4), (5, 4, 2, 1))[0])
    )
    return Reading(cuts, bool(cuts) and dice.random() < 0.15)


def _twins(dice: Random) -> int:
    return dice.choices((1, 2, 4), (8, 2, 1))[0]


def _pick(dice: Random) -> int:
    return dice.randrange(1000)
