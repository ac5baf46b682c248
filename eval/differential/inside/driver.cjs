// Follows the code under test in one script (see `scripts.py`), as driver.py does in Python: records calls of the
// tests, replays inputs. It knows inputs and never what is expected of them. One line `TOKEN {json}` a record.
const _emendDriver = (task, table) => {
  const { writeSync } = require("node:fs");
  const own = new Set(Object.values(table));
  const limitItems = 3000, limitDepth = 40, limitStream = 300;
  class TooLarge extends Error {}

  const tell = (record) => {
    const bytes = Buffer.from(`\n${task.token} ${JSON.stringify(record)}\n`);
    for (let at = 0; at < bytes.length; ) {
      try {
        at += writeSync(1, bytes, at);
      } catch (error) {
        if (error.code !== "EAGAIN") throw error;
      }
    }
  };

  const encoder = (known = new Map()) => {
    const open = [];
    let items = 0;
    const attributes = (value) => Object.keys(value).sort().map((key) => [key, encode(value[key])]);
    const compound = (value) => {
      if (Array.isArray(value)) return Array.from(value, encode);
      if (value instanceof Map) return { d: [...value].map(([k, v]) => [encode(k), encode(v)]) };
      if (value instanceof Set) return { s: [...value].map(encode) };
      if (value instanceof Date) return { x: ["Date", String(value.getTime())] };
      if (value instanceof RegExp) return { x: ["RegExp", String(value)] };
      if (value instanceof Error) return { x: ["Error", value.name] };
      if (ArrayBuffer.isView(value)) return { x: [value.constructor.name, String(value)] };
      const prototype = Object.getPrototypeOf(value);
      if (prototype === null || prototype === Object.prototype) return { m: attributes(value) };
      return { o: [String(prototype.constructor && prototype.constructor.name), attributes(value)] };
    };
    const encode = (value) => {
      if (++items > limitItems || open.length > limitDepth) throw new TooLarge();
      if (value === undefined) return { u: 1 };
      if (value === null || typeof value === "boolean" || typeof value === "string") return value;
      if (typeof value === "number") return Number.isFinite(value) ? value + 0 : { f: String(value) };
      if (typeof value === "bigint") return { i: value.toString() };
      if (typeof value === "symbol") return { x: ["symbol", String(value)] };
      if (typeof value === "function") return { x: ["callable", ""] };
      if (known.has(value)) return { r: known.get(value) };
      if (open.includes(value)) return { x: ["cycle", String(open.length - open.indexOf(value))] };
      open.push(value);
      try {
        return compound(value);
      } finally {
        open.pop();
      }
    };
    return encode;
  };

  // --- recording: the tests get wrapped functions and classes; depth keeps out calls by the code itself
  const recorded = () => {
    const known = new Map();
    let depth = 0, steps = 0;
    const called = (of, name, given, call) => {
      if (depth || steps >= task.calls) return call();
      const step = { step: steps++, of, name, kwargs: [], raised: "", makes: false };
      try {
        step.args = Array.from(given, encoder(known));
      } catch {
        step.args = null;
      }
      depth++;
      try {
        const result = call();
        const kind = result && typeof result === "object" && result.constructor;
        if (own.has(kind) && !known.has(result)) {
          known.set(result, step.step);
          step.makes = true;
        }
        return result;
      } catch (error) {
        step.raised = String((error && error.name) || "Error");
        throw error;
      } finally {
        depth--;
        tell(step);
      }
    };
    const wrapMembers = (owner, ofThis) => {
      for (const name of Object.getOwnPropertyNames(owner)) {
        const found = Object.getOwnPropertyDescriptor(owner, name);
        if (name === "constructor" || typeof found.value !== "function" || !found.writable) continue;
        owner[name] = function (...given) {
          const of = ofThis(this);
          const call = () => found.value.apply(this, given);
          return of === undefined ? call() : called(of, name, given, call);
        };
      }
    };
    const wrap = ([name, value]) => {
      if (typeof value !== "function") return value;
      if (/^class\b/.test(Function.prototype.toString.call(value))) {
        wrapMembers(value.prototype, (self) => (known.has(self) ? { r: known.get(self) } : undefined));
        wrapMembers(value, () => name);
      }
      return new Proxy(value, {
        apply: (target, self, given) => called(null, name, given, () => Reflect.apply(target, self, given)),
        construct: (target, given) => called(null, name, given, () => Reflect.construct(target, given)),
      });
    };
    return Object.entries(table).map(wrap);
  };

  // --- replaying
  const decode = (value, made) => {
    if (Array.isArray(value)) return value.map((item) => decode(item, made));
    if (value === null || typeof value !== "object") return value;
    const [[tag, inner]] = Object.entries(value);
    if (tag === "r") return made[inner];
    if (tag === "s") return new Set(inner.map((item) => decode(item, made)));
    if (tag === "m") return Object.fromEntries(inner.map(([k, v]) => [k, decode(v, made)]));
    if (tag === "i") return BigInt(inner);
    return tag === "f" ? Number(inner) : undefined;
  };
  const streamOf = (value) => {
    const found = [];
    for (const item of value) if (found.push(item) >= limitStream) break;
    return found;
  };
  const answer = async (step, made, printed) => {
    const owner = step.of === null ? table : typeof step.of === "object" ? made[step.of.r] : table[step.of];
    const given = step.args.map((value) => decode(value, made));
    if (/^class\b/.test(Function.prototype.toString.call(owner[step.name]))) {
      made.push(new owner[step.name](...given));
      return null;
    }
    let result = step.of === null ? (0, owner[step.name])(...given) : owner[step.name](...given);
    if (result && typeof result.then === "function") result = await result;
    made.push(result);
    if (result && typeof result.next === "function") return { g: encoder()(streamOf(result)) };
    if (result !== undefined) return encoder()(result);
    const changed = given.filter((value) => value && typeof value === "object").map((value) => encoder()(value));
    return { n: [changed, printed.join("").slice(0, 4000)] };
  };
  const one = async (steps) => {
    const made = [], answers = [];
    const write = process.stdout.write;
    for (const step of steps) {
      const printed = [];
      process.stdout.write = (text) => Boolean(printed.push(String(text)));
      try {
        answers.push(await answer(step, made, printed));
      } catch (error) {
        answers.push(error instanceof TooLarge ? { large: 1 } : { e: String((error && error.name) || "Error") });
        break;
      } finally {
        process.stdout.write = write;
      }
    }
    return answers;
  };
  const replay = async () => {
    const begun = performance.now();
    for (const [number, steps] of task.inputs) {
      tell({ begin: number });
      if ((performance.now() - begun) / 1000 > task.seconds) break;
      tell({ number, answers: await one(steps) });
    }
  };

  return task.mode === "record" ? recorded() : replay();
};
