import assert from "node:assert/strict";
import { test } from "node:test";
import { failureOf, hasCandidates, needsRestart, startOf, statusOf } from "../src/settings";

test("the server is the user's own emend", () => {
  assert.deepEqual(startOf({ path: "", model: "" }, "/home/me"), { command: "emend", args: ["lsp"] });
  assert.deepEqual(startOf({ path: "~/venv/bin/emend", model: " none " }, "/home/me"), {
    command: "/home/me/venv/bin/emend",
    args: ["lsp", "--model", "none"],
  });
  assert.equal(startOf({ path: "~other/emend", model: "" }, "/home/me").command, "~other/emend");
});

test("the status bar tells what the server answered", () => {
  assert.equal(statusOf({ passed: true, failing: [] }).tooltip, "The tests pass");
  assert.deepEqual(statusOf({ passed: false, failing: ["a", "b"] }), { text: "$(error) Emend: 2 failing", tooltip: "a\nb" });
  assert.equal(statusOf({ candidates: ["x"] }).text, "$(lightbulb) Emend: 1");
  assert.equal(statusOf({ candidates: [] }).tooltip, "No repair was found");
  assert.equal(statusOf({ suspects: [1, 2] }).tooltip, "2 suspicious lines");
  assert.deepEqual([{ candidates: ["x"] }, { candidates: [] }, null, "?"].map(hasCandidates), [true, false, false, false]);
  assert.equal(statusOf(null).text, statusOf("?").text);
});

test("only path and model need another process", () => {
  assert.equal(needsRestart((section) => section === "emend.model"), true);
  assert.equal(needsRestart((section) => section === "emend.test"), false);
});

test("a missing server is one sentence with what to do", () => {
  assert.match(failureOf("emend", new Error("spawn emend ENOENT")), /spawn emend ENOENT\. Install Emend and set emend\.path/);
});
