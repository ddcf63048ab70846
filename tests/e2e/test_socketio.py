"""Socket.IO 5: the client people use over both transports and the way between them, packets by hand, and clients that
do what none should: silence, floods, reading nothing."""
import http.client
import json
import os
import random
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import eio
import hz
import npm
import sio


class SocketIO(hz.Case):
    options = ()

    def setUp(self):
        super().setUp()
        self.echo = eio.Echo(self.place, "--shards", 2, *self.options)

    def tearDown(self):
        self.assertTrue(self.echo.process.running())
        self.echo.process.popen.terminate()
        self.assertEqual(self.echo.process.wait(20), 0)
        self.assert_no_sanitizer_report(self.echo.process.text())

    def client(self, **options):
        """A connected socket over WebSocket."""
        client = self.echo.websocket(**options)
        self.assertEqual(client.text()[0], "0")
        client.send("40")
        self.assertTrue(client.text().startswith('40{"sid":"'))
        self.assertEqual(client.text(), '42["auth",{}]')
        return client

    def figures(self, client, number=9):
        client.send(f'42{number}["figures"]')
        while True:
            text = client.text()
            if text.startswith(f"43{number}["):
                return json.loads(text[2 + len(str(number)):])[0]


class Client(SocketIO):
    def drive(self, way, *more):
        self.assertEqual(npm.node(self, "socketio_client.js", self.echo.port, way, *more), {
            "auth": {"token": "abc"}, "sid": 20, "transport": "polling" if way == "polling" else "websocket", "echo": True,
            "ack": True, "unknown": None, "order": True, "large": 700000, "binary": ["010203", ""],
            "broadcast": [{"n": 1}, []], "refused": "refused as asked", "namespace": "Invalid namespace",
            "bye": "io server disconnect", "sockets": 1})

    def test_polling_only(self):
        self.drive("polling")

    def test_websocket_only(self):
        self.drive("websocket")

    def test_upgrade(self):
        self.drive("upgrade")

    def test_clients_come_back_when_the_server_does(self):
        folder, why = npm.modules()
        if why:
            self.skipTest(why)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "socketio_return.js")
        clients = {}
        for way in ("polling", "websocket", "upgrade"):
            clients[way] = hz.Process(["node", script, str(self.echo.port), way], env={"NODE_PATH": folder})
            self.place.processes.append(clients[way])
            hz.logged(clients[way], "connect polling" if way == "polling" else "upgrade\n", 30)
        self.echo.process.popen.terminate()
        self.assertEqual(self.echo.process.wait(20), 0)
        for way, client in clients.items():
            # An end of the transport, after which a client comes back; not "io server disconnect", after which it does not.
            hz.wait_for(lambda client=client: re.search("^disconnect transport (close|error)", client.text(), re.M), 30,
                        what=f"end of the connection over {way}")
        self.echo.process = hz.Process(self.echo.process.popen.args)
        self.place.processes.append(self.echo.process)
        for client in clients.values():
            hz.wait_for(lambda client=client: len(re.findall("^connect ", client.text(), re.M)) >= 2, 30, what="a second connect")


