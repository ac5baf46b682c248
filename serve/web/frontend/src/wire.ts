// The JSON of serve/wire.py and serve/wire_jobs.py, as far as the page reads and writes it.

export interface FileIn { path: string; text: string }
export interface Span { start_line: number; start_column: number; end_line: number; end_column: number }
export interface Fault { path: string; span: Span; suspiciousness: number; reasons: string[] }
export interface EditOut { path: string; span: Span; text: string }
export interface Tests {
  status: "passed" | "failed" | "not run";
  passed: number;
  failed: number;
  runs: number;
  failing: string[];
  reason: string;
}
export interface Patch { diff: string; edits: EditOut[]; score: number; verdict: string; origin: string; tests: Tests }
export interface Cost {
  seconds: number;
  prompt_tokens: number;
  completion_tokens: number;
  test_runs: number;
  candidates: number;
}
export interface Localization { id: string; fault: Fault[]; no_fault: number | null; model: string }
export interface Repair extends Localization { cost: Cost; patches: Patch[]; chosen: number | null; notes: string[] }
export interface Problem {
  title: string;
  status: number;
  detail: string;
  errors?: { field: string; message: string }[];
}
export type State = "queued" | "running" | "succeeded" | "failed" | "cancelled" | "infra_error";
export interface Job { id: string; kind: string; state: State; label: string; result: Repair | null; error: Problem | null }
export interface Request {
  files: FileIn[];
  error?: string;
  test?: { command?: string; files?: FileIn[] };
  budget?: { candidates?: number; seconds?: number };
  options?: { model?: string; adapter?: string };
}
export interface Model {
  name: string;
  description: string;
  adapters: string[];
  default: boolean;
  location_probabilities: boolean;
}
export interface Key {
  id: string;
  name: string;
  scopes: string[];
  created: string;
  expires: string | null;
  revoked: boolean;
  last_used: string | null;
}

export const ENDED: ReadonlySet<string> = new Set(["succeeded", "failed", "cancelled", "infra_error"]);
export const STATE_WORDS: Record<State, string> = {
  queued: "queued",
  running: "running",
  succeeded: "done",
  failed: "failed",
  cancelled: "cancelled",
  infra_error: "could not run",
};
