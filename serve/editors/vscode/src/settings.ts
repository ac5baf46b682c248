// Pure parts: how the server is started, and what its answers say. Knows nothing of the vscode module.

/** The settings that stand on the server's command line; the others it asks for itself. */
export interface Started {
  readonly path: string;
  readonly model: string;
}

export interface Start {
  readonly command: string;
  readonly args: readonly string[];
}

/** The command line of the server. A path like `~/bin/emend` is in the home directory. */
export function startOf(given: Started, home: string): Start {
  const path = given.path.trim() || "emend";
  const command = path === "~" || path.startsWith("~/") ? home + path.slice(1) : path;
  const model = given.model.trim();
  return { command, args: model ? ["lsp", "--model", model] : ["lsp"] };
}

export interface Shown {
  readonly text: string;
  readonly tooltip: string;
}

/** What the status bar says after a command, by the server's answer; null where it gave none. */
export function statusOf(answer: unknown): Shown {
  const idle = { text: "Emend", tooltip: "Run the tests and show suspects" };
  if (typeof answer !== "object" || answer === null) {
    return idle;
  }
  const { passed, failing, suspects, candidates } = answer as Record<string, unknown>;
  if (passed === true) {
    return { text: "$(pass) Emend", tooltip: "The tests pass" };
  }
  if (Array.isArray(failing)) {
    return { text: `$(error) Emend: ${failing.length} failing`, tooltip: failing.slice(0, 10).map(String).join("\n") };
  }
  if (Array.isArray(candidates)) {
    const number = candidates.length;
    return { text: number ? `$(lightbulb) Emend: ${number}` : "$(circle-slash) Emend", tooltip: candidates.map(String).join("\n") || "No repair was found" };
  }
  return Array.isArray(suspects) ? { text: "Emend", tooltip: `${suspects.length} suspicious lines` } : idle;
}

/** Whether an answer offers repairs, so that the list of quick fixes is worth opening. */
export function hasCandidates(answer: unknown): boolean {
  const candidates = typeof answer === "object" && answer !== null && "candidates" in answer ? answer.candidates : null;
  return Array.isArray(candidates) && candidates.length > 0;
}

/** Whether a change of these settings needs another server process. */
export function needsRestart(affects: (section: string) => boolean): boolean {
  return affects("emend.path") || affects("emend.model");
}

/** One sentence for a server that cannot be started. */
export function failureOf(command: string, error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  return `Emend's server could not be started (${command}): ${reason}. Install Emend and set emend.path to its command.`;
}
