// A patch on its way from the candidates to the pages that explain it: in this tab only, the service keeps nothing.

import type { Request, Tests } from "./wire";

export interface Handed { link: string; request: Request; diff: string; tests?: Tests; journal?: string }
const HANDED = "emend-why";

export function hand(handed: Handed): void {
  try {
    sessionStorage.setItem(HANDED, JSON.stringify(handed));
  } catch {
    // storage is off or full: a job's patch is found by its address, any other cannot be
  }
}

export function handed(): Handed | null {
  try {
    return JSON.parse(sessionStorage.getItem(HANDED) ?? "null") as Handed | null;
  } catch {
    return null;
  }
}
