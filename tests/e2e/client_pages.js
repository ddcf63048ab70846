// Plays what the web client of Horizon v1 says, page by page; prints what came of it as JSON. `wrong` lists fields a page reads that were not as it
// needs them.
//   node client_pages.js PORT ORIGIN REFRESH_MS PATIENCE_MS
"use strict";
const { io } = require("socket.io-client");

const [port, origin, refresh, patienceMs] = process.argv.slice(2);
const url = `http://localhost:${port}`;
const seen = { wrong: [], transports: {} };
const patience = Number(patienceMs);

// ---- what a page needs of a value: "string", "number", "date", "id" (eight characters of it are shown), a list of words, "object", "array", "boolean",
// with ? where the page does without; {field: ...} of an object, [of each], {"*": of every value}
function reads(where, value, need) {
  const miss = (what) => seen.wrong.push(`${where}: ${what}, not ${JSON.stringify(value === undefined ? "nothing" : value).slice(0, 120)}`);
  if (Array.isArray(need) && typeof need[0] === "string" && need.length > 1) return need.includes(value) || miss(need.join(" or "));
  if (Array.isArray(need)) return Array.isArray(value) ? value.forEach((item, i) => reads(`${where}[${i}]`, item, need[0])) : miss("a list");
  if (typeof need === "object") {
    if (value === null || typeof value !== "object") return miss("an object");
    for (const [key, inner] of Object.entries(need["*"] ? Object.fromEntries(Object.keys(value).map((k) => [k, need["*"]])) : need)) {
      const own = key.replace(/\?$/, "");
      if (value[own] === undefined && key.endsWith("?")) continue;
      reads(`${where}.${own}`, value[own], inner);
    }
    return undefined;
  }
  const fits = {
    string: () => typeof value === "string",
    number: () => typeof value === "number" && Number.isFinite(value),
    bytes: () => Number.isInteger(value) && value >= 0,
    boolean: () => typeof value === "boolean",
    id: () => typeof value === "string" && value.length >= 8,
    date: () => typeof value === "string" && !Number.isNaN(new Date(value).getTime()),
    object: () => value !== null && typeof value === "object",
    "string or null": () => value === null || typeof value === "string",
    "date or null": () => value === null || (typeof value === "string" && !Number.isNaN(new Date(value).getTime())),
    image: () => typeof value === "string" && /^(data:image\/|https?:)/.test(value),
  }[need];
  return fits() || miss(need);
}

const PERMISSION = { id: "string", module: "string", action: "string", description: "string" };
const USER = {
  id: "string", email: "string", name: "string", avatar: "image", permissions: [PERMISSION],
  role: { id: "string", name: "string", level: "number", permissions: [PERMISSION] },
};
const WORKSPACE = {
  id: "string", name: "string", description: "string or null", color: "string", icon: "string", isDefault: "boolean", createdAt: "date", updatedAt: "date",
};
const STATUS = ["starting", "running", "stopping", "stopped", "error"];
const WORKER = { id: "id", workflowId: "string", status: STATUS, port: "number", startTime: "date", "memoryUsage?": "bytes" };
const DASHBOARD = {
  overview: { totalActive: "number", running: "number", errors: "number", starting: "number" },
  recentActivity: { workersStartedToday: "number", recentWorkers: [{ id: "id", workflowId: "string", status: STATUS, startTime: "date" }] },
  performance: {
    totalMemoryUsage: "bytes", averageMemoryPerWorker: "number", highMemoryWorkers: [{ id: "id", memoryUsage: "bytes", port: "number" }],
  },
  workflows: { distribution: { "*": { workflowId: "string", count: "number", workers: [{ id: "id", status: STATUS, port: "number" }] } } },
};
const PROJECT = {
  id: "string", name: "string", description: "string or null", workspaceId: "string", status: ["active", "inactive"], transportType: "string or null",
  createdAt: "date", updatedAt: "date",
};
const WORKFLOW = {
  id: "string", name: "string", description: "string", status: ["pending", "running", "success", "failed"], lastRun: "date or null",
  duration: "string", projectId: "string", version: "string", createdAt: "date", updatedAt: "date",
};
const NODE = {
  info: { name: "string", desc: "string", icon: "string", group: "string", color: "string", connectors: { inputs: "object", outputs: "object" } },
  properties: { "*": { type: "string" } },
};
const VERSION = { version: "string", changeType: "string", changeDescription: "string", createdAt: "date", isCurrent: "boolean" };

