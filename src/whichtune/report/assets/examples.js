// Test texts: two rows side by side, filters, pages. Without this script a page has its static lists.
{
  const PAGE = 20;
  const LONG = 500; // characters of a text that stand open
  const UNKNOWN = 255; // no probability is known

  const inflate = async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const raw = new Uint8Array(await new Response(stream).arrayBuffer());
    const end = 4 + new DataView(raw.buffer).getUint32(0, true);
    return { meta: JSON.parse(new TextDecoder().decode(raw.subarray(4, end))), cells: raw.subarray(end) };
  };

  // An element with its class, its text, and what stands in it. Every word of the study becomes text, never markup.
  const el = (tag, name, ...inside) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    made.append(...inside);
    return made;
  };
  const options = (select, pairs) => {
    const before = select.value;
    select.replaceChildren(...pairs.map(([value, title]) => new Option(title, value)));
    if (pairs.some(([value]) => String(value) === before)) select.value = before;
  };
  const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many || `${one}s`}`;
  const add = (map, key, value) => (map.get(key) || map.set(key, []).get(key)).push(value);
  const seedName = (seed) => (seed === null ? "its one run" : `seed ${seed}`);

  // -- classification: what a row, or one seed of it, says of each text -----------------------------------------
  class Classes {
    constructor({ meta, cells }) {
      Object.assign(this, meta);
      this.n = meta.ids.length;
      let run = 0;
      this.runs = meta.rows.map((row) => row.seeds.map(() => run++));
      this.size = run * this.n;
      this.cells = cells;
      this.known = new Map();
    }
    // Of run `r` and text `e`: its answer, its confidence, and the true class's probability, in percent.
    answer(r, e) {
      const at = r * this.n + e;
      const number = this.cells[2 * this.size + at] + 256 * this.cells[3 * this.size + at];
      return number ? number - 1 : this.truth[e];
    }
    confidence(r, e) { return this.cells[r * this.n + e]; }
    ofTruth(r, e) {
      const at = r * this.n + e;
      const right = !this.cells[2 * this.size + at] && !this.cells[3 * this.size + at];
      return right ? this.cells[at] : this.cells[at] === UNKNOWN ? UNKNOWN : this.cells[this.size + at];
    }
    percent(p) {
      const ends = this.step > 1 ? {} : { 100: ">\u00a099", 0: "<\u00a01" };
      return p === UNKNOWN ? "" : `${ends[p] ?? p}\u00a0%`;
    }
    // A row's answer is that of most of its seeds; of two as frequent ones the surer, then the first seed's.
    said(row, seed) {
      const key = `${row}/${seed}`;
      if (!this.known.has(key)) this.known.set(key, this.compute(seed === "" ? this.runs[row] : [this.runs[row][seed]]));
      return this.known.get(key);
    }
    compute(runs) {
      const [answer, votes, sure, truth] = [Int32Array, Int32Array, Uint8Array, Uint8Array].map((Kind) => new Kind(this.n));
      for (let e = 0; e < this.n; e++) {
        const by = new Map();
        for (const r of runs) add(by, this.answer(r, e), this.confidence(r, e));
        const sum = (all) => all.reduce((x, y) => x + y, 0);
        const [most] = [...by].sort((x, y) => y[1].length - x[1].length || sum(y[1]) - sum(x[1]));
        const unknown = runs.some((r) => this.confidence(r, e) === UNKNOWN);
        answer[e] = most[0];
        votes[e] = most[1].length;
        sure[e] = unknown ? UNKNOWN : Math.round(sum(most[1]) / most[1].length);
        truth[e] = unknown ? UNKNOWN : Math.round(sum(runs.map((r) => this.ofTruth(r, e))) / runs.length);
      }
      return { runs, answer, votes, sure, truth };
    }
    // Texts that every seed of these rows gets wrong, with the mean confidence in the wrong answers.
    suspects(rows) {
      const key = rows.join();
      if (this.known.has(key)) return this.known.get(key);
      const runs = rows.flatMap((row) => this.runs[row]);
      const found = [];
      for (let e = 0; e < this.n; e++) {
        if (!runs.every((r) => this.answer(r, e) !== this.truth[e])) continue;
        const sure = runs.map((r) => this.confidence(r, e)).filter((p) => p !== UNKNOWN);
        found.push([e, sure.length ? sure.reduce((a, b) => a + b, 0) / sure.length : UNKNOWN]);
      }
      found.sort((x, y) => (y[1] % UNKNOWN) - (x[1] % UNKNOWN));
      this.known.set(key, found);
      return found;
    }
    // Texts whose answer is not the same in every seed of a row, those with the smallest majority first.
    churn(row) {
      const said = this.said(row, "");
      const found = [];
      for (let e = 0; e < this.n; e++) if (said.votes[e] < said.runs.length) found.push([e, said.sure[e]]);
      return found.sort((x, y) => said.votes[x[0]] - said.votes[y[0]]);
    }
  }

  // -- one section ------------------------------------------------------------------------------------------------
  class Browser {
    constructor(section, data) {
      this.section = section;
      this.form = section.querySelector("form");
      this.field = this.form.elements;
      this.list = section.querySelector(".cards");
      this.data = data;
      this.page = 0;
      this.low = data.ids.map((id, e) => `${id} ${this.words(e)}`.toLocaleLowerCase());
      this.setRows();
      this.start();
      this.form.addEventListener("submit", (event) => event.preventDefault());
      this.form.addEventListener("input", (event) => this.changed(event.target.name));
      this.form.addEventListener("reset", () => setTimeout(() => { this.start(); this.changed(""); }));
      for (const pager of section.querySelectorAll(".pager")) {
        pager.querySelector(".back").addEventListener("click", () => this.turn(-1, pager));
        pager.querySelector(".next").addEventListener("click", () => this.turn(1, pager));
      }
      this.form.hidden = section.querySelector(".browse-results").hidden = false;
      section.querySelector(".browse-static").hidden = true;
      this.show();
    }
    get included() {
      const everyone = this.field.everyone?.checked;
      return this.data.rows.map((_, row) => row).filter((row) => everyone || !this.data.rows[row].out);
    }
    value(name) { return this.field[name].value; }
    row(side) { return Number(this.value(`row-${side}`)); }
    words(e) { return this.data.texts ? this.data.texts[e] : ""; }
    setRows() {
      const rows = this.included.map((row) => [row, this.data.rows[row].label]);
      for (const side of ["a", "b"]) options(this.field[`row-${side}`], rows);
    }
    start() {
      this.setRows();
      const [a, b] = this.data.start;
      this.field["row-a"].value = a;
      this.field["row-b"].value = b ?? a;
      this.began();
    }
    changed(name) {
      if (name === "everyone") this.setRows();
      this.page = 0;
      this.prepare(name);
      this.show();
    }
    turn(by, pager) {
      const last = Math.max(0, Math.ceil(this.found.length / PAGE) - 1);
      const page = Math.min(last, Math.max(0, this.page + by));
      if (page === this.page) return;
      this.page = page;
      this.show();
      if (pager === this.section.querySelector(".pager")) return;
      this.section.querySelector(".browse-count").scrollIntoView({ block: "start" });
      this.list.focus({ preventScroll: true });
    }
    matchesWords(e, words) { return !words || this.low[e].includes(words); }
    show() {
      this.found = this.matching();
      const pages = Math.max(1, Math.ceil(this.found.length / PAGE));
      const first = this.page * PAGE;
      const shown = this.found.slice(first, first + PAGE);
      this.list.start = first + 1;
      this.list.replaceChildren(...shown.map((e) => this.card(e)));
      const here = pages > 1 ? ` Here are ${first + 1} to ${first + shown.length}.` : "";
      this.section.querySelector(".browse-count").textContent =
        `${count(this.found.length, "text")} of ${this.data.n.toLocaleString("en")} ${this.found.length === 1 ? "matches" : "match"}.${here}`;
      for (const pager of this.section.querySelectorAll(".pager")) {
        pager.hidden = pages === 1;
        pager.querySelector(".page").textContent = `Page ${this.page + 1} of ${pages}`;
        pager.querySelector(".back").setAttribute("aria-disabled", String(this.page === 0));
        pager.querySelector(".next").setAttribute("aria-disabled", String(this.page === pages - 1));
      }
    }
    counts(name, of) {
      for (const input of this.form.querySelectorAll(`input[name=${name}]`)) {
        input.parentElement.querySelector(".n").textContent = of(input.value).toLocaleString("en");
      }
    }
    text(e) {
      if (!this.data.texts) return [];
      const whole = this.data.cut[e];
      const shown = this.folding(this.data.texts[e] + (whole ? "…" : "") || "(The text is not stored.)", `the text of example ${this.data.ids[e]}`);
      return whole ? [...shown, el("p", "soft cut", `Cut: the text has ${whole.toLocaleString("en")} characters.`)] : shown;
    }
    // A text, and where it is long a button that shows the rest of it.
    folding(text, what) {
      const quote = el("blockquote", "", text);
      quote.dir = "auto";
      if (text.length <= LONG) return [quote];
      const button = el("button", "more");
      button.type = "button";
      const show = (open) => {
        quote.textContent = open ? text : `${text.slice(0, LONG)}…`;
        button.setAttribute("aria-expanded", String(open));
        button.replaceChildren(open ? "Less" : "More", el("span", "vh", ` of ${what}`));
      };
      button.addEventListener("click", () => show(button.getAttribute("aria-expanded") !== "true"));
      show(false);
      return [quote, button];
    }
    mark(right) {
      const sign = el("span", "", right ? "✓" : "✗");
      sign.setAttribute("aria-hidden", "true");
      return [sign, el("span", "vh", right ? "right: " : "wrong: ")];
    }
  }

  class ClassBrowser extends Browser {
    began() {
      options(this.field.truth, [["", "any"], ...this.data.classes.map((name, c) => [c, name]).filter(([c]) => this.data.truth.includes(c))]);
      if (!this.data.texts) this.section.querySelector(".words").textContent = "Search the ids";
      this.prepare("");
      const differ = this.pairs().filter((e) => this.outcomes(e).includes("differ")).length;
      this.form.querySelector(`input[name=outcome][value=${differ ? "differ" : "all"}]`).checked = true;
    }
    prepare(name) {
      for (const side of ["a", "b"]) {
        const seeds = this.data.rows[this.row(side)].seeds;
        if (name.startsWith("row-") || name === "" || name === "everyone") {
          const each = seeds.map((seed, place) => [place, seedName(seed)]);
          options(this.field[`seed-${side}`], seeds.length > 1 ? [["", `all ${seeds.length}`], ...each] : [["", seedName(seeds[0])]]);
        }
      }
      this.view = this.form.querySelector("input[name=view]:checked").value;
      if (name === "view" && this.view === "churn") this.field["row-a"].value = this.churning();
      this.form.dataset.view = this.view;
      const range = ["low", "high"].map((end) => this.field[end]);
      this.from = range[0].value === "" ? 0 : Number(range[0].value);
      this.to = range[1].value === "" ? 100 : Number(range[1].value);
      this.isRange = range.some((end) => end.value !== "");
      const empty = this.isRange && this.from > this.to;
      for (const end of range) end.setAttribute("aria-invalid", String(empty));
    }
    // The row whose churn is meant: A, or where that has one run the one with the most.
    churning() {
      const able = this.included.filter((row) => this.data.rows[row].seeds.length > 1);
      const most = (row) => this.data.churn(row).length;
      return able.includes(this.row("a")) || !able.length ? this.row("a") : able.reduce((x, y) => (most(y) > most(x) ? y : x));
    }
    get sides() { return ["a", "b"].map((side) => this.data.said(this.row(side), this.value(`seed-${side}`))); }
    within(p) { return !this.isRange || (p !== UNKNOWN && p >= this.from && p <= this.to); }
    plain(e) {
      return (this.value("truth") === "" || this.data.truth[e] === Number(this.value("truth"))) && this.matchesWords(e, this.search);
    }
    pairs() {
      this.search = this.value("words").trim().toLocaleLowerCase();
      const [a, b] = this.sides, whose = this.value("whose"), found = [];
      for (let e = 0; e < this.data.n; e++) {
        const sure = (whose !== "b" && this.within(a.sure[e])) || (whose !== "a" && this.within(b.sure[e]));
        if (sure && this.plain(e)) found.push(e);
      }
      return found;
    }
    outcomes(e) {
      const [a, b] = this.sides, truth = this.data.truth[e];
      const first = a.answer[e] === truth, second = b.answer[e] === truth;
      const one = first && second ? "right" : first ? "a" : second ? "b" : "wrong";
      return a.answer[e] === b.answer[e] ? ["all", one] : ["all", one, "differ"];
    }
    matching() {
      const pairs = this.pairs();
      const suspects = this.data.suspects(this.included);
      const churn = this.data.churn(this.view === "churn" ? this.row("a") : this.churning());
      const listed = { suspects, churn };
      const of = (view) => listed[view].filter(([e, sure]) => this.within(Math.round(sure)) && this.plain(e)).map(([e]) => e);
      const split = new Map();
      for (const e of pairs) for (const name of this.outcomes(e)) add(split, name, e);
      this.counts("outcome", (name) => (split.get(name) || []).length);
      this.counts("view", (name) => (name === "pair" ? pairs.length : of(name).length));
      this.form.querySelector(".sides legend").textContent = this.view === "churn" ? "Row" : "A";
      return this.view === "pair" ? this.ordered(split.get(this.value("outcome")) || []) : of(this.view);
    }
    ordered(found) {
      const [a, b] = this.sides, order = this.value("order");
      const apart = (e) => (a.truth[e] === UNKNOWN || b.truth[e] === UNKNOWN ? -1 : Math.abs(a.truth[e] - b.truth[e]));
      const sure = (e) => Math.max(a.sure[e] % UNKNOWN, b.sure[e] % UNKNOWN);
      const key = { apart, sure }[order];
      return key ? [...found].sort((x, y) => key(y) - key(x)) : found;
    }
    card(e) {
      const truth = el("p", "truth", "True class ", el("b", "", this.data.classes[this.data.truth[e]]), el("span", "soft", `example ${this.data.ids[e]}`));
      const made = el("li", "example", ...this.text(e), truth);
      if (this.view === "pair") made.append(el("div", "two", this.side("a", e), this.side("b", e)));
      if (this.view === "churn") made.append(this.seeds(this.row("a"), e));
      if (this.view === "suspects") made.append(this.everyone(e));
      if (this.view !== "suspects") made.append(this.folded(e));
      return made;
    }
    side(name, e) {
      const row = this.row(name), seed = this.value(`seed-${name}`), said = this.data.said(row, seed);
      const right = said.answer[e] === this.data.truth[e];
      const box = el("div", `answer ${right ? "right" : "wrong"}`);
      const which = seed === "" ? "" : `, ${seedName(this.data.rows[row].seeds[seed])}`;
      box.append(el("p", "who", el("b", "", name.toUpperCase()), ` ${this.data.rows[row].label}${which}`));
      box.append(el("p", "what", ...this.mark(right), ` ${this.data.classes[said.answer[e]]} `, el("span", "soft", this.data.percent(said.sure[e]))));
      const more = [];
      if (!right && said.truth[e] !== UNKNOWN) more.push(`${this.data.classes[this.data.truth[e]]} ${this.data.percent(said.truth[e])}`);
      if (said.runs.length > 1) more.push(`${said.votes[e]} of ${count(said.runs.length, "seed")}`);
      if (more.length) box.append(el("p", "soft", more.join("; ")));
      return box;
    }
    // Who answered what: a line a class, the true class first, then by how many gave it.
    lines(e, said) {
      const truth = this.data.truth[e];
      const order = [...said].sort((x, y) => (y[0] === truth) - (x[0] === truth) || y[1].length - x[1].length);
      return el("dl", "", ...order.map(([c, who]) =>
        el("div", c === truth ? "right" : "wrong", el("dt", "", ...this.mark(c === truth), ` ${this.data.classes[c]}`), el("dd", "", who.join(", ")))));
    }
    seeds(row, e) {
      const said = new Map();
      this.data.runs[row].forEach((r, place) => {
        const sure = this.data.confidence(r, e);
        add(said, this.data.answer(r, e), `${seedName(this.data.rows[row].seeds[place])}${sure === UNKNOWN ? "" : ` (${this.data.percent(sure)})`}`);
      });
      return this.lines(e, said);
    }
    everyone(e) {
      const said = new Map();
      for (const row of this.included) {
        const own = new Map(), seeds = this.data.runs[row].length;
        for (const r of this.data.runs[row]) add(own, this.data.answer(r, e), this.data.confidence(r, e));
        for (const [c, sure] of own) {
          const p = sure.includes(UNKNOWN) ? [] : [this.data.percent(Math.round(sure.reduce((x, y) => x + y, 0) / sure.length))];
          const some = sure.length === seeds ? [] : [`${sure.length} of ${seeds} seeds`];
          const rest = [...p, ...some].join(", ");
          add(said, c, `${this.data.rows[row].label}${rest ? ` (${rest})` : ""}`);
        }
      }
      return this.lines(e, said);
    }
    folded(e) {
      const fold = el("details", "data", el("summary", "", "All rows", el("span", "vh", ` on example ${this.data.ids[e]}`)));
      fold.addEventListener("toggle", () => { if (fold.open && fold.children.length === 1) fold.append(this.everyone(e)); });
      return fold;
    }
  }

  // -- written texts: what two rows wrote, with the example's score in percent ---------------------------------------
  class TextBrowser extends Browser {
    words(e) {
      const { texts, references, written } = this.data;
      return texts ? [texts[e], references[e], ...written.map((row) => row[e])].join(" ") : "";
    }
    began() {
      if (!this.data.texts) this.section.querySelector(".words").textContent = "Search the ids";
    }
    prepare() {}
    scores(e) { return ["a", "b"].map((side) => this.data.scores[this.row(side)][e]); }
    matching() {
      const words = this.value("words").trim().toLocaleLowerCase();
      const split = { all: [], a: [], b: [], same: [] };
      for (let e = 0; e < this.data.n; e++) {
        const [a, b] = this.scores(e);
        if (a === null || b === null || !this.matchesWords(e, words)) continue;
        split.all.push(e);
        split[a > b ? "a" : a < b ? "b" : "same"].push(e);
      }
      this.counts("outcome", (name) => split[name].length);
      const found = split[this.form.querySelector("input[name=outcome]:checked").value];
      const apart = (e) => { const [a, b] = this.scores(e); return -Math.abs(a - b); };
      const low = (e) => { const [a, b] = this.scores(e); return a + b; };
      const key = { apart, low }[this.value("order")];
      return key ? found.sort((x, y) => key(x) - key(y)) : found;
    }
    card(e) {
      const name = el("p", "truth", el("b", "", "Reference"), " ", el("span", "soft", `example ${this.data.ids[e]}`));
      const made = el("li", "example written", name);
      if (this.data.texts) made.append(...this.folding(this.data.references[e], `the reference of example ${this.data.ids[e]}`));
      made.append(el("div", "two", this.side("a", e), this.side("b", e)));
      if (!this.data.texts) return made;
      const fold = el("details", "data", el("summary", "", "The text", el("span", "vh", ` of example ${this.data.ids[e]}`)));
      fold.addEventListener("toggle", () => { if (fold.open && fold.children.length === 1) fold.append(...this.text(e)); });
      made.append(fold);
      return made;
    }
    side(name, e) {
      const row = this.row(name), box = el("div", "answer");
      box.append(el("p", "who", el("b", "", name.toUpperCase()), ` ${this.data.rows[row].label}`));
      box.append(el("p", "what", this.data.scores[row][e].toFixed(1), " ", el("span", "soft", this.data.metric)));
      if (this.data.texts) box.append(...this.folding(this.data.written[row][e] || "(nothing)", `what ${this.data.rows[row].label} wrote for example ${this.data.ids[e]}`));
      return box;
    }
  }

  const begin = async (section) => {
    const data = await inflate(section.querySelector(".browse-data").content.textContent);
    if (data.meta.kind === "classes") new ClassBrowser(section, new Classes(data));
    else new TextBrowser(section, { ...data.meta, n: data.meta.ids.length });
  };
  if ("DecompressionStream" in window) for (const section of document.querySelectorAll("section.browse")) begin(section);
}
