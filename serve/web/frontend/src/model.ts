// The page "Model": one question to a model, and what it says when layers, heads, neurons, prompt or decoding change.

import { call, clearError, showError } from "./api";
import { byId, el } from "./dom";
import { type ExplainIn, type Explanation, type Unit, Tabs, drawNotes, explained, place, tabbed } from "./explain";
import { handed } from "./handed";
import type { Model, Request } from "./wire";

const WAIT_MS = 300; // after the last move of a control
const SLIDERS = ["temperature", "top_p", "beams", "adapter_scale"] as const;
const FIELDS = ["path", "code", "error", "patch"] as const;
const MOST_SHARED = 30_000; // characters of an address

/** What is changed, by what the service calls it; whatever is neutral is not there. */
interface Changes {
  sliders: Record<string, number>;
  layers: number[];
  heads: [number, number][];
  neurons: string;
  edits: { kind: Unit["kind"]; number: number; text: string }[];
}

const tabs = new Tabs();
const input = (id: string): HTMLInputElement => byId<HTMLInputElement>(id);
const select = (id: string): HTMLSelectElement => byId<HTMLSelectElement>(id);
const say = (text: string): void => {
  byId("status").textContent = text;
};

let models: Model[] = [];
let rest: Partial<Request> = {}; // of a request that was handed over: language, tests, further files
let units: readonly Unit[] = [];
let layers = 0;
let heads = 0;
let changes: Changes = neutral();

function neutral(): Changes {
  return { sliders: {}, layers: [], heads: [], neurons: "", edits: [] };
}

// --- what is asked

function question(): ExplainIn {
  const text = (id: string): string => byId<HTMLTextAreaElement>(id).value;
  const path = input("path").value.trim() || "main.py";
  const others = (rest.files ?? []).filter((file) => file.path !== path);
  const made: ExplainIn = { ...rest, files: [{ path, text: text("code") }, ...others] };
  delete made.budget;
  delete made.error;
  if (text("error").trim()) made.error = text("error");
  if (text("patch").trim()) made.patch = text("patch");
  const options = { ...chosen("model"), ...chosen("adapter") };
  delete made.options;
  if (Object.keys(options).length > 0) made.options = options;
  return made;
}

const chosen = (id: string): Record<string, string> => (select(id).value === "" ? {} : { [id]: select(id).value });

/** "2.17, 3.4*0.5" as neurons. Throws for anything else. */
function neuronsOf(text: string): { layer: number; neuron: number; scale: number }[] {
  const parts = text.split(",").map((part) => part.trim()).filter((part) => part !== "");
  return parts.map((part) => {
    const found = /^(\d+)\.(\d+)(?:\s*\*\s*(-?\d+(?:\.\d+)?))?$/.exec(part);
    if (!found) throw new Error(`“${part}” is no neuron: write layer.neuron, as 2.17, or 2.17*0.5 for half of it`);
    return { layer: Number(found[1]), neuron: Number(found[2]), scale: Number(found[3] ?? 0) };
  });
}

function interventions(): Record<string, unknown> {
  const neurons = neuronsOf(changes.neurons);
  return {
    ...changes.sliders,
    ...(changes.layers.length > 0 ? { layers_off: changes.layers } : {}),
    ...(changes.heads.length > 0 ? { heads_off: changes.heads } : {}),
    ...(neurons.length > 0 ? { neurons } : {}),
    ...(changes.edits.length > 0 ? { edits: changes.edits } : {}),
  };
}

function looked(): ExplainIn {
  const index = (id: string): Record<string, number> => (select(id).value === "" ? {} : { [id]: Number(select(id).value) });
  return { ...question(), methods: [select("method").value], ...index("layer"), ...index("head") };
}

const inside = (): string[] => {
  const parts = ["attention", "activations", "anomalies"];
  return question().patch ? ["evidence", "tokens", ...parts, "lens"] : parts;
};

