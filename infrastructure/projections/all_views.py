"""All views, and what their code raises where an event makes no sense to it."""

from sqlalchemy.exc import DataError, IntegrityError, InterfaceError

from infrastructure.projections.chat_list import ChatList
from infrastructure.projections.messages import Messages
from infrastructure.projections.spend import SpendByDay
from infrastructure.projections.usage import UsageAccounts
from infrastructure.projections.view import ViewOf

VIEWS: tuple[ViewOf, ...] = (ChatList, Messages, UsageAccounts, SpendByDay)

# What a view's code raises on an event that it cannot make sense of. An engine that fails
# (locked, full, gone) is not among them: that is tried again, and nothing is skipped.
BAD_EVENT = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    DataError,
    IntegrityError,
    InterfaceError,
)
