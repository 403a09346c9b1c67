/**
 * The table of recordings: one row each, sortable, a click opens.
 *
 * @typedef {import("./job.js").Job} Job
 */

import { make, say } from "./dom.js";
import { signOf } from "./faces.js";
import { paint } from "./palette.js";

/** What each column sorts by; what is not known yet comes last. @type {Record<string, (job: Job) => string | number | undefined>} */
const COLUMNS = {
  file: (job) => job.path,
  length: (job) => job.duration_s || undefined,
  answer: (job) => (job.analysis ? job.analysis.whole.label : undefined),
  probability: (job) => job.analysis?.whole.probability,
  shares: (job) => job.analysis?.shares[0]?.share,
};

export class FileTable {
  /** @type {HTMLTableElement} */
  element = make("table", "file-table");

  #body = make("tbody");
  /** @type {Map<Job, {row: HTMLTableRowElement, shown: string}>} */
  #rows = new Map();
  #heads = new Map();
  #sort = { column: "", down: false };
  #actions;
  #options;
  #texts;
  #opened = null;

  /**
   * @param {{open: (job: Job) => void, cancel: (job: Job) => void, retry: (job: Job) => void, remove: (job: Job) => void}} actions
   * @param {{theme: () => "light" | "dark"}} options
   * @param {import("./texts.js").Texts} texts
   */
  constructor(actions, options, texts) {
    [this.#actions, this.#options, this.#texts] = [actions, options, texts];
    const head = make("tr");
    for (const column of Object.keys(COLUMNS)) {
      const button = make("button", "sort");
      button.type = "button";
      button.dataset.text = `files.column.${column}`;
      button.addEventListener("click", () => this.#sortBy(column));
      const cell = make("th", `column-${column}`, button);
      cell.scope = "col";
      this.#heads.set(column, cell);
      head.append(cell);
    }
    const actionsHead = make("th", "column-actions", make("span", "visually-hidden"));
    actionsHead.scope = "col";
    actionsHead.firstChild.dataset.text = "files.column.actions";
    head.append(actionsHead);
    const caption = make("caption", "visually-hidden");
    caption.dataset.text = "files.table";
    this.element.append(caption, make("thead", "", head), this.#body);
  }

  /** Show these jobs, in this order unless another one is chosen. @param {Job[]} jobs @param {Job | null} opened */
  render(jobs, opened) {
    this.#opened = opened;
    const kept = new Set(jobs);
    const held = this.#body.contains(document.activeElement) ? document.activeElement : null;
    const place = held ? [...this.#body.rows].indexOf(held.closest("tr")) : -1;
    for (const [job, { row }] of this.#rows) {
      if (kept.has(job)) continue;
      row.remove();
      this.#rows.delete(job);
    }
    for (const job of jobs) this.update(job);
    const rows = this.#sorted(jobs).map((job) => this.#rows.get(job).row);
    // Moved rows lose the focus: they stay where they are if their order is right.
    if (rows.some((row, i) => this.#body.rows[i] !== row)) {
      this.#body.replaceChildren(...rows);
      held?.focus();
    }
    // Whoever removes one row after the other does not begin at the top of the page each time.
    if (held && !this.#body.contains(document.activeElement)) focusOn(this.#body.rows[Math.min(place, rows.length - 1)], held.dataset.action);
  }

  /** Write everything anew, after a change of language or theme. */
  redraw() {
    this.#texts.apply(this.element);
    for (const [job, known] of this.#rows) {
      known.shown = "";
      this.update(job);
    }
  }

  /** Show what has become of a job. @param {Job} job */
  update(job) {
    const known = this.#rows.get(job) ?? this.#add(job);
    known.row.classList.toggle("opened", job === this.#opened);
    // A row that looks the same is left alone, but for its progress.
    if (known.shown !== job.state) {
      known.shown = job.state;
      this.#fill(known.row, job);
    }
    const progress = known.row.querySelector("progress");
    if (progress) progress.value = job.progress;
  }

  #add(job) {
    const row = make("tr");
    row.addEventListener("click", (event) => {
      // Its buttons have purposes of their own.
      if (!event.target.closest("button") && job.state === "done") this.#actions.open(job);
    });
    const known = { row, shown: "" };
    this.#rows.set(job, known);
    return known;
  }

  #fill(row, job) {
    const texts = this.#texts;
    row.className = `job ${job.state}`;
    row.classList.toggle("opened", job === this.#opened);
    const held = row.contains(document.activeElement) ? document.activeElement.dataset.action : null;
    const length = make("td", "number", job.duration_s ? texts.duration(job.duration_s) : "");
    row.replaceChildren(this.#name(job), length, ...this.#outcome(job), make("td", "row-actions", ...this.#buttons(job)));
    if (held) focusOn(row, held);
  }

  #name(job) {
    const cell = make("th", "file-name");
    cell.scope = "row";
    if (job.state === "done") {
      const button = make("button", "link", job.path);
      button.type = "button";
      button.dataset.action = "open";
      button.addEventListener("click", () => this.#actions.open(job));
      cell.append(button);
    } else {
      cell.append(job.path);
    }
    return cell;
  }

  /** Return the cells of answer, probability and shares; one for all three where there is no answer. */
  #outcome(job) {
    const texts = this.#texts;
    if (job.state !== "done") {
      const cell = make("td", job.state);
      cell.colSpan = 3;
      if (job.state === "working") {
        const progress = Object.assign(make("progress"), { max: 1, value: job.progress });
        progress.ariaLabel = texts.t("files.working", { name: job.path });
        cell.append(progress);
      } else {
        cell.append(job.failure ? texts.t(job.failure.key, job.failure.values) : texts.t(`files.${job.state}`));
      }
      return [cell];
    }
    const { whole, windows, shares } = job.analysis;
    if (!windows.length) return [make("td", "", texts.t("files.no-voice")), make("td"), make("td")];
    const answer = make("span", "label-chip", make("span", "swatch"), texts.label(whole.label));
    paint(answer, whole.label, this.#options.theme());
    return [make("td", "", answer), make("td", "number", texts.percent(whole.probability)), make("td", "", this.#bar(shares))];
  }

  #bar(shares) {
    const texts = this.#texts;
    const bar = make("span", "share-bar");
    bar.role = "img";
    bar.ariaLabel = bar.title = shares
      .map(({ label, share }) => texts.t("files.share", { label: texts.label(label), share: texts.percent(share) }))
      .join(", ");
    for (const { label, share } of shares) {
      const part = make("span", "share-part");
      part.style.flexGrow = String(share);
      paint(part, label, this.#options.theme());
      bar.append(part);
    }
    return bar;
  }

  #buttons(job) {
    const button = (action, sign) => {
      const element = make("button", "button icon");
      element.type = "button";
      element.dataset.action = action;
      element.ariaLabel = element.title = this.#texts.t(`files.${action}`, { name: job.path });
      element.append(signOf(sign));
      element.addEventListener("click", () => this.#actions[action](job));
      return element;
    };
    if (job.isPending) return [button("cancel", "remove")];
    const remove = button("remove", "remove");
    return job.state === "done" ? [remove] : [button("retry", "recovering"), remove];
  }

  #sortBy(column) {
    const { column: before, down } = this.#sort;
    // Numbers are mostly looked at from the top, names from the beginning.
    const first = column !== "file" && column !== "answer";
    this.#sort = { column, down: column === before ? !down : first };
    for (const [name, cell] of this.#heads) cell.ariaSort = name === column ? (this.#sort.down ? "descending" : "ascending") : null;
    this.#body.append(...this.#sorted([...this.#rows.keys()]).map((job) => this.#rows.get(job).row));
  }

  #sorted(jobs) {
    const { column, down } = this.#sort;
    if (!column) return jobs;
    const collator = new Intl.Collator(this.#texts.language, { numeric: true });
    const value = COLUMNS[column];
    return [...jobs].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
      const order = typeof a === "string" ? collator.compare(a, b) : a - b;
      return down ? -order : order;
    });
  }
}

/** Give the keyboard a row's button, or what there is instead of it. @param {HTMLTableRowElement | undefined} row @param {string} action */
function focusOn(row, action) {
  (row?.querySelector(`[data-action="${action}"]`) ?? row?.querySelector(".row-actions button"))?.focus();
}
