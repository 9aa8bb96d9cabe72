"""What waits to be sent to one browser: bounded however slow it is, the newest of each kind.

Threading: the web server's thread only.
"""
import collections
from typing import Any, Deque, Dict, Optional, Tuple

from tornado.locks import Event

ANSWER, NEWS, DETAILS, PICTURE = "answer", "news", "details", "picture"
_ANSWERS, _PICTURES = 8, 2  # that wait, at most


class Outbox:
    """Messages by kind, taken in the order of the constants above.

    Attributes:
        dropped: pictures that newer ones replaced before they could be sent.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._event = Event()
        self._answers: Deque[Dict[str, Any]] = collections.deque(maxlen=_ANSWERS)
        self._pictures: Deque[bytes] = collections.deque(maxlen=_PICTURES)
        self._details: Optional[Dict[str, Any]] = None
        self._has_news = self._closed = False

    def put_answer(self, answer: Dict[str, Any]) -> None:
        """To something that the browser asked for."""
        self._answers.append(answer)
        self._event.set()

    def note_news(self) -> None:
        """There is something new; what, is seen when it is sent."""
        self._has_news = True
        self._event.set()

    def put_details(self, details: Dict[str, Any]) -> None:
        """Of the robot that is looked at; replaces details that wait."""
        self._details = details
        self._event.set()

    def put_picture(self, picture: bytes) -> None:
        """Replaces the oldest when too many wait."""
        self.dropped += len(self._pictures) == _PICTURES
        self._pictures.append(picture)
        self._event.set()

    def forget_pictures(self) -> None:
        """Another topic is looked at now."""
        self._pictures.clear()

    def close(self) -> None:
        """Nothing will be sent any more."""
        self._closed = True
        self._event.set()

    async def take(self) -> Optional[Tuple[str, Any]]:
        """Wait for something to send: (kind, what; None for news); None once closed."""
        while not self._closed:
            if self._answers:
                return ANSWER, self._answers.popleft()
            if self._has_news:
                self._has_news = False
                return NEWS, None
            if self._details is not None:
                details, self._details = self._details, None
                return DETAILS, details
            if self._pictures:
                return PICTURE, self._pictures.popleft()
            self._event.clear()
            await self._event.wait()
        return None
