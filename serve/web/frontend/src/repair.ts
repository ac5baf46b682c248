// The repair page: what a person gives, the job that it becomes, and what comes back of it.

import { Refused, call, clearError, showError } from "./api";
import { Candidates, type Entry } from "./candidates";
import { byId, copyText, dataBlock, download, el } from "./dom";
import { EXAMPLES } from "./examples";
import { FileSet, readFiles } from "./files";
import { follow } from "./follow";
import { hand } from "./handed";
import { heatMap, levels, percent } from "./heat";
import { linesOf, replacements } from "./texts";
import { ENDED, type Fault, type FileIn, type Job, type Model, type Patch, type Repair, type Request, STATE_WORDS, type State } from "./wire";

const TEST_NAME = /(^|[/_.-])tests?[/_.-]|(^|\/)test_|_test\.|\.(test|spec)\.|Tests?\.java$/;
const LOG_NAME = /\.(log|txt|out|err|trace)$/i;
const SAY_MS = 1500; // between two sentences of the live region

const input = (id: string): HTMLInputElement => byId<HTMLInputElement>(id);
const code = new FileSet(byId("code"), "Code", "main.py", heatMap());
const tests = new FileSet(byId("tests"), "Test", "test_main.py", []);
const candidates = new Candidates({ accept: () => void accept(), reject: () => void reject(), why: whyLink });

let job = "";
let state: State | "" = "";
let sent: readonly FileIn[] = [];
let asked: Request | null = null; // what the job was given
let result: Repair | null = null;
let triedAgain = false;
let stop = (): void => undefined;
let accepted: { entry: Entry; before: readonly FileIn[]; after: readonly FileIn[] } | null = null;
let waitingFeedback: { entry: Entry; accepted: boolean; comment: string }[] = [];
let models: Model[] = [];

// --- what the person gives

function request(): Request {
  const made: Request = { files: code.all() };
  const error = byId<HTMLTextAreaElement>("error").value;
  if (error.trim()) made.error = error;
  const command = input("command").value.trim();
  const files = tests.all();
  if (command || files.length > 0) made.test = { ...(command ? { command } : {}), ...(files.length > 0 ? { files } : {}) };
  const budget = { ...numberOf("candidates-limit", "candidates"), ...numberOf("seconds-limit", "seconds") };
  if (Object.keys(budget).length > 0) made.budget = budget;
  const options = { ...chosenOf("model"), ...chosenOf("adapter") };
  if (Object.keys(options).length > 0) made.options = options;
  return made;
}

function numberOf(id: string, name: string): Record<string, number> {
  const { value } = input(id);
  return value === "" ? {} : { [name]: Number(value) };
}

function chosenOf(id: string): Record<string, string> {
  const { value } = byId<HTMLSelectElement>(id);
  return value === "" ? {} : { [id]: value };
}

function fill(given: Request): void {
  code.set(given.files);
  tests.set(given.test?.files ?? []);
  byId<HTMLTextAreaElement>("error").value = given.error ?? "";
  input("command").value = given.test?.command ?? "";
  if (given.budget?.candidates) input("candidates-limit").value = String(given.budget.candidates);
  if (given.budget?.seconds) input("seconds-limit").value = String(given.budget.seconds);
}

async function take(list: Iterable<File>, into: "code" | "tests" | "error" | "any"): Promise<void> {
  try {
    clearError();
    for (const file of await readFiles(list)) {
      const place = into !== "any" ? into : LOG_NAME.test(file.path) ? "error" : TEST_NAME.test(file.path) ? "tests" : "code";
      if (place === "error") byId<HTMLTextAreaElement>("error").value = file.text;
      else (place === "tests" ? tests : code).add([file]);
    }
  } catch (error) {
    showError(error);
  }
}

function drops(): void {
  const areas = [["code", "any"], ["tests", "tests"], ["failure", "error"]] as const;
  for (const [id, into] of areas) {
    const area = byId(id);
    const over = (on: boolean) => area.classList.toggle("drop", on);
    area.addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      over(true);
    });
    area.addEventListener("dragleave", (event) => {
      if (!area.contains(event.relatedTarget as Node | null)) over(false);
    });
    area.addEventListener("drop", (event) => {
      over(false);
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      event.stopPropagation();
      void take(event.dataTransfer.files, into);
    }, true);
  }
  for (const [button, chooser, into] of [["open-code", "code-files", "any"], ["open-tests", "test-files", "tests"]] as const) {
    byId(button).addEventListener("click", () => input(chooser).click());
    input(chooser).addEventListener("change", () => {
      const { files } = input(chooser);
      if (files) void take([...files], into).then(() => (input(chooser).value = ""));
    });
  }
}

