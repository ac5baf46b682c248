// Calls of the API and what it refuses. Knows the session's CSRF token, nothing of the page's parts.

import { byId, el } from "./dom";
import type { Problem } from "./wire";

/** A refusal, or a service that cannot be reached. */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

export function csrf(): string {
  return document.querySelector<HTMLMetaElement>("meta[name=csrf-token]")?.content ?? "";
}

/** JSON out, JSON (or null for an empty answer) in. Throws Refused. */
export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRF-Token"] = csrf();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const sent: RequestInit = { method, headers, credentials: "same-origin" };
  if (body !== undefined) sent.body = JSON.stringify(body);
  let answer: Response;
  try {
    answer = await fetch(path, sent);
  } catch {
    const detail = "Emend cannot be reached. Check that it runs and that you are connected, then try again.";
    throw new Refused({ title: "No connection", status: 0, detail });
  }
  const text = await answer.text();
  if (!answer.ok) throw new Refused(problemOf(answer, text));
  return (text ? JSON.parse(text) : null) as T;
}

function problemOf(answer: Response, text: string): Problem {
  try {
    const found: unknown = JSON.parse(text);
    if (typeof found === "object" && found !== null && "detail" in found) {
      return { title: "Refused", ...(found as object), status: answer.status } as Problem;
    }
  } catch {
    // not JSON: a proxy answered
  }
  return { title: `Error ${answer.status}`, status: answer.status, detail: `The server answered ${answer.status}.` };
}

/** Show an error in the alert region, the fields at fault named. */
export function showError(error: unknown): void {
  const problem: Problem =
    error instanceof Refused
      ? error.problem
      : { title: "That did not work", status: 0, detail: error instanceof Error ? error.message : String(error) };
  const close = el("button", { type: "button", class: "button quiet", "aria-label": "Close this message" }, "×");
  const parts: Node[] = [el("strong", {}, problem.title), el("p", {}, sentence(problem.detail))];
  const errors = problem.errors ?? [];
  if (errors.length > 0) {
    const items = errors.map((one) => el("li", {}, el("code", {}, one.field), ` ${one.message}`));
    parts.push(el("ul", {}, ...items));
  }
  if (problem.status === 401 && !document.body.matches("[data-page=login]")) {
    parts.push(el("p", {}, el("a", { href: "/login", target: "_blank", rel: "noopener" }, "Log in again"), " in a new tab."));
  }
  close.addEventListener("click", clearError);
  byId("alert").replaceChildren(el("div", { class: "alert" }, el("div", {}, ...parts), close));
  byId("alert").scrollIntoView({ block: "nearest" });
}

export function clearError(): void {
  byId("alert").replaceChildren();
}

function sentence(text: string): string {
  const first = /^[a-z]+\b(?!\.)/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text; // no file names
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
