// Sorts and filters the rows of the index.

const COLUMNS = { label: 1, fold: 2, verdict: 4 };
const table = document.getElementById("trials"), body = table.tBodies[0], rows = [...body.rows];
const search = document.getElementById("search"), wrong = document.getElementById("wrong"), form = document.getElementById("filters");
const text = (row, column) => row.cells[column].textContent.trim();
const names = new Intl.Collator("en", { numeric: true });

/** Return the number that a cell begins with; NaN if it has none. */
function numberOf(row, column) {
  return Number.parseFloat(text(row, column).replace(/^[<>] /, "").replace("−", "-"));
}

function filter() {
  const word = search.value.trim().toLowerCase(), selects = [...form.querySelectorAll("select")];
  let shown = 0;
  for (const row of rows) {
    const fits = selects.every((select) => !select.value || text(row, COLUMNS[select.dataset.column]) === select.value)
      && (!wrong.checked || row.classList.contains("wrong")) && row.textContent.toLowerCase().includes(word);
    row.hidden = !fits;
    shown += fits;
  }
  document.getElementById("count").textContent = `${shown} of ${rows.length} trials`;
}

/** Sort by a column: first up, then down; what is unknown is last. */
function sort(column) {
  const heads = [...table.tHead.rows[0].cells], up = heads[column].getAttribute("aria-sort") !== "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
  const isNumber = ["fold", "p", "gps", "residual"].includes(heads[column].dataset.key);
  const known = rows.filter((row) => (isNumber ? Number.isFinite(numberOf(row, column)) : text(row, column) !== "–"));
  const compare = (a, b) => (isNumber ? numberOf(a, column) - numberOf(b, column) : names.compare(text(a, column), text(b, column)));
  known.sort((a, b) => (up ? compare(a, b) : compare(b, a)));
  body.append(...known, ...rows.filter((row) => !known.includes(row)));
}

[...table.tHead.rows[0].cells].forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
