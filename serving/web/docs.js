// The API's documentation, drawn from /openapi.json: no part of it comes from anywhere else.

import { element, savedKey } from "/static/client.js";

const PROBLEMS = [
  ["unauthenticated", "401", "In production: send an API key as X-API-Key, or as bearer token."],
  ["bad_signature", "401", "The device must sign, and `sig` is missing or does not fit the payload and the device's secret."],
  ["revoked_device", "401", "The device's registration is over, or does not count yet."],
  ["unregistered_device", "401", "In production: register the device before it sends."],
  ["not_found", "404", "There is no such address."],
  ["unknown_site", "404", "The tenant has no active site of that id. GET /api/occupancy/now lists them."],
  ["unknown_device", "404", "The tenant has no device of that id. GET /api/devices lists them."],
  ["unknown_event", "404", "The tenant's calendar has no event of that id. GET /api/calendar-events lists them."],
  ["no_forecast", "404", "The site is known, but nothing was forecast for it; the detail says why."],
  ["unknown_recommendation", "404", "The tenant has no recommendation of that id."],
  ["unknown_hotspot", "404", "The tenant has no hotspot of that id."],
  ["unknown_alert", "404", "The tenant has no alert of that id."],
  ["method_not_allowed", "405", "The address is right, the method is not."],
  ["wrong_state", "409", "It was decided otherwise already, or is not in a state to be decided; the detail says what is possible."],
  ["expired", "409", "It has run out and can no longer be decided."],
  ["already_registered", "409", "The site or device is registered already; the detail says how to change that."],
  ["not_active", "409", "No registration of the device counts now: register it again."],
  ["content_too_large", "413", "The body is larger than this service reads; send less at once."],
  ["too_many", "413", "More events than one request may hold; send them in several."],
  ["unsupported_media_type", "415", "The body came without the header `Content-Type: application/json`."],
  ["invalid_request", "422", "A parameter or the body is not of the documented form; `errors` names the fields."],
  ["invalid_parameter", "422", "A parameter is well-formed but makes no sense here; `errors` names it."],
  ["invalid_site", "422", "The site would not be valid with these changes; `errors` names the field."],
  ["invalid_device", "422", "The registration would end before it begins; `errors` names the field."],
  ["not_json", "422", "What was sent is not valid JSON; the detail says where it breaks off."],
  ["too_deep", "422", "The JSON is nested too deeply."],
  ["missing_field", "422", "The event lacks a field that it must have; `errors` names it."],
  ["invalid_field", "422", "A field of the event has a wrong type, form or range; `errors` names it."],
  ["incomplete", "422", "The event counts nothing: it needs one of the groups of fields that the detail names."],
  ["clock_ahead", "422", "The event lies in the future: set the device's clock."],
  ["clock_behind", "422", "The event lies too far in the past to be true: set the device's clock."],
  ["nul_character", "422", "A text holds a NUL character, which no table can store."],
  ["invalid_extra", "422", "Fields that are not documented hold what cannot be kept."],
  ["too_large", "422", "Fields that are not documented take too much room; send fewer of them."],
  ["no_site", "422", "In production: the device is registered for no site, and the event names none."],
  ["too_fast", "429", "The client has used up its events of a minute; send again after the seconds in Retry-After."],
  ["internal_error", "500", "A fault of the service; the detail carries the reference for its log."],
  ["not_built_yet", "503", "The tables behind the answer do not exist yet: migrate, then run the job refresh_marts."],
  ["database_unavailable", "503", "PostgreSQL does not answer; try again after the seconds in Retry-After."],
  ["broker_unavailable", "503", "Kafka did not acknowledge; send the same again after the seconds in Retry-After, repeats do no harm."],
  ["ingest_off", "503", "This installation has no Kafka: load files, or set one up."],
];
let schemas = {};

const anchor = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
const resolved = (schema) => (schema?.$ref ? schemas[schema.$ref.split("/").pop()] : schema) ?? {};

function inline(text) {
  return text.replace(/\s*\n\s*/g, " ").split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return element("code", {}, part.slice(1, -1));
    return part.startsWith("**") ? element("strong", {}, part.slice(2, -2)) : part;
  });
}

const prose = (text = "") => text.trim().split(/\n\s*\n/).filter(Boolean).map((one) => element("p", {}, ...inline(one)));

