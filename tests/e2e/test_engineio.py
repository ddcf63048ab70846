"""Engine.IO 4 by hand: what the protocol says of handshake, messages, heartbeat, upgrade and end, and what clients send
that no client should."""
import http.client
import json
import random
import threading
import time

import eio
import hz

KEYS = {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}


class Protocol(hz.Case):
    def setUp(self):
        super().setUp()
        self.echo = eio.Echo(self.place, "--engine", "--shards", 3)

    def tearDown(self):
        self.assertTrue(self.echo.process.running())
        self.echo.process.popen.terminate()
        self.assertEqual(self.echo.process.wait(20), 0)
        self.assert_no_sanitizer_report(self.echo.process.text())

    def gone(self, sid):
        self.assertEqual(self.echo.get(sid), (400, '{"code":1,"message":"Session ID unknown"}'))

    def test_handshake(self):
        status, text = self.echo.get()
        value = json.loads(text[1:])
        self.assertEqual((status, text[0], set(value)), (200, "0", KEYS))
        self.assertEqual((value["upgrades"], value["pingInterval"], value["pingTimeout"], value["maxPayload"]),
                         (["websocket"], 25000, 20000, 1000000))
        client = self.echo.websocket()
        opened = client.text()
        self.assertEqual(set(json.loads(opened[1:])), KEYS)
        self.assertEqual(json.loads(opened[1:])["upgrades"], [])
        client.close()
        for query, answer in [("transport=polling", 5), ("EIO=3&transport=polling", 5), ("EIO=abc&transport=polling", 5),
                              ("EIO=4", 0), ("EIO=4&transport=abc", 0), ("EIO=4&transport=websocket", 3),
                              ("EIO=4&transport=polling&sid=none", 1), ("EIO=4&transport=polling&sid=" + "_" * 24, 1),
                              ("", 0)]:
            status, text = self.echo.request("GET", query)
            self.assertEqual(status, 400, query)
            self.assertEqual(json.loads(text)["code"], answer, query)
        for method in ("POST", "PUT", "DELETE"):
            self.assertEqual(self.echo.request(method, "EIO=4&transport=polling")[0], 400)
        for change, status in [({"Sec-WebSocket-Key": None}, 400), ({"Sec-WebSocket-Key": "short"}, 400),
                               ({"Sec-WebSocket-Key": "=" * 24}, 400), ({"Sec-WebSocket-Version": "8"}, 426),
                               ({"Sec-WebSocket-Version": None}, 426), ({"Connection": "close"}, 400),
                               ({"Upgrade": "h2c"}, 400), ({"Origin": "http://evil.example"}, 403),
                               ({"Origin": "null"}, 403), ({"Host": "evil.example"}, 421)]:
            with self.assertRaises(eio.Refused) as refused:
                self.echo.websocket(headers=change)
            self.assertEqual(refused.exception.status, status, change)
        for method in ("GET", "POST"):
            query = "EIO=4&transport=polling"
            self.assertEqual(self.echo.request(method, query, headers={"Origin": "http://evil.example"})[0], 403)
            self.assertEqual(self.echo.request(method, query, headers={"Host": "evil.example"})[0], 421)

    def test_messages_over_polling(self):
        sid = self.echo.open()
        self.assertEqual(self.echo.post(sid, "4hello"), (200, "ok"))
        self.assertEqual(self.echo.get(sid), (200, "4hello"))
        self.assertEqual(self.echo.post(sid, "4a\x1e4\x1e4ñandú"), (200, "ok"))
        self.assertEqual(self.echo.get(sid), (200, "4a\x1e4\x1e4ñandú"))
        self.assertEqual(self.echo.post(sid, "4a\x1ebAQIDBA==\x1ebAQI\x1eb"), (200, "ok"))
        self.assertEqual(self.echo.get(sid), (200, "4a\x1ebAQIDBA==\x1ebAQI=\x1eb"))
        waiting = []
        thread = threading.Thread(target=lambda: waiting.append(self.echo.get(sid)))
        thread.start()
        time.sleep(0.1)
        self.assertEqual(self.echo.post(sid, "4late"), (200, "ok"))
        thread.join()
        self.assertEqual(waiting, [(200, "4late")])
        self.assertEqual(self.echo.post(sid, "6\x1e5"), (200, "ok")) # without meaning, and no harm
        self.assertEqual(self.echo.post(sid, "1"), (200, "ok"))
        self.gone(sid)

    def test_a_payload_that_is_none_ends_the_session(self):
        for body in ("abc", "", "\x1e", "4a\x1e", "\x1e4a", "4a\x1e\x1e4b", "0{}", "2", "7", "b*", "bA", b"4\xff", b"4\xed\xa0\x80"):
            sid = self.echo.open()
            self.assertEqual(self.echo.post(sid, body)[0], 400, body)
            self.gone(sid)
        sid = self.echo.open()
        self.assertEqual(self.echo.post(sid, "4" + "x" * 999999), (200, "ok"))
        self.assertEqual(len(self.echo.get(sid)[1]), 1000000)
        self.assertEqual(self.echo.post(sid, "4" + "x" * 1000000)[0], 413)
        self.gone(sid)
        self.assertEqual(self.echo.request("POST", f"EIO=4&transport=polling&sid={self.echo.open()}",  # before it is sent
                                           headers={"Content-Length": "2000001"})[0], 413)
        self.assertEqual(self.echo.request("PUT", f"EIO=4&transport=polling&sid={self.echo.open()}")[0], 400)

    def test_two_polls_at_once_end_the_session(self):
        sid = self.echo.open()
        first = []
        thread = threading.Thread(target=lambda: first.append(self.echo.get(sid)))
        thread.start()
        time.sleep(0.1)
        self.assertEqual(self.echo.get(sid)[0], 400)
        thread.join()
        self.assertEqual(first, [(200, "1")])
        self.gone(sid)

    def test_messages_over_websocket(self):
        client = self.echo.websocket()
        self.assertEqual(client.text()[0], "0")
        for size in (0, 1, 124, 125, 126, 65534, 65535, 65536, 999999):
            client.send("4" + "x" * size)
            self.assertEqual(client.text(), "4" + "x" * size)
        client.send(b"\x01\x02\x00\xff")
        self.assertEqual(client.text(), b"\x01\x02\x00\xff")
        client.send(b"")
        self.assertEqual(client.text(), b"")
        # In pieces, with a ping of the WebSocket between them, and byte by byte.
        client.send("4ab", fin=False)
        client.send(b"?", opcode=eio.PING)
        client.send(b"cd", opcode=0, fin=False)
        client.send(b"", opcode=0)
        self.assertEqual({client.receive(), client.receive()}, {(eio.PONG, b"?"), (eio.TEXT, b"4abcd")})
        for byte in client.frame(eio.TEXT, "4lento ñ".encode()) + client.frame(eio.PING, b"") + client.frame(eio.TEXT, b"4x"):
            client.send_raw(bytes([byte]))
            time.sleep(0.001)
        self.assertEqual(client.text(), "4lento ñ")
        self.assertEqual({client.receive(), client.receive()}, {(eio.PONG, b""), (eio.TEXT, b"4x")})
        client.send_raw(b"".join(client.frame(eio.TEXT, b"4%d" % i) for i in range(1000)))
        self.assertEqual([client.text() for _ in range(1000)], [f"4{i}" for i in range(1000)])
        client.send(b"\x03\xe8bye", opcode=eio.CLOSE)
        self.assertEqual(client.closing(), 1000)

    def test_a_frame_that_cannot_be_ends_the_session(self):
        frame = eio.WebSocket.frame
        for name, data, code in [
                ("no mask", frame(1, b"4a", masked=False), 1002), ("reserved bit", frame(1, b"4a", rsv=4), 1002),
                ("unknown opcode", frame(3, b"4a"), 1002), ("unknown control", frame(11, b""), 1002),
                ("piece of nothing", frame(0, b"4a"), 1002), ("new one between pieces", frame(1, b"4", fin=False) + frame(1, b"4"), 1002),
                ("control in pieces", frame(9, b"", fin=False), 1002), ("large control", frame(9, b"x" * 126), 1002),
                ("no UTF-8", frame(1, b"4\xff"), 1007), ("half a character", frame(1, b"4\xc3"), 1007),
                ("too large", frame(1, b"4", length=1000001), 1009), ("absurd", frame(2, b"4", length=1 << 62), 1009),
                ("too large in pieces", frame(1, b"4" * 600000, fin=False) + frame(0, b"4" * 600000), 1009),
                ("no packet", frame(1, b"abc"), 1002), ("empty", frame(1, b""), 1002), ("a ping of ours", frame(1, b"2"), 1002),
                ("an open of ours", frame(1, b"0{}"), 1002), ("a close", frame(1, b"1"), 1000)]:
            client = self.echo.websocket()
            client.text()
            client.send_raw(data)
            self.assertEqual(client.closing(), code, name)

    def test_upgrade(self):
        sid = self.echo.open()
        self.echo.post(sid, "4before")
        client = self.echo.websocket(sid)
        client.send("2probe")
        self.assertEqual(client.text(), "3probe")
        self.assertEqual(self.echo.get(sid), (200, "4before"))
        self.assertEqual(self.echo.get(sid), (200, "6"))
        self.echo.post(sid, "4between")
        client.send("5")
        client.send("4after")
        self.assertEqual([client.text(), client.text()], ["4between", "4after"])
        self.assertEqual(self.echo.get(sid), (400, '{"code":3,"message":"Bad request"}'))
        self.assertEqual(self.echo.post(sid, "4x")[0], 400)
        self.assertEqual(self.echo.websocket(sid).closing(), 1008)
        client.send("4still")
        self.assertEqual(client.text(), "4still")
        client.close()
        hz.wait_for(lambda: self.echo.get(sid)[1].startswith('{"code":1,'), what="end of the session")

    def test_an_upgrade_that_ends_halfway_leaves_the_session(self):
        sid = self.echo.open()
        waiting = []
        thread = threading.Thread(target=lambda: waiting.append(self.echo.get(sid)))
        thread.start()
        time.sleep(0.1)
        for word in ("5", "4early", "2prob", "3probe", ""):
            client = self.echo.websocket(sid)
            client.send(word)
            self.assertEqual(client.closing(), 1002, word)
        self.assertEqual(waiting, [])
        self.assertEqual(self.echo.post(sid, "4here"), (200, "ok"))
        thread.join()
        self.assertEqual(waiting, [(200, "4here")])
        client = hz.wait_for(lambda: self.probe(sid), what="a probe")
        self.assertEqual(self.echo.websocket(sid).closing(), 1008) # one at a time
        client.close()
        client = hz.wait_for(lambda: self.probe(sid), what="a further probe")
        client.send("5")
        client.send("4there")
        self.assertEqual(client.text(), "4there")
        with self.assertRaises(eio.Refused) as refused:
            self.echo.websocket("A" * 24)
        self.assertEqual(refused.exception.status, 400)

    def probe(self, sid):
        client = self.echo.websocket(sid)
        try:
            client.send("2probe")
            return client if client.text() == "3probe" else None
        except (EOFError, ConnectionError):
            return None

    def known(self, sid):
        try:
            self.echo.websocket(sid).close()
            return True
        except eio.Refused as refused:
            self.assertEqual(refused.status, 400)
            return False

    def test_a_poll_that_is_broken_off_ends_the_session(self):
        sids = [self.echo.open() for _ in range(4)] # on one shard or another
        for sid in sids:
            with self.assertRaises(TimeoutError):
                self.echo.request("GET", f"EIO=4&transport=polling&sid={sid}", timeout=0.1 / hz.SLOW)
        hz.wait_for(lambda: not any(self.known(sid) for sid in sids), what="end of the sessions")

    def test_random_input(self):
        words = ["4", "3", "1", "2", "5", "6", "b", "\x1e", "2probe", "4hola", "bAQID", "0{}", "\0", "ñ", "4" * 200, "40", "42[1]"]
        count = hz.pick(600, 10000)
        for _ in range(count):
            body = "".join(random.choice(words) for _ in range(random.randrange(1, 5)))
            if random.random() < 0.7:
                sid = self.echo.open() if random.random() < 0.3 or not self.__dict__.get("sid") else self.sid
                status = self.echo.post(sid, body)[0]
                self.assertIn(status, (200, 400))
                self.sid = sid if status == 200 else None
                continue
            client = self.echo.websocket()
            data = bytearray(b"".join(client.frame(random.choice((0, 1, 1, 1, 2, 8, 9, 10)), random.choice(words).encode())
                                      for _ in range(random.randrange(1, 6))))
            for _ in range(random.randrange(3)):
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            try:
                client.send_raw(bytes(data))
            except ConnectionError:
                pass
            client.close()
        sid = self.echo.open()
        self.echo.post(sid, "4hello")
        self.assertEqual(self.echo.get(sid), (200, "4hello"))


