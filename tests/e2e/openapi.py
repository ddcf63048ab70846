"""Answers held against the description the server gives of itself. watch(case) looks at every REST request of a test: its status is described, its
type and body fit, nothing is in it that the description does not name. Needs python3-jsonschema."""
import copy
import json
import re

import hz

try:
    import jsonschema
except ImportError:
    jsonschema = None


def closed(schema):
    """A copy in which an object has no other names than those described."""
    if isinstance(schema, list):
        return [closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if made.get("type") == "object" and isinstance(made.get("properties"), dict) and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made


class Description:
    def __init__(self, doc):
        self.doc = doc
        strict = copy.deepcopy(doc)
        strict["components"]["schemas"] = {name: closed(schema) if name != "Problem" else schema
                                           for name, schema in doc["components"]["schemas"].items()}
        self.strict = strict
        self.operations = {}  # (method, regex, path): operation
        for path, item in doc["paths"].items():
            for method, operation in item.items():
                self.operations[method.upper(), path] = operation
        self.templates = sorted(doc["paths"], key=lambda path: path.count("{"))  # those without a parameter win

    def find(self, path):
        for template in self.templates:
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path.split("?")[0]):
                return template
        return None

    def validator(self, schema):
        root = {"components": self.strict["components"], **closed(schema)}
        return jsonschema.Draft202012Validator(root, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)

    def problem(self, method, path, answer):
        """What does not fit, as a sentence; None."""
        template = self.find(path)
        operation = self.operations.get(("GET" if method == "HEAD" else method, template))
        if not operation or method == "HEAD":
            return None if answer.status >= 400 or method in ("HEAD", "OPTIONS") else f"{method} {path} is served and not described"
        described = operation["responses"].get(str(answer.status))
        if described is None and (answer.status < 400 or answer.status >= 500):
            return f"{method} {path}: {answer.status} is not described: {answer.text[:200]}"
        described = described or operation["responses"]["default"]
        if "$ref" in described:
            described = self.doc["components"]["responses"][described["$ref"].rsplit("/", 1)[1]]
        content = described.get("content")
        if not content:
            return None if not answer.body else f"{method} {path}: {answer.status} has a body"
        media = answer.headers.get("content-type", "").split(";")[0]
        if media == "text/event-stream":
            return None
        if media not in content:
            return f"{method} {path}: {answer.status} is {media}, described as {', '.join(content)}"
        if "json" not in media or not jsonschema:
            return None
        error = jsonschema.exceptions.best_match(self.validator(content[media]["schema"]).iter_errors(answer.json))
        return error and f"{method} {path} {answer.status}: {'.'.join(map(str, error.absolute_path))}: {error.message[:500]}"


DESCRIBED = {}  # by version of the program: one


def description(where):
    if not DESCRIBED:
        answer = hz.request(where, "GET", "/api/v1/openapi.json")
        if answer.status != 200:
            return None
        DESCRIBED[0] = Description(answer.json)
    return DESCRIBED[0]


def watch(case):
    """Every REST answer until the end of the test; wrong ones fail it."""
    wrong, seen, counts, inside = [], set(), {}, []

    def look(where, method, path, answer):
        if inside or not (path.startswith("/api/v1/") or path.split("?")[0] in ("/health", "/livez", "/readyz", "/metrics")):
            return
        if not isinstance(where, int) and not str(where).endswith(".sock") or isinstance(where, int) and where not in hz.SERVERS:
            return
        inside.append(True)
        try:
            known = description(where if not isinstance(where, int) else hz.SERVERS[where].socket)
        except OSError:
            known = None
        finally:
            inside.pop()
        if known:
            key = method, known.find(path)
            seen.add(key)
            counts[key, answer.status] = count = counts.get((key, answer.status), 0) + 1
            if count > 40 and count % 50:
                return  # a loop that waits
            problem = known.problem(method, path, answer)
            if problem:
                wrong.append(problem)
    hz.WATCHERS.append(look)
    case.addCleanup(lambda: case.assertEqual(wrong, []))
    case.addCleanup(hz.WATCHERS.remove, look)
    if not jsonschema:
        print(f"left out: {case.id().removeprefix('__main__.')}: bodies are not held against their schemas: python3-jsonschema is not installed", flush=True)
    return seen


class Case(hz.Case):
    """A case whose every REST answer is looked at."""

    def setUp(self):
        super().setUp()
        watch(self)
