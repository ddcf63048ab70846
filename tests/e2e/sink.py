"""A server outside that counts effects: POST anything; each request's idempotency key and attempt go into a log.

sink.py PORT LOG answers after a short, varying wait; runs until killed. Sink starts one and reads its log.
"""
import asyncio
import os
import random
import socket
import subprocess
import sys
import time


async def serve(port, path):
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def client(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                await reader.readexactly(int(fields.get("content-length", "0")))
                where = lines[0].split(" ")[1]
                os.write(log, f"{fields.get('idempotency-key', '-')} {where}\n".encode())
                await asyncio.sleep(random.uniform(0.1, 0.5) if where.startswith("/slow") else 2 if where.startswith("/long") else 0)
                status = "500 No" if where.startswith("/bad") else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n"
                             '{"ok":true}'.encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


class Sink:
    def __init__(self, place, port):
        self.port, self.log = port, place.path("sink.log")
        self.process = subprocess.Popen([sys.executable, "-B", os.path.abspath(__file__), str(port), self.log])
        place.case.addCleanup(self.close)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def close(self):
        self.process.kill()
        self.process.wait()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def effects(self):
        """[(key, path)] in the order they came."""
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="latin-1") as file:
            return [tuple(line.split()) for line in file.read().splitlines()]


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