// --- asking: one question at a time; of those that come meanwhile only the last is asked then

let running = false;
let next: (() => Promise<void>) | null = null;
let timer = 0;

function soon(work: () => Promise<void>): void {
  clearTimeout(timer);
  timer = window.setTimeout(() => void run(work), WAIT_MS);
}

async function run(work: () => Promise<void>): Promise<void> {
  next = work;
  if (running) return;
  running = true;
  document.body.classList.add("live");
  while (next) {
    const now: () => Promise<void> = next;
    next = null;
    try {
      clearError();
      await now();
    } catch (error) {
      showError(error);
      say("The model could not be asked this.");
    }
  }
  running = false;
  document.body.classList.remove("live");
}

async function all(): Promise<void> {
  say("Asking the model…");
  await live();
  say("Looking inside the model…");
  const parts = inside();
  const found = await explained({ ...looked(), parts });
  known(found);
  drawInside(found, parts);
  drawNotes(found.notes);
  say(`${found.model} has answered.`);
}

async function live(): Promise<void> {
  const found = await explained({ ...question(), parts: ["where", "live"], interventions: interventions() });
  byId("compared").hidden = false;
  place(byId("comparison"), found.fragments?.["live"] ?? "");
  drawNotes(found.notes);
  say(changed() ? "Changed: before and after stand beside each other." : "Nothing is changed: this is what the model says.");
}

async function look(parts: string[]): Promise<void> {
  say("Looking inside the model…");
  const found = await explained({ ...looked(), parts });
  drawInside(found, parts);
  say("Shown.");
}

function drawInside(found: Explanation, parts: readonly string[]): void {
  tabs.show(tabbed(found, parts));
  byId("inside").hidden = tabs.empty;
}

const changed = (): boolean => JSON.stringify(changes) !== JSON.stringify(neutral());

// --- controls

/** What the first answer tells of the model and the prompt. */
function known(found: Explanation): void {
  units = found.attention?.units ?? found.evidence[0]?.scores.map((score) => score.unit) ?? units;
  layers = found.attention?.entropy.length ?? 0;
  heads = found.attention?.entropy[0]?.length ?? 0;
  drawHeads();
  drawUnits();
  for (const [id, count] of [["layer", layers], ["head", heads]] as const) {
    const kept = select(id).value;
    const options = Array.from({ length: count }, (_, n) => el("option", { value: String(n) }, String(n)));
    select(id).replaceChildren(el("option", { value: "" }, "mean of all"), ...options);
    select(id).value = Number(kept) < count ? kept : "";
  }
}

function drawHeads(): void {
  input("heads").disabled = layers === 0;
  byId("heads-about").hidden = layers > 0;
  const row = (layer: number): HTMLElement => {
    const off = box(`layer ${layer} off`, changes.layers.includes(layer), (on) => {
      changes.layers = toggled(changes.layers, layer, on);
    });
    const cells = Array.from({ length: heads }, (_, head) => {
      const is = changes.heads.some(([one, other]) => one === layer && other === head);
      return el("td", {}, box(`layer ${layer}, head ${head} off`, is, (on) => {
        const others = changes.heads.filter(([one, other]) => one !== layer || other !== head);
        changes.heads = on ? [...others, [layer, head]] : others;
      }));
    });
    return el("tr", {}, el("th", { scope: "row" }, String(layer)), el("td", { class: "whole" }, off), ...cells);
  };
  const names = Array.from({ length: heads }, (_, head) => el("th", { scope: "col" }, String(head)));
  const top = el("tr", {}, el("th", { scope: "col" }, "layer"), el("th", { scope: "col" }, "all"), ...names);
  const table = el("table", {}, el("thead", {}, top), el("tbody", {}, ...Array.from({ length: layers }, (_, n) => row(n))));
  byId("head-grid").replaceChildren(...(layers > 0 ? [table] : []));
  roving(table);
}