// ---- as the client's own service does it
function connect(name, auth) {
  const socket = io(url, { auth, autoConnect: true, forceNew: true, extraHeaders: { Origin: origin } });
  const names = (seen.transports[name] = []);
  socket.on("connect", () => names.length || names.push(socket.io.engine.transport.name));
  socket.io.once("open", () => {
    if (!names.length) names.push(socket.io.engine.transport.name);
    socket.io.engine.once("upgrade", (transport) => names.push(transport.name));
  });
  socket.on("connect_error", (error) => seen.wrong.push(`${name}: ${error.message}`));
  return socket;
}

function call(socket, route, ...data) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${route}: no answer`)), patience);
    socket.emit(route, ...data, (answer) => {
      clearTimeout(timer);
      if (typeof answer !== "object" || typeof answer.success !== "boolean") seen.wrong.push(`${route}: no success in ${JSON.stringify(answer)}`);
      resolve(answer);
    });
  });
}

async function good(socket, route, data, shape) {
  const answer = await call(socket, route, data);
  if (!answer.success) seen.wrong.push(`${route}: ${answer.message}`);
  else reads(route, answer, shape || {});
  return answer;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, check) {
  for (const end = Date.now() + patience; !check(); await pause(20)) if (Date.now() > end) throw new Error(`not in time: ${what}`);
}

// ---- the pages
async function login() {
  let socket = connect("first", {});
  const refused = await call(socket, "auth:login", { email: "admin@horizon.com", password: "wrong-one" }); // sent before it is connected
  const answer = await call(socket, "auth:login", { email: "admin@horizon.com", password: "admin123" });
  if (!answer.success) throw new Error(answer.message);
  reads("auth:login", answer.user, USER);
  reads("auth:login settings", answer.user.settings, { theme: "string", language: "string", notifications: "object" });
  seen.login = { refused: refused.message, role: answer.user.role.name };
  await until("the first upgrade", () => seen.transports.first.length === 2);
  socket.disconnect();
  socket = connect("again", { userId: answer.user.id });
  const { workspaces } = await good(socket, "workspaces:list", {}, { workspaces: [WORKSPACE] });
  if (workspaces.filter((w) => w.isDefault).length !== 1 || !workspaces[0].isDefault) seen.wrong.push("workspaces:list: one default, first");
  await until("the second upgrade", () => seen.transports.again.length === 2);
  return { socket, user: answer.user, workspaceId: workspaces[0].id };
}

async function refreshDashboard(socket) {
  const { dashboard } = await good(socket, "workers:dashboard", {}, { dashboard: DASHBOARD });
  const { workers } = await good(socket, "workers:list", {}, { workers: [WORKER] });
  return { dashboard, workers };
}

async function workersPage(socket, other) {
  const heard = [];
  for (const name of ["workers:stopped", "workers:restarted"]) other.on(name, () => heard.push(name));
  const caller = [];
  for (const name of ["workers:stopped", "workers:restarted"]) socket.on(name, () => caller.push(name));
  let now = await refreshDashboard(socket);
  const before = now.workers.length;
  for (let i = 0; i < 2; i++) {
    await pause(Number(refresh)); // the page's own is five seconds
    now = await refreshDashboard(socket);
    if (now.workers.length !== before || now.dashboard.overview.totalActive !== before) seen.wrong.push("the lists change by themselves");
  }
  // What a worker uses is measured by and by; until then the page shows 0 B.
  for (const end = Date.now() + patience; !now.workers.every((w) => w.memoryUsage > 100000) && Date.now() < end; now = await refreshDashboard(socket)) await pause(50);
  for (const worker of now.workers) if (!(worker.memoryUsage > 100000)) seen.wrong.push(`memoryUsage ${worker.memoryUsage}`);
  await good(socket, "workers:stop", { workerId: now.workers[0].id }, { message: "string" });
  now = await refreshDashboard(socket);
  const stopped = now.workers.length;
  const old = now.workers[0];
  const { worker } = await good(socket, "workers:restart", { workerId: old.id }, { worker: { id: "id" }, message: "string" });
  now = await refreshDashboard(socket);
  const same = worker.workflowId === old.workflowId && worker.executionId === old.executionId && worker.version === old.version && worker.id !== old.id;
  await until("the other page heard of both", () => heard.length >= 2);
  if (caller.length) seen.wrong.push(`who asked was told, too: ${caller}`);
  seen.workers = { before, stopped, restarted: now.workers.length, same, heard: heard.slice() };
  seen.messages = [];
  for (const [route, data] of [["nodes:list", {}], ["nodes:get", { type: "delay" }], ["system:health", {}], ["worker:status", {}]]) {
    const { response } = await good(socket, "workers:send-message", { workerId: now.workers[0].id, route, messageData: data }, { response: "object" });
    if (response && response.success) seen.messages.push(route);
  }
}

async function projectsPage(socket, workspaceId) {
  const list = () => good(socket, "projects:list", { workspaceId }, { projects: [PROJECT] });
  await list();
  const time = new Date().toISOString();
  const wanted = { name: "Pedidos", description: "Prueba", status: "active", transportType: "none", transportConfig: {} };
  // It lists without waiting for what it created.
  const both = [good(socket, "projects:create", { ...wanted, workspaceId, createdAt: time, updatedAt: time }, { project: PROJECT }), list()];
  const [{ project }, { projects }] = await Promise.all(both);
  const first = projects[0].id === project.id;
  const change = [good(socket, "projects:update", { id: project.id, ...project, name: "Pedidos 2", transportType: "tcp" }, { project: PROJECT }), list()];
  const renamed = (await Promise.all(change))[1].projects.find((p) => p.id === project.id).name === "Pedidos 2";
  // Its workflows
  const where = { workspaceId, projectId: project.id };
  await good(socket, "workflows:list", where, { workflows: [WORKFLOW] });
  const draft = { name: "Alta", description: "", status: "pending", duration: "0m 0s", projectId: project.id, lastRun: time, createdAt: time, updatedAt: time };
  const { workflow } = await good(socket, "workflows:create", draft, { workflow: WORKFLOW });
  const { workflows } = await good(socket, "workflows:list", where, { workflows: [WORKFLOW] });
  if (workflows[0].lastRun !== time || workflows[0].duration !== draft.duration) seen.wrong.push("workflows:create: lastRun, duration are lost");
  await emptyEditor(socket, workspaceId, workflow.id);
  await good(socket, "workflows:delete", { id: workflow.id });
  await good(socket, "projects:delete", { id: project.id });
  const gone = !(await list()).projects.some((p) => p.id === project.id);
  seen.project = { first, renamed, gone };
}

async function openEditor(socket, workspaceId, id) {
  const nodes = good(socket, "nodes:list", {}, { nodes: { "*": NODE } });
  const got = good(socket, "workflows:get", { workspaceId, id }, { workflow: { ...WORKFLOW, project: { transportType: "string or null" }, properties: "object" } });
  const types = (await nodes).nodes;
  const { groups } = await good(socket, "nodes:groups", {}, { groups: ["string"] });
  for (const [type, node] of Object.entries(types)) if (!groups.includes(node.info.group)) seen.wrong.push(`${type} is in no group`);
  return { types, workflow: (await got).workflow };
}

async function emptyEditor(socket, workspaceId, id) {
  const { workflow } = await openEditor(socket, workspaceId, id);
  if (workflow.workflowData !== null) seen.wrong.push("a new workflow has a drawing");
  const { node } = await good(socket, "nodes:get", { type: "workflow_init" }, { node: { type: "string", ...NODE } });
  if (!node.info.connectors.outputs.length) seen.wrong.push("workflow_init has no output");
}

async function editor(socket, workspaceId, id) {
  const { workflow } = await openEditor(socket, workspaceId, id);
  const { nodes, connections } = workflow.workflowData;
  const places = new Set();
  for (const [key, node] of Object.entries(nodes)) {
    reads(key, node, { ...NODE, type: "string", design: { x: "number", y: "number" } });
    places.add(`${node.design.x} ${node.design.y}`);
  }
  // Saved as the editor has it in memory: neither name nor meta, of each property the value alone.
  const kept = {};
  for (const [key, { type, info, properties, design }] of Object.entries(nodes)) {
    const values = Object.fromEntries(Object.entries(properties).map(([name, property]) => [name, { value: property.value }]));
    kept[key] = { id: key, type, info, properties: values, design: { ...design, width: 120, height: 85 }, connections: [] };
  }
  const lines = connections.map((connection, i) => ({ ...connection, id: String(i), colorGradient: null }));
  const save = () => call(socket, "workflows:update", { id, nodes: kept, connections: lines });
  const first = await save();
  const second = await save(); // "Ejecutar" saves before it runs
  await good(socket, "nodes:info", { type: "data_transformer" }, { node: NODE });
  const context = { project: { type: null }, info: { name: workflow.name, uid: id }, properties: {} };
  const change = await call(socket, "nodes:change-property", { nodeId: "b", context, property: { mapping: { value: "1" } } });
  if (change.success || change.message !== "Tipo de nodo no encontrado") seen.wrong.push(`nodes:change-property: ${JSON.stringify(change)}`);
  const over = new Promise((resolve) => socket.once("workflows:execution-completed", resolve));
  const run = await good(socket, "workflows:execute", { workflowId: id, trigger: "manual" }, { executionId: "id", version: "string", message: "string" });
  const { versions } = await good(socket, "workflows:getVersions", { workspaceId, workflowId: id }, { versions: [VERSION], currentVersion: "string" });
  seen.editor = {
    places: places.size, saved: [first.success ? first.workflow.version : first.message, second.success ? "again" : second.message],
    versions: versions.map((v) => v.version), executed: [(await over).status, run.version],
  };
}

async function main() {
  const { socket: first, user, workspaceId } = await login();
  const other = connect("other", { userId: user.id }); // another window
  await good(other, "workspaces:list", {});
  first.disconnect();
  const page = connect("reload", { userId: user.id }); // the page is loaded anew: what is stored in the browser is shown again
  const [me] = await Promise.all([call(page, "auth:me"), good(page, "workspaces:list", {}, { workspaces: [WORKSPACE] })]);
  reads("auth:me", me.user, USER);
  if (me.user.id !== user.id) seen.wrong.push("auth:me has another id than the login");
  await until("the upgrade after the reload", () => seen.transports.reload.length === 2);
  await workersPage(page, other);
  await projectsPage(page, workspaceId);
  await editor(page, workspaceId, "suma");
  page.disconnect();
  const stranger = connect("stranger", { userId: "00000000-0000-4000-8000-000000000000" });
  seen.logout = (await call(stranger, "auth:me")).message; // any failure: the client logs out
}

main().then(
  () => {
    console.log(JSON.stringify(seen));
    process.exit(0);
  },
  (error) => {
    console.error(error, JSON.stringify(seen, null, 1));
    process.exit(1);
  }
);
