// What a candidate changes: side by side where there is room, unified where there is not, plain diff without the texts.

import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { el } from "./dom";
import { shown } from "./editor";
import { replaced, replacements } from "./texts";
import type { FileIn, Patch } from "./wire";

const WIDE = matchMedia("(min-width: 68rem)");
const COLLAPSE = { margin: 3, minSize: 6 };

export class Comparison {
  private views: { destroy(): void }[] = [];
  private last: [Patch, readonly FileIn[]] | null = null;

  constructor(private readonly root: HTMLElement) {
    WIDE.addEventListener("change", () => {
      if (this.last) this.show(...this.last);
    });
  }

  clear(): void {
    for (const view of this.views) view.destroy();
    this.views = [];
    this.last = null;
    this.root.replaceChildren();
  }

  show(patch: Patch, files: readonly FileIn[]): void {
    this.clear();
    this.last = [patch, files];
    const paths = [...new Set(patch.edits.map((edit) => edit.path))];
    const sent = new Map(files.map((file) => [file.path, file.text.replace(/^\ufeff/, "")]));
    if (paths.length === 0 || paths.some((path) => !sent.has(path))) {
      this.root.append(plainDiff(patch.diff));
      return;
    }
    for (const path of paths) this.compare(path, sent.get(path) ?? "", patch);
  }

  private compare(path: string, before: string, patch: Patch): void {
    const after = replaced(before, replacements(before, patch.edits.filter((edit) => edit.path === path)));
    const parent = el("div", { class: "merge" });
    this.root.append(el("h4", {}, path), parent);
    if (WIDE.matches) {
      const side = (doc: string, label: string) => ({ doc, extensions: [shown(path, label), EditorView.lineWrapping] });
      this.views.push(
        new MergeView({
          parent,
          a: side(before, `${path} before`),
          b: side(after, `${path} after`),
          collapseUnchanged: COLLAPSE,
          gutter: true,
        }),
      );
      return;
    }
    const unified = unifiedMergeView({ original: before, mergeControls: false, collapseUnchanged: COLLAPSE });
    const state = EditorState.create({ doc: after, extensions: [shown(path, `${path} after`), EditorView.lineWrapping, unified] });
    this.views.push(new EditorView({ parent, state }));
  }
}

function plainDiff(diff: string): HTMLElement {
  const lines = diff.split("\n").map((line) => {
    const kind = line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : line.startsWith("@@") ? "hunk" : "";
    return el("span", kind ? { class: kind } : {}, `${line}\n`);
  });
  return el("pre", { class: "diff", tabindex: "0", "aria-label": "The difference" }, ...lines);
}
