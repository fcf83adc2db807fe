"""The decision about a message to a domain ([R-dec-01] to [R-dec-18])."""

import enum
from dataclasses import dataclass

from . import keyids, rollover
from .policy import Policy


class Level(enum.IntEnum):
    """How well a policy is vouched for ([R-dec-01])."""

    FIRST_USE = 0
    REMEMBERED = 1
    DNSSEC = 2
    PINNED = 3


DENIALS = ("nxdomain", "nodata")


@dataclass(frozen=True)
class Outcome:
    """What the look-up brought: `found` and a policy, a denial, or an error by any name ([R-dns-02]).

    `available` holds the ids of the keys whose public key is to be had.
    """

    kind: str
    secure: bool = False
    policy: Policy | None = None
    available: frozenset = frozenset()


@dataclass(frozen=True)
class Memory:
    """What is remembered of the domain ([R-dec-09]).

    `replaced`: the identity key replaced another by stronger evidence, and has not asked for sealed mail since
    ([R-dec-11]).
    """

    policy: Policy | None = None
    level: Level = Level.FIRST_USE
    key_id: bytes | None = None
    enforce_until: int = 0
    replaced: bool = False


@dataclass(frozen=True)
class Operator:
    """The operator's policy for the destination ([R-dec-03])."""

    rule: str = "prefer"
    minimum: Level = Level.FIRST_USE
    pin: bytes | None = None
    less_preferred: bool = False
    override: bool = False


@dataclass(frozen=True)
class Decision:
    """`seal`, `clear`, `defer` or `reject`; what is sealed to, and by what evidence."""

    verdict: str
    key_id: bytes | None = None
    level: Level | None = None
    source: str | None = None


CLEAR, DEFER, REJECT = Decision("clear"), Decision("defer"), Decision("reject")


def succeeds(policy, memory, now):
    """Whether the identity key of a policy is a proven successor of the remembered one."""
    old = memory.policy
    return old is not None and (
        rollover.proves(policy, old.identity, now) or keyids.fingerprint(policy.identity) == old.next_identity
    )


class _Case:
    """The inputs, and what follows from them one by one."""

    def __init__(self, operator, outcome, memory, demand, now):
        self.operator, self.outcome, self.memory = operator, outcome, memory or Memory()
        self.now = now
        self.wish = demand or operator.rule == "require"
        self.demand = demand
        old = self.memory.policy
        self.enforced = now < self.memory.enforce_until
        self.remembered_key = (
            self.memory.key_id if old is not None and now < old.expiry and old.mode != "none" else None
        )

    def none_found(self):
        """No sealing policy is in force, and that is known: clear unless it is wished otherwise."""
        return REJECT if self.wish else CLEAR

    def same_line(self, policy):
        """Of the remembered identity key, or of its proven successor."""
        old = self.memory.policy
        return old is not None and (policy.identity == old.identity or succeeds(policy, self.memory, self.now))

    def memory_fits(self):
        """The remembered identity key is the pinned one, or descends from it ([R-dec-16])."""
        old = self.memory.policy
        return old is not None and (
            keyids.fingerprint(old.identity) == self.operator.pin or self.memory.level == Level.PINNED
        )

    def satisfies_pin(self, policy):
        """The table of pins of [R-dec-16]: whether the identity key is believed, at level `pinned`."""
        if self.operator.pin is None:
            return False
        if self.memory_fits():
            return self.same_line(policy)
        return keyids.fingerprint(policy.identity) == self.operator.pin

    def level_of(self, policy):
        """The highest level that applies to the policy just found ([R-dec-01], [R-dec-10])."""
        level = Level.DNSSEC if self.outcome.secure else Level.FIRST_USE
        if self.same_line(policy):
            level = max(level, Level.REMEMBERED)
            if policy.text and policy.text == self.memory.policy.text:
                level = max(level, self.memory.level)
        return Level.PINNED if self.satisfies_pin(policy) else level

    def believed(self, policy):
        """Whether the identity key is believed ([R-dec-07])."""
        if self.operator.pin is not None:
            return self.satisfies_pin(policy)
        if self.memory.policy is None or self.same_line(policy):
            return True
        return self.level_of(policy) > self.memory.level

    def in_force(self, policy):
        """[R-dec-06]."""
        old = self.memory.policy
        higher = old is None or not self.same_line(policy) or policy.serial >= old.serial
        return policy.in_time(self.now) and self.believed(policy) and higher

    def key(self, policy):
        """A key of the policy: (key id, whether it is the most preferred one) or None ([R-dec-13], [R-dec-15])."""
        for index, entry in enumerate(policy.sealing_keys):
            if entry.key_id in self.outcome.available or entry.key_id == self.memory.key_id:
                return entry.key_id, index == 0
        return None

    def by_policy(self, policy):
        """A policy in force decides."""
        level = self.level_of(policy)
        if level < self.operator.minimum:
            return DEFER
        if policy.mode == "none":
            if self.operator.pin is not None and not self.outcome.secure:
                return DEFER  # Unsupported ([R-dec-28]).
            lifts = self.same_line(policy) and not self.memory.replaced
            return DEFER if self.enforced and not lifts else self.none_found()
        forbidden = self.wish or self.enforced or self.operator.pin is not None
        clear_allowed = policy.mode == "testing" and not forbidden
        key = self.key(policy)
        if key is None:
            return CLEAR if clear_allowed else DEFER
        key_id, preferred = key
        if preferred or clear_allowed or self.operator.less_preferred or self.operator.override:
            return Decision("seal", key_id, level, "found")
        return DEFER

    def by_memory(self):
        """The remembered key, or None ([R-dec-06], [R-dec-10], [R-dec-16])."""
        if self.remembered_key is None:
            return None
        level = max(self.memory.level, Level.REMEMBERED)
        pinned = self.satisfies_pin(self.memory.policy)
        if self.operator.pin is not None and not pinned:
            return DEFER
        level = Level.PINNED if pinned else level
        if level < self.operator.minimum:
            return DEFER
        return Decision("seal", self.remembered_key, level, "memory")

    def denied(self):
        """There is no policy, as far as the answer is worth ([R-dec-16])."""
        below = Level.PINNED if self.outcome.secure else Level.DNSSEC
        if self.operator.pin is not None or self.operator.minimum >= below or self.enforced:
            return DEFER
        return self.none_found()

    def decide(self):
        """The decision without override."""
        if self.operator.rule == "never":
            return REJECT if self.demand else CLEAR
        policy = self.outcome.policy if self.outcome.kind == "found" else None
        if policy is not None and self.in_force(policy):
            return self.by_policy(policy)
        counts_as_denial = self.outcome.kind in DENIALS or (
            policy is not None and policy.mode == "none" and not policy.in_time(self.now)
        )
        return self.by_memory() or (self.denied() if counts_as_denial else DEFER)


def decide(operator, outcome, memory, demand, now):
    """The one function of [R-dec-02]."""
    case = _Case(operator, outcome, memory, demand, now)
    decision = case.decide()
    if decision.verdict == "defer" and operator.override and not case.wish:
        return CLEAR
    return decision
