"""What a client can do to the server through Socket.IO, on a manager with two shards, while another one works: it must go on working, the
server's memory stays bounded, and who is dropped is told why in the log. The figures are printed; as a campaign with full counts."""
import http.client
import json
import os
import random
import select
import socket
import subprocess
import sys
import threading
import time

import eio
import hz
import sio

WITNESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sio_witness.py")
MAX_PAYLOAD = 1000000
ROUTES = ["workers:list", "workers:get", "workers:stop", "workers:logs", "workers:dashboard", "workers:send-message", "workflows:list",
          "workflows:get", "workflows:execute", "workspaces:create", "projects:list", "nodes:get", "auth:login", "auth:me", "settings:update",
          "events:follow", "events:list", "no:such", "", "connect", "disconnect", "__proto__"]
VALUES = [None, True, 0, -1, 1e308, 2 ** 63, "", "x", "../../etc/passwd", "ñ\u0000\ud83d\ude00", [], {}, [[[]]], {"": {}}, "a" * 3000]
KEYS = ["id", "workerId", "workflowId", "lines", "email", "password", "after", "name", "route", "messageData", "limit", "before", "", "userId"]


class Wire(eio.Echo):
    """The same words to a manager."""

    def __init__(self, server):  # pylint: disable=super-init-not-called
        self.port, self.path = server.port, "/socket.io/"