/** Arrows move inside of the grid, which is one tab stop. */
function roving(table: HTMLElement): void {
  const rows = [...table.querySelectorAll("tbody tr")].map((row) => [...row.querySelectorAll("input")]);
  rows.flat().forEach((one, n) => (one.tabIndex = n === 0 ? 0 : -1));
  table.addEventListener("keydown", (event) => {
    const y = rows.findIndex((row) => row.includes(event.target as HTMLInputElement));
    const x = rows[y]?.indexOf(event.target as HTMLInputElement) ?? -1;
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    const to = step && rows[y + (step[0] ?? 0)]?.[x + (step[1] ?? 0)];
    if (!to) return;
    event.preventDefault();
    for (const one of rows.flat()) one.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  });
}

function box(name: string, on: boolean, set: (on: boolean) => void): HTMLInputElement {
  const made = el("input", { type: "checkbox", "aria-label": name, title: name });
  made.checked = on;
  made.addEventListener("change", () => {
    set(made.checked);
    moved();
  });
  return made;
}

const toggled = (list: number[], one: number, on: boolean): number[] => {
  const others = list.filter((other) => other !== one);
  return on ? [...others, one] : others;
};

function drawUnits(): void {
  const rows = units.filter((unit) => unit.kind !== "frame").map((unit) => {
    const name = unit.kind === "code" ? `line ${unit.number}` : unit.kind === "error" ? "error" : `${unit.kind} ${unit.number}`;
    const at = changes.edits.find((edit) => edit.kind === unit.kind && edit.number === unit.number);
    const text = el("input", { type: "text", class: "mono", "aria-label": `${name} of the prompt`, maxlength: "2000", spellcheck: "false", autocomplete: "off" });
    text.value = at?.text ?? unit.text;
    text.addEventListener("input", () => edit(unit, text.value));
    const back = el("button", { type: "button", class: "button small quiet", "aria-label": `Take ${name} out or back` }, at?.text === "" ? "put back" : "take out");
    back.addEventListener("click", () => {
      text.value = text.value === "" ? unit.text : "";
      back.textContent = text.value === "" ? "put back" : "take out";
      edit(unit, text.value);
    });
    return el("div", { class: "unit" }, el("span", { class: "muted" }, name), text, back);
  });
  byId("units").replaceChildren(...rows);
}

function edit(unit: Unit, text: string): void {
  const others = changes.edits.filter((one) => one.kind !== unit.kind || one.number !== unit.number);
  changes.edits = text === unit.text ? others : [...others, { kind: unit.kind, number: unit.number, text }];
  moved();
}

function sliders(): void {
  for (const id of SLIDERS) {
    const slider = input(id);
    slider.addEventListener("input", () => {
      const value = Number(slider.value);
      if (value === Number(slider.dataset["neutral"])) delete changes.sliders[id];
      else changes.sliders[id] = value;
      tell(id);
      moved();
    });
    tell(id);
  }
}

/** What a slider stands at, in words: an own output, and for who does not see it. */
function tell(id: (typeof SLIDERS)[number]): void {
  const slider = input(id);
  const same = slider.value === slider.dataset["neutral"];
  const off = id === "beams" && slider.value === "0" ? "off" : slider.value;
  const told = same ? `${off} (neutral)` : slider.value;
  slider.setAttribute("aria-valuetext", told);
  const shown = document.querySelector(`output[for=${id}]`);
  if (shown) shown.textContent = told;
}

function moved(): void {
  share();
  if (units.length > 0 || !byId("compared").hidden) soon(live);
}

function reset(): void {
  changes = neutral();
  drawChanges();
  moved();
  say("Everything is neutral.");
}

function drawChanges(): void {
  for (const id of SLIDERS) {
    const slider = input(id);
    slider.value = String(changes.sliders[id] ?? slider.dataset["neutral"]);
    tell(id);
  }
  input("neurons").value = changes.neurons;
  drawHeads();
  drawUnits();
}

