// The candidates: a list to step through and what is known of the one that is chosen. Knows nothing of HTTP.

import { byId, el } from "./dom";
import { percent } from "./heat";
import { Comparison } from "./merge";
import { linesOf } from "./texts";
import type { Cost, Fault, FileIn, Patch } from "./wire";

const SHOWN = 200; // list entries; counts tell of the rest
const VERDICTS: Record<string, string> = {
  plausible: "Passes every test that was given.",
  undecided: "No test decided: read it before you take it.",
  unfixed: "A failing test still fails.",
  regressed: "A test that passed before fails now.",
  broken: "The code does not parse or compile any more.",
  inapplicable: "It does not fit the code, or touches what it may not.",
  unreadable: "The model's answer holds no readable change.",
};

/** A candidate, and what the person said of it. `patch` is replaced by what was said of the same change last. */
export interface Entry { patch: Patch; readonly number: number; said: "" | "accepted" | "rejected" }

export class Candidates {
  private entries: Entry[] = [];
  private voided = new Map<string, Entry>(); // of an attempt that was given up, by diff
  private count = 0;
  private chosen: Entry | null = null;
  private pending = 0;
  private faults: readonly Fault[] = [];
  private cost: Cost | null = null;
  private model = "";
  private files: readonly FileIn[] = [];
  private shownEntry: Entry | null = null;
  private touched = false;
  private readonly list = byId("candidate-list");
  private readonly comparison = new Comparison(byId("comparison"));

  constructor(private readonly told: { accept(): void; reject(): void; why(patch: Patch): string }) {
    this.list.addEventListener("click", (event) => {
      const option = event.target instanceof Element ? event.target.closest<HTMLElement>("[role=option]") : null;
      const entry = this.entries.find((one) => `candidate-${one.number}` === option?.id);
      if (entry) this.choose(entry);
    });
    byId("candidates").addEventListener("keydown", (event) => this.key(event));
  }

  reset(files: readonly FileIn[]): void {
    this.entries = [];
    this.voided.clear();
    this.count = 0;
    this.model = "";
    this.chosen = this.shownEntry = this.cost = null;
    this.faults = [];
    this.files = files;
    this.touched = false;
    this.draw();
  }

  /** Counts for the status line. */
  counts(): { all: number; plausible: number } {
    return { all: this.entries.length, plausible: this.entries.filter((one) => one.patch.verdict === "plausible").length };
  }

  selected(): Entry | null {
    return this.chosen;
  }

  /** The job is tried again. What the person said of a change is kept for when it is found again. */
  void(): void {
    for (const entry of this.entries) this.voided.set(entry.patch.diff, entry);
    this.entries = [];
    this.chosen = this.shownEntry = null;
    this.touched = false;
    this.draw();
  }

  suspects(faults: readonly Fault[], model: string): void {
    this.faults = faults;
    this.model = model;
    this.drawSoon();
  }

  add(patch: Patch): void {
    const known = this.entries.find((entry) => entry.patch.diff === patch.diff);
    if (known) known.patch = patch;
    else this.entries.push(this.entry(patch));
    this.entries.sort(better);
    if (!this.touched) this.chosen = this.entries[0] ?? null;
    this.drawSoon();
  }

  private entry(patch: Patch): Entry {
    const before = this.voided.get(patch.diff);
    this.voided.delete(patch.diff);
    if (before) before.patch = patch;
    return before ?? { patch, number: (this.count += 1), said: "" };
  }

  /** The final order, verdicts and cost. */
  finish(patches: readonly Patch[], chosen: number | null, cost: Cost | null): void {
    for (const patch of patches) this.add(patch);
    const place = new Map(patches.map((patch, index) => [patch.diff, index]));
    const rank = (entry: Entry): number => place.get(entry.patch.diff) ?? patches.length + entry.number;
    this.entries.sort((one, other) => rank(one) - rank(other));
    this.cost = cost;
    const best = patches[chosen ?? 0];
    if (!this.touched) this.chosen = this.entries.find((one) => one.patch.diff === best?.diff) ?? null;
    this.shownEntry = null;
    this.drawSoon();
  }

  say(entry: Entry, said: Entry["said"]): void {
    entry.said = said;
    this.drawSoon();
  }

  private choose(entry: Entry): void {
    this.touched = true;
    this.chosen = entry;
    this.draw();
  }

  private step(by: number): void {
    const seen = this.entries.slice(0, SHOWN);
    const at = this.chosen ? seen.indexOf(this.chosen) : -1;
    const next = seen[Math.min(seen.length - 1, Math.max(0, at + by))];
    if (next) this.choose(next);
  }

