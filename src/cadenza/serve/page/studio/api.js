// The HTTP API, as the page uses it: JSON in and out, one line for every mistake, lost connections noticed and mended.

export class ApiError extends Error {
  /** `status` 0: nobody answered. `field`: which part of the request the line is about, if it says so. */
  constructor(status, detail) {
    const named = /^(?:body\.)?([a-z_]+)(?:\.[\w.-]+)?: (.+)$/s.exec(detail);
    super(named ? named[2] : detail);
    this.status = status;
    this.field = named?.[1] ?? null;
  }
}

/** Tells "lost", "found" and "key" (this studio wants one). */
export const connection = new EventTarget();
let isLost = false;

function heard(answered) {
  if (isLost === !answered) return;
  isLost = !answered;
  connection.dispatchEvent(new Event(isLost ? "lost" : "found"));
}
export const connected = () => !isLost;

/** A request; answers the Response or raises ApiError. */
export async function ask(method, path, body, options = {}) {
  const init = { method, headers: {}, ...options };
  if (body instanceof FormData) init.body = body;
  else if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    heard(false);
    throw new ApiError(0, "The studio does not answer. Is it still running?");
  }
  heard(true);
  if (response.ok) return response;
  if (response.status === 401) connection.dispatchEvent(new Event("key"));
  let detail = `${response.status} ${response.statusText}`;
  try { detail = (await response.json()).detail ?? detail; } catch { /* no JSON: the status says it */ }
  throw new ApiError(response.status, typeof detail === "string" ? detail : JSON.stringify(detail));
}

export async function get(path, options) { return (await ask("GET", path, undefined, options)).json(); }
export async function post(path, body) { return (await ask("POST", path, body)).json(); }
export async function patch(path, body) { return (await ask("PATCH", path, body)).json(); }

/** A path with its query; empty values are left out. */
export function query(path, values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path;
}

export const OVER = new Set(["done", "cancelled", "failed"]);
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Follow one generation by server-sent events until it is over; `tell` gets each state. Reconnects for as long as it takes. */
export async function follow(id, tell, signal) {
  for (let tries = 0; !signal?.aborted;) {
    try {
      const response = await ask("GET", `/v1/generations/${id}/events`, undefined, { signal, headers: { Accept: "text/event-stream" } });
      for await (const data of events(response.body)) {
        tries = 0;
        const generation = JSON.parse(data);
        tell(generation);
        if (OVER.has(generation.status)) return;
      }
      heard(true);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
      heard(false);
    }
    await sleep(Math.min(5000, 250 * 2 ** tries++));
  }
}

/** The data of each server-sent event of a body (WHATWG HTML, 9.2). */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value.replaceAll("\r", "");
    let end;
    while ((end = rest.indexOf("\n\n")) >= 0) {
      const lines = rest.slice(0, end).split("\n").filter((line) => line.startsWith("data:"));
      rest = rest.slice(end + 2);
      if (lines.length) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
    }
  }
}

/** Bytes of a growing file, as they come; raises when the connection breaks. */
export async function* bytes(path, signal) {
  const response = await ask("GET", path, undefined, { signal });
  const reader = response.body.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield value;
  }
}

export async function upload(blob, name) {
  const form = new FormData();
  form.append("file", blob, name);
  return post("/v1/uploads", form);
}
