"""Every Socket.IO route: fields and types of each answer compared both ways with tests/data/routes.json, each error text, permissions, and who
hears of it."""
import json
import os
import time
import uuid

import hz
import sio

with open(os.path.join(hz.SOURCE, "tests", "data", "routes.json"), encoding="utf-8") as file:
    SHAPES = json.load(file)


def kind(value):
    return {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object", type(None): "null"}[type(value)]


class Routes(hz.Case):
    @classmethod
    def setUpClass(cls):
        cls.maxDiff = None

    def start(self):
        server = hz.Server(self.place, flows={"hook": hz.webhook_flow("hook"), "once": hz.simple_flow("once")})
        self.server = server
        return server

    def client(self, role="SuperAdmin"):
        client = sio.Client(self.server, {"token": self.server.new_token(role)})
        self.addCleanup(client.close)
        return client

    # ---- shapes: {"key": "string|null", "key?": ..., "key": {...}, "key": ["of each element"], "*": of every value}
    def fits(self, value, shape, where):
        if isinstance(shape, str):
            if shape.startswith("="):
                self.fits(value, SHAPES[shape[1:]], where)
            elif shape != "any":
                self.assertIn(kind(value), shape.split("|"), where)
            return
        if isinstance(shape, list):
            self.assertEqual(kind(value), "array", where)
            for at, item in enumerate(value):
                self.fits(item, shape[0], f"{where}[{at}]")
            return
        self.assertEqual(kind(value), "object", where)
        if "*" in shape:
            for key, item in value.items():
                self.fits(item, shape["*"], f"{where}.{key}")
            return
        wanted = {key.rstrip("?") for key in shape}
        self.assertEqual(set(value) - wanted, set(), f"{where}: keys that do not belong")
        self.assertEqual({key for key in shape if not key.endswith("?")} - set(value), set(), f"{where}: keys that are missing")
        for key, inner in shape.items():
            if key.rstrip("?") in value:
                self.fits(value[key.rstrip("?")], inner, f"{where}.{key}")

    def test_a_restart_that_is_refused_keeps_nobody_from_hearing_of_the_stop(self):
        self.start()
        stopper, restarter, other = self.client(), self.client(), self.client()
        for turn in range(3):
            worker = self.server.start_worker("hook")["id"]
            stop, restart = stopper.send("workers:stop", {"workerId": worker}), restarter.send("workers:restart", {"workerId": worker})
            stopped, restarted = stopper.answer(stop), restarter.answer(restart)
            if restarted["success"]:  # it was the faster one
                other.event("workers:restarted", lambda payload: payload["oldWorkerId"] == worker)
                continue
            self.assertTrue(stopped["success"], stopped)
            other.event("workers:stopped", lambda payload: payload["workerId"] == worker)
            self.assertEqual([e for e in other.events if e[0] == "workers:stopped" and e[1]["workerId"] == worker], [], "once")

    def good(self, client, name, data=None, shape=None):
        answer = client.call(name, data if data is not None else {})
        self.assertIs(answer.get("success"), True, f"{name}: {answer}")
        self.fits(answer, {"success": "boolean", **SHAPES["answers"][shape or name]}, name)
        return answer

    def bad(self, client, name, data, message):
        self.assertEqual(client.call(name, data), {"success": False, "message": message}, name)

    # ---- 1.2
    def test_checks_come_in_their_order_and_everything_is_answered(self):
        server = self.start()
        nobody = sio.Client(server)
        self.addCleanup(nobody.close)
        self.bad(nobody, "workers:list", {}, "No cumple permisos para ejecutar el método workers:list")
        self.bad(nobody, "no:such", {}, "No cumple permisos para ejecutar el método no:such")
        self.bad(nobody, "auth:login", {"email": "x@y.z", "password": "wrong1"}, "Credenciales inválidas")
        self.bad(nobody, "auth:me", {}, "Error interno del servidor")
        self.assertEqual(nobody.answer(nobody.send("auth:me")), {"success": False, "message": "Error interno del servidor"})
        viewer, admin = self.client("Viewer"), self.client()
        self.bad(viewer, "workers:stop", {"workerId": "x"}, "No cumple permisos para ejecutar el método workers:stop")
        self.bad(viewer, "no:such", {}, "No cumple permisos para ejecutar el método no:such")
        self.bad(admin, "no:such", {}, "No se encontró el método no:such")
        self.bad(admin, "workers:message", {}, "No se encontró el método workers:message")
        # Texts quote what was said as a whole, however long, with each of its characters.
        name = "xñ" * 500
        self.bad(admin, name, {}, f"No se encontró el método {name}")
        self.bad(viewer, name, {}, f"No cumple permisos para ejecutar el método {name}")
        self.bad(admin, "workers:send-message", {"workerId": name, "route": "x"}, f"Worker {name} no está disponible")
        self.bad(admin, "workflows:execute", {"workflowId": "once", "version": name}, f"Versión {name} no encontrada para el workflow")
        self.bad(admin, "workers:get", None, "Error al obtener worker")
        self.bad(admin, "workflows:update", None, "Error al actualizar workflow")
        for name in "workers:list", "workers:stats", "workers:dashboard", "nodes:list", "nodes:groups", "nodes:stats", "roles:list", "permissions:list", "users:list":
            self.assertIs(admin.call(name, None)["success"], True, name)  # reads no field of it
        admin.send("workers:list", {}, ack=False)  # run, and its answer dropped
        self.good(admin, "workers:list")
        # A guessed uuid is worth nothing.
        guess = sio.Client(server, {"userId": str(uuid.uuid4())})
        self.addCleanup(guess.close)
        self.bad(guess, "workers:list", {}, "No cumple permisos para ejecutar el método workers:list")

    def test_a_login_is_bound_to_its_handle(self):
        server = hz.Server(self.place, env={"HORIZON_ADMIN_PASSWORD": "correcto-1", "TRACKING_ROUTE": "true"})
        self.server = server
        client = sio.Client(server)
        self.addCleanup(client.close)

        def login():
            answer = client.call("auth:login", {"email": "admin@horizon.com", "password": "correcto-1"})
            return answer if answer["success"] else None
        answer = hz.wait_for(login, 20, 0.2, what="the first account is made")
        self.fits(answer, {"success": "boolean", **SHAPES["answers"]["auth:login"]}, "auth:login")
        self.good(client, "workers:list")
        again = sio.Client(server, {"userId": answer["user"]["id"]})
        self.addCleanup(again.close)
        me = self.good(again, "auth:me")
        self.assertEqual(me["user"]["id"], answer["user"]["id"])
        self.assertNotIn("settings", me["user"])
        has = again.call("auth:check-permission", {"userId": me["user"]["id"], "module": "workers", "action": "stop"})
        self.assertEqual(has, {"success": True, "hasPermission": True})
        self.assertEqual(again.call("auth:check-permission", {}), {"success": False, "hasPermission": False})
        settings = self.good(again, "settings:get")["settings"]
        self.assertEqual((settings["theme"], settings["fontSize"], settings["canvasRefreshRate"], settings["language"]), ("crystal", 16, 33, "es"))
        self.assertEqual(self.good(again, "settings:update", {"theme": "dark"})["settings"]["theme"], "dark")
        self.assertEqual(self.good(again, "settings:get")["settings"]["theme"], "dark")
        for name in "roles:list", "permissions:list", "users:list":
            self.good(again, name)
        # What others hear has the account's id: the handle would make them him.
        handle, listener = me["user"]["id"], self.client("Viewer")
        account = server.call("GET", "/users", expect=200)["users"][0]["id"]
        space = self.good(again, "workspaces:create", {"name": "Mío"})["workspace"]
        self.assertEqual(space["userId"], handle)
        self.assertEqual(listener.event("workspaces:created")["userId"], account)
        common = next(w for w in self.good(again, "workspaces:list")["workspaces"] if w["id"] != space["id"])
        for changed in space, common:
            self.good(again, "workspaces:update", {"id": changed["id"], "color": "#000000"})
            self.assertEqual(listener.event("workspaces:updated")["userId"], account)
        # Nor does anything else say it that somebody else reads.
        self.good(again, "settings:update", {"userId": handle, "theme": "light"})
        self.bad(again, "workspaces:delete", {"id": handle}, "Error al eliminar workspace")
        audit = lambda: server.call("GET", "/audit", expect=200)["audit"]
        hz.wait_for(lambda: "settings:update" in [row["action"] for row in audit() if row["target"] == account], what="the audit log")
        hz.wait_for(lambda: "[TRACKING_ROUTE] workspaces:delete" in server.process.text(), what="tracking")
        for text in (json.dumps(audit()), server.process.text(), json.dumps(listener.events), hz.request(server.socket, "GET", "/api/v1/events").text):
            self.assertNotIn(handle, text)

    # ---- 1.3
    def test_workers(self):
        server = self.start()
        admin, other, viewer = self.client(), self.client(), self.client("Viewer")
        server.start_worker("hook")
        created = other.event("workers:created")
        self.fits(created, "=worker", "workers:created")
        listed = self.good(admin, "workers:list")["workers"]
        self.assertEqual([w["workflowId"] for w in listed], ["hook"])
        identity = listed[0]["id"]
        self.assertEqual(identity, created["id"])
        self.good(admin, "workers:get", {"workerId": identity})
        self.good(viewer, "workers:by-workflow", {"workflowId": "hook"})
        self.assertEqual(admin.call("workers:by-workflow", {"workflowId": "none"}), {"success": True, "workers": []})
        self.good(viewer, "workers:stats")
        self.good(viewer, "workers:dashboard")
        logs = self.good(viewer, "workers:logs", {"workerId": identity})["logs"]
        self.assertTrue(logs and all(line.startswith("[20") for line in logs), logs)
        self.assertEqual(len(self.good(admin, "workers:logs", {"workerId": identity, "lines": 1})["logs"]), 1)
        unknown = str(uuid.uuid4())
        for name in "get", "stop", "restart", "logs":
            self.bad(admin, f"workers:{name}", {}, "ID de worker requerido")
        self.bad(admin, "workers:by-workflow", {}, "ID de workflow requerido")
        for name, text in (("get", "Worker no encontrado"), ("logs", "Worker no encontrado"), ("restart", "Worker no encontrado"),
                           ("stop", "Error al detener worker o worker no encontrado")):
            self.bad(admin, f"workers:{name}", {"workerId": unknown}, text)
        # Messages
        self.bad(admin, "workers:send-message", {"workerId": identity}, "ID de worker y ruta requeridos")
        self.bad(admin, "workers:send-message", {"workerId": unknown, "route": "x"}, f"Worker {unknown} no está disponible")
        self.bad(admin, "workers:send-message", {"workerId": identity, "route": "no:such"}, "Ruta no encontrada: no:such")
        self.good(admin, "workers:send-message", {"workerId": identity, "route": "worker:status"})
        # Restart, stop: the others hear of it, who asked does not.
        admin.settle()
        admin.events.clear()
        restarted = self.good(admin, "workers:restart", {"workerId": identity})
        self.assertEqual(restarted["message"], "Worker reiniciado exitosamente")
        self.assertNotEqual(restarted["worker"]["id"], identity)
        told = other.event("workers:restarted")
        self.fits(told, {"oldWorkerId": "string", "newWorker": "=worker"}, "workers:restarted")
        self.assertEqual((told["oldWorkerId"], told["newWorker"]["id"]), (identity, restarted["worker"]["id"]))
        first, second = admin.send_together(*[("workers:stop", {"workerId": restarted["worker"]["id"]})] * 2)
        gone = {"success": True, "message": "Worker detenido exitosamente"}
        self.assertEqual([admin.answer(first), admin.answer(second)], [gone, gone])  # the second joins the first
        self.assertEqual(other.event("workers:stopped"), {"workerId": restarted["worker"]["id"]})
        admin.settle()
        self.assertEqual([name for name in admin.names() if name in ("workers:stopped", "workers:restarted")], [])
        self.assertEqual(self.good(admin, "workers:list")["workers"], [])
        # The audit log says what came of it, and what was made.
        self.bad(viewer, "workers:stop", {"workerId": unknown}, "No cumple permisos para ejecutar el método workers:stop")
        space = self.good(admin, "workspaces:create", {"name": "S"})["workspace"]["id"]
        audit = lambda: [(row["action"], row["target"], row["status"]) for row in server.call("GET", "/audit", expect=200)["audit"]]
        hz.wait_for(lambda: ("workspaces:create", space, 200) in audit(), what="the audit log")
        rows = audit()
        for row in (("workers:stop", unknown, 404), ("workers:stop", unknown, 403), ("workers:stop", restarted["worker"]["id"], 200),
                    ("workers:restart", unknown, 404), ("workers:restart", identity, 200), ("workers:send-message", unknown, 409)):
            self.assertIn(row, rows)
        self.assertNotIn(202, [row[2] for row in rows])

    # ---- 1.4
    def flow_parts(self, name="x"):
        flow = hz.simple_flow(name)
        return {"nodes": flow["nodes"], "connections": flow["connections"]}

    def test_workflows_and_their_versions(self):
        server = self.start()
        admin, other = self.client(), self.client()
        space = self.good(admin, "workspaces:list")["workspaces"][0]
        self.assertIs(space["isDefault"], True)
        project = self.good(admin, "projects:create", {"name": "P", "workspaceId": space["id"], "transportType": "tcp"})["project"]
        self.fits(other.event("projects:created"), "=project", "projects:created")
        where = {"workspaceId": space["id"], "projectId": project["id"]}
        self.bad(admin, "workflows:create", {"name": "W", "projectId": project["id"]}, "Error al crear workflow")
        made = self.good(admin, "workflows:create", {"name": "W", "description": "d", "projectId": project["id"]})["workflow"]
        self.assertEqual((made["version"], made["status"], made["workflowData"], made["properties"], made["isPublished"]),
                         ("0.0.1", "pending", None, {}, False))
        self.assertEqual(other.event("workflows:created"), made)
        self.assertEqual((made["lastRun"], made["duration"]), (None, "0s"))
        before = {"lastRun": "2026-01-02T03:04:05.678Z", "duration": "0m 0s"}  # as pages say it
        seen = self.good(admin, "workflows:create", {"name": "V", "description": "", "projectId": project["id"], **before})["workflow"]
        self.assertEqual({key: seen[key] for key in before}, before)
        self.assertEqual(admin.call("workflows:delete", {"id": seen["id"]}), {"success": True})
        for wrong in {"lastRun": "yesterday"}, {"lastRun": 5}, {"duration": 5}, {"duration": "x" * 33}:
            self.bad(admin, "workflows:create", {"name": "V", "description": "", "projectId": project["id"], **wrong}, "Error al crear workflow")
        other.settle()
        other.events.clear()
        listed = self.good(admin, "workflows:list", where)["workflows"]
        self.assertEqual([w["id"] for w in listed], [made["id"]])
        got = self.good(admin, "workflows:get", {"workspaceId": space["id"], "id": made["id"]})["workflow"]
        self.assertEqual(got["project"]["transportType"], "tcp")
        for data in ({"workspaceId": str(uuid.uuid4()), "id": made["id"]}, {"workspaceId": space["id"], "id": "none"}):
            self.bad(admin, "workflows:get", data, "Workflow no encontrado")
        # Changes
        parts = self.flow_parts()
        updated = self.good(admin, "workflows:update", {"id": made["id"], **parts})["workflow"]
        self.assertEqual((updated["version"], updated["workflowData"]), ("0.0.2", parts))
        self.assertEqual(other.event("workflows:updated"), updated)
        self.bad(admin, "workflows:update", {"id": made["id"], **parts}, "No se han realizado cambios en el workflow")
        self.bad(admin, "workflows:update", {"id": "none", **parts}, "Workflow no encontrado")
        merged = self.good(admin, "workflows:get", {"workspaceId": space["id"], "id": made["id"]})["workflow"]
        node = next(n for n in merged["workflowData"]["nodes"].values() if n["type"] == "data_transformer")
        self.assertEqual(node["properties"]["mapping"]["value"], '{"ok": true}')
        self.assertIn("type", node["properties"]["mapping"])
        # Run: the present one, then a version by name
        run = self.good(admin, "workflows:execute", {"workflowId": made["id"]})
        self.assertEqual(run["message"], f"Ejecutando última versión: 0.0.2 en worker {run['workerId']}")
        ready = admin.event("workflows:worker-ready")
        self.assertEqual(ready, {"workflowId": made["id"], "executionId": run["executionId"], "workerId": run["workerId"], "port": run["port"]})
        over = admin.event("workflows:execution-completed")
        self.fits(over, SHAPES["completed"], "workflows:execution-completed")
        self.assertEqual((over["status"], over["version"], over["executionId"]), ("success", "0.0.2", run["executionId"]))
        hz.wait_for(lambda: self.good(admin, "workflows:list", where)["workflows"][0]["status"] == "success", what="the record's status")
        with open(os.path.join(server.data, "workflows", made["id"], "flow.json"), encoding="utf-8") as file:
            flow = json.load(file)
        self.assertEqual((flow["version"], flow["info"]["uid"], flow["nodes"]), ("0.0.2", made["id"], parts["nodes"]))
        third = self.flow_parts()
        third["connections"].pop()
        self.assertEqual(self.good(admin, "workflows:update", {"id": made["id"], **third})["workflow"]["version"], "0.0.3")
        old = self.good(admin, "workflows:execute", {"workflowId": made["id"], "version": "0.0.2"})
        self.assertEqual((old["message"], old["version"]), (f"Ejecutando versión específica: 0.0.2 en worker {old['workerId']}", "0.0.2"))
        self.assertEqual(admin.event("workflows:execution-completed")["version"], "0.0.2")
        self.bad(admin, "workflows:execute", {"workflowId": made["id"], "version": "9.9.9"}, "Versión 9.9.9 no encontrada para el workflow")
        self.bad(admin, "workflows:execute", {"workflowId": "none"}, "Workflow no encontrado")
        other.settle()
        self.assertNotIn("workflows:execution-completed", other.names())
        # Versions
        versions = self.good(admin, "workflows:getVersions", {"workflowId": made["id"]})
        self.assertEqual([(v["version"], v["changeType"], v["isCurrent"]) for v in versions["versions"]],
                         [("0.0.3", "current", True), ("0.0.2", "updated", False), ("0.0.1", "created", False)])
        self.assertEqual((versions["versions"][0]["changeDescription"], versions["currentVersion"]), ("Versión actual", "0.0.3"))
        self.bad(admin, "workflows:getVersions", {"workflowId": "none"}, "Workflow no encontrado")
        # Files
        saved = self.good(admin, "workflows:saveToFile", {"workflowId": made["id"]})
        self.assertEqual(saved["message"], "Flujo guardado exitosamente")
        with open(saved["path"], encoding="utf-8") as file:
            flow = json.load(file)
        self.assertEqual((flow["environment"], flow["secrets"], "description" in flow["info"]), ([], [], False))
        self.bad(admin, "workflows:saveToFile", {"workflowId": "none"}, "Workflow no encontrado")
        path = self.good(admin, "workflows:save-to-json", {"id": made["id"]})["filePath"]
        with open(os.path.join(server.data, path), encoding="utf-8") as file:
            self.fits(json.load(file), "=workflow", path)
        # The end
        self.assertEqual(admin.call("workflows:delete", {"id": made["id"]}), {"success": True})
        self.assertEqual(other.event("workflows:deleted"), {"id": made["id"]})
        self.assertEqual(admin.call("workflows:delete", {"id": "none"}), {"success": True})
        self.assertEqual(self.good(admin, "workflows:list", where)["workflows"], [])
        self.bad(admin, "workflows:execute", {"workflowId": made["id"]}, "Workflow no encontrado")

    def test_a_flow_with_a_trigger_is_stopped_by_somebody(self):
        self.start()
        admin = self.client()
        run = self.good(admin, "workflows:execute", {"workflowId": "hook"})
        self.assertGreater(run["port"], 0)
        self.assertEqual(admin.event("workflows:worker-ready")["workerId"], run["workerId"])
        self.assertEqual(admin.call("workers:stop", {"workerId": run["workerId"]})["success"], True)
        error = admin.event("workflows:execution-error")
        self.fits(error, SHAPES["error"], "workflows:execution-error")
        self.assertTrue(error["error"].startswith("Detenido por "), error)
        self.assertEqual(admin.event("workflows:execution-completed")["status"], "failed")

    # ---- 1.5, 1.6
    def test_workspaces_projects_and_nodes(self):
        self.start()
        admin, other = self.client(), self.client()
        space = self.good(admin, "workspaces:create", {"name": "Mío"})["workspace"]
        self.assertEqual((space["color"], space["icon"], space["status"]), ("#3b82f6", "mdi-briefcase", "active"))
        self.fits(other.event("workspaces:created"), "=workspace", "workspaces:created")
        self.assertEqual(self.good(admin, "workspaces:update", {"id": space["id"], "color": "#000000"})["workspace"]["color"], "#000000")
        self.assertEqual(other.event("workspaces:updated")["id"], space["id"])
        self.bad(admin, "workspaces:create", {}, "Error al crear workspace")
        self.bad(admin, "workspaces:update", {"id": "none"}, "Error al actualizar workspace")
        self.bad(admin, "workspaces:delete", {"id": "none"}, "Error al eliminar workspace")
        project = self.good(admin, "projects:create", {"name": "P", "workspaceId": space["id"]})["project"]
        self.good(admin, "projects:list", {"workspaceId": space["id"]})
        self.good(admin, "projects:get", {"workspaceId": space["id"], "projectId": project["id"]})
        self.bad(admin, "projects:get", {"workspaceId": space["id"], "projectId": "none"}, "Project not found")
        self.bad(admin, "projects:create", {"name": "P", "workspaceId": space["id"], "transportType": "pigeon"}, "Error al crear proyecto")
        bare = self.good(admin, "projects:update", {"id": project["id"], "name": "Q", "transportType": "none", "transportConfig": {}})["project"]
        self.assertEqual((bare["name"], bare["transportType"], bare["transportConfig"]), ("Q", None, {}))
        self.bad(admin, "projects:update", {"id": "none"}, "Error al actualizar proyecto")
        self.assertEqual(admin.call("projects:delete", {"id": project["id"]}), {"success": True})
        self.assertEqual(other.event("projects:deleted"), {"id": project["id"]})
        self.bad(admin, "projects:delete", {"id": "none"}, "Error al eliminar proyecto")
        self.assertEqual(admin.call("workspaces:delete", {"id": space["id"]}), {"success": True})
        self.assertEqual(other.event("workspaces:deleted"), {"id": space["id"]})
        self.assertNotIn(space["id"], [w["id"] for w in self.good(admin, "workspaces:list")["workspaces"]])
        # Nodes
        nodes = self.good(admin, "nodes:list")["nodes"]
        self.assertEqual(admin.call("nodes:get", {"type": "delay"}), {"success": True, "node": nodes["delay"]})
        self.assertEqual(self.good(admin, "nodes:info", {"type": "delay"})["node"]["name"], "Delay")
        for name in "nodes:get", "nodes:info":
            self.bad(admin, name, {}, "Tipo de nodo requerido")
            self.bad(admin, name, {"type": "none"}, "Tipo de nodo no encontrado")
        groups = self.good(admin, "nodes:groups")["groups"]
        self.assertEqual(groups, sorted(groups))
        self.assertIn("Control Flow ", groups)
        self.assertTrue({node["group"] for node in nodes.values()} <= set(groups))
        self.assertEqual(set(self.good(admin, "nodes:list-by-group", {"group": "Timer"})["nodes"]),
                         {key for key, node in nodes.items() if node["group"] == "Timer"})
        self.assertEqual(set(self.good(admin, "nodes:list-by-group")["nodes"]), set(nodes))
        self.assertIn("webhook_handler", self.good(admin, "nodes:search", {"query": "WEBHOOK"})["nodes"])
        self.bad(admin, "nodes:search", {}, "Consulta de búsqueda requerida")
        self.assertEqual(self.good(admin, "nodes:stats")["stats"]["totalNodes"], len(nodes))
        change = "nodes:change-property"
        self.bad(admin, change, {}, "ID del nodo requerido")
        self.bad(admin, change, {"nodeId": "delay"}, "Propiedad requerida")
        self.bad(admin, change, {"nodeId": "none", "property": "x"}, "Tipo de nodo no encontrado")
        self.bad(admin, change, {"nodeId": "delay", "property": "x"}, "Sin función onCreate")
        self.assertEqual(admin.call("worker:environment", {}), {"success": True, "envs": {}})

    def test_who_creates_and_lists_without_waiting_sees_what_was_created(self):
        self.start()
        admin = self.client()
        space = self.good(admin, "workspaces:list")["workspaces"][0]["id"]
        for turn in range(hz.pick(25, 500)):
            name = f"P{turn}"
            made, listed, changed, again = admin.send_together(
                ("projects:create", {"name": name, "workspaceId": space}), ("projects:list", {"workspaceId": space}),
                ("workspaces:create", {"name": name}), ("workspaces:list", {}))
            project = admin.answer(made)["project"]
            self.assertEqual(admin.answer(listed)["projects"][0], project)
            self.assertIn(admin.answer(changed)["workspace"]["id"], [w["id"] for w in admin.answer(again)["workspaces"]])
            gone, rest = admin.send_together(("projects:delete", {"id": project["id"]}), ("projects:list", {"workspaceId": space}))
            self.assertIs(admin.answer(gone)["success"], True)
            self.assertNotIn(project["id"], [p["id"] for p in admin.answer(rest)["projects"]])
        # Who goes away with calls under way leaves nothing behind.
        rash = self.client()
        rash.send_together(*[("projects:create", {"name": "R", "workspaceId": space}), ("projects:list", {"workspaceId": space})] * 20)
        rash.close()
        made = lambda: sum(p["name"] == "R" for p in self.good(admin, "projects:list", {"workspaceId": space})["projects"])
        hz.wait_for(lambda: made() == 20, what="what was sent is done")

    # ---- deltas
    def test_who_follows_hears_within_a_tick_and_misses_nothing(self):
        server = self.start()
        admin = self.client()
        begin = admin.call("events:follow", {})
        self.assertEqual((begin["success"], begin["reset"]), (True, False))
        server.start_worker("hook")
        delta = admin.event("events:delta", lambda d: any(e["kind"] == "created" for e in d["events"]))
        self.assertEqual(sorted(e["sequence"] for e in delta["events"]), [e["sequence"] for e in delta["events"]])
        admin.close()
        worker = server.workers()[0]["id"]
        server.call("POST", f"/workers/{worker}/stop", expect=200)
        time.sleep(0.5)
        again = self.client()
        answer = again.call("events:follow", {"after": delta["to"]})
        self.assertIs(answer["reset"], False)
        missed = again.event("events:delta")
        self.assertIn("stopped", [e["kind"] for e in missed["events"]])
        self.assertTrue(all(e["sequence"] > delta["to"] for e in missed["events"]))
        self.assertIs(again.call("events:follow", {"after": 5})["reset"], True)
        viewer = self.client("Viewer")
        kinds = lambda: [e["kind"] for e in self.good(viewer, "events:list", {"workflowId": "hook"})["events"]]
        hz.wait_for(lambda: {"created", "ready", "stopped"} <= set(kinds()), what="the events are kept")
        self.assertEqual({e["kind"] for e in self.good(viewer, "events:list", {"kind": "ready,stopped"})["events"]}, {"ready", "stopped"})


if __name__ == "__main__":
    hz.main()
