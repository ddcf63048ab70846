"""Engine.IO and WebSocket by hand, so that a test can say every byte, also those no client would."""
import base64
import hashlib
import http.client
import json
import os
import socket
import struct

import hz

ECHO = os.path.join(hz.BUILD, "tests", "bin", "socketio_echo")
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Echo:
    """tests/contract/socketio_echo on a port of its own."""

    def __init__(self, place, *arguments, interval=25000, timeout=20000, descriptors=None):
        self.block = hz.PortBlock(1)
        place.case.addCleanup(self.block.close)
        self.port = self.block.base
        self.process = hz.Process([ECHO, "--port", str(self.port), "--ping-interval", str(interval), "--ping-timeout",
                                   str(timeout), *map(str, arguments)],
                                  wrapper=["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"] if descriptors else ())
        place.processes.append(self.process)
        self.path = "/engine.io/" if "--engine" in arguments else "/socket.io/"
        hz.logged(self.process, "listening on")

    def request(self, method, query, body=None, headers=None, timeout=20):
        """(status, text) over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * hz.SLOW)
        try:
            body = body.encode() if isinstance(body, str) else body
            connection.request(method, f"{self.path}?{query}", body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def get(self, sid=None):
        return self.request("GET", "EIO=4&transport=polling" + (f"&sid={sid}" if sid else ""))

    def post(self, sid, body):
        return self.request("POST", f"EIO=4&transport=polling&sid={sid}", body)

    def open(self):
        """A polling session: its sid."""
        status, text = self.get()
        assert status == 200 and text[0] == "0", (status, text)
        return json.loads(text[1:])["sid"]

    def websocket(self, sid=None, **options):
        query = "EIO=4&transport=websocket" + (f"&sid={sid}" if sid else "")
        return WebSocket(self.port, f"{self.path}?{query}", **options)

    def memory(self):
        """Resident bytes."""
        return hz.status_value(self.process.pid, "VmRSS") * 1024


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status, self.text = status, text


class WebSocket:
    def __init__(self, port, path, headers=None, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20 * hz.SLOW)
        self.socket.connect(("127.0.0.1", port))
        self.data = b""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = {"Host": f"127.0.0.1:{port}", "Connection": "keep-alive, Upgrade", "Upgrade": "websocket",
                 "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13", **(headers or {})}
        text = f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v is not None) + "\r\n"
        self.socket.sendall(text.encode())
        head = self._until(b"\r\n\r\n").decode("latin-1")
        status = int(head.split()[1])
        if status != 101:
            self.socket.close()
            raise Refused(status, head)
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        assert f"sec-websocket-accept: {accept}".lower() in head.lower(), head

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the server has closed")
        self.data += data

    def _until(self, mark):
        while mark not in self.data:
            self._more()
        head, _, self.data = self.data.partition(mark)
        return head

    def _take(self, count):
        while len(self.data) < count:
            self._more()
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    @staticmethod
    def frame(opcode, payload, fin=True, rsv=0, masked=True, length=None):
        size = len(payload) if length is None else length
        head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
        mark = 0x80 if masked else 0
        if size < 126:
            head += bytes([mark | size])
        elif size < 65536:
            head += bytes([mark | 126]) + struct.pack(">H", size)
        else:
            head += bytes([mark | 127]) + struct.pack(">Q", size)
        if not masked:
            return head + payload
        mask = os.urandom(4)
        wide = (mask * (len(payload) // 4 + 1))[:len(payload)]
        mixed = int.from_bytes(payload, "big") ^ int.from_bytes(wide, "big")
        return head + mask + mixed.to_bytes(len(payload), "big")

    def send(self, text, opcode=None, **options):
        data = text.encode() if isinstance(text, str) else text
        self.socket.sendall(self.frame(opcode if opcode is not None else TEXT if isinstance(text, str) else BINARY, data,
                                       **options))

    def send_raw(self, data):
        self.socket.sendall(data)

    def receive(self):
        """(opcode, payload) of the next frame."""
        first, second = self._take(2)
        assert first & 0x80 and not second & 0x80, "a server sends whole frames without mask"
        size = second & 0x7f
        if size == 126:
            size = struct.unpack(">H", self._take(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self._take(8))[0]
        return first & 0x0f, self._take(size)

    def text(self, pings=False):
        """The next text packet; heartbeats are answered on the way unless they are asked for."""
        while True:
            opcode, payload = self.receive()
            if opcode == TEXT and payload == b"2" and not pings:
                self.send("3")
            elif opcode in (TEXT, BINARY):
                return payload.decode() if opcode == TEXT else payload
            elif opcode == CLOSE:
                raise EOFError(payload)

    def closing(self):
        """Reads to the end: the code of the close frame, or None if there was none."""
        code = None
        try:
            while True:
                opcode, payload = self.receive()
                if opcode == CLOSE:
                    code = struct.unpack(">H", payload[:2])[0] if payload else 1005
        except (EOFError, ConnectionError):
            self.socket.close()
            return code

    def close(self):
        self.socket.close()
