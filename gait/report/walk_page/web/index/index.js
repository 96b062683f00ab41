// Sorts and filters the rows of the index.

const table = document.getElementById("trials"), body = table.tBodies[0], rows = [...body.rows];
const heads = [...table.tHead.rows[0].cells], columns = Object.fromEntries(heads.map((head, column) => [head.dataset.key, column]));
const search = document.getElementById("search"), wrong = document.getElementById("wrong"), form = document.getElementById("filters");
const text = (row, column) => row.cells[column].textContent.trim();
const names = new Intl.Collator("en", { numeric: true });

/** Return the number that a cell begins with; NaN if it has none. */
function numberOf(row, column) {
  return Number.parseFloat(text(row, column).replace(/^[<>] /, "").replace("−", "-"));
}

/** Return whether a row is within the limit of an input; what is unknown is not. */
function isWithin(row, { dataset: { least, most }, valueAsNumber }) {
  return least ? numberOf(row, columns[least]) >= valueAsNumber : numberOf(row, columns[most]) <= valueAsNumber;
}

function filter() {
  const word = search.value.trim().toLowerCase(), selects = [...form.querySelectorAll("select")];
  const limits = [...form.querySelectorAll("input[type=number]")].filter((limit) => limit.value !== "");
  let shown = 0;
  for (const row of rows) {
    const fits = selects.every((select) => !select.value || text(row, columns[select.dataset.column]) === select.value)
      && limits.every((limit) => isWithin(row, limit))
      && (!wrong.checked || row.classList.contains("wrong")) && row.textContent.toLowerCase().includes(word);
    row.hidden = !fits;
    shown += fits;
  }
  document.getElementById("count").textContent = `${shown} of ${rows.length} pages`;
}

/** Sort by a column: first up, then down; what is unknown is last. */
function sort(column) {
  const up = heads[column].getAttribute("aria-sort") !== "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
  const isNumber = ["fold", "p", "gps", "residual"].includes(heads[column].dataset.key);
  const known = rows.filter((row) => (isNumber ? Number.isFinite(numberOf(row, column)) : text(row, column) !== "–"));
  const compare = (a, b) => (isNumber ? numberOf(a, column) - numberOf(b, column) : names.compare(text(a, column), text(b, column)));
  known.sort((a, b) => (up ? compare(a, b) : compare(b, a)));
  body.append(...known, ...rows.filter((row) => !known.includes(row)));
}

heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
