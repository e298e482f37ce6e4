"""A long random history, decided by the real aggregates."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from domain.chat import STOPPED, Chat, Parameters
from domain.usage import Usage
from tests.projections.given import CONSUMPTION, NOW, QUOTE, USAGE

WORDS = ["scribe", "writes", "a", "line", "کتاب", "را", "می\u200cخواهم", "日本", "naïve", "état"]


class History:
    """Each `step` changes some aggregates; they are the caller's to append."""

    def __init__(self, seed: int, principals: int = 4) -> None:
        self.random = random.Random(seed)
        self.time = NOW
        self.chats: list[Chat] = []
        self.accounts: dict[UUID, Usage] = {}
        self.principals = [self.id() for _ in range(principals)]

    def id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def later(self) -> datetime:
        self.time += timedelta(seconds=self.random.choice([0, 1, 600]))
        return self.time

    def words(self) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(1, 12)))

    def step(self) -> list[Chat | Usage]:
        chats = [chat for chat in self.chats if not chat.state.deleted]
        if not chats or self.random.random() < 0.08:
            return [self.new_chat()]
        chat = self.random.choice(chats)
        if chat.state.reply is not None and self.random.random() < 0.7:
            return self.end_reply(chat)
        act: Callable[[Chat], list[Chat | Usage]] = self.random.choices(
            (self.send, self.regenerate, self.change, self.claim, self.delete),
            (60, 20, 15, 3, 2),
        )[0]
        return act(chat)

    def new_chat(self) -> Chat:
        owner = self.random.choice(self.principals)
        title = self.random.choice([None, self.words()])
        chat = Chat.start(self.id(), owner, title, None, self.later())
        self.chats.append(chat)
        return chat

    def account(self, principal: UUID) -> Usage:
        if principal not in self.accounts:
            index = self.principals.index(principal)
            kind = "anonymous" if index % 2 else "user"
            account = Usage.open(principal, kind, "USD", self.later())  # type: ignore[arg-type]
            if kind == "user":
                account.top_up(10**12, "starting-balance", None, self.time)
            self.accounts[principal] = account
        return self.accounts[principal]

    def hold(self, chat: Chat, reply_id: UUID) -> Usage:
        account, at = self.account(chat.state.owner), self.later()
        if account.state.kind == "user":
            account.hold_amount(reply_id, chat.id, 50_000, QUOTE, at)
        else:
            ends = at + timedelta(hours=1)
            account.hold_allowance(reply_id, chat.id, 50_000, QUOTE, 10**6, ends, at)
        return account

    def send(self, chat: Chat) -> list[Chat | Usage]:
        if chat.state.reply is not None:
            return []
        message_id, reply_id = self.id(), self.id()
        users = [m for m, node in chat.state.messages.items() if node.role == "user"]
        place = self.random.random()
        chat.send(
            message_id,
            self.words(),
            self.later(),
            edit_of=self.random.choice(users) if users and place < 0.2 else None,
            parent_id=(
                self.random.choice(list(chat.state.messages)) if users and place > 0.9 else None
            ),
            title=self.words(),
        )
        if self.random.random() < 0.1:
            return [chat]
        chat.start_reply(
            reply_id,
            self.id(),
            message_id,
            self.random.choice(["small", "large"]),
            chat.state.owner,
            Parameters(max_tokens=20),
            self.time,
        )
        return [chat, self.hold(chat, reply_id)]

    def regenerate(self, chat: Chat) -> list[Chat | Usage]:
        answers = [m for m, node in chat.state.messages.items() if node.role == "assistant"]
        if chat.state.reply is not None or not answers:
            return []
        reply_id = self.id()
        chat.regenerate(
            reply_id,
            self.id(),
            self.random.choice(answers),
            "small",
            chat.state.owner,
            Parameters(max_tokens=20),
            self.later(),
        )
        return [chat, self.hold(chat, reply_id)]

    def end_reply(self, chat: Chat) -> list[Chat | Usage]:
        reply, at = chat.state.reply, self.later()
        assert reply is not None
        text = self.random.choice(["", self.words(), self.words()])
        how = self.random.random()
        if how < 0.6:
            chat.complete_reply(reply.reply_id, text, None, "large", "stop", USAGE, at)
        elif how < 0.7:
            chat.request_stop(reply.reply_id, at)
            chat.complete_reply(reply.reply_id, text, "hm", "large", STOPPED, None, at)
        elif how < 0.85:
            chat.fail_reply(reply.reply_id, "PROVIDER_ERROR", text, None, None, at)
        else:
            chat.interrupt_reply(reply.reply_id, text, None, USAGE, at)
        return [chat, self.end_hold(reply.payer, reply.reply_id, chat.id)]

    def end_hold(self, payer: UUID, reply_id: UUID, chat_id: UUID) -> Usage:
        account = self.accounts[payer]
        if self.random.random() < 0.8:
            account.settle(reply_id, chat_id, CONSUMPTION, self.time)
        else:
            account.release(reply_id, chat_id, "no-output", self.time)
        return account

    def change(self, chat: Chat) -> list[Chat | Usage]:
        how = self.random.random()
        if how < 0.4:
            chat.rename(self.words(), self.later())
        elif how < 0.6 or not chat.state.messages:
            chat.set_archived(not chat.state.archived, self.later())
        else:
            chat.select_branch(self.random.choice(list(chat.state.messages)), self.later())
        return [chat]

    def claim(self, chat: Chat) -> list[Chat | Usage]:
        chat.claim(self.random.choice(self.principals), self.later())
        return [chat]

    def delete(self, chat: Chat) -> list[Chat | Usage]:
        reply = chat.delete(self.later())
        ended = [self.end_hold(reply.payer, reply.reply_id, chat.id)] if reply else []
        return [chat, *ended]
