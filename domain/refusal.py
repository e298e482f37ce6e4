"""The root of all refusals."""


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """A command broke a rule. Subclasses are named for the rule and carry what a client needs."""
