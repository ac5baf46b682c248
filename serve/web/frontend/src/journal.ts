// An entry of the journal: its labels are set and removed, and it is deleted, all by the API.

import { call, clearError, showError } from "./api";
import { byId, confirmed, dataBlock, el } from "./dom";

interface Labels { labels: string[]; suggested: string }

export function journalEntry(): void {
  const path = `/v1/journal/${encodeURIComponent(document.body.dataset["entry"] ?? "")}`;
  const { labels, suggested } = dataBlock<Labels>("label-data") ?? { labels: [], suggested: "" };
  const field = byId<HTMLInputElement>("label");
  const offer = byId<HTMLButtonElement>("suggested");

  const draw = (now: string[]): void => {
    const chips = now.map((label) => {
      const remove = el("button", { type: "button", class: "button quiet", "aria-label": `Remove the label ${label}` }, "×");
      remove.addEventListener("click", () => void change("DELETE", label));
      return el("li", { class: "chip" }, label, remove);
    });
    byId("labels").replaceChildren(...(chips.length ? chips : [el("li", { class: "muted" }, "none")]));
    offer.hidden = !suggested || now.includes(suggested);
    offer.textContent = `Add ${suggested}`;
  };

  const change = async (method: "PUT" | "DELETE", label: string): Promise<void> => {
    clearError();
    try {
      draw((await call<{ labels: string[] }>(method, `${path}/labels/${encodeURIComponent(label)}`)).labels);
      byId("label-status").textContent = method === "PUT" ? `The label ${label} is set.` : `The label ${label} is removed.`;
      if (method === "PUT") field.value = "";
      field.focus(); // what had the focus may be gone
    } catch (error) {
      showError(error);
    }
  };

  byId("new-label").addEventListener("submit", (event) => {
    event.preventDefault();
    void change("PUT", field.value.trim());
  });
  offer.addEventListener("click", () => void change("PUT", suggested));
  byId("delete-entry").addEventListener("click", async () => {
    if (!(await confirmed("Delete this entry, its labels and what was said of its patches?", "Delete"))) return;
    clearError();
    try {
      await call("DELETE", path);
      location.assign("/journal");
    } catch (error) {
      showError(error);
    }
  });
  draw(labels);
}
