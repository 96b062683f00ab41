// What the panels share: colours of the page's scheme, text, numbers.

/** Return the colours of the current scheme, from the variables of page.css. */
function pageColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "muted", "faint", "ground", "panel", "accent", "left", "right", "sick", "healthy"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** Call a function whenever the scheme, the size of letters or the printer changes what is drawn. */
function whenLookChanges(act) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", act);
  document.addEventListener("scheme", act);
  matchMedia("print").addEventListener("change", act);
}

/** Return a new element with attributes and children, which are elements or text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Return a table of a caption, heads of columns, and rows whose first cell is their head. */
function createTable(caption, heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map(([first, ...cells]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...cells.map((cell) => element("td", {}, cell))));
  return element("table", {}, element("caption", {}, caption), element("thead", {}, head), element("tbody", {}, ...body));
}

/** Return a number with a true minus sign, with three digits or so many after the point. */
function formatNumber(value, digits = null, signed = false) {
  if (!Number.isFinite(value)) return "–";
  const places = digits ?? Math.max(0, 2 - Math.floor(Math.log10(Math.max(Math.abs(value), 0.01))));
  const text = Math.abs(value).toFixed(Math.min(places, 3));
  const sign = value < 0 && Number(text) !== 0 ? "−" : signed && Number(text) !== 0 ? "+" : "";
  return sign + text;
}

/** Return P(sick) as text: never exactly 0 or 1. */
function formatProbability(value) {
  if (!Number.isFinite(value)) return "unknown";
  return value > 0.99 ? "> 0.99" : value < 0.01 ? "< 0.01" : value.toFixed(2);
}

/** Make a canvas as sharp as the screen; returns its context, in CSS pixels, and its size. */
function sharpCanvas(canvas, width, height) {
  const density = Math.min(Math.max(window.devicePixelRatio || 1, 1), 3);
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.setTransform(density, 0, 0, density, 0, 0);
  return pen;
}
