// A set of files in one editor with tabs. Owns their texts byte for byte (newlines, byte order mark).

import type { EditorState, Extension } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { el, nonce } from "./dom";
import { fileState, languageName } from "./editor";
import { showHeat } from "./heat";
import { type Replacement, separatorOf } from "./texts";
import type { Fault, FileIn } from "./wire";

export const MAX_FILE_BYTES = 512 * 1024; // serve/limits.py
const BOM = "\ufeff";

interface Open { path: string; bom: boolean; state: EditorState }

export class FileSet {
  private files: Open[] = [];
  private at = 0;
  private shown: Open | null = null; // the file whose state the view holds
  private readonly view: EditorView;
  private readonly tabs: HTMLElement;
  private readonly panel: HTMLElement;
  private readonly name: HTMLInputElement;
  private readonly language: HTMLElement;

  constructor(
    root: HTMLElement,
    private readonly what: string,
    private readonly fresh: string,
    private readonly extra: Extension,
  ) {
    const part = <T extends HTMLElement>(name: string): T => {
      const found = root.querySelector<T>(`[data-part=${name}]`);
      if (!found) throw new Error(`no part ${name}`);
      return found;
    };
    this.tabs = part("tabs");
    this.panel = part("editor");
    this.name = part<HTMLInputElement>("name");
    this.language = part("language");
    // the nonce must be there before the first style is
    this.view = new EditorView({ parent: this.panel, extensions: [EditorView.cspNonce.of(nonce())] });
    this.name.addEventListener("change", () => this.rename(this.name.value.trim()));
    part("new").addEventListener("click", () => {
      this.add([{ path: this.freeName(), text: "" }]);
      this.name.focus();
      this.name.select();
    });
    part("remove").addEventListener("click", () => this.remove());
    this.tabs.addEventListener("keydown", (event) => this.step(event));
    this.set([]);
  }

  /** All files as they will be sent; an untouched empty one is none. */
  all(): FileIn[] {
    this.keep();
    return this.files
      .map(({ path, bom, state }) => ({ path, text: (bom ? BOM : "") + state.sliceDoc() }))
      .filter((file) => file.text !== "" || this.files.length > 1);
  }

  set(files: readonly FileIn[]): void {
    this.shown = null;
    const given = files.length > 0 ? files : [{ path: this.fresh, text: "" }];
    this.files = given.map((file) => this.opened(file));
    this.select(0);
  }

  /** Add files; one of the same name is replaced, and an untouched empty one gives way. */
  add(files: readonly FileIn[]): void {
    this.keep();
    const only = this.files[0];
    if (this.files.length === 1 && only && only.state.doc.length === 0 && only.path === this.fresh) {
      this.files = [];
      this.shown = null;
    }
    for (const file of files) {
      const known = this.files.findIndex((open) => open.path === file.path);
      if (known >= 0) this.files[known] = this.opened(file);
      else this.files.push(this.opened(file));
    }
    if (this.shown && !this.files.includes(this.shown)) this.shown = null;
    this.select(this.files.length - 1);
  }

  /** Show suspects, whichever file they are in. */
  heat(faults: readonly Fault[]): void {
    this.keep();
    for (const file of this.files) {
      const effects = showHeat(faults.filter((fault) => fault.path === file.path));
      file.state = file.state.update({ effects }).state;
    }
    this.view.setState(this.current().state);
    this.draw();
  }

  /** Put the cursor on a line. */
  go(path: string, line: number): void {
    const found = this.files.findIndex((file) => file.path === path);
    if (found < 0) return;
    this.select(found);
    const { doc } = this.view.state;
    const place = doc.line(Math.min(Math.max(1, line), doc.lines));
    const indent = /^\s*/.exec(place.text)?.[0].length ?? 0;
    this.view.dispatch({ selection: { anchor: place.from + indent }, effects: EditorView.scrollIntoView(place.from, { y: "center" }) });
    this.view.focus();
  }

  /** Bring a file to the front, by its place in `all()`. */
  front(index: number): void {
    if (index < this.files.length) this.select(index);
  }