  // single letters work only while the focus is in this part of the page (WCAG 2.1.4)
  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey || this.entries.length === 0) return;
    const target = event.target as Element;
    const inList = target === this.list;
    if (!inList && (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End")) return;
    const actions: Record<string, () => void> = {
      j: () => this.step(1),
      k: () => this.step(-1),
      ArrowDown: () => this.step(1),
      ArrowUp: () => this.step(-1),
      Home: () => this.step(-this.entries.length),
      End: () => this.step(this.entries.length),
      a: () => this.told.accept(),
      r: () => this.told.reject(),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  private drawSoon(): void {
    if (!this.pending) this.pending = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    cancelAnimationFrame(this.pending);
    this.pending = 0;
    const options = this.entries.slice(0, SHOWN).map((entry) => this.option(entry));
    this.list.replaceChildren(...options);
    if (this.chosen) this.list.setAttribute("aria-activedescendant", `candidate-${this.chosen.number}`);
    else this.list.removeAttribute("aria-activedescendant");
    this.reveal();
    const hidden = this.entries.length - options.length;
    byId("candidate-rest").textContent = hidden > 0 ? `and ${hidden} more, ranked lower` : "";
    byId("candidates").hidden = this.entries.length === 0;
    this.drawDetail();
  }

  /** Scroll the list, and never the page, to the chosen one. */
  private reveal(): void {
    const option = this.list.querySelector<HTMLElement>("[aria-selected=true]");
    if (!option) return;
    const [box, own] = [this.list.getBoundingClientRect(), option.getBoundingClientRect()];
    if (own.top < box.top) this.list.scrollTop -= box.top - own.top;
    else if (own.bottom > box.bottom) this.list.scrollTop += own.bottom - box.bottom;
  }

  private option({ patch, number, said }: Entry): HTMLElement {
    const on = this.chosen?.number === number;
    const verdict = el("span", { class: `verdict verdict-${word(patch.verdict)}` }, patch.verdict);
    const line = el("span", { class: "candidate-line" }, changedLine(patch));
    const facts = el("span", { class: "muted" }, [testsShort(patch), patch.origin, `score ${score(patch.score)}`].join(" · "));
    const option = el("div", { role: "option", id: `candidate-${number}`, class: "candidate", "aria-selected": String(on) });
    option.append(el("span", { class: "row" }, verdict, said ? el("span", { class: "said" }, said) : ""), line, facts);
    return option;
  }

  private drawDetail(): void {
    const entry = this.chosen;
    byId("candidate-detail").hidden = entry === null;
    if (!entry) {
      this.comparison.clear();
      return;
    }
    const { patch } = entry;
    byId("facts").replaceChildren(...this.facts(patch));
    byId("why").replaceChildren(...this.why(patch));
    byId("why-link").setAttribute("href", this.told.why(patch));
    const accept = byId<HTMLButtonElement>("accept");
    accept.textContent = entry.said === "accepted" ? "Undo accept" : "Accept";
    byId<HTMLButtonElement>("reject").disabled = entry.said === "rejected";
    if (this.shownEntry !== entry) this.comparison.show(patch, this.files);
    this.shownEntry = entry;
  }

  private facts(patch: Patch): HTMLElement[] {
    const verdict = el("span", { class: `verdict verdict-${word(patch.verdict)}` }, patch.verdict);
    const pairs: [string, Node | string][] = [
      ["Verdict", el("span", {}, verdict, ` ${VERDICTS[patch.verdict] ?? ""}`)],
      ["Tests", testsLong(patch)],
      ["Score", score(patch.score)],
      ["Origin", patch.origin],
    ];
    if (this.model) pairs.push(["Model", this.model]);
    if (this.cost) {
      const { seconds, test_runs, candidates, prompt_tokens, completion_tokens } = this.cost;
      const tokens = prompt_tokens + completion_tokens;
      pairs.push(["Repair cost", `${seconds.toFixed(1)} s, ${candidates} candidates, ${test_runs} test runs, ${tokens} tokens`]);
    }
    return pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  }

  private why(patch: Patch): HTMLElement[] {
    const touching = this.faults.filter((fault) => patch.edits.some((edit) => meets(fault, edit)));
    if (touching.length === 0) return [el("li", { class: "muted" }, "No suspect stands on the lines that it touches.")];
    return touching.map((fault) => {
      const { first, last } = linesOf(fault.span);
      const where = `${first === last ? `Line ${first}` : `Lines ${first}–${last}`} (${percent(fault.suspiciousness)} %): `;
      return el("li", {}, el("strong", {}, where), fault.reasons.join("; "));
    });
  }
}

function meets(fault: Fault, edit: { path: string; span: Fault["span"] }): boolean {
  const [one, other] = [linesOf(fault.span), linesOf(edit.span)];
  return fault.path === edit.path && one.first <= other.last && other.first <= one.last;
}

function better(one: Entry, other: Entry): number {
  const rank = ({ patch }: Entry): number => ({ plausible: 2, undecided: 1 })[patch.verdict] ?? 0;
  return rank(other) - rank(one) || other.patch.score - one.patch.score || one.number - other.number;
}

const word = (verdict: string): string => (verdict in VERDICTS ? verdict : "undecided");

const score = (value: number): string => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2));

/** The first line that a candidate adds (or else removes), with its number. */
function changedLine({ diff, edits }: Patch): string {
  const lines = diff.split("\n").filter((line) => !/^(\+\+\+|---)/.test(line));
  const changed = lines.find((line) => line.startsWith("+")) ?? lines.find((line) => line.startsWith("-"));
  if (changed === undefined) return "no change";
  const text = `${changed.startsWith("-") ? "removes " : ""}${changed.slice(1).trim() || "(blank line)"}`;
  return edits[0] ? `${edits[0].span.start_line}: ${text}` : text;
}

function testsShort({ tests }: Patch): string {
  if (tests.status === "not run") return "tests not run";
  if (tests.passed + tests.failed === 0) return `tests ${tests.status}`;
  return `${tests.passed} passed, ${tests.failed} failed`;
}

function testsLong({ tests }: Patch): HTMLElement {
  const told = el("span", {});
  if (tests.status === "not run") told.append(`not run${tests.reason ? `: ${tests.reason}` : ""}`);
  else {
    told.append(`${tests.passed} passed, ${tests.failed} failed in ${tests.runs} ${tests.runs === 1 ? "run" : "runs"}`);
    if (tests.reason && tests.status !== "passed") told.append(` (${tests.reason})`);
    if (tests.failing.length > 0) told.append(el("ul", {}, ...tests.failing.map((id) => el("li", {}, el("code", {}, id)))));
  }
  return told;
}
