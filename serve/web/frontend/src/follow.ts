// A job's events, each once, across lost connections. The browser resumes by Last-Event-ID; where it gives up, we ask again.

import { Refused, call } from "./api";
import { ENDED, type Job, type Localization, type Patch, type Problem, type Repair, type State } from "./wire";

export interface Told {
  state(state: State): void;
  /** A new attempt has begun: the candidates of the one before count no more. */
  again(): void;
  suspects(found: Localization): void;
  candidate(patch: Patch): void;
  result(result: Repair): void;
  problem(problem: Problem): void;
  lost(lost: boolean): void;
  gone(error: unknown): void;
}

const AGAIN_MS = 2000;

/** Follow until the job has ended; the function that comes back stops it. */
export function follow(job: string, told: Told): () => void {
  let source: EventSource | null = null;
  let seen = 0;
  let attempt = 0;
  let stopped = false;
  let waiting = 0;

  function stop(): void {
    stopped = true;
    clearTimeout(waiting);
    source?.close();
  }

  function open(): void {
    const from = new EventSource(`/v1/jobs/${encodeURIComponent(job)}/events`);
    source = from;
    const on = (name: string, use: (data: unknown) => void): void =>
      from.addEventListener(name, (event) => {
        if (!(event instanceof MessageEvent) || stopped) return;
        const number = Number(event.lastEventId);
        if (number > 0 && number <= seen) return; // told before the connection was lost
        seen = Math.max(seen, number || 0);
        use(JSON.parse(String(event.data)));
      });
    on("state", (data) => {
      const now = data as { state: State; attempt: number };
      if (attempt > 0 && now.attempt > attempt) told.again();
      attempt = Math.max(attempt, now.attempt);
      const { state } = now;
      told.state(state);
      if (ENDED.has(state)) stop();
    });
    on("suspects", (data) => told.suspects(data as Localization));
    on("candidate", (data) => told.candidate(data as Patch));
    on("result", (data) => told.result(data as Repair));
    on("error", (data) => told.problem(data as Problem));
    from.addEventListener("open", () => told.lost(false));
    from.addEventListener("error", (event) => {
      if (event instanceof MessageEvent || stopped) return;
      told.lost(true);
      void look(from);
    });
  }

  /** What became of the job meanwhile; its events may have been tidied away, its answer not. */
  async function look(from: EventSource): Promise<void> {
    try {
      const now = await call<Job>("GET", `/v1/jobs/${encodeURIComponent(job)}`);
      if (!stopped && ENDED.has(now.state)) {
        stop();
        told.lost(false);
        if (now.result) told.result(now.result);
        if (now.error) told.problem(now.error);
        told.state(now.state);
      }
    } catch (error) {
      if (error instanceof Refused && [401, 403, 404].includes(error.problem.status)) {
        if (!stopped) told.gone(error);
        stop();
        return;
      }
    }
    if (!stopped && from === source && from.readyState === EventSource.CLOSED) waiting = window.setTimeout(open, AGAIN_MS);
  }

  open();
  return stop;
}
