// CodeMirror as the page uses it: one look for editors and merge views, no Tab trap, strict CSP.

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { java } from "@codemirror/lang-java";
import { javascript } from "@codemirror/lang-javascript";
import { python } from "@codemirror/lang-python";
import { HighlightStyle, bracketMatching, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { EditorState, type Extension } from "@codemirror/state";
import { EditorView, drawSelection, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { nonce } from "./dom";
import { separatorOf } from "./texts";

const LANGUAGES: readonly [RegExp, string, () => Extension][] = [
  [/\.pyi?$/i, "Python", () => python()],
  [/\.(js|mjs|cjs|jsx)$/i, "JavaScript", () => javascript({ jsx: true })],
  [/\.tsx$/i, "TSX", () => javascript({ typescript: true, jsx: true })],
  [/\.(ts|mts|cts)$/i, "TypeScript", () => javascript({ typescript: true })],
  [/\.java$/i, "Java", () => java()],
];

/** The language's name by file name, "" for none that Emend repairs. */
export function languageName(path: string): string {
  return LANGUAGES.find(([pattern]) => pattern.test(path))?.[1] ?? "";
}

function grammar(path: string): Extension {
  return LANGUAGES.find(([pattern]) => pattern.test(path))?.[2]() ?? [];
}

// colours are variables of the stylesheet, so that light and dark need no second theme
const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.modifier, tags.operatorKeyword], color: "var(--syntax-keyword)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--syntax-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--syntax-number)" },
  { tag: [tags.comment, tags.meta], color: "var(--syntax-comment)", fontStyle: "italic" },
  { tag: [tags.function(tags.definition(tags.variableName)), tags.className], color: "var(--syntax-name)" },
  { tag: tags.typeName, color: "var(--syntax-name)" },
]);

/** What every view has: look, language and the nonce of styles. */
export function base(path: string): Extension {
  return [
    EditorView.cspNonce.of(nonce()),
    lineNumbers(),
    syntaxHighlighting(colours),
    grammar(path),
  ];
}

/** The state of a file that can be edited. `label` is what screen readers say, `extra` what this editor has besides. */
export function fileState(path: string, text: string, label: string, extra: Extension): EditorState {
  const separator = separatorOf(text);
  return EditorState.create({
    doc: text, // split by the separator below
    extensions: [
      EditorState.lineSeparator.of(separator),
      EditorView.clipboardInputFilter.of((pasted) => pasted.replace(/\r\n?|\n/g, separator)),
      base(path),
      extra,
      history(),
      drawSelection(),
      bracketMatching(),
      indentOnInput(),
      placeholder(`Paste ${label.startsWith("Test") ? "tests" : "code"} or drop files`),
      EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false", tabindex: "0" }),
      keymap.of([...defaultKeymap.filter((binding) => binding.key !== "Mod-Enter"), ...historyKeymap]),
    ],
  });
}

/** A view that only shows; it can be focused and scrolled by keyboard. */
export function shown(path: string, label: string): Extension {
  return [
    base(path),
    EditorState.readOnly.of(true),
    EditorView.editable.of(false),
    EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0", role: "textbox", "aria-readonly": "true" }),
  ];
}
