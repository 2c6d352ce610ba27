// Where it is full: every site with a position as a dot in its level's colour over the routes, north up. No tiles.

import { shape } from "/static/chart.js";

const WIDTH = 640, MAX_HEIGHT = 360, MARGIN = 14, MIN_SPAN_DEG = 0.01;

// A degree of longitude shrinks with the cosine of the latitude; over one city that is all the projection needed.
function projection(sites) {
  const lats = sites.map((site) => site.lat), lons = sites.map((site) => site.lon);
  const [south, north, west, east] = [Math.min(...lats), Math.max(...lats), Math.min(...lons), Math.max(...lons)];
  const shrink = Math.cos(((south + north) / 2) * Math.PI / 180);
  const across = Math.max((east - west) * shrink, MIN_SPAN_DEG), down = Math.max(north - south, MIN_SPAN_DEG);
  const scale = Math.min((WIDTH - 2 * MARGIN) / across, (MAX_HEIGHT - 2 * MARGIN) / down);
  const height = down * scale + 2 * MARGIN, left = (WIDTH - across * scale) / 2;
  return { height, place: (site) => [left + (site.lon - west) * shrink * scale, MARGIN + (north - site.lat) * scale] };
}

// Lines are as `/api/map/routes` gives them; what is off the sheet is cut by its edge.
export function map(sites, lines, colourOf, chosen, choose) {
  const placed = sites.filter((site) => site.lat !== null && site.lon !== null)
    .sort((a, b) => (a.load_factor ?? -1) - (b.load_factor ?? -1)); // the fullest on top
  if (placed.length < 2) return null; // one dot on an empty sheet says nothing
  const { height, place } = projection(placed);
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${height.toFixed(0)}`, class: "map", role: "img",
    "aria-label": `Map of ${placed.length} sites, coloured by how full they are; the list below says the same in words.` });
  for (const { geometry } of lines) {
    const points = geometry.coordinates.map(([lon, lat]) => place({ lat, lon }).map((at) => at.toFixed(1)).join(","));
    svg.append(shape("polyline", { class: "route", points: points.join(" ") }));
  }
  for (const site of placed) {
    const [x, y] = place(site);
    const classes = ["dot", site.is_stale ? "silent" : "", site.site_id === chosen ? "chosen" : ""].filter(Boolean);
    const dot = shape("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: site.is_stale ? 3 : 5 + 3 * Math.min(1, site.load_factor ?? 0),
      class: classes.join(" "), fill: colourOf(site) });
    dot.append(shape("title", {}, site.name));
    dot.addEventListener("click", () => choose(site.site_id));
    svg.append(dot);
  }
  return svg;
}