  text(path: string): string | null {
    return this.all().find((file) => file.path === path)?.text ?? null;
  }

  /** Make replacements given in offsets of the file's text; one step of undo. */
  change(path: string, changes: readonly Replacement[]): void {
    const index = this.files.findIndex((file) => file.path === path);
    const text = this.text(path);
    if (index < 0 || text === null) return;
    this.select(index);
    const { bom, state } = this.current();
    const raw = bom ? text.slice(1) : text;
    const separator = separatorOf(raw);
    const place = (offset: number): number =>
      separator === "\n" ? offset : offset - (raw.slice(0, offset).split("\r\n").length - 1);
    const fitted = changes.map(({ from, to, insert }) => ({
      from: place(from),
      to: place(to),
      insert: state.toText(separator === "\n" ? insert : insert.replace(/\r?\n/g, separator)),
    }));
    this.view.dispatch({ changes: fitted, userEvent: "input.repair" });
    this.keep();
  }

  private opened({ path, text }: FileIn): Open {
    const bom = text.startsWith(BOM);
    return { path, bom, state: fileState(path, bom ? text.slice(1) : text, `${this.what} ${path}`, this.extra) };
  }

  private current(): Open {
    const file = this.files[this.at];
    if (!file) throw new Error("no file is open");
    return file;
  }

  private keep(): void {
    if (this.shown) this.shown.state = this.view.state;
  }

  private select(index: number): void {
    this.keep();
    this.at = index;
    this.shown = this.current();
    this.view.setState(this.shown.state);
    this.draw();
  }

  private rename(path: string): void {
    this.keep();
    const file = this.current();
    const taken = this.files.some((other) => other !== file && other.path === path);
    if (path === "" || taken) {
      this.name.value = file.path;
      return;
    }
    this.files[this.at] = this.opened({ path, text: (file.bom ? BOM : "") + file.state.sliceDoc() });
    this.shown = null;
    this.select(this.at);
  }

  private remove(): void {
    this.files.splice(this.at, 1);
    this.shown = null;
    if (this.files.length === 0) this.set([]);
    else this.select(Math.max(0, this.at - 1));
  }

  private freeName(): string {
    const dot = this.fresh.lastIndexOf(".");
    const taken = new Set(this.files.map((file) => file.path));
    if (!taken.has(this.fresh)) return this.fresh;
    for (let number = 2; ; number += 1) {
      const path = `${this.fresh.slice(0, dot)}${number}${this.fresh.slice(dot)}`;
      if (!taken.has(path)) return path;
    }
  }

  private step(event: KeyboardEvent): void {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    this.select((this.at + move + this.files.length) % this.files.length);
    this.tabs.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
  }

  private draw(): void {
    const tabs = this.files.map((file, index) => {
      const on = index === this.at;
      const tab = el(
        "button",
        { type: "button", role: "tab", class: "tab", "aria-selected": String(on), "aria-controls": this.panel.id, tabindex: on ? "0" : "-1" },
        file.path,
      );
      tab.addEventListener("click", () => {
        this.select(index);
        this.tabs.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
      });
      return tab;
    });
    this.tabs.replaceChildren(...tabs);
    this.panel.setAttribute("aria-label", this.current().path);
    this.name.value = this.current().path;
    this.language.textContent = languageName(this.current().path) || "unknown language";
  }
}

/** Read dropped or chosen files. Throws an error that names the file which cannot be repaired. */
export async function readFiles(list: Iterable<File>): Promise<FileIn[]> {
  const files = [...list];
  const read = files.map(async (file) => {
    if (file.size > MAX_FILE_BYTES) {
      throw new Error(`${file.name} has ${file.size} bytes; Emend repairs files of up to ${MAX_FILE_BYTES}`);
    }
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer());
      if (text.includes("\0")) throw new TypeError("binary");
      return { path: file.webkitRelativePath || file.name, text };
    } catch {
      throw new Error(`${file.name} is not UTF-8 text; choose source files, test files or an error log`);
    }
  });
  return Promise.all(read);
}
