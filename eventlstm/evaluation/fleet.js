"use strict";
const body = document.querySelector("#fleet tbody");
const heads = [...document.querySelectorAll("#fleet th")];

function compare(a, b) {
  const x = a.dataset.value, y = b.dataset.value;
  if (x === "" || y === "") return (x === "") - (y === ""); // what is not known comes last, whichever the order
  return a.dataset.kind === "text" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
}

function sortBy(column) {
  const descending = heads[column].getAttribute("aria-sort") === "ascending";
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
  const rows = [...body.rows].sort((one, other) => {
    const [a, b] = [one.cells[column], other.cells[column]];
    const unknown = a.dataset.value === "" || b.dataset.value === "";
    return descending && !unknown ? compare(b, a) : compare(a, b);
  });
  body.append(...rows);
}

heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sortBy(column)));
