// The page "Why?": one patch, what it rests on and where the fault is believed to be, the cheap parts first.

import { Refused, call, clearError, showError } from "./api";
import { byId, dataBlock, el } from "./dom";
import { type ExplainIn, type Explanation, Tabs, drawNotes, explained, percent, place, tabbed } from "./explain";
import { hand, handed } from "./handed";
import type { Job, Request, Tests } from "./wire";

const CHEAP = ["where", "evidence"];
const REST = ["tokens", "attention", "lens", "activations"];
const TRUST: Record<string, string> = {
  faithful: "faithful",
  weak: "weak evidence",
  failed: "no reliable explanation",
  unmeasured: "not measured",
};

interface Asked { request: Request; diff: string; tests: Tests | null; journal: string }

const tabs = new Tabs();
let notes: string[] = [];
let turn = 0; // of the line that was chosen last

/** What is to be explained: handed over in this tab, or a patch of a job. Throws Refused. */
async function asked(): Promise<Asked | null> {
  const here = handed();
  if (here && here.link === location.pathname + location.search) {
    return { request: here.request, diff: here.diff, tests: here.tests ?? null, journal: here.journal ?? "" };
  }
  const { job, patch } = document.body.dataset;
  const request = dataBlock<Request>("submitted");
  if (!job || !request) return null;
  const { result } = await call<Job>("GET", `/v1/jobs/${encodeURIComponent(job)}`);
  const found = result?.patches[Number(patch)];
  if (!found) {
    const detail = `The job has no candidate ${Number(patch) + 1}: open it again and choose one.`;
    throw new Refused({ title: "No such candidate", status: 404, detail });
  }
  return { request, diff: found.diff, tests: found.tests, journal: job };
}

/** The body that asks for parts of an explanation; what decides on patches is no part of it, but for its text. */
function bodyOf({ request, diff, journal }: Asked, parts: string[], line: number): ExplainIn {
  const { budget: _, ...rest } = request;
  return {
    ...rest,
    patch: diff,
    parts,
    ...(line > 0 ? { target: { line } } : {}),
    ...(journal && line === 0 ? { journal } : {}),
  };
}

const say = (text: string): void => {
  byId("status").textContent = text;
};

function drawVerdict(found: Explanation): void {
  const failed = found.badge.trust === "failed";
  byId("verdict").hidden = false;
  byId("sentence").textContent = failed ? "No reliable explanation was found for this patch." : found.sentence;
  const badge = byId("badge");
  badge.textContent = TRUST[found.badge.trust] ?? found.badge.trust;
  badge.className = `trust trust-${found.badge.trust}`;
  byId("badge-why").textContent = found.badge.why;
}

function drawWhere(found: Explanation): void {
  byId("suspected").hidden = false;
  if (!found.where) return;
  const top = [...found.where.lines].sort((one, other) => other.calibrated - one.calibrated || one.line - other.line);
  const told = top.slice(0, 3).map(({ line, calibrated }) => `line ${line} (${percent(calibrated)} %)`);
  const none = `no fault here: ${percent(found.where.no_fault)} %`;
  byId("suspected-lines").textContent = `Most suspected: ${[...told, none].join(", ")}.`;
}

/** Put what was asked for into its places. */
function drawFragments(found: Explanation, parts: readonly string[]): void {
  const drawn = found.fragments ?? {};
  if (parts.includes("evidence")) {
    place(byId("diff"), drawn["diff"] ?? "");
    place(byId("evidence"), (drawn["evidence"] ?? "") + (drawn["quality"] ?? ""));
  }
  if (parts.includes("where")) place(byId("line-map"), drawn["where"] ?? "");
  tabs.show(tabbed(found, parts.filter((part) => part !== "evidence")));
  byId("inside").hidden = tabs.empty;
  notes.push(...found.notes);
  drawNotes(notes);
}

function drawTests(tests: Tests | null): void {
  byId("tested").hidden = false;
  const said = byId("tests-said");
  if (!tests || tests.status === "not run") {
    said.textContent = "No test was run for this patch: nothing shows that it is right.";
    return;
  }
  const runs = `${tests.runs} ${tests.runs === 1 ? "run" : "runs"}`;
  said.textContent = `${tests.passed} passed, ${tests.failed} failed in ${runs}. An explanation says why the model wrote this, not that it is right.`;
  if (tests.failing.length > 0) said.append(el("ul", {}, ...tests.failing.map((id) => el("li", {}, el("code", {}, id)))));
}

// --- which line of the patch is explained

const newLines = (diff: string): string[] =>
  diff.split("\n").filter((line) => line.startsWith("+") && !line.startsWith("+++")).map((line) => line.slice(1));

function drawLines(what: Asked): void {
  byId("change").hidden = false;
  const choices = ["The whole change", ...newLines(what.diff)];
  const labels = choices.map((text, line) => {
    const radio = el("input", { type: "radio", name: "line", value: String(line) });
    radio.checked = line === 0;
    radio.addEventListener("change", () => void target(what, line));
    const shown = line === 0 ? el("span", {}, text) : el("code", {}, text.trim() || "(blank line)");
    return el("label", { class: "newline" }, radio, shown);
  });
  byId("lines").replaceChildren(...labels);
  byId("lines").hidden = choices.length < 2;
}

async function target(what: Asked, line: number): Promise<void> {
  const mine = (turn += 1);
  clearError();
  say(line === 0 ? "Looking for what speaks for the change…" : `Looking for what speaks for line ${line} of the new text…`);
  document.body.classList.add("live");
  try {
    const found = await explained(bodyOf(what, ["evidence"], line));
    if (mine !== turn) return; // another line was chosen meanwhile
    drawVerdict(found);
    drawFragments(found, ["evidence"]);
    say(line === 0 ? "This is what speaks for the change." : `This is what speaks for line ${line} of the new text.`);
  } catch (error) {
    if (mine === turn) {
      showError(error);
      say("That could not be explained.");
    }
  } finally {
    if (mine === turn) document.body.classList.remove("live");
  }
}

async function begin(): Promise<void> {
  const what = await asked();
  if (!what) {
    say("There is no patch here yet: repair something and press “Why?” at a candidate.");
    return;
  }
  byId("to-model").addEventListener("click", () => hand({ link: "/model", request: what.request, diff: what.diff }));
  drawLines(what);
  drawTests(what.tests);
  document.body.classList.add("live");
  say("Asking the model what the patch rests on…");
  const mine = turn;
  const cheap = await explained(bodyOf(what, CHEAP, 0));
  if (mine === turn) drawVerdict(cheap);
  drawWhere(cheap);
  drawFragments(cheap, mine === turn ? CHEAP : ["where"]);
  if (mine === turn) say("Looking inside the model…");
  drawFragments(await explained(bodyOf(what, REST, 0)), REST);
  if (mine === turn) say(`Explained by ${cheap.model}.`);
}

begin()
  .catch((error: unknown) => {
    showError(error);
    say("This could not be explained.");
  })
  .finally(() => document.body.classList.remove("live"));