class OverTLS(Client):
    """Polling; WebSocket too where the library can carry it (libmicrohttpd from 0.9.76 on)."""
    test_websocket_only = test_polling_only = test_clients_come_back_when_the_server_does = None

    def setUp(self):
        hz.Case.setUp(self)
        self.cert, key = self.place.path("cert.pem"), self.place.path("key.pem")
        made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                               "-keyout", key, "-out", self.cert, "-days", "2", "-subj", "/CN=localhost"], capture_output=True,
                              check=False) if shutil.which("openssl") else None
        if not made or made.returncode:
            self.skipTest("no openssl command to make certificates with")
        self.echo = eio.Echo(self.place, "--shards", 2, "--tls-cert", self.cert, "--tls-key", key)

    def ask(self, query, headers):
        connection = http.client.HTTPSConnection("localhost", self.echo.port, timeout=20 * hz.SLOW,
                                                 context=ssl.create_default_context(cafile=self.cert))
        connection.request("GET", "/socket.io/?EIO=4&transport=" + query, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def test_upgrade(self):
        upgrades = json.loads(self.ask("polling", {})[1][1:])["upgrades"]
        self.drive("polling", "tls")
        if upgrades:
            self.drive("upgrade", "tls")
            return
        status, text = self.ask("websocket", {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                                              "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="})
        self.assertEqual(status, 400)
        self.assertIn("not offered over TLS", text)


class Packets(SocketIO):
    def test_by_hand(self):
        client = self.echo.websocket()
        client.text()
        client.send('40{"token":"123"}')
        self.assertEqual(set(json.loads(client.text()[2:])), {"sid"})
        self.assertEqual(client.text(), '42["auth",{"token":"123"}]')
        for sent, answer in [('42["message",1,"2",{"3":[true]}]', '42["message-back",1,"2",{"3":[true]}]'),
                             ('42["message"]', '42["message-back"]'),
                             ('42456["message-with-ack",1,"2",{"3":[false]}]', '43456[1,"2",{"3":[false]}]'),
                             ('420["message-with-ack"]', "430[]"), ('421["what is that"]', "431[null]"),
                             ('422[17,3]', "432[null]"), ("40/random", '44/random,{"message":"Invalid namespace"}'),
                             ('40/random,{"a":1}', '44/random,{"message":"Invalid namespace"}')]:
            client.send(sent)
            self.assertEqual(client.text(), answer)
        client.send('42["no such event"]\x1e') # no ack: nothing comes, and no JSON either
        self.assertEqual(client.closing(), 1002)
        client = self.client()
        client.send("40/custom,{}")
        self.assertTrue(client.text().startswith('40/custom,{"sid":'))
        self.assertEqual(client.text(), '42/custom,["auth",{}]')
        client.send("41/custom,")
        client.send('42["message","still here"]')
        self.assertEqual(client.text(), '42["message-back","still here"]')
        client.send('452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]')
        client.send(b"\x01\x02\x03")
        client.send(b"")
        self.assertEqual(client.text(), '462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]')
        self.assertEqual([client.text(), client.text()], [b"\x01\x02\x03", b""])
        client.send('453["bye"]')
        self.assertEqual(client.closing(), 1002)

    def test_over_polling(self):
        sid = self.echo.open()
        self.assertEqual(self.echo.post(sid, "40"), (200, "ok"))
        text = self.echo.get(sid)[1]
        if "\x1e" not in text:
            text += "\x1e" + self.echo.get(sid)[1]
        self.assertEqual(text.split("\x1e")[1], '42["auth",{}]')
        self.echo.post(sid, '421["message-with-ack","a"]\x1e422["message-with-ack","b"]\x1e451-["message",{"_placeholder":true,"num":0}]'
                            "\x1ebAQID")
        self.assertEqual(self.echo.get(sid), (200, '431["a"]\x1e432["b"]\x1e451-["message-back",{"_placeholder":true,"num":0}]'
                                                   "\x1ebAQID"))
        self.assertEqual(self.echo.post(sid, "41"), (200, "ok"))
        self.assertEqual(self.echo.post(sid, '42["message"]')[0], 400)

    def test_what_is_no_packet_ends_the_connection(self):
        deep = '42["message",' + "[" * 3000 + "]" * 3000 + "]"
        for text in ("4abc", "4", "42{}", '42abc["message-with-ack",1]', '42["connect"]', "43[]", '44{"message":"no"}', "40",
                     "41/custom", '42/custom,["message"]', deep, '451-["message"]' + "\0", "4" * 20, '42["a",]', "45-[]"):
            client = self.client()
            client.send(text)
            self.assertEqual(client.closing(), 1002, text[:40])
        client = self.client()
        client.send('451-["message",{"_placeholder":true,"num":0}]')
        client.send('42["message"]') # instead of the attachment
        self.assertEqual(client.closing(), 1002)
        client = self.client()
        client.send(b"bytes that nothing announced")
        self.assertEqual(client.closing(), 1002)
        early = self.echo.websocket()
        early.text()
        early.send('42["message"]')
        self.assertEqual(early.closing(), 1002)

    def test_random_packets(self):
        parts = ["4", "40", "41", "42", "43", "45", "46", "1-", "2-", "/custom,", "/", ",", "7", "999", '["message"]', '["message",1]',
                 '["message-with-ack",{"a":[1]}]', '{"_placeholder":true,"num":0}', "[", "]", "{", "}", '"', "\\u0000", "ñ", "[]", "{}"]
        victim = self.client()
        count = hz.pick(1000, 10000)
        client = None
        for i in range(count):
            client = client or self.client()
            try:
                client.send("4" + "".join(random.choice(parts) for _ in range(random.randrange(1, 5))))
                if random.random() < 0.05:
                    client.send(os.urandom(random.randrange(20)))
                client.socket.setblocking(False)
                try:
                    while client.socket.recv(65536):
                        pass
                    raise EOFError
                except BlockingIOError:
                    client.socket.settimeout(20 * hz.SLOW)
            except (EOFError, ConnectionError):
                client.close()
                client = None
            if i % 100 == 0:
                victim.send(f'42["message",{i}]')
                self.assertEqual(victim.text(), f'42["message-back",{i}]')
        if client:
            client.close()
        hz.wait_for(lambda: self.figures(victim)["sockets"] == 1, what="the end of the others")


class Manager(hz.Case):
    def test_clients_come_back_after_a_restart_in_place(self):
        folder, why = npm.modules()
        if why:
            self.skipTest(why)
        server = hz.Server(self.place, env={"SERVER_CLUSTERS": 2})
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "socketio_return.js")
        clients = {}
        for way in ("polling", "websocket", "upgrade"):
            clients[way] = hz.Process(["node", script, str(server.port), way], env={"NODE_PATH": folder})
            self.place.processes.append(clients[way])
            hz.logged(clients[way], "connect polling" if way == "polling" else "upgrade\n", 30)
        began = time.monotonic()
        self.clean_exit(server.cli("restart", "--manager", "--json", timeout=90))
        for way, client in clients.items():
            hz.wait_for(lambda client=client: len(re.findall("^connect ", client.text(), re.M)) >= 2, 30, what=f"{way}: a second connect")
            self.assertRegex(client.text(), "(?m)^disconnect transport (close|error)")
        self.assertLess(time.monotonic() - began, 8 * hz.SLOW, "clients hold a restart up")
        self.assertEqual(server.stop(), 0)
        self.assert_no_sanitizer_report(server.process.text())


    def test_who_asks_much_at_once_and_reads_gets_it_all(self):
        server = hz.Server(self.place)
        client = sio.Client(server, {"token": server.token})
        for count in (1, 300):  # 8 MB of answers, twice what may wait for a client
            numbers = client.send_together(*[("nodes:list", {})] * count)
            self.assertEqual(numbers, [n for n in numbers if client.answer(n)["success"] is True])
        self.assertEqual(server.stop(), 0)
        self.assert_no_sanitizer_report(server.process.text())