// --- the address has everything, behind the #, which no server sees

interface Shared { fields: Record<string, string>; looks: Record<string, string>; changes: Changes }
const LOOKS = ["layer", "head", "method", "model", "adapter"] as const;

function share(): void {
  const read = (ids: readonly string[]): Record<string, string> => Object.fromEntries(ids.map((id) => [id, input(id).value]));
  const all: Shared = { fields: read(FIELDS), looks: read(LOOKS), changes };
  const packed = pack(JSON.stringify(all));
  history.replaceState(null, "", packed.length <= MOST_SHARED ? `#${packed}` : location.pathname);
}

function pack(text: string): string {
  const bytes = new TextEncoder().encode(text);
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function shared(): Shared | null {
  try {
    const binary = atob(location.hash.slice(1).replaceAll("-", "+").replaceAll("_", "/"));
    const found = JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (one) => one.charCodeAt(0)))) as Partial<Shared>;
    if (!found.fields || !found.changes) return null;
    return { fields: found.fields, looks: found.looks ?? {}, changes: { ...neutral(), ...found.changes } };
  } catch {
    return null; // no such address
  }
}

// --- start

async function loadModels(wanted: Record<string, string>): Promise<void> {
  models = (await call<{ models: Model[] }>("GET", "/v1/models")).models;
  select("model").replaceChildren(...models.map((model) => el("option", { value: model.name }, model.name)));
  select("model").value = models.some((model) => model.name === wanted["model"]) ? wanted["model"] ?? "" : models.find((model) => model.default)?.name ?? "";
  drawAdapters(wanted["adapter"] ?? "");
}

function drawAdapters(adapter: string): void {
  const names = models.find((model) => model.name === select("model").value)?.adapters ?? [];
  const options = names.map((name) => el("option", { value: name }, name));
  select("adapter").replaceChildren(el("option", { value: "" }, "its own"), ...options);
  select("adapter").value = names.includes(adapter) ? adapter : "";
}

/** What was handed over, or stands in the address; whether there is something to ask. */
function filled(): Record<string, string> {
  const from = shared();
  if (from) {
    for (const id of FIELDS) input(id).value = from.fields[id] ?? "";
    changes = from.changes;
    const { layer = "", head = "", method = "" } = from.looks;
    for (const [id, value] of [["layer", layer], ["head", head]] as const) {
      if (value !== "") select(id).append(el("option", { value }, value));
      select(id).value = value;
    }
    if (method) select("method").value = method;
    return from.looks;
  }
  const here = handed();
  if (!here || here.link !== "/model") return {};
  const first = /^\+\+\+ b\/(.+?)\t?$/m.exec(here.diff)?.[1];
  const file = here.request.files.find((one) => one.path === first) ?? here.request.files[0];
  rest = here.request;
  input("path").value = file?.path ?? "main.py";
  input("code").value = file?.text ?? "";
  input("error").value = here.request.error ?? "";
  input("patch").value = here.diff;
  return { model: here.request.options?.model ?? "", adapter: here.request.options?.adapter ?? "" };
}

async function begin(): Promise<void> {
  const wanted = filled();
  sliders();
  drawChanges();
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    tabs.clear();
    share();
    void run(all);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    byId<HTMLFormElement>("ask").requestSubmit();
  }, true);
  select("model").addEventListener("change", () => drawAdapters(""));
  byId("reset").addEventListener("click", reset);
  input("neurons").addEventListener("input", () => {
    changes.neurons = input("neurons").value;
    moved();
  });
  for (const [id, parts] of [["layer", ["attention"]], ["head", ["attention"]], ["method", ["evidence"]]] as const) {
    select(id).addEventListener("change", () => {
      share();
      if (units.length > 0 && (id !== "method" || question().patch)) soon(() => look([...parts]));
    });
  }
  await loadModels(wanted);
  if (input("code").value.trim()) await run(all);
}

begin().catch(showError);
