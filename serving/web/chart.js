// A forecast as a small picture: the 80 % band, the expected load, the usual one, and the capacity.

const WIDTH = 520, HEIGHT = 200, LEFT = 34, RIGHT = 8, TOP = 10, BOTTOM = 24;

export function shape(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// A place that is never open at an hour has no usual load then, whatever the mean of other hours says.
const usual = (hour) => (hour.method === "closed" ? 0 : hour.baseline);

export function chart(hours, title, hourOf) {
  const capacity = hours[0].capacity;
  const top = Math.max(1, ...hours.map((hour) => hour.p90), capacity && hours.some((h) => h.p90 > capacity / 2) ? capacity : 0);
  const x = (index) => LEFT + (index / Math.max(1, hours.length - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value / (top * 1.05)) * (HEIGHT - TOP - BOTTOM);
  const line = (values) => values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`);
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": title });
  for (const share of [0, 0.5, 1]) {
    svg.append(shape("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(top * share), y2: y(top * share) }));
    svg.append(shape("text", { x: LEFT - 5, y: y(top * share) + 4, "text-anchor": "end" }, Math.round(top * share)));
  }
  hours.forEach((hour, index) => {
    if (index % Math.ceil(hours.length / 8) === 0) {
      svg.append(shape("text", { x: x(index), y: HEIGHT - 7, "text-anchor": "middle" }, hourOf(hour.ts)));
    }
  });
  const band = [...line(hours.map((hour) => hour.p90)), ...line(hours.map((hour) => hour.p10)).reverse()];
  svg.append(shape("polygon", { class: "band", points: band.join(" ") }));
  if (hours.every((hour) => hour.baseline !== null)) {
    svg.append(shape("polyline", { class: "baseline", points: line(hours.map(usual)).join(" ") }));
  }
  svg.append(shape("polyline", { class: "expected", points: line(hours.map((hour) => hour.expected)).join(" ") }));
  if (capacity && capacity <= top) {
    svg.append(shape("line", { class: "capacity", x1: LEFT, x2: WIDTH - RIGHT, y1: y(capacity), y2: y(capacity) }));
  }
  return svg;
}