class Bounds(hz.Case):
    def test_half_of_the_descriptors_are_for_sessions_on_whichever_shard(self):
        echo = eio.Echo(self.place, "--engine", "--shards", 4, descriptors=400)
        sids = [echo.open() for _ in range(200)]
        for sid in sids:
            self.assertEqual(echo.post(sid, "4here"), (200, "ok"))
        self.assertEqual(echo.get(), (503, '{"code":3,"message":"Too many sessions"}'))
        echo.post(sids[0], "1")
        hz.wait_for(lambda: echo.get()[0] == 200, what="room for one more")

    def test_handshakes_without_more_take_nobody_the_place(self):
        echo = eio.Echo(self.place, "--engine", "--shards", 4, descriptors=400)
        client = echo.websocket()
        client.text()
        client.send("4first")
        connection, sids = http.client.HTTPConnection("127.0.0.1", echo.port, timeout=20 * hz.SLOW), []
        for _ in range(1000):  # of one connection, so all of them on one shard
            connection.request("GET", "/engine.io/?EIO=4&transport=polling")
            answer = connection.getresponse()
            text = answer.read().decode()
            self.assertEqual(answer.status, 200, text)
            sids.append(json.loads(text[1:])["sid"])
        connection.close()
        others = [echo.websocket() for _ in range(20)]  # on whichever shard
        for other in others:
            self.assertEqual(other.text()[0], "0")
            other.send("4here")
            self.assertEqual(other.text(), "4here")
        self.assertEqual([client.text(), echo.get(sids[0])[0], echo.post(sids[-1], "4last")[0]], ["4first", 400, 200])
        left = sum(echo.post(sid, "3")[0] == 200 for sid in sids)
        self.assertLessEqual(left, 200)
        self.assertGreater(left, 100)

    def test_one_address_has_so_many_connections_and_sessions(self):
        echo = eio.Echo(self.place, "--engine", "--shards", 2, "--address-connections", 8)
        clients = []
        for _ in range(8):  # each is counted once, also while HTTP turns into a WebSocket
            clients.append(echo.websocket())
            self.assertEqual(clients[-1].text()[0], "0")
        with self.assertRaises(eio.Refused) as refused:
            echo.websocket()
        self.assertEqual(refused.exception.status, 429)
        for client in clients:
            client.close()
        sids = [hz.wait_for(lambda: (lambda answer: answer[1] if answer[0] == 200 else None)(echo.get()), what="a place") for _ in range(8)]
        self.assertEqual(echo.get(), (503, '{"code":3,"message":"Too many sessions"}'))
        echo.post(json.loads(sids[0][1:])["sid"], "1")
        hz.wait_for(lambda: echo.get()[0] == 200, what="room for one more")


class Heartbeat(hz.Case):
    def test_both_transports(self):
        echo = eio.Echo(self.place, "--engine", "--shards", 2, interval=300 * hz.SLOW, timeout=200 * hz.SLOW)
        silent, sid = echo.open(), echo.open()
        client, deaf = echo.websocket(), echo.websocket()
        client.text(), deaf.text()
        for _ in range(2):
            self.assertEqual(echo.get(sid), (200, "2"))
            self.assertEqual(echo.post(sid, "3"), (200, "ok"))
            self.assertEqual(client.text(pings=True), "2")
            client.send("3")
        self.assertEqual(deaf.text(pings=True), "2")
        self.assertEqual(deaf.closing(), 1000)
        self.assertEqual(echo.get(silent)[0], 400)
        self.assertEqual(client.text(pings=True), "2")


if __name__ == "__main__":
    hz.main()