function examples(): void {
  const choice = byId<HTMLSelectElement>("example");
  choice.append(...EXAMPLES.map((one, index) => el("option", { value: String(index) }, one.name)));
  choice.addEventListener("change", () => {
    const example = EXAMPLES[Number(choice.value)];
    if (choice.value !== "" && example) fill(example.request);
    choice.value = "";
  });
}

async function loadModels(): Promise<void> {
  models = (await call<{ models: Model[] }>("GET", "/v1/models")).models;
  const choice = byId<HTMLSelectElement>("model");
  choice.replaceChildren(...models.map((model) => el("option", { value: model.name }, model.name)));
  const wanted = dataBlock<Request>("submitted")?.options;
  choice.value = wanted?.model ?? models.find((model) => model.default)?.name ?? models[0]?.name ?? "";
  choice.addEventListener("change", () => drawModel(""));
  drawModel(wanted?.adapter ?? "");
}

function drawModel(adapter: string): void {
  const chosen = models.find((model) => model.name === byId<HTMLSelectElement>("model").value);
  const choice = byId<HTMLSelectElement>("adapter");
  const names = chosen?.adapters ?? [];
  choice.replaceChildren(el("option", { value: "" }, "none"), ...names.map((name) => el("option", { value: name }, name)));
  choice.value = names.includes(adapter) ? adapter : "";
  choice.disabled = names.length === 0;
  const ranking = chosen?.location_probabilities === false ? " Ranks suspects by the error and the tests alone." : "";
  byId("model-about").textContent = chosen ? chosen.description + ranking : "";
}

// --- the job

// what shows a field of the request (`files.0.text`, with or without "request." before it)
const FIELDS: readonly [RegExp, string][] = [
  [/\bbudget\.candidates\b/, "candidates-limit"],
  [/\bbudget\.seconds\b/, "seconds-limit"],
  [/\boptions\.model\b/, "model"],
  [/\boptions\.adapter\b/, "adapter"],
  [/\btest\.command\b/, "command"],
  [/(^|request\.)error$/, "error"],
];

/** Mark the fields at fault and go to the first; a file comes to the front. */
function blame(error: unknown): void {
  if (!(error instanceof Refused)) return;
  let first: HTMLElement | undefined;
  for (const { field } of error.problem.errors ?? []) {
    const file = /\b(test\.)?files\.(\d+)/.exec(field);
    if (file) (file[1] ? tests : code).front(Number(file[2]));
    const found = FIELDS.find(([pattern]) => pattern.test(field));
    if (!found) continue;
    const shown = byId(found[1]);
    shown.setAttribute("aria-invalid", "true");
    shown.setAttribute("aria-errormessage", "alert");
    first ??= shown;
  }
  first?.focus({ preventScroll: true }); // the alert stays in view
}

function forgive(): void {
  for (const [, id] of FIELDS) {
    byId(id).removeAttribute("aria-invalid");
    byId(id).removeAttribute("aria-errormessage");
  }
}

async function submit(): Promise<void> {
  if (state === "queued" || state === "running" || byId<HTMLButtonElement>("repair").disabled) return;
  clearError();
  forgive();
  const made = request();
  if (made.files.length === 0) {
    showError(new Refused({ title: "Nothing to repair", status: 0, detail: "Paste or drop the code that fails.", errors: [{ field: "files", message: "is empty" }] }));
    return;
  }
  byId<HTMLButtonElement>("repair").disabled = true;
  try {
    const { id } = await call<Job>("POST", "/v1/jobs", { kind: "repair", request: made, label: made.files[0]?.path.slice(0, 200) ?? "" });
    history.pushState(null, "", `/jobs/${id}`);
    asked = made;
    watch(id, made.files);
  } catch (error) {
    showError(error);
    blame(error);
    byId<HTMLButtonElement>("repair").disabled = false;
  }
}

function watch(id: string, files: readonly FileIn[]): void {
  stop();
  job = id;
  sent = files;
  result = accepted = null;
  triedAgain = false;
  waitingFeedback = [];
  candidates.reset(files);
  drawSuspects([], null, "");
  document.title = "Repairing · Emend";
  draw("queued");
  byId("job-link").setAttribute("href", `/jobs/${id}`);
  stop = follow(id, {
    state: draw,
    again: () => {
      triedAgain = true;
      candidates.void();
    },
    suspects: ({ fault, no_fault, model }) => drawSuspects(fault, no_fault, model),
    candidate: (patch) => {
      candidates.add(patch);
      sayProgress();
    },
    result: finish,
    problem: (problem) => showError(new Refused(problem)),
    lost: (lost) => (byId("lost").hidden = !lost),
    gone: (error) => {
      byId("lost").hidden = true;
      showError(error);
      draw("");
    },
  });
}

