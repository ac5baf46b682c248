// Texts and positions, as the wire counts them: lines end at "\n" only, columns are code points, both from 1.

import type { EditOut, Span } from "./wire";

/** What stands between lines in the editor; a lone "\r" stays a character, as it does for the service. */
export function separatorOf(text: string): "\n" | "\r\n" {
  return text.includes("\r\n") && !/(^|[^\r])\n/.test(text) ? "\r\n" : "\n";
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  if (starts.length > 1 && starts.at(-1) === text.length) starts.pop(); // a final newline begins no line
  return starts;
}

/** The UTF-16 offset of a position. A place outside the text is the nearest one inside. */
function offsetOf(text: string, starts: number[], line: number, column: number): number {
  let at = starts[line - 1] ?? text.length;
  for (let left = column - 1; left > 0 && at < text.length; left -= 1) {
    at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  }
  return at;
}

export interface Replacement { from: number; to: number; insert: string }

/** Replacements in UTF-16 offsets of the text as it was sent, in order. */
export function replacements(text: string, edits: readonly EditOut[]): Replacement[] {
  const starts = lineStarts(text);
  const found = edits.map(({ span, text: insert }) => ({ ...rangeOf(text, starts, span), insert }));
  return found.sort((one, other) => one.from - other.from);
}

function rangeOf(text: string, starts: number[], span: Span): { from: number; to: number } {
  return {
    from: offsetOf(text, starts, span.start_line, span.start_column),
    to: offsetOf(text, starts, span.end_line, span.end_column),
  };
}

/** The text with replacements made. */
export function replaced(text: string, changes: readonly Replacement[]): string {
  let made = "";
  let at = 0;
  for (const { from, to, insert } of changes) {
    made += text.slice(at, from) + insert;
    at = to;
  }
  return made + text.slice(at);
}

/** The lines (from 1) that a span touches, both inclusive. */
export function linesOf(span: Span): { first: number; last: number } {
  const ends = span.end_column === 1 && span.end_line > span.start_line ? span.end_line - 1 : span.end_line;
  return { first: span.start_line, last: ends };
}
