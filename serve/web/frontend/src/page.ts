// What every page does: theme, logging out, questions before deletion, htmx under the strict policy; and the small pages.

import htmx from "htmx.org";
import { Refused, call, clearError, csrf, showError } from "./api";
import { byId, confirmed, copyText, el } from "./dom";
import { journalEntry } from "./journal";
import type { Key, Problem } from "./wire";

const THEMES = ["auto", "light", "dark"] as const;
const THEME_KEY = "emend-theme"; // the script in the head of every page reads it too

function themes(): void {
  const button = byId("theme");
  const draw = (): void => {
    button.textContent = `Theme: ${document.documentElement.dataset["theme"] ?? "auto"}`;
  };
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset["theme"] ?? "auto";
    const next = THEMES[(THEMES.findIndex((one) => one === now) + 1) % THEMES.length] ?? "auto";
    if (next === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = next;
    try {
      localStorage.setItem(THEME_KEY, next);
    } catch {
      // storage is off: the choice lasts for this page
    }
    draw();
  });
  draw();
}

function logout(): void {
  document.getElementById("logout")?.addEventListener("click", async () => {
    try {
      await call("POST", "/logout");
    } catch (error) {
      if (!(error instanceof Refused && error.problem.status === 401)) return showError(error);
    }
    location.assign("/login");
  });
}

// --- jobs, journal: the list is a fragment that htmx fetches again; deleting goes to the API

function listed(id: string): void {
  const list = byId(id);
  let before = list.innerHTML;
  document.body.addEventListener("htmx:configRequest", (event) => {
    (event as CustomEvent<{ headers: Record<string, string> }>).detail.headers["X-CSRF-Token"] = csrf();
  });
  document.body.addEventListener("htmx:confirm", (event) => {
    const { detail } = event as CustomEvent<{ question: string | null; issueRequest(skip: boolean): void; elt: HTMLElement }>;
    if (!detail.question) return;
    event.preventDefault();
    void confirmed(detail.question, detail.elt.dataset["action"] ?? "Delete").then((yes) => yes && detail.issueRequest(true));
  });
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const { detail } = event as CustomEvent<{ serverResponse: string; shouldSwap: boolean; target: HTMLElement }>;
    // what has not changed is left alone: focus and selection stay
    if (detail.target === list && detail.serverResponse === before) detail.shouldSwap = false;
    if (detail.target === list) before = detail.serverResponse;
  });
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    const { detail } = event as CustomEvent<{ requestConfig: { verb: string } }>;
    if (document.hidden && detail.requestConfig.verb === "get") event.preventDefault(); // nobody looks
  });
  document.body.addEventListener("htmx:afterRequest", (event) => {
    const { detail } = event as CustomEvent<{ requestConfig: { verb: string }; successful: boolean; xhr: XMLHttpRequest }>;
    if (detail.successful) {
      byId("lost").hidden = true;
      if (detail.requestConfig.verb === "delete") htmx.trigger(list, "refresh");
    } else if (detail.xhr.status === 0) byId("lost").hidden = false;
    else showError(new Refused(problemIn(detail.xhr)));
  });
}

function problemIn(xhr: XMLHttpRequest): Problem {
  try {
    return JSON.parse(xhr.responseText) as Problem;
  } catch {
    return { title: `Error ${xhr.status}`, status: xhr.status, detail: `The server answered ${xhr.status}.` };
  }
}

// --- keys

async function drawKeys(): Promise<void> {
  const { keys } = await call<{ keys: Key[] }>("GET", "/v1/keys");
  const rows = keys.map((key) => {
    const gone = key.revoked || (key.expires !== null && Date.parse(key.expires) < Date.now());
    const last = el("td", {});
    if (!key.revoked) {
      const revoke = el("button", { type: "button", class: "button small", "aria-label": `Revoke ${key.name}` }, "Revoke");
      revoke.addEventListener("click", () => void revoked(key));
      last.append(revoke);
    }
    const cells: [string, string][] = [
      ["", key.id],
      ["", key.scopes.join(", ")],
      ["created", day(key.created)],
      ["expires", key.expires ? day(key.expires) : "never"],
      ["last used", key.last_used ? day(key.last_used) : "never"],
    ];
    const state = el("span", { class: `state ${gone ? "state-cancelled" : "state-succeeded"}` }, key.revoked ? "revoked" : gone ? "expired" : "valid");
    const told = cells.map(([head, cell]) => el("td", head ? { "data-head": head } : {}, cell));
    return el("tr", {}, el("th", { scope: "row" }, key.name), ...told, el("td", {}, state), last);
  });
  byId("key-rows").replaceChildren(...rows);
  byId("no-keys").hidden = rows.length > 0;
}

const day = (time: string): string => time.slice(0, 16).replace("T", " ");

async function revoked(key: Key): Promise<void> {
  if (!(await confirmed(`Revoke the key ${key.name}? What uses it stops working.`, "Revoke"))) return;
  await shown(async () => {
    await call("DELETE", `/v1/keys/${encodeURIComponent(key.id)}`);
    await drawKeys();
    byId("key-status").textContent = `The key ${key.name} is revoked.`;
  });
}

function keys(): void {
  const form = byId<HTMLFormElement>("new-key");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void shown(async () => {
      const given = new FormData(form);
      const number = (name: string): number | null => (given.get(name) ? Number(given.get(name)) : null);
      const body = {
        name: given.get("name"),
        scopes: given.getAll("scope"),
        days: number("days"),
        rate_per_minute: number("rate"),
        concurrent: number("concurrent"),
      };
      const made = await call<Key & { key: string }>("POST", "/v1/keys", body);
      const secret = byId<HTMLInputElement>("secret");
      secret.value = made.key;
      byId("made").hidden = false;
      secret.focus();
      secret.select();
      form.reset();
      await drawKeys();
    });
  });
  byId("copy-secret").addEventListener("click", async () => {
    const copied = await copyText(byId<HTMLInputElement>("secret").value);
    byId("key-status").textContent = copied ? "Copied." : "Copying is not allowed here: select the key and copy it.";
  });
  byId("secret-done").addEventListener("click", () => {
    byId<HTMLInputElement>("secret").value = "";
    byId("made").hidden = true;
    byId("key-name").focus();
  });
  void shown(drawKeys);
}

// --- login

function login(): void {
  const form = byId<HTMLFormElement>("login");
  const field = byId<HTMLInputElement>("key");
  const enter = (key: string): Promise<void> =>
    shown(async () => {
      await call("POST", "/login", { key: key.trim() });
      field.value = "";
      location.replace("/");
    });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void enter(field.value);
  });
  // the link that `emend serve` prints; the fragment never reaches a server, and is wiped from the history
  const linked = /^#key=(.+)$/.exec(location.hash);
  if (linked?.[1]) {
    history.replaceState(null, "", location.pathname);
    void enter(decodeURIComponent(linked[1]));
  }
}

async function shown(work: () => Promise<void>): Promise<void> {
  clearError();
  try {
    await work();
  } catch (error) {
    showError(error);
  }
}

themes();
logout();
const pages: Record<string, () => void> = {
  login,
  keys,
  jobs: () => listed("jobs"),
  journal: () => listed("journal"),
  journal_entry: journalEntry,
};
pages[document.body.dataset["page"] ?? ""]?.();
