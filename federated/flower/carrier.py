"""A grid over Flower's: it pushes questions, and pulls answers until enough are there."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

POLL_SECONDS = 0.2
RECORD, DATA = "pocketllm", "data"  # where the bytes stand in a message


class FlowerGrid:
    """A Grid (terms.py) over the Grid of a ServerApp."""

    def __init__(self, grid: Any):
        """Takes Flower's grid."""
        self._grid = grid

    def clients(self) -> Collection[int]:
        """Returns the SuperNodes that are there."""
        return set(self._grid.get_node_ids())

    def ask(
        self, questions: Mapping[int, bytes], wanted: Callable[[int, bytes], bool], seconds: float
    ) -> None:
        """Sends questions; what comes after the last wanted answer is never pulled."""
        from flwr.app import ConfigRecord, Message, MessageType, RecordDict

        messages = [
            Message(
                content=RecordDict({RECORD: ConfigRecord({DATA: data})}),
                dst_node_id=client,
                message_type=MessageType.TRAIN,
                ttl=seconds,
            )
            for client, data in questions.items()
        ]
        waiting = {message for message in self._grid.push_messages(messages) if message}
        end = time.monotonic() + seconds
        while waiting and time.monotonic() < end:
            for reply in self._grid.pull_messages(waiting):
                waiting.discard(reply.metadata.reply_to_message_id)
                data = data_of(reply)
                if data is not None and not wanted(reply.metadata.src_node_id, data):
                    return
            time.sleep(POLL_SECONDS)


def data_of(message: Any) -> bytes | None:
    """Returns the bytes in a message, None of one that holds others, or an error."""
    if not message.has_content() or RECORD not in message.content:
        return None
    data = message.content[RECORD].get(DATA)
    return data if isinstance(data, bytes) else None