function finish(found: Repair): void {
  result = found;
  drawSuspects(found.fault, found.no_fault, found.model);
  candidates.finish(found.patches, found.chosen, found.cost);
  byId("notes").replaceChildren(...found.notes.map((note) => el("li", {}, note)));
  const waiting = waitingFeedback;
  waitingFeedback = [];
  for (const { entry, accepted: taken, comment } of waiting) void feedback(entry, taken, comment);
}

/** Show a state; "" when nothing more can be known of the job. */
function draw(now: State | ""): void {
  state = now;
  const live = now !== "" && !ENDED.has(now);
  byId<HTMLButtonElement>("repair").disabled = live;
  byId("cancel").hidden = !live;
  byId("job-link").hidden = job === "";
  document.body.classList.toggle("live", live);
  if (!live) document.title = `${now === "" ? "Job" : STATE_WORDS[now]} · Emend`;
  say(sentence(), true);
}

function sentence(): string {
  const { all, plausible } = candidates.counts();
  const counts = `${all} ${all === 1 ? "candidate" : "candidates"}, ${plausible} plausible`;
  const none = all === 0;
  switch (state) {
    case "queued": return "Waiting for a free place…";
    case "running": return none && triedAgain ? "An attempt was lost. Trying again…" : none ? "Looking for the fault…" : `Repairing: ${counts}`;
    case "succeeded":
      if (none) return result ? `Done: ${byId("suspect-list").childElementCount} suspects, no candidates.` : "Done.";
      return `Done: ${counts}.`;
    case "failed": return `Failed. ${none ? "" : counts}`;
    case "cancelled": return `Cancelled. ${none ? "" : counts}`;
    case "infra_error": return "This could not be run: a part of Emend failed. Try again.";
    default: return "What became of this job cannot be seen here.";
  }
}

let lastSaid = 0;
let sayTimer = 0;

function say(text: string, now = false): void {
  clearTimeout(sayTimer);
  if (now || Date.now() - lastSaid > SAY_MS) {
    lastSaid = Date.now();
    byId("status").textContent = text;
  } else sayTimer = window.setTimeout(() => say(sentence(), true), SAY_MS);
}

const sayProgress = (): void => say(sentence());

function drawSuspects(faults: readonly Fault[], noFault: number | null, model: string): void {
  code.heat(faults);
  candidates.suspects(faults, model);
  byId("no-fault").textContent = noFault === null ? "" : `No fault in this code: ${percent(noFault)} %`;
  byId("suspects").hidden = faults.length === 0;
  const several = new Set(sent.map((file) => file.path)).size > 1;
  const level = levels(faults);
  const items = faults.map((fault) => {
    const { first, last } = linesOf(fault.span);
    const where = `${several ? `${fault.path}, ` : ""}${first === last ? `line ${first}` : `lines ${first}–${last}`}`;
    const value = percent(fault.suspiciousness);
    const mark = el("span", { class: `heat heat-${level(fault)}` }, el("b", {}, value));
    const go = el("button", { type: "button", class: "suspect" }, mark, el("span", {}, `${where}, ${value} %`), el("span", { class: "muted" }, fault.reasons.join("; ")));
    mark.setAttribute("aria-hidden", "true");
    go.addEventListener("click", () => code.go(fault.path, first));
    return el("li", {}, go);
  });
  byId("suspect-list").replaceChildren(...items);
}

async function cancel(): Promise<void> {
  try {
    const left = await call<Job | null>("DELETE", `/v1/jobs/${encodeURIComponent(job)}`);
    if (left === null) {
      stop(); // it had not begun, and is gone
      history.replaceState(null, "", "/");
      job = "";
      draw("cancelled");
    } else if (!ENDED.has(state)) say("Cancelling…", true);
  } catch (error) {
    showError(error);
  }
}

// --- what the person says of a candidate

async function accept(): Promise<void> {
  const entry = candidates.selected();
  if (!entry) return;
  clearError();
  if (accepted?.entry === entry) {
    await undo();
    return;
  }
  if (accepted && !(await undo())) return;
  const before = code.all();
  const paths = [...new Set(entry.patch.edits.map((edit) => edit.path))];
  const textIn = (files: readonly FileIn[], path: string) => files.find((file) => file.path === path)?.text;
  const changed = paths.find((path) => textIn(before, path) !== textIn(sent, path));
  if (paths.some((path) => textIn(sent, path) === undefined)) {
    showError(new Error("the code of this job is not at hand: copy the diff or download the patch"));
    return;
  }
  if (changed !== undefined) {
    showError(new Error(`${changed} has changed since it was sent: take your changes back, or press Repair again`));
    return;
  }
  for (const path of paths) {
    const raw = (textIn(before, path) ?? "").replace(/^\ufeff/, "");
    code.change(path, replacements(raw, entry.patch.edits.filter((edit) => edit.path === path)));
  }
  accepted = { entry, before, after: code.all() };
  candidates.say(entry, "accepted");
  say("Accepted: the code above is the repaired one.", true);
  await feedback(entry, true, "");
}

