"""A Socket.IO client by hand over one WebSocket: calls with acknowledgements, events, nothing hidden."""
import json
import time

import eio
import hz


class Client:
    """auth: object of the connect packet, {"token": ...}, {"userId": ...} or {}."""

    def __init__(self, server, auth=None, headers=None):
        self.ws = eio.WebSocket(server.port, "/socket.io/?EIO=4&transport=websocket", headers=headers)
        self.handshake = json.loads(self.ws.text()[1:])
        self.ws.send("40" + json.dumps(auth or {}))
        answer = self.ws.text()
        assert answer.startswith("40"), answer
        self.sid = json.loads(answer[2:])["sid"]
        self.events, self.acks, self.number = [], {}, 0

    def _take(self):
        text = self.ws.text()
        if text.startswith("42"):
            packet = json.loads(text[2:])
            self.events.append((packet[0], *packet[1:]))
        elif text.startswith("43"):
            start = text.index("[")
            answer = json.loads(text[start:])
            assert len(answer) == 1, f"an acknowledgement has one object: {text}"
            self.acks[int(text[2:start])] = answer[0]
        else:
            raise AssertionError(f"unexpected packet {text[:200]!r}")

    def send(self, name, *args, ack=True):
        """Sends the event; the number of its acknowledgement."""
        self.number += 1
        self.ws.send(f"42{self.number if ack else ''}" + json.dumps([name, *args], ensure_ascii=False))
        return self.number

    def send_together(self, *calls):
        """Several (name, data) in one write; their numbers."""
        data, numbers = b"", []
        for name, payload in calls:
            self.number += 1
            numbers.append(self.number)
            data += self.ws.frame(eio.TEXT, (f"42{self.number}" + json.dumps([name, payload])).encode())
        self.ws.send_raw(data)
        return numbers

    def answer(self, number, timeout=40):
        self.ws.socket.settimeout(timeout * hz.SLOW)
        while number not in self.acks:
            self._take()
        return self.acks.pop(number)

    def call(self, name, *args):
        return self.answer(self.send(name, *args))

    def event(self, name, check=lambda payload: True, timeout=15):
        """The payload of the next event of that name that fits; what came before stays in self.events."""
        end = time.monotonic() + timeout * hz.SLOW
        looked = 0
        while True:
            for at in range(looked, len(self.events)):
                if self.events[at][0] == name and check(self.events[at][1]):
                    return self.events.pop(at)[1]
            looked = len(self.events)
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no {name} within {timeout} s; there were {[e[0] for e in self.events]}")
            self.ws.socket.settimeout(left)
            try:
                self._take()
            except TimeoutError:
                pass

    def settle(self):
        """All that was sent before has been answered, and what it told has come."""
        self.call("auth:me")

    def names(self):
        return [event[0] for event in self.events]

    def close(self):
        self.ws.close()
