"""What the web client of Horizon v1 says to the server, in its order, and the fields it reads from the answers: played with the same socket.io-client
(npm), polling first and then over WebSocket; as every page of that client was seen to do it against this server."""
import json
import os
import signal

import hz
import npm
import sio

# As a person writes it: no info, no places. Names are what expressions call nodes by.
BARE = {
    "info": {"name": "suma", "uid": "suma"}, "version": "0.0.1",
    "nodes": {
        "a": {"type": "workflow_init", "name": "Inicio", "properties": {}},
        "b": {"type": "data_transformer", "name": "Suma", "properties": {"mapping": {"value": '{"suma": 42}'}},
              "meta": {"timeout": 5000}},
        "c": {"type": "console_output", "name": "Salida", "properties": {}}},
    "connections": [
        {"idNodeOrigin": "a", "connectorOriginName": "init", "idNodeDestiny": "b", "connectorDestinyName": "input"},
        {"idNodeOrigin": "b", "connectorOriginName": "output", "idNodeDestiny": "c", "connectorDestinyName": "input"}]}
ORIGIN = "http://localhost:5173"


class Client(hz.Case):
    def start(self, **env):
        flows = {"hook": hz.webhook_flow("hook"), "suma": BARE}
        server = hz.Server(self.place, flows=flows, env={"CLIENT_URL": ORIGIN, "SEED_DATABASE": "true", "TRACKING_ROUTE": "true", **env})
        for _ in range(3):
            server.start_worker("hook")
        return server

    def login(self, server):
        """The handle of a login; the demo accounts are made a moment after the server is up."""
        client = sio.Client(server, headers={"Origin": ORIGIN})
        self.addCleanup(client.close)

        def tried():
            answer = client.call("auth:login", {"email": "admin@horizon.com", "password": "admin123"})
            return answer if answer["success"] else None
        return hz.wait_for(tried, 20, 0.2, what="a demo account can log in")["user"]["id"]

    def test_every_page_of_the_client_finds_what_it_reads(self):
        server = self.start()
        self.login(server)
        seen = npm.node(self, "client_pages.js", server.port, ORIGIN, hz.pick(300, 5000), 20000 * hz.SLOW)
        if os.environ.get("HZ_SHOW"):
            print(json.dumps(seen, indent=2, ensure_ascii=False))
        self.assertEqual(seen["wrong"], [])
        # How it came in: polling, then the upgrade, each time; calls before the connection is there came right behind the connect packet.
        for name in "first", "again", "reload":
            self.assertEqual(seen["transports"][name], ["polling", "websocket"], name)
        self.assertEqual(seen["login"]["refused"], "Credenciales inválidas")
        self.assertEqual(seen["login"]["role"], "SuperAdmin")
        self.assertEqual(seen["workers"], {"before": 3, "stopped": 2, "restarted": 2, "same": True, "heard": ["workers:stopped", "workers:restarted"]})
        self.assertEqual(seen["messages"], ["nodes:list", "nodes:get", "system:health", "worker:status"])
        self.assertEqual(seen["project"], {"first": True, "renamed": True, "gone": True})
        self.assertEqual(seen["editor"]["places"], 3)
        self.assertEqual(seen["editor"]["saved"], ["0.0.2", "No se han realizado cambios en el workflow"])
        self.assertEqual(seen["editor"]["versions"], ["0.0.2", "0.0.1"])
        self.assertEqual(seen["editor"]["executed"], ["success", "0.0.2"])
        self.assertEqual(seen["logout"], "Error interno del servidor")
        # What the editor left out is still in the file that runs.
        with open(os.path.join(server.data, "workflows", "suma", "flow.json"), encoding="utf-8") as file:
            nodes = json.load(file)["nodes"]
        self.assertEqual(({key: node["name"] for key, node in nodes.items()}, nodes["b"]["meta"]),
                         ({"a": "Inicio", "b": "Suma", "c": "Salida"}, {"timeout": 5000}))
        hz.logged(server.process, "[TRACKING_ROUTE] workflows:getVersions {")
        self.assertNotIn('"admin123"', server.process.text())

    def test_an_open_page_outlives_the_server(self):
        server = self.start()
        handle = self.login(server)
        page = sio.Client(server, {"userId": handle}, headers={"Origin": ORIGIN})
        self.assertEqual(len(page.call("workers:list", {})["workers"]), 3)
        page.events.clear()
        server.process.popen.send_signal(signal.SIGTERM)
        # Whoever is told that a worker stopped asks for the others, and a page that never gets its answer asks no more.
        with self.assertRaises((OSError, AssertionError, EOFError)):
            page.event("nothing", timeout=20)
        self.assertNotIn("workers:stopped", page.names())
        self.assertEqual(server.process.wait(20), 0)
        again = self.place.start("serve", "--data", server.data, env=server.env)
        server.process = again
        server.wait_up()
        page = sio.Client(server, {"userId": handle}, headers={"Origin": ORIGIN})
        self.addCleanup(page.close)
        self.assertEqual(page.call("auth:me")["user"]["email"], "admin@horizon.com")
        server.start_worker("hook")
        self.assertIn("hook", [worker["workflowId"] for worker in page.call("workers:list", {})["workers"]])

    def test_its_own_settings_and_no_other_page(self):
        block = hz.PortBlock(1)
        self.addCleanup(block.close)
        # The names of its .env; those of another database and of its own address say nothing to this server.
        env = {"PORT": block.base, "SERVER_PORT": None, "SERVER_URL": "http://localhost:1", "DB_PATH": "./database.sqlite", "TRACKING_EXECUTE": "false"}
        server = hz.Server(self.place, env={"CLIENT_URL": ORIGIN, **env}, wait=False)
        server.port = block.base
        server.wait_up()
        path = "/socket.io/?EIO=4&transport=polling"
        # Each answer to polling may be read by the client's page, errors too, and by no other.
        for more, status in ("", 200), ("&sid=none", 400), ("&sid=" + "x" * 24, 400):
            answer = hz.request(server.port, "GET", path + more, headers={"Origin": ORIGIN})
            self.assertEqual((answer.status, answer.headers.get("access-control-allow-origin")), (status, ORIGIN), more)
            self.assertIn("Origin", answer.headers["vary"])
        answer = hz.request(server.port, "OPTIONS", path, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"})
        self.assertEqual(answer.status, 204)
        self.assertIn("POST", answer.headers["access-control-allow-methods"])
        for headers, status in (({"Origin": "http://localhost:5174"}, 403), ({"Origin": "http://127.0.0.1:5173"}, 403), ({"Origin": "null"}, 403)):
            answer = hz.request(server.port, "GET", path, headers=headers)
            self.assertEqual((answer.status, answer.headers.get("access-control-allow-origin")), (status, None), headers)
        self.assertEqual(hz.request(server.port, "GET", "/health", headers={"Origin": "http://anywhere.example"}).headers["access-control-allow-origin"], "*")


if __name__ == "__main__":
    hz.main()