/** Put the code back as it was before the candidate; false when it has been edited since. */
async function undo(): Promise<boolean> {
  if (!accepted) return true;
  const { entry, before, after } = accepted;
  const now = code.all();
  const same = (files: readonly FileIn[]): boolean => JSON.stringify(now) === JSON.stringify(files);
  if (!same(after) && !same(before)) {
    showError(new Error("the code has been edited since it was accepted: undo your edits with Ctrl+Z first"));
    return false;
  }
  for (const file of before) {
    const text = now.find((one) => one.path === file.path)?.text ?? "";
    if (text !== file.text) code.change(file.path, [wholeChange(text.replace(/^\ufeff/, ""), file.text.replace(/^\ufeff/, ""))]);
  }
  accepted = null;
  candidates.say(entry, "");
  say("The code is as it was before.", true);
  await feedback(entry, false, "accept undone");
  return true;
}

/** The one replacement, without the ends that both texts share, that makes one text the other. */
function wholeChange(from: string, to: string): { from: number; to: number; insert: string } {
  const shorter = Math.min(from.length, to.length);
  let start = 0;
  while (start < shorter && from[start] === to[start]) start += 1;
  while (start > 0 && from[start - 1] === "\r") start -= 1; // never between "\r" and "\n"
  let tail = 0;
  while (tail < shorter - start && from.at(-1 - tail) === to.at(-1 - tail)) tail += 1;
  while (tail > 0 && from[from.length - tail] === "\n") tail -= 1;
  return { from: start, to: from.length - tail, insert: to.slice(start, to.length - tail) };
}

async function reject(): Promise<void> {
  const entry = candidates.selected();
  if (!entry || entry.said === "rejected") return;
  clearError();
  if (accepted?.entry === entry && !(await undo())) return;
  candidates.say(entry, "rejected");
  say("Rejected.", true);
  await feedback(entry, false, "");
}

/** Told once the final order is known, for feedback counts in it. */
async function feedback(entry: Entry, taken: boolean, comment: string): Promise<void> {
  if (!result) {
    waitingFeedback.push({ entry, accepted: taken, comment });
    return;
  }
  const patch = result.patches.findIndex((one) => one.diff === entry.patch.diff);
  if (patch < 0) {
    say("Not told to the service: it kept only the best candidates.", true);
    return;
  }
  try {
    await call("POST", "/v1/feedback", { id: job, patch, accepted: taken, comment });
  } catch (error) {
    showError(error);
  }
}

async function copy(): Promise<void> {
  const patch = candidates.selected()?.patch;
  if (!patch) return;
  say((await copyText(patch.diff)) ? "The diff is copied." : "Copying is not allowed here: download the patch.", true);
}

/** Where a candidate is explained: by its number once the final order is known, else in this tab alone. */
function whyLink(patch: Patch): string {
  const number = result?.patches.findIndex((one) => one.diff === patch.diff) ?? -1;
  return job && number >= 0 ? `/why?job=${encodeURIComponent(job)}&patch=${number}` : "/why";
}

function why(): void {
  const patch = candidates.selected()?.patch;
  if (patch && asked) hand({ link: whyLink(patch), request: asked, diff: patch.diff, tests: patch.tests, journal: job });
}

function save(): void {
  const entry = candidates.selected();
  if (!entry) return;
  const name = (entry.patch.edits[0]?.path ?? "emend").split("/").at(-1)?.replace(/[^\w.-]+/g, "_") ?? "emend";
  download(`${name}.patch`, entry.patch.diff);
}

// --- start

function begin(): void {
  drops();
  examples();
  byId("repair-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void submit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    byId<HTMLFormElement>("repair-form").requestSubmit(); // so that the browser checks the numbers first
  }, true);
  const clicks: Record<string, () => unknown> = { cancel, accept, reject, copy, save, "why-link": why };
  for (const [id, does] of Object.entries(clicks)) byId(id).addEventListener("click", () => void does());
  window.addEventListener("popstate", () => location.reload());
  loadModels().catch(showError);
  const submitted = dataBlock<Request>("submitted");
  const id = document.body.dataset["job"];
  if (submitted) fill(submitted);
  asked = submitted;
  if (id) watch(id, submitted?.files ?? []);
}

begin();
