// The heat map: suspects as marks in the gutter and tinted lines that follow the text as it is edited.
// Colour is never the only sign: each mark carries its percentage and a bar whose length says the same.

import { RangeSet, StateEffect, StateField, type Extension, type Range } from "@codemirror/state";
import { Decoration, EditorView, GutterMarker, gutter, hoverTooltip, keymap, showTooltip, type Tooltip } from "@codemirror/view";
import { el } from "./dom";
import { linesOf } from "./texts";
import type { Fault } from "./wire";

const LEVELS = 5;

const FULL = 0.5; // the hottest suspect has the last colour from this suspiciousness on

/** 1 (a little) to 5 (most): relative to the hottest, so that a flat ranking still shows where to look first. */
export function levels(faults: readonly Fault[]): (fault: Fault) => number {
  const most = Math.max(FULL, ...faults.map((fault) => fault.suspiciousness));
  return ({ suspiciousness }) => Math.min(LEVELS, Math.max(1, Math.ceil((suspiciousness / most) * LEVELS)));
}

export function percent(suspiciousness: number): string {
  const value = Math.min(1, Math.max(0, suspiciousness)) * 100;
  return value > 0 && value < 1 ? "<1" : value.toFixed(0);
}

class Mark extends GutterMarker {
  constructor(
    readonly fault: Fault,
    readonly level: number,
  ) {
    super();
  }
  override eq(other: Mark): boolean {
    return other.fault === this.fault && other.level === this.level;
  }
  override toDOM(): Node {
    const { suspiciousness, reasons } = this.fault;
    const title = `Suspiciousness ${percent(suspiciousness)} %\n${reasons.join("\n")}`;
    return el("span", { class: `heat heat-${this.level}`, title }, el("b", {}, percent(suspiciousness)));
  }
}

interface Heat { marks: RangeSet<Mark>; lines: RangeSet<Decoration> }

const COLD: Heat = { marks: RangeSet.empty, lines: RangeSet.empty };
const warm = StateEffect.define<readonly Fault[]>();

const heatField = StateField.define<Heat>({
  create: () => COLD,
  update(heat, transaction) {
    let now = heat;
    if (transaction.docChanged) {
      now = { marks: now.marks.map(transaction.changes), lines: now.lines.map(transaction.changes) };
    }
    for (const effect of transaction.effects) {
      if (effect.is(warm)) now = heated(effect.value, (line) => startOf(transaction.state.doc, line));
    }
    return now;
  },
  provide: (field) => [EditorView.decorations.from(field, (heat) => heat.lines)],
});

function startOf(doc: { lines: number; line(n: number): { from: number } }, line: number): number | null {
  return line >= 1 && line <= doc.lines ? doc.line(line).from : null;
}

function heated(faults: readonly Fault[], start: (line: number) => number | null): Heat {
  const hottest = new Map<number, Fault>();
  for (const fault of faults) {
    const { first, last } = linesOf(fault.span);
    for (let line = first; line <= last; line += 1) {
      const at = start(line);
      if (at === null) continue;
      const known = hottest.get(at);
      if (!known || known.suspiciousness < fault.suspiciousness) hottest.set(at, fault);
    }
  }
  const level = levels(faults);
  const marks: Range<Mark>[] = [];
  const lines: Range<Decoration>[] = [];
  for (const [at, fault] of [...hottest].sort((one, other) => one[0] - other[0])) {
    marks.push(new Mark(fault, level(fault)).range(at));
    lines.push(Decoration.line({ class: `hot hot-${level(fault)}` }).range(at));
  }
  return { marks: RangeSet.of(marks), lines: RangeSet.of(lines) };
}

/** The transaction effect that shows these suspects in place of those before. */
export function showHeat(faults: readonly Fault[]): StateEffect<readonly Fault[]> {
  return warm.of(faults);
}

function reasonsTip(field: Heat, from: number): Tooltip | null {
  let found: Fault | null = null;
  field.marks.between(from, from, (_from, _to, mark) => {
    found = mark.fault;
  });
  if (!found) return null;
  const { suspiciousness, reasons } = found as Fault;
  return {
    pos: from,
    above: true,
    create: () => ({
      dom: el(
        "div",
        { class: "reasons" },
        el("strong", {}, `Suspiciousness ${percent(suspiciousness)} %`),
        el("ul", {}, ...reasons.map((reason) => el("li", {}, reason))),
      ),
    }),
  };
}

// Reasons at the cursor would hide the lines above while one types: Escape and edits put them away (WCAG 1.4.13)
// until the cursor comes to another line.
const dismiss = StateEffect.define();
const dismissed = StateField.define<boolean>({
  create: () => false,
  update(now, { startState, state, docChanged, effects }) {
    if (docChanged || effects.some((effect) => effect.is(dismiss))) return true;
    const moved = startState.doc.lineAt(startState.selection.main.head).from !== state.doc.lineAt(state.selection.main.head).from;
    return now && !moved;
  },
});
const byEscape = keymap.of([
  {
    key: "Escape",
    run: (view) => {
      if (view.state.field(dismissed)) return false;
      view.dispatch({ effects: dismiss.of(null) });
      return true;
    },
  },
]);

// where the cursor stands on a suspect by keyboard or pointer, its reasons show as on hover
const atCursor = showTooltip.compute(["selection", heatField, dismissed], (state) => {
  const head = state.selection.main.head;
  return head === 0 || state.field(dismissed) ? null : reasonsTip(state.field(heatField), state.doc.lineAt(head).from);
});

/** The gutter, the tinted lines and the reasons on hover and at the cursor. */
export function heatMap(): Extension {
  return [
    heatField,
    dismissed,
    byEscape,
    gutter({ class: "cm-heat", markers: (view) => view.state.field(heatField).marks, initialSpacer: () => SPACER }),
    hoverTooltip((view, pos) => reasonsTip(view.state.field(heatField), view.state.doc.lineAt(pos).from)),
    atCursor,
  ];
}

const SPACER = new (class extends GutterMarker {
  override toDOM(): Node {
    return el("span", { class: "heat spacer" }, el("b", {}, "100"));
  }
})();