class Witness:
    def __init__(self, case):
        server = case.server
        self.process = subprocess.Popen([sys.executable, "-B", WITNESS, str(server.port), server.token], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        case.addCleanup(self.close)

    def close(self):
        self.process.kill()
        self.process.wait()
        if self.process.stdin.closed:
            return
        self.process.stdin.close()
        self.process.stdout.close()

    def span(self):
        """Figures since the last call."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], 60 * hz.SLOW)[0]:
            raise AssertionError("the client beside the attack has no answer for a minute")
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the client beside the attack was disconnected")
        return json.loads(line)


def random_call():
    value = random.choice(VALUES)
    if random.random() < 0.6:
        value = {random.choice(KEYS): random.choice(VALUES) for _ in range(random.randrange(4))}
    text = json.dumps([random.choice(ROUTES), value, *[random.choice(VALUES) for _ in range(random.randrange(2))]])
    return "42" + random.choice(["", "7", "99999999"]) + text


def random_packet():
    """Mostly what a client could say, with something wrong in it now and then."""
    roll = random.random()
    if roll < 0.6:
        return random_call()
    if roll < 0.85:
        text = list(random_call())
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(len(text))
            text[at:at + random.randrange(2)] = random.choice('[]{},"\\0123456789/-\x1e\x00ñ')
        return "".join(text)
    return "".join(random.choice(["4", "0", "1", "2", "3", "5", "6", "40", "41", "43[]", "44{}", "451-", "2probe", "b", "/x,", "[", "{"])
                   for _ in range(random.randrange(1, 5)))


class Attack(hz.Case):
    def setUp(self):
        super().setUp()
        self.server = hz.Server(self.place, {"uno": hz.simple_flow("uno")}, env={"SERVER_CLUSTERS": 2})
        self.wire = Wire(self.server)
        self.witness = Witness(self)

    def memory(self):
        """Resident MiB of the manager."""
        return hz.status_value(self.server.pid, "VmRSS") / 1024

    def client(self, receive_buffer=None):
        """A socket of the administrator's over a bare WebSocket."""
        client = self.wire.websocket(receive_buffer=receive_buffer)
        client.text()
        client.send("40" + json.dumps({"token": self.server.token}))
        self.assertTrue(client.text().startswith("40{"))
        return client

    def session(self):
        """A polling session that is connected."""
        sid = self.wire.open()
        self.assertEqual(self.wire.post(sid, "40" + json.dumps({"token": self.server.token})), (200, "ok"))
        self.assertTrue(self.wire.get(sid)[1].startswith("40{"))
        return sid

    def sessions_left(self, few=3):
        """Connections of the server that stay when an attack is over: the witness's and of late ones."""
        hz.wait_for(lambda: hz.fd_count(self.server.pid) <= self.descriptors + few, 60, what="the end of the attackers' connections")

    def watched(self, name, attack, growth):
        """Runs it; growth: MiB that the manager may hold more meanwhile."""
        self.descriptors = hz.fd_count(self.server.pid)
        self.witness.span()
        time.sleep(hz.pick(0.3, 3))
        calm, before = self.witness.span(), self.memory()
        peak, over = [before], threading.Event()

        def look():
            while not over.wait(0.05):
                peak[0] = max(peak[0], self.memory())
        looker = threading.Thread(target=look)
        looker.start()
        began = time.monotonic()
        try:
            attack()
            seconds, beside = time.monotonic() - began, self.witness.span()
            self.sessions_left()
        finally:
            over.set()
            looker.join()
        after = self.memory()
        print(f"{name}: {seconds:.1f} s; a well-behaved client, ms: p50 {calm['p50']} p99 {calm['p99']} before, p50 {beside['p50']} "
              f"p99 {beside['p99']} most {beside['most']} during ({beside['calls']} calls); RSS MiB: {before:.1f} before, {peak[0]:.1f} at most, "
              f"{after:.1f} after", flush=True)
        self.assertTrue(self.server.process.running())
        self.assertEqual(beside["failed"], 0)
        self.assertLess(beside["p50"], 10 * calm["p50"] + 50 * hz.SLOW)
        self.assertLess(beside["most"], 5000 * hz.SLOW)
        if not hz.SANITIZE:
            self.assertLess(peak[0] - before, growth)

    # ---- the attacks ----
    def events_without_an_ack(self):
        client, quiet = self.client(), self.client()
        for i in range(hz.pick(2000, 10000)):
            client.send('42["%s",{}]' % ROUTES[i % 6])
        client.send('4217["auth:me"]')
        self.assertTrue(client.text().startswith("4317["), "an event without an acknowledgement was answered")
        quiet.send('42["workers:stop"]')
        quiet.send('42["no:such",{"x":[1,2]},3,null]')
        quiet.send('4218["auth:me"]')
        self.assertTrue(quiet.text().startswith("4318["))
        client.close()
        quiet.close()

    def random_packets(self):
        client, ended = None, 0
        for i in range(hz.pick(600, 10000)):
            client = client or self.client()
            try:
                client.send(random_packet().encode("utf-8", "surrogatepass"), opcode=eio.TEXT)
                if i % 4 == 3:  # until it has been looked at
                    client.send('421000["auth:me",{}]')
                    while not str(client.text()).startswith("431000["):
                        pass
            except (EOFError, ConnectionError):
                client.close()
                client, ended = None, ended + 1
        if client:
            client.close()
        self.assertGreater(ended, 0)

    def random_frames(self):
        for _ in range(hz.pick(500, 10000)):
            client = self.wire.websocket()
            frame = client.frame
            data = bytearray(frame(1, b"40{}") + b"".join(
                frame(random.choice((0, 1, 1, 1, 2, 3, 8, 9, 10, 11)), random_packet().encode("utf-8", "surrogatepass"),
                      fin=random.random() < 0.9) for _ in range(random.randrange(1, 5))))
            for _ in range(random.randrange(4)):
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            try:
                client.send_raw(bytes(data))
                client.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            client.closing()  # until all of it has been looked at

    def random_posts(self):
        sid = None
        for _ in range(hz.pick(600, 10000)):
            sid = sid or self.session()
            body = "\x1e".join(random_packet() if random.random() < 0.9 else "b" + random.choice(["", "*", "AQID", "ñ"])
                               for _ in range(random.randrange(1, 4))).encode("utf-8", "surrogatepass")
            status = self.wire.post(sid, body)[0]
            self.assertIn(status, (200, 400, 413))
            sid = sid if status == 200 else None
        if sid:
            self.wire.post(sid, "1")

    def chunked(self, sid, size):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20 * hz.SLOW)
        try:
            connection.request("POST", f"/socket.io/?EIO=4&transport=polling&sid={sid}", iter([b"4" * 65536] * (size // 65536) + [b"4" * (size % 65536)]),
                               {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            return connection.getresponse().status
        except ConnectionError:  # it need not wait for the rest
            return 413
        finally:
            connection.close()

    def too_large(self):
        head, tail = '421["auth:me",{"x":"', '"}]'
        for _ in range(hz.pick(2, 50)):
            client = self.client()
            packet = head + "x" * (MAX_PAYLOAD - len(head) - len(tail)) + tail
            client.send(packet)
            self.assertTrue(client.text().startswith("431["))  # as large as may be
            client.send(packet + " ")
            self.assertEqual(client.closing(), 1009)
            client = self.client()
            client.send("4" * 600000, fin=False)
            try:
                client.send("4" * 400001, opcode=0)
            except ConnectionError:
                pass
            self.assertIn(client.closing(), (1009, None))
            client = self.client()
            client.send_raw(client.frame(eio.TEXT, b"42", length=MAX_PAYLOAD + 1))  # only says so
            self.assertEqual(client.closing(), 1009)
            sid = self.session()
            self.assertEqual(self.wire.post(sid, packet), (200, "ok"))
            self.assertTrue(self.wire.get(sid)[1].startswith("431["))
            self.assertEqual(self.wire.post(sid, packet + " ")[0], 413)
            self.assertEqual(self.wire.get(sid)[0], 400)
            self.assertEqual(self.chunked(self.session(), MAX_PAYLOAD + 1), 413)
            sid = self.session()
            self.assertEqual(self.wire.post(sid, "\x1e".join(["42" + json.dumps(["no:such", "x" * 99990])] * 11))[0], 413)

    def half_open_upgrades(self):
        """A probe and no upgrade; a WebSocket and silence: the session goes on by polling, and the WebSocket is not kept."""
        count, sids, sockets = hz.pick(20, 300), [], []
        for i in range(count):
            sids.append(self.session())
            sockets.append(self.wire.websocket(sids[i]))
            if i % 2:
                sockets[i].send("2probe")
                self.assertEqual(sockets[i].text(), "3probe")
        for i, sid in enumerate(sids):
            self.assertEqual(self.wire.post(sid, '421["auth:me"]')[0], 200)
            text = self.wire.get(sid)[1]  # may be told to change over at once, with or without the answer
            if not text.startswith("431["):
                self.assertEqual(text, "6")
                text = self.wire.get(sid)[1]
            self.assertTrue(text.startswith("431["), (i, text))
        if hz.CAMPAIGN:
            for client in sockets:
                client.socket.settimeout(30)
                self.assertNotEqual(client.closing(), 1000)
            for sid in sids:
                self.assertEqual(self.wire.post(sid, '422["auth:me"]')[0], 200)
                self.assertTrue(self.wire.get(sid)[1].startswith("432["))
        for sid, client in zip(sids, sockets):
            client.close()
            self.wire.post(sid, "1")

    def who_ask_and_do_not_read(self):
        """Answers are nobody else's: each client may hold so much and is not read from beyond."""
        count, clients = hz.pick(20, 200), []
        request = eio.WebSocket.frame(eio.TEXT, b'421["nodes:list",{}]') * 200
        for _ in range(count):
            client = self.client(receive_buffer=4096)
            client.socket.setblocking(False)
            try:
                client.socket.send(request)
            except BlockingIOError:
                pass
            clients.append(client)
        time.sleep(hz.pick(0.5, 5))
        for client in clients:
            client.close()

    def deaf_clients(self):
        """Who do not read, while what happens is told to all."""
        count, size, rounds = hz.pick(40, 500), 100000, 64
        speaker = sio.Client(self.server, {"token": self.server.token})
        space = speaker.call("workspaces:create", {"name": "Ruido"})["workspace"]["id"]
        clients = [self.client(receive_buffer=4096) for _ in range(count)]
        for i in range(rounds):
            self.assertIs(speaker.call("workspaces:update", {"id": space, "description": chr(97 + i % 26) * size})["success"], True)
            speaker.events.clear()
        text = self.server.process.text
        hz.wait_for(lambda: text().count("dropped: it does not read: ") >= count, 30, what="all who do not read are dropped")
        self.assertIs(speaker.call("workspaces:delete", {"id": space})["success"], True)
        speaker.close()
        for client in clients:
            client.close()

    def test_the_others_do_not_feel_it(self):
        # growth: what answers and messages under way may take, and what the allocator keeps of it
        for attack, growth in [(self.events_without_an_ack, 48), (self.random_packets, 48 + 64), (self.random_frames, 48 + 64),
                               (self.random_posts, 48 + 64),  # one may be a login: 64 MiB while its password is hashed
                               (self.too_large, 64), (self.half_open_upgrades, 48),
                               (self.who_ask_and_do_not_read, 48 + hz.pick(20, 200)), (self.deaf_clients, 96)]:
            with self.subTest(attack.__name__):
                self.watched(attack.__name__, attack, growth)
        self.assertTrue(sio.Client(self.server, {"token": self.server.token}).call("workers:list", {})["success"])
        self.witness.close()
        self.assertEqual(self.server.stop(30), 0)
        self.assert_no_sanitizer_report(self.server.process.text())


if __name__ == "__main__":
    hz.main()