class Silent(SocketIO):
    options = ("--connect-timeout", 400)

    def test_who_does_not_connect_is_not_kept(self):
        began = time.monotonic()
        websocket, sid = self.echo.websocket(), self.echo.open()
        self.assertEqual(websocket.text()[0], "0")
        self.assertEqual(websocket.closing(), 1000)
        self.assertGreater(time.monotonic() - began, 0.35)
        hz.wait_for(lambda: self.echo.get(sid)[0] == 400, what="the end of the polling session")
        client = self.client()
        client.send("41")
        self.assertEqual(client.closing(), 1000)


class Slow(SocketIO):
    """Clients that stop reading cost the others nothing, and the server a bounded amount."""
    options = ("--max-waiting", 1 << 20)

    def test_who_does_not_read_is_dropped(self):
        count, size = hz.pick(60, 500), 64 << 10
        good = [self.client() for _ in range(3)]
        before = self.echo.memory()
        bad = [self.client(receive_buffer=4096) for _ in range(count)]
        polling = [self.echo.open() for _ in range(5)] # who do not poll
        for sid in polling:
            self.echo.post(sid, "40")
        counts, most = [0] * len(good), 0

        def read(index):
            while counts[index] < 100:
                if good[index].text().startswith('42["flood"'):
                    counts[index] += 1
        threads = [threading.Thread(target=read, args=(i,)) for i in range(len(good))]
        for thread in threads:
            thread.start()
        for i in range(20):
            good[0].send(f'42["flood",5,{size}]')
            hz.wait_for(lambda i=i: min(counts) >= 5 * (i + 1), 30, 0.002, what="the flood at those who read")
            most = max(most, self.echo.memory())
        for thread in threads:
            thread.join(60 * hz.SLOW)
        self.assertEqual(counts, [100] * len(good))
        figures = hz.wait_for(lambda: (lambda f: f if f["slow"] >= count + len(polling) else None)(self.figures(good[1])),
                              what="the end of those that do not read")
        self.assertEqual(figures["sockets"], len(good))
        self.assertIn("dropped: it does not read: ", self.echo.process.text())
        # 100 packets of 64 KiB: all of them once, not once for each client.
        if not hz.SANITIZE:
            self.assertLess(most - before, (100 * size) + count * (64 << 10) + (16 << 20))
        for client in bad:
            client.close()