function typeOf(schema) {
  const full = resolved(schema);
  if (full.anyOf) return full.anyOf.map(typeOf).join(" or ");
  if (full.oneOf) return full.oneOf.map(typeOf).join(" or ");
  if (full.const !== undefined) return JSON.stringify(full.const);
  if (full.enum) return full.enum.join(" | ");
  if (full.type === "array") return `list of ${typeOf(full.items)}`;
  return [full.type ?? "any", full.format && `(${full.format})`].filter(Boolean).join(" ");
}

function limits(schema) {
  const parts = resolved(schema).anyOf ?? [resolved(schema)];
  const found = parts.flatMap((part) => [
    part.minimum !== undefined && `at least ${part.minimum}`, part.maximum !== undefined && `at most ${part.maximum}`,
    part.maxLength !== undefined && `at most ${part.maxLength} characters`,
  ]).filter(Boolean);
  const preset = resolved(schema).default;
  if (preset !== undefined && preset !== null) found.push(`default ${preset}`);
  const said = found.join(", ");
  return said && `${said[0].toUpperCase()}${said.slice(1)}.`;
}

function fieldsOf(schema, depth = 0) {
  const full = resolved(schema);
  if (full.type === "array") return fieldsOf(full.items, depth);
  if (full.anyOf) return full.anyOf.flatMap((part) => fieldsOf(part, depth));
  if (!full.properties || depth > 2) return [];
  return Object.entries(full.properties).flatMap(([name, field]) => [
    { name, depth, type: typeOf(field), text: field.description ?? resolved(field).description ?? "" },
    ...fieldsOf(field, depth + 1),
  ]);
}

function exampleOf(schema, depth = 0) {
  const full = resolved(schema);
  if (full.examples?.length) return full.examples[0];
  if (full.example !== undefined) return full.example;
  if (full.default !== undefined && full.default !== null) return full.default;
  if (full.const !== undefined) return full.const;
  if (full.enum) return full.enum[0];
  const parts = full.anyOf ?? full.oneOf;
  if (parts) return exampleOf(parts.find((part) => resolved(part).type !== "null") ?? {}, depth);
  if (full.type === "array") return depth > 4 ? [] : [exampleOf(full.items, depth + 1)];
  if (full.properties) {
    return Object.fromEntries(Object.entries(full.properties).map(([name, field]) => [name,
      field.examples?.length ? field.examples[0] : exampleOf(field, depth + 1)]));
  }
  const plain = { integer: 1, number: 0.5, boolean: false, object: {}, null: null };
  const formats = { "date-time": "2026-11-21T08:00:00Z", date: "2026-11-21", uuid: "0b9b4c1e-4b3a-4d3e-9d52-6f0d7c9f1a11" };
  return formats[full.format] ?? (full.type in plain ? plain[full.type] : "text");
}

function table(heads, rows) {
  return element("table", {}, element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", {}, head)))),
    element("tbody", {}, ...rows));
}

function parameterTable(parameters) {
  return table(["Parameter", "Type", "Meaning"], parameters.map((one) => element("tr", {},
    element("td", {}, one.name), element("td", {}, typeOf(one.schema).replace(" or null", "")),
    element("td", {}, ...inline([one.required ? "Required." : "", one.description, limits(one.schema)].filter(Boolean).join(" "))))));
}

function fieldTable(schema) {
  return table(["Field", "Type", "Meaning"], fieldsOf(schema).map((field) => element("tr", {},
    element("td", { class: field.depth ? "deep" : null }, field.name), element("td", {}, field.type),
    element("td", {}, ...inline(field.text)))));
}

function answers(operation) {
  return Object.entries(operation.responses).flatMap(([status, answer]) => {
    const [media, content] = Object.entries(answer.content ?? {})[0] ?? [];
    const parts = [element("h3", {}, `Answer ${status}: ${answer.description}`)];
    if (media?.includes("problem")) return [...parts, element("p", { class: "quiet" }, "A problem, as described below.")];
    if (!content?.schema) return parts;
    if (fieldsOf(content.schema).length) parts.push(fieldTable(content.schema));
    const example = content.example ?? exampleOf(content.schema);
    return [...parts, element("details", {}, element("summary", {}, "Example"),
      element("pre", {}, typeof example === "string" ? example : JSON.stringify(example, null, 2)))];
  });
}

