// A client that stays: prints a line for each connect and disconnect until it is killed.
//   node socketio_return.js PORT polling|websocket|upgrade [EVENT]
"use strict";
const { io } = require("socket.io-client");
const [port, way, event] = process.argv.slice(2);
const socket = io(`http://127.0.0.1:${port}`, {
  transports: way === "upgrade" ? ["polling", "websocket"] : [way],
  reconnectionDelay: 50,
  reconnectionDelayMax: 200,
});
const say = (what) => process.stdout.write(what + "\n");
socket.on("connect", () => {
  const engine = socket.io.engine;
  say(`connect ${engine.transport.name}`);
  if (engine.transport.name === "websocket") say("upgrade");
  else engine.once("upgrade", () => say("upgrade"));
});
socket.on("disconnect", (reason) => say(`disconnect ${reason}`));
if (event) socket.on(event, (...args) => say(`${event} ${JSON.stringify(args)}`));
