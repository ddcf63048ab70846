// Drives tests/contract/socketio_echo with the client people use; prints what happened as JSON.
//   node socketio_client.js PORT polling|websocket|upgrade [tls]
"use strict";
const { io } = require("socket.io-client");

const [port, way, tls] = process.argv.slice(2);
const url = `${tls ? "https" : "http"}://127.0.0.1:${port}`;
const transports = way === "upgrade" ? ["polling", "websocket"] : [way];
const seen = {};

function connect(options = {}, path = "") {
  return io(url + path, { transports, forceNew: true, reconnection: false, timeout: 15000, rejectUnauthorized: false, ...options });
}

function once(socket, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} within 15 s`)), 15000);
    socket.once(event, (...args) => {
      clearTimeout(timer);
      resolve(args);
    });
  });
}

async function main() {
  const a = connect({ auth: { token: "abc" } });
  const auth = once(a, "auth");
  await once(a, "connect");
  seen.auth = (await auth)[0];
  seen.sid = typeof a.id === "string" && a.id.length;
  if (way === "upgrade" && a.io.engine.transport.name !== "websocket") await once(a.io.engine, "upgrade");
  seen.transport = a.io.engine.transport.name;

  const args = [1, "2", null, true, 1.5, { "3": [true, { ñ: "\u0000\u{1f600}" }] }, []];
  let back = once(a, "message-back");
  a.emit("message", ...args);
  seen.echo = JSON.stringify(await back) === JSON.stringify(args);
  seen.ack = JSON.stringify(await a.timeout(15000).emitWithAck("message-with-ack", 7)) === "7";
  seen.unknown = await a.timeout(15000).emitWithAck("no such event", 1);

  const got = [];
  const all = new Promise((resolve) => a.on("message-back", (n) => got.push(n) === 500 && resolve()));
  for (let i = 0; i < 500; i++) a.emit("message", i);
  await all;
  seen.order = got.every((n, i) => n === i);
  a.off("message-back");

  back = once(a, "message-back");
  a.emit("message", "x".repeat(700000));
  seen.large = (await back)[0].length;
  back = once(a, "message-back");
  a.emit("message", Buffer.from([1, 2, 3]), { deep: Buffer.from([]) });
  const [first, second] = await back;
  seen.binary = [Buffer.from(first).toString("hex"), Buffer.from(second.deep).toString("hex")];

  const b = connect();
  const c = connect({}, "/custom");
  await Promise.all([once(b, "connect"), once(c, "connect")]);
  const own = [];
  a.on("news", (n) => own.push(n));
  c.on("news", (n) => own.push(n));
  const news = once(b, "news");
  await a.timeout(15000).emitWithAck("broadcast", "news", { n: 1 });
  seen.broadcast = [(await news)[0], own];
  c.disconnect();

  const refused = connect({ auth: { refuse: true } });
  seen.refused = (await once(refused, "connect_error"))[0].message;
  refused.disconnect();
  const stranger = connect({}, "/stranger");
  seen.namespace = (await once(stranger, "connect_error"))[0].message;
  stranger.disconnect();
  const bye = once(b, "disconnect");
  b.emit("bye");
  seen.bye = (await bye)[0];

  const figures = () => a.timeout(15000).emitWithAck("figures");
  for (let i = 0; i < 200 && (await figures()).sockets !== 1; i++) await new Promise((resolve) => setTimeout(resolve, 20));
  seen.sockets = (await figures()).sockets;
  a.disconnect();
}

main().then(
  () => {
    console.log(JSON.stringify(seen));
    process.exit(0);
  },
  (error) => {
    console.error(error, JSON.stringify(seen));
    process.exit(1);
  }
);
