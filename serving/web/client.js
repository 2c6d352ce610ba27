// Talks to the API; asks for a key when the installation wants one. Text only ever reaches the page as text.

const KEY = "plimsoll-api-key", PATIENCE_MS = 30000;
let asking = null;

export class Problem extends Error {
  constructor(problem, status) {
    super(problem.detail ?? `the service answered ${status}`);
    this.status = status;
    this.code = problem.code;
  }
}

export function savedKey(value) {
  // What no header carries is no part of a key: it came along when it was copied.
  if (value !== undefined) sessionStorage.setItem(KEY, value.replace(/[^!-~]/g, ""));
  return sessionStorage.getItem(KEY);
}

export async function ask(path, options = {}) {
  const key = savedKey();
  const headers = { Accept: "application/json", ...(key && { "X-API-Key": key }), ...options.headers };
  const answer = await fetch(path, { ...options, headers, signal: AbortSignal.timeout(PATIENCE_MS) })
    .catch(() => { throw new Problem({ detail: "the service does not answer" }, 0); });
  if (answer.status === 401) {
    asking ??= askForKey().finally(() => { asking = null; });
    await asking;
    return ask(path, options);
  }
  const body = await answer.json().catch(() => null);
  if (answer.ok && body === null) throw new Problem({ detail: "the answer broke off" }, answer.status);
  if (!answer.ok) throw new Problem(body ?? {}, answer.status);
  return body;
}

export const tell = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

function askForKey() {
  const dialog = document.getElementById("key");
  const input = document.getElementById("key-value");
  sessionStorage.removeItem(KEY);
  input.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => { savedKey(input.value); resolve(); }, { once: true });
  });
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.addEventListener("click", value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}
