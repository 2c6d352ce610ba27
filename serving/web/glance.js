// The glance: sites now, one site's next hours, hotspots and what to do about them. Asks again every few seconds.

import { ask, element, tell } from "/static/client.js";
import { chart } from "/static/chart.js";
import { map } from "/static/map.js";

const EVERY_MS = 5000, EVERY_MS_IF_MANY = 15000, MANY = 1000, MORE_ROWS = 100, FORECAST_EVERY_MS = 60000;
const at = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(share * 100)} %`;
const isNarrow = matchMedia("(max-width: 56rem)");
// On a phone the forecast and what to do come below the list: it must not be long.
const state = { sites: [], lines: null, levels: null, chosen: null, forecastAt: 0, rows: isNarrow.matches ? 6 : 25 };

function age(seconds) {
  if (seconds === null) return "never heard";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

// An age that grows while nothing new comes.
const ago = (seconds) => element("span", { "data-since": seconds === null ? null : Date.now() - seconds * 1000 }, age(seconds));

function growOld() {
  for (const one of document.querySelectorAll("[data-since]")) one.textContent = age((Date.now() - one.dataset.since) / 1000);
}

function load(site) {
  if (site.count === null) return site.last_count === null ? "no data" : `no data (was ${site.last_count})`;
  return site.capacity ? `${site.count}/${site.capacity} (${percent(site.load_factor)})` : `${site.count}`;
}

const style = (site) => state.levels.riders[site.rider_level];
const word = (site) => state.levels.kinds[site.kind].words[site.rider_level];

function levelIcon(rider) {
  const icon = element("span", { class: "icon", "aria-hidden": "true" }, rider.icon);
  icon.style.setProperty("--level", rider.colour);
  return icon;
}

function siteRow(site) {
  const fill = element("span", { class: "fill" });
  fill.style.width = `${Math.min(100, (site.load_factor ?? 0) * 100)}%`;
  fill.style.backgroundColor = style(site).colour;
  const route = site.route_id ? `route ${site.route_id}, ` : "";
  return element("li", {}, element("button", {
    type: "button", class: site.is_stale ? "site silent" : "site", "aria-pressed": String(site.site_id === state.chosen),
    "data-site": site.site_id, onclick: () => choose(site.site_id),
  },
  levelIcon(style(site)),
  element("span", { class: "name" }, site.name),
  element("span", { class: "load" }, load(site)),
  element("span", { class: "bar", "aria-hidden": "true" }, fill),
  element("span", { class: "more" }, `${word(site)}, ${route}`, ago(site.age_s))));
}

function showSites() {
  const wanted = at("search").value.trim().toLowerCase(), kind = at("kind").value, order = at("order").value;
  const found = state.sites.filter((site) => (!kind || site.kind === kind)
    && (!wanted || `${site.name} ${site.site_id} ${site.route_id ?? ""}`.toLowerCase().includes(wanted)));
  found.sort((a, b) => (order === "load" ? (b.load_factor ?? -1) - (a.load_factor ?? -1) : 0)
    || a.name.localeCompare(b.name, undefined, { numeric: true }));
  state.chosen ??= (found.find((site) => !site.is_stale) ?? found[0])?.site_id ?? null;
  at("map").replaceChildren(...[map(found, state.lines ?? [], (site) => style(site).colour, state.chosen, choose)].filter(Boolean));
  const focused = document.activeElement?.dataset?.site;
  at("site-list").replaceChildren(...found.slice(0, state.rows).map(siteRow));
  if (focused) at("site-list").querySelector(`[data-site="${CSS.escape(focused)}"]`)?.focus();
  at("more").hidden = found.length <= state.rows;
  const silent = found.filter((site) => site.is_stale).length;
  at("site-count").textContent = found.length
    ? `${Math.min(state.rows, found.length)} of ${found.length} shown, ${silent} not heard lately`
    : state.sites.length ? "Nothing matches." : "No sites yet: they appear with their first event.";
}

async function readSites() {
  const sites = [];
  let cursor = null;
  do {
    const page = await ask(`/api/occupancy/now?limit=5000${cursor ? `&cursor=${cursor}` : ""}`);
    sites.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor);
  state.sites = sites;
  showSites();
}

function choose(siteId) {
  state.chosen = siteId;
  state.forecastAt = 0;
  showSites();
  readForecast();
  if (isNarrow.matches) at("forecast").scrollIntoView({ block: "center" });
}

async function readForecast() {
  const siteId = state.chosen;
  if (siteId === null || Date.now() - state.forecastAt < FORECAST_EVERY_MS) return;
  state.forecastAt = Date.now();
  const site = state.sites.find((one) => one.site_id === siteId);
  const name = element("p", {}, element("strong", {}, site?.name ?? siteId));
  try {
    const hours = await ask(`/api/forecast/hourly?hours=24&site_id=${encodeURIComponent(siteId)}`);
    if (siteId !== state.chosen) return;
    const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: site?.time_zone });
    const peak = hours.reduce((most, hour) => (hour.expected > most.expected ? hour : most));
    const share = peak.load_factor === null ? "" : ` (${percent(peak.load_factor)})`;
    const summary = `Fullest at ${clock.format(new Date(peak.ts))}: about ${peak.predicted}${share}, `
      + `${Math.round(peak.p10)} to ${Math.round(peak.p90)} in 8 of 10 cases.`;
    const made = new Date(hours[0].origin);
    at("forecast").replaceChildren(name, chart(hours, `Expected load of ${site?.name ?? siteId}. ${summary}`,
      (ts) => clock.format(new Date(ts))),
    element("p", {}, summary),
    element("p", { class: "quiet" }, `Band: 80 %. Dotted: the usual week. Times: ${site?.time_zone ?? "local"}. `
      + `Model ${hours[0].model_version}, as of `, ago((Date.now() - made) / 1000), "."));
  } catch (error) {
    if (siteId === state.chosen) at("forecast").replaceChildren(name, element("p", { class: "quiet" }, error.message));
  }
}

// Times are told on the clock of the place they are about: its own, or for a route the one that most sites keep.
function zoneOf(siteId) {
  const zones = state.sites.map((site) => site.time_zone);
  const count = (zone) => zones.filter((other) => other === zone).length;
  return state.sites.find((site) => site.site_id === siteId)?.time_zone
    ?? [...new Set(zones)].reduce((most, zone) => (count(zone) > count(most) ? zone : most), zones[0]);
}

function hotspotCard(hotspot) {
  const clock = { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zoneOf(hotspot.entity_id), timeZoneName: "short" };
  const when = hotspot.source === "forecast"
    ? `expected ${new Date(hotspot.window_from).toLocaleString([], clock)}`
    : `since ${new Date(hotspot.started_at ?? hotspot.first_seen_at).toLocaleString([], clock)}`;
  const peak = hotspot.peak_load_factor > hotspot.load_factor ? `, peak ${percent(hotspot.peak_load_factor)}` : "";
  const minutes = Math.round(hotspot.crowded_passenger_minutes);
  const crowded = minutes ? `${minutes} crowded passenger-minutes, ` : "";
  return element("li", { class: "card" },
    element("h3", {}, hotspot.name, " ", element("span", { class: "tag" }, hotspot.severity)),
    element("p", {}, `${percent(hotspot.load_factor)} full${peak}, ${when}`),
    element("p", { class: "quiet" }, `${crowded}${hotspot.state}, seen `, ago(hotspot.age_s)),
    hotspot.state === "firing" ? element("div", { class: "buttons" }, element("button", {
      type: "button", class: "plain", "aria-label": `Acknowledge: ${hotspot.name}`,
      onclick: () => decide(`/api/hotspots/${hotspot.hotspot_id}/acknowledge`, hotspot.name, "Acknowledge"),
    }, "Acknowledge")) : null);
}

function recommendationCard(item) {
  const buttons = { proposed: ["accept", "dismiss"], accepted: ["execute", "dismiss"] }[item.state] ?? [];
  const avoided = item.expected_effect.crowded_minutes_avoided;
  const effect = !avoided ? "" : `Saves about ${Math.round(avoided)} crowded passenger-minutes. `;
  const label = { accept: "Accept", dismiss: "Dismiss", execute: "Done" };
  return element("li", { class: "card" },
    element("h3", {}, item.summary),
    element("p", { class: "quiet" }, `${effect}Confidence ${percent(item.confidence)}, ${item.state}, `, ago(item.age_s)),
    element("div", { class: "buttons" }, ...buttons.map((verb) => element("button", {
      type: "button", class: verb === "dismiss" ? "plain" : null, "aria-label": `${label[verb]}: ${item.summary}`,
      onclick: () => decide(`/api/recommendations/${item.recommendation_id}/${verb}`, item.summary, label[verb]),
    }, label[verb]))));
}

function decide(path, what, label) {
  const dialog = at("decision"), form = dialog.querySelector("form");
  at("decision-title").textContent = label;
  at("decision-summary").textContent = what;
  at("decision-actor").value = localStorage.getItem("plimsoll-actor") ?? "";
  at("decision-reason").value = at("decision-error").textContent = "";
  form.onsubmit = async (event) => {
    event.preventDefault();
    const actor = at("decision-actor").value, reason = at("decision-reason").value;
    localStorage.setItem("plimsoll-actor", actor);
    try {
      await tell(path, { actor, reason });
      dialog.close();
      await together(readHotspots(true), readRecommendations(true));
    } catch (error) {
      at("decision-error").textContent = error.message;
    }
  };
  dialog.showModal();
}

function fillList(id, page, card, empty, evenInUse) {
  const list = at(id);
  if (!evenInUse && list.contains(document.activeElement)) return; // not under somebody's fingers
  const cards = page.items.map(card);
  if (page.next_cursor) cards.push(element("li", { class: "quiet" }, `There are more than these ${cards.length}.`));
  list.replaceChildren(...(cards.length ? cards : [element("li", { class: "quiet" }, empty)]));
}

async function readHotspots(evenInUse = false) {
  fillList("hotspots", await ask("/api/hotspots?limit=20"), hotspotCard, "Nothing is too full.", evenInUse);
}

async function readRecommendations(evenInUse = false) {
  fillList("recommendations", await ask("/api/recommendations?limit=20"), recommendationCard, "Nothing to do.", evenInUse);
}

async function readHealth() {
  const health = await ask("/health");
  const broken = Object.entries(health.components).filter(([, part]) => part.state !== "ok");
  at("health").title = broken.map(([name, part]) => `${name}: ${part.detail}`).join("\n");
  return broken.length ? `${health.status}: ${broken.map(([name, part]) => `${name} ${part.state}`).join(", ")}` : "all parts ok";
}

async function readLevels() {
  state.levels = await ask("/api/levels");
  const { riders, kinds } = state.levels;
  at("legend").replaceChildren(...Object.entries(riders).map(([name, rider]) => {
    return element("span", {}, levelIcon(rider), " ", [...new Set([kinds.bus, kinds.venue].map((kind) => kind.words[name]))].join(" / "));
  }));
}

async function readLines() {
  if (state.lines !== null) return;
  state.lines = (await ask("/api/map/routes")).features;
  showSites();
}

// What fails keeps nothing else from being read.
async function together(...parts) {
  const ended = await Promise.allSettled(parts);
  const failed = ended.find((part) => part.status === "rejected");
  if (failed) throw failed.reason;
  return ended.map((part) => part.value);
}

async function readPlaces() {
  if (state.levels === null) await readLevels();
  await readSites();
  await together(readLines(), readHotspots(), readRecommendations(), readForecast());
}

async function look() {
  if (!document.hidden) {
    try {
      [at("health").textContent] = await together(readHealth(), readPlaces());
    } catch (error) {
      at("health").textContent = `not up to date: ${error.message}`;
    }
    growOld();
  }
  setTimeout(look, state.sites.length > MANY ? EVERY_MS_IF_MANY : EVERY_MS);
}

for (const id of ["search", "kind", "order"]) at(id).addEventListener("input", showSites);
at("more").addEventListener("click", () => { state.rows += MORE_ROWS; showSites(); });
at("decision-cancel").addEventListener("click", () => at("decision").close());
const first = new URLSearchParams(location.search).get("site");
if (first) state.chosen = first;
look();
