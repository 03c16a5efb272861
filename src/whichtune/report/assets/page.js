"use strict";
// Tables that sort, filter and hide columns; the cost box; copy buttons. Without this script everything is there, in the
// order of the page.
const all = (selector, from = document) => [...from.querySelectorAll(selector)];

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const groups = [...table.tBodies].map((body) => [body, [...body.rows]]);
  const original = groups.flatMap(([, rows]) => rows);
  const value = (row, column) => {
    const cell = row.cells[column];
    if (!("sort" in cell.dataset)) return cell.textContent.trim().toLowerCase();
    return cell.dataset.sort === "" ? null : Number(cell.dataset.sort);
  };
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  const restore = () => groups.forEach(([body, rows]) => { body.append(...rows); body.hidden = false; });
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const numbers = original.some((row) => "sort" in row.cells[column].dataset);
      const first = numbers ? "descending" : "ascending";
      const second = numbers ? "ascending" : "descending";
      const now = head.getAttribute("aria-sort");
      const next = now === first ? second : now === second ? null : first;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (!next) return restore();
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const rows = [...original].sort((a, b) => {
        const x = value(a, column), y = value(b, column);
        if (x === null || y === null) return (x === null) - (y === null); // what has no figure stays last
        return sign * compare(x, y);
      });
      groups.forEach(([body], place) => { body.hidden = place > 0; });
      groups[0][0].append(...rows);
    });
  });
}

function tools(section) {
  const table = section.querySelector("table.main"), bar = section.querySelector(".tools");
  const told = bar.querySelector(".told"), filter = bar.querySelector(".filter");
  const heads = all("th[data-key]", table);
  const show = (key, on) => all(`[data-key="${CSS.escape(key)}"]`, table).forEach((cell) => { cell.hidden = !on; });
  for (const head of heads) {
    const box = document.createElement("input"), label = document.createElement("label");
    box.type = "checkbox";
    box.checked = !("off" in head.dataset);
    label.append(box, ` ${head.textContent}`);
    bar.querySelector("fieldset").append(label);
    show(head.dataset.key, box.checked);
    box.addEventListener("change", () => show(head.dataset.key, box.checked));
  }
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase(), rows = all("tbody tr", table);
    rows.forEach((row) => { row.hidden = !row.querySelector(".name").textContent.toLowerCase().includes(wanted); });
    const left = rows.filter((row) => !row.hidden).length;
    told.textContent = wanted ? `${left} of ${rows.length} rows` : "";
  });
  bar.querySelector(".download").addEventListener("click", () => {
    const lines = [table.tHead.rows[0], ...all("tbody tr", table).filter((row) => !row.hidden)].map((row) =>
      [...row.cells].filter((cell) => !cell.hidden).map(written).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
    link.download = "whichtune-table.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  bar.hidden = false;
}

// A cell of the CSV: the figure unrounded where there is one; a text that a spreadsheet would compute has a ' before it.
function written(cell) {
  const name = cell.querySelector(".name, button");
  let text = cell.dataset.sort && Number.isFinite(Number(cell.dataset.sort)) && cell.dataset.key !== "seeds"
    ? cell.dataset.sort : (name || cell).textContent.trim();
  if (/^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text))) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function priced(section) {
  const bar = section.querySelector(".tools");
  const hourly = bar.querySelector(".hourly"), monthly = bar.querySelector(".monthly");
  const shown = (value) => !Number.isFinite(value) ? "–" : value >= 100 ? value.toFixed(0)
    : value >= 1 ? value.toFixed(2) : value === 0 ? "0" : Number(value.toPrecision(2)).toString();
  const compute = () => {
    const price = hourly.value === "" ? NaN : Number(hourly.value);
    const texts = monthly.value === "" ? NaN : Number(monthly.value);
    for (const row of all("tbody tr", section)) {
      const hours = Number(row.dataset.seconds) / 3600;
      const use = row.dataset.ms === "" ? NaN : (Number(row.dataset.ms) * texts) / 3600000;
      row.querySelector(".m").textContent = shown(hours * price);
      row.querySelector(".u").textContent = shown(use);
      row.querySelector(".p").textContent = shown(use * price);
    }
    const study = (Number(section.dataset.study) / 3600) * price;
    section.querySelector(".study").textContent = Number.isFinite(study) ? `The whole study took ${shown(study)}.` : "";
  };
  hourly.addEventListener("input", compute);
  monthly.addEventListener("input", compute);
  bar.hidden = false;
  compute();
}

function copies(button) {
  const text = button.parentElement.querySelector("code");
  button.hidden = false;
  button.addEventListener("click", async () => {
    const before = button.innerHTML;
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text); // a page from a file may not write: the text is marked instead
      button.textContent = "Press Ctrl-C";
    }
    setTimeout(() => { button.innerHTML = before; }, 1500);
  });
}

// A link into something folded opens it.
function unfold() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
}

all("table.sortable").forEach(sortable);
all("#table").forEach(tools);
all("#price").forEach(priced);
all("button.copy").forEach(copies);
addEventListener("hashchange", unfold);
unfold();
