// Preloaded by `node --require` inside the sandbox: tells the host whether a script ran to its very end.
//
// The script's last statement calls the function named by `key`. The record `end` is written only when that
// happened AND the event loop drained by itself: process.exit() and crashes never get there.
// With `probe` the object of that name also reports single assertions, and the lines that each one executed
// (V8's precise coverage, taken and reset between them).
"use strict";
const fs = require("node:fs");

const taskFile = ".emend-task.json";
const task = JSON.parse(fs.readFileSync(taskFile, "utf8"));
fs.unlinkSync(taskFile);
const descriptor = Number(process.env.EMEND_REPORT_FD);
delete process.env.EMEND_REPORT_FD;

const { writeSync } = fs;
const { stringify } = JSON;
const write = (record) => {
  const bytes = Buffer.from(`\n${task.nonce} ${stringify(record)}\n`);
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
};
let reachedEnd = false;
let anyFailed = false;

const own = `${process.cwd()}/`;
const textOf = (error) => {
  const lines = String((error && error.stack) || error).replaceAll(own, "").split("\n");
  return lines.filter((line) => !/^\s+at .*\(?node:/.test(line)).join("\n").slice(0, 6000);
};
const headlineOf = (error) => {
  const text = error && error.name ? `${error.name}: ${error.message}` : String(error);
  return text.split("\n")[0].slice(0, 300);
};

process.on("uncaughtExceptionMonitor", (error) => {
  write({ kind: "failed", message: textOf(error), headline: headlineOf(error) });
});

process.once("beforeExit", () => {
  if (reachedEnd && !process.exitCode) write({ kind: "end", code: anyFailed ? 1 : 0, units: Boolean(task.probe) });
});

// Executed lines before `task.tests_from`, since the last call.
function coverage() {
  const { Session } = require("node:inspector");
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const source = fs.readFileSync(task.script, "utf8");
  const lines = source.split("\n").slice(0, task.tests_from - 1);
  return () => {
    const counts = new Int32Array(source.length);
    session.post("Profiler.takePreciseCoverage", (error, answer) => {
      const script = error ? undefined : answer.result.find((s) => s.url.endsWith(`/${task.script}`));
      for (const { ranges } of script ? script.functions : []) {
        for (const { startOffset, endOffset, count } of ranges) counts.fill(count, startOffset, endOffset);
      }
    });
    const executed = [];
    let at = 0;
    lines.forEach((line, index) => {
      const from = at + line.search(/\S|$/);
      if (/\w/.test(line) && counts.subarray(from, at + line.trimEnd().length).some((n) => n > 0)) executed.push(index + 1);
      at += line.length + 1;
    });
    return executed;
  };
}

const shown = (value) => {
  try {
    const text = require("node:util").inspect(value, { breakLength: 300 });
    return text.length > 300 ? `${text.slice(0, 300)}...` : text;
  } catch {
    return typeof value;
  }
};

// Units are asserting statements; one begun inside of another is part of it.
function probe() {
  const taken = coverage();
  const counts = new Map();
  const open = [];
  let sides = null;
  const close = (record) => {
    const id = open.pop();
    if (open.length) return;
    write({ kind: "lines", id, path: task.script, lines: taken() });
    write({ kind: "test", id, ...record });
  };
  return {
    start: taken,
    begin(line, text) {
      const count = (counts.get(line) || 0) + 1;
      counts.set(line, count);
      const id = count > 1 ? `line ${line} (${count})` : `line ${line}`;
      if (!open.length) write({ kind: "begin", id, text });
      open.push(id);
      sides = null;
    },
    pass() {
      close({ outcome: "passed" });
    },
    fail(error) {
      if (open.length > 1) {
        open.pop();
        throw error;
      }
      anyFailed = true;
      if (!sides && error && error.code === "ERR_ASSERTION") sides = [shown(error.actual), shown(error.expected)];
      const [name] = headlineOf(error).split(":");
      const frames = textOf(error).split("\n").filter((line) => /^\s+at /.test(line));
      const told = sides && [`${name}: got ${sides[0]}, expected ${sides[1]}`, ...frames].join("\n");
      close({ outcome: "failed", message: told || textOf(error) });
      sides = null;
    },
    same(left, right) {
      if (left !== right) sides = [shown(left), shown(right)];
      return left === right;
    },
    equal(left, right) {
      if (left != right) sides = [shown(left), shown(right)];
      return left == right;
    },
  };
}

Object.defineProperty(globalThis, task.key, {
  value: Object.assign(
    () => {
      reachedEnd = true;
    },
    task.probe ? probe() : {},
  ),
});