class Anonymous(SocketIO):
    """What those can take who have no account and nothing to lose, on one shard."""
    options = ("--shards", 1)

    def opened(self, count):
        """So many polling sessions with a socket, over one connection."""
        sids, connection = [], http.client.HTTPConnection("127.0.0.1", self.echo.port, timeout=20 * hz.SLOW)

        def ask(method, query, body=None):
            connection.request(method, "/socket.io/?EIO=4&transport=polling" + query, body)
            answer = connection.getresponse()
            self.assertEqual(answer.status, 200)
            return answer.read().decode()
        for _ in range(count):
            sids.append(json.loads(ask("GET", "")[1:])["sid"])
            ask("POST", "&sid=" + sids[-1], "40")
        connection.close()
        return sids

    def post(self, sid, body):
        """The connection of a POST whose answer nobody waits for."""
        connection = socket.create_connection(("127.0.0.1", self.echo.port))
        connection.settimeout(20 * hz.SLOW)
        connection.sendall(f"POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: 127.0.0.1:{self.echo.port}\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        return connection

    def test_answers_that_nobody_polls_for_are_bounded(self):
        each, count, size = 300, hz.pick(400, 2000), 1500
        body = "\x1e".join(f'42{i}["message-with-ack","{"x" * size}"]' for i in range(each))
        witness, before = self.client(), self.echo.memory()
        sids = self.opened(count)
        posts = [self.post(sid, body) for sid in sids]
        waiting, last = self.figures(witness)["waiting"], -1
        while waiting != last:
            time.sleep(0.2)
            waiting, last = self.figures(witness)["waiting"], waiting
        if not hz.SANITIZE:  # posts that wait keep their body
            self.assertLess(self.echo.memory() - before, (64 << 20) + count * (len(body) + 50000))
        self.assertLess(waiting, (32 << 20) + count * 2 * size)
        # Who polls gets all of it, in order, and the POST its answer.
        numbers = []
        while len(numbers) < each:
            numbers += [int(n) for n in re.findall(r"(?:^|\x1e)43(\d+)\[", self.echo.get(sids[0])[1])]
        self.assertEqual(numbers, list(range(each)))
        self.assertIn(b"200 OK", posts[0].recv(4096))
        for connection in posts:
            connection.close()

    def overtaken(self, witness, send):
        """Whether the witness's call was answered between the first and the last of 100,000 events that somebody else sends at once."""
        send(['42["broadcast","first"]'] + ['42["x"]'] * 100000 + ['42["broadcast","last"]'])
        seen = []
        while not seen or '["first"' not in seen[-1]:
            seen.append(witness.text())
        witness.send('428["figures"]')
        seen = []
        while len(seen) < 2:
            seen.append(witness.text())
        return seen[0].startswith("438[")

    def test_who_sends_much_at_once_waits_himself(self):
        witness, other, posts = self.client(), self.client(), []
        sid = self.opened(1)[0]
        for send in (lambda packets: posts.append(self.post(sid, "\x1e".join(packets))),
                     lambda packets: other.send_raw(b"".join(eio.WebSocket.frame(eio.TEXT, text.encode()) for text in packets))):
            self.assertTrue(any(self.overtaken(witness, send) for _ in range(3)))
        self.assertTrue(all(b"200 OK" in connection.recv(4096) for connection in posts))
        for connection in [*posts, other]:
            connection.close()


class Unfinished(SocketIO):
    options = ("--shards", 1, "--max-input", 4 << 20)

    def test_unfinished_messages_keep_nobody_out(self):
        before = self.client()
        hoard = []
        for size in (300000, 100000, 50000, 25000, 12000, 6000, 3000, 1500, 700, 300):
            for _ in range(20 if size == 300000 else 6):  # far more than there is room for, and no gap is left
                client = self.echo.websocket()
                client.send_raw(client.frame(eio.TEXT, b"4" * size, length=999000))
                hoard.append(client)
        hz.wait_for(lambda: self.figures(before)["refused"] > 0, what="the end of one that holds most")
        later = self.client()
        for client in (before, later):
            text = '42["message","' + "x" * 20000 + '"]'
            client.send(text)
            self.assertEqual(client.text(), text.replace("message", "message-back"))
        sid = self.echo.open()
        self.assertEqual(self.echo.post(sid, "40"), (200, "ok"))
        self.assertIn("still coming", self.echo.process.text())
        for client in hoard:
            client.close()


if __name__ == "__main__":
    hz.main()
