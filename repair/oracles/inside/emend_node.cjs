// Preloaded by `node --require` inside the sandbox: tells the host whether a script ran to its very end.
//
// The script's last statement calls the function named by `key`. The record `end` is written only when that
// happened AND the event loop drained by itself: process.exit() and crashes never get there.
"use strict";
const fs = require("node:fs");

const taskFile = ".emend-task.json";
const task = JSON.parse(fs.readFileSync(taskFile, "utf8"));
fs.unlinkSync(taskFile);
const descriptor = Number(process.env.EMEND_REPORT_FD);
delete process.env.EMEND_REPORT_FD;

const { writeSync } = fs;
const { stringify } = JSON;
const write = (record) => writeSync(descriptor, `\n${task.nonce} ${stringify(record)}\n`);
let reachedEnd = false;

Object.defineProperty(globalThis, task.key, {
  value: () => {
    reachedEnd = true;
  },
});

process.on("uncaughtExceptionMonitor", (error) => {
  const text = String((error && error.stack) || error).replaceAll(`${process.cwd()}/`, "");
  const name = error && error.name ? `${error.name}: ${error.message}` : String(error);
  write({ kind: "failed", message: text.slice(0, 6000), headline: name.split("\n")[0].slice(0, 300) });
});

process.once("beforeExit", () => {
  if (reachedEnd && !process.exitCode) write({ kind: "end", code: 0 });
});