function tryForm(method, path, operation) {
  const inputs = new Map();
  const form = element("form", { class: "try" });
  for (const one of operation.parameters ?? []) {
    const input = element("input", { required: one.required, autocomplete: "off" });
    inputs.set(one, input);
    form.append(element("label", {}, one.name, input));
  }
  const body = Object.values(operation.requestBody?.content ?? {})[0];
  const area = body && element("textarea", { "aria-label": "Body (JSON)" });
  if (area) {
    area.value = JSON.stringify(body.example ?? exampleOf(body.schema), null, 2);
    form.append(area);
  }
  const said = element("pre", { hidden: true, tabindex: "0", "aria-live": "polite" });
  form.append(element("button", { type: "submit" }, "Try it"), said);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let url = path;
    const query = new URLSearchParams();
    for (const [one, input] of inputs) {
      if (one.in === "path") url = url.replace(`{${one.name}}`, encodeURIComponent(input.value));
      else if (input.value !== "") query.set(one.name, input.value);
    }
    if (query.size) url += `?${query}`;
    said.hidden = false;
    said.textContent = await send(method, url, area?.value);
  });
  return form;
}

async function send(method, url, body) {
  const key = savedKey();
  const headers = { ...(body && { "Content-Type": "application/json" }), ...(key && { "X-API-Key": key }) };
  const started = performance.now();
  try {
    const answer = await fetch(url, { method: method.toUpperCase(), headers, body });
    const text = await answer.text();
    const head = `${method.toUpperCase()} ${url}\n${answer.status} ${answer.statusText}, ${Math.round(performance.now() - started)} ms\n\n`;
    try {
      return head + JSON.stringify(JSON.parse(text), null, 2).slice(0, 20000);
    } catch {
      return head + text.slice(0, 20000);
    }
  } catch (error) {
    return `No answer: ${error.message}`;
  }
}

function operationDetails(method, path, operation) {
  const id = anchor(`${method} ${path}`);
  return element("details", { id },
    element("summary", {}, element("span", { class: "method" }, method.toUpperCase()), element("code", {}, path), ` ${operation.summary ?? ""}`),
    ...prose(operation.description?.replace(`${operation.summary}.`, "")),
    ...(operation.parameters?.length ? [parameterTable(operation.parameters)] : []),
    ...answers(operation),
    element("h3", {}, "Try it"), tryForm(method, path, operation));
}

function problemsSection() {
  return element("section", { "aria-labelledby": "problems" }, element("h2", { id: "problems" }, "Problems"),
    ...prose("Every error is `application/problem+json` (RFC 9457). A list of events ends in one when all are refused; " +
      "otherwise the answer is 207 and names each that is refused, by the same codes."),
    fieldTable(schemas.Problem),
    table(["Code", "Status", "Meaning"], PROBLEMS.map(([code, status, text]) => element("tr", { id: `problem-${code}` },
      element("td", {}, code), element("td", {}, status), element("td", {}, ...inline(text))))));
}

function keySection() {
  const input = element("input", { type: "password", autocomplete: "off", value: savedKey() ?? "" });
  input.addEventListener("change", () => savedKey(input.value));
  const form = element("form", {},
    element("label", {}, "API key for trying things in production (kept until this tab is closed) ", input));
  form.addEventListener("submit", (event) => event.preventDefault());
  return form;
}

async function draw() {
  const document_ = await (await fetch("/openapi.json")).json();
  schemas = document_.components.schemas;
  const operations = Object.entries(document_.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation, tag: operation.tags?.[0] })));
  const sections = document_.tags.map((tag) => ({ ...tag, operations: operations.filter((one) => one.tag === tag.name) }))
    .filter((tag) => tag.operations.length);
  document.getElementById("contents").replaceChildren(...sections.flatMap((tag) => [
    element("strong", {}, tag.name),
    element("ul", {}, ...tag.operations.map(({ method, path }) =>
      element("li", {}, element("a", { href: `#${anchor(`${method} ${path}`)}` }, `${method.toUpperCase()} ${path}`)))),
  ]), element("a", { href: "#problems" }, "Problems"));
  document.getElementById("operations").replaceChildren(
    element("section", {}, ...prose(document_.info.description), keySection()),
    ...sections.map((tag) => element("section", {}, element("h2", {}, tag.name), ...prose(tag.description),
      ...tag.operations.map(({ method, path, operation }) => operationDetails(method, path, operation)))),
    problemsSection());
  openAnchor();
}

function openAnchor() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") target.open = true;
  target?.scrollIntoView();
}

addEventListener("hashchange", openAnchor);
draw().catch(() => {
  document.getElementById("operations").textContent = "/openapi.json cannot be read; load this page again when the service answers.";
});
