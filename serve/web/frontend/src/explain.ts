// What both pages of explanations share: asking, pictures that the service has drawn, tabs, handing a patch over.

import { call } from "./api";
import { byId, el } from "./dom";
import type { EditOut, Request } from "./wire";

export interface Badge { trust: "faithful" | "weak" | "failed" | "unmeasured"; why: string }
export interface Unit { kind: "code" | "error" | "frame" | "test" | "context"; number: number; text: string }
export interface LineOut { line: number; calibrated: number }
export interface Where { lines: LineOut[]; no_fault: number; calibrated: boolean }
export interface Evidence { method: string; scores: { unit: Unit; score: number }[]; badge: Badge }
export interface Hunk { first: number; last: number; text: string }
export interface Answers {
  where: Where | null;
  proposals: { hunks: Hunk[]; logprob: number | null }[];
  change: number | null;
}
export interface Live { before: Answers; after: Answers; notes: string[] }
export interface Explanation {
  model: string;
  sentence: string;
  badge: Badge;
  where: Where | null;
  evidence: Evidence[];
  attention: { entropy: number[][]; units: Unit[] } | null;
  live: Live | null;
  notes: string[];
  fragments?: Record<string, string>;
}
export interface ExplainIn extends Request {
  patch?: string;
  edits?: EditOut[];
  parts?: string[];
  methods?: string[];
  target?: { kind?: string; line?: number };
  layer?: number;
  head?: number;
  interventions?: Record<string, unknown>;
  proposals?: number;
  pictures?: boolean;
  journal?: string;
}

/** Ask for an explanation with its pictures. Throws Refused. */
export function explained(body: ExplainIn): Promise<Explanation> {
  return call<Explanation>("POST", "/v1/explanations", { ...body, pictures: true });
}

/** Put a picture that the service has drawn (and escaped) into its place: markup without scripts, by the policy too. */
export function place(into: HTMLElement, html: string): void {
  const read = new DOMParser().parseFromString(html, "text/html");
  const inside = Array.from(read.body.childNodes, (node) => document.importNode(node, true));
  into.replaceChildren(...(inside.length > 0 ? [el("div", { class: "xp" }, ...inside)] : []));
}

// --- tabs (the pattern of the ARIA guide: one tab stop, arrows, Home and End)

export class Tabs {
  private readonly panels = new Map<string, { tab: HTMLElement; panel: HTMLElement }>();

  /** Show pictures under their names; those that are there already are drawn anew. */
  show(pictures: readonly (readonly [string, string, string])[]): void {
    for (const [key, name, html] of pictures) {
      const own = this.panels.get(key) ?? this.made(key, name);
      place(own.panel, html);
    }
    if (this.panels.size > 0 && !byId("tabs").querySelector("[aria-selected=true]")) this.choose([...this.panels.keys()][0] ?? "");
  }

  clear(): void {
    this.panels.clear();
    byId("tabs").replaceChildren();
    byId("panels").replaceChildren();
  }

  get empty(): boolean {
    return this.panels.size === 0;
  }

  private made(key: string, name: string): { tab: HTMLElement; panel: HTMLElement } {
    const tab = el("button", { type: "button", role: "tab", class: "tab", id: `tab-${key}`, "aria-controls": `panel-${key}`, "aria-selected": "false", tabindex: "-1" }, name);
    const panel = el("div", { role: "tabpanel", id: `panel-${key}`, "aria-labelledby": `tab-${key}`, tabindex: "0", class: "panel" });
    panel.hidden = true;
    tab.addEventListener("click", () => this.choose(key));
    tab.addEventListener("keydown", (event) => this.key(event, key));
    byId("tabs").append(tab);
    byId("panels").append(panel);
    const made = { tab, panel };
    this.panels.set(key, made);
    return made;
  }

  private key(event: KeyboardEvent, key: string): void {
    const keys = [...this.panels.keys()];
    const at = keys.indexOf(key);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: keys.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = keys[(to + keys.length) % keys.length] ?? key;
    this.choose(next);
    this.panels.get(next)?.tab.focus();
  }

  private choose(key: string): void {
    for (const [name, { tab, panel }] of this.panels) {
      tab.setAttribute("aria-selected", String(name === key));
      tab.tabIndex = name === key ? 0 : -1;
      panel.hidden = name !== key;
    }
  }
}

const TAB_NAMES: readonly (readonly [string, string])[] = [
  ["evidence", "Evidence"],
  ["tokens", "Tokens"],
  ["attention", "Attention"],
  ["lens", "Lens"],
  ["activations", "Activations"],
  ["patching", "Patching"],
  ["anomalies", "Anomalies"],
];

/** The pictures of these parts for their tabs; one that could not be had says why. */
export function tabbed(found: Explanation, parts: readonly string[]): [string, string, string][] {
  const drawn = found.fragments ?? {};
  const shown = TAB_NAMES.filter(([key]) => parts.includes(key));
  return shown.map(([key, name]) => [key, name, `${drawn[key] ?? ""}${key === "evidence" ? drawn["quality"] ?? "" : ""}`]);
}

/** A probability in percent. */
export const percent = (share: number): string => (share > 0 && share < 0.01 ? "under 1" : Math.round(100 * share).toString());

/** The notes of all answers so far, each once. */
export function drawNotes(notes: readonly string[]): void {
  byId("notes").replaceChildren(...[...new Set(notes)].map((note) => el("li", {}, note)));
}
