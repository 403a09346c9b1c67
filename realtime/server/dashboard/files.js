/** The view of files: drop them, choose them, see the table, open one. */

import { filesOfChoice, filesOfDrop } from "./chooser.js";
import { AUDIO_ENDINGS } from "./decode.js";
import { make, say } from "./dom.js";
import { downloadButtons } from "./download.js";
import { Job, Queue } from "./job.js";
import { RecordingView, stemOf } from "./recording.js";
import { FileTable } from "./table.js";
import "./texts-files.js";

/** Files that are decoded and sent at a time: one computes while the other is on its way. */
const AT_ONCE = 2;

/**
 * Fill the view of files.
 *
 * @param {HTMLElement} root
 * @param {import("./app.js").Options} options
 * @param {import("./texts.js").Texts} texts
 */
export function mountFiles(root, options, texts) {
  new FilesView(root, options, texts);
}

class FilesView {
  /** @type {Job[]} */
  #jobs = [];
  /** The one that is opened as soon as it is done. @type {Job | null} */
  #awaited = null;
  #root;
  #options;
  #texts;
  #queue;
  #table;
  #recording;
  #drop = make("div", "drop panel");
  #list = make("section", "list panel");
  #invitation = make("p", "drop-words");
  #complaint = make("p", "complaint");
  #count = make("p", "count");
  #cancel = textButton("files.cancel-all", "button cancel-all", () => this.#cancelThese(this.#jobs));
  #content = make("select", "content");
  #clear = textButton("files.clear", "button clear", () => this.#remove(this.#jobs));
  #downloads;
  #live = make("p", "visually-hidden announcements");
  #frame = 0;

  constructor(root, options, texts) {
    [this.#root, this.#options, this.#texts] = [root, options, texts];
    this.#queue = new Queue(AT_ONCE, (job) => job.run(options, () => this.#note(job)));
    const actions = {
      open: (job) => this.#open(job, true),
      cancel: (job) => this.#cancelThese([job]),
      retry: (job) => this.#retry(job),
      remove: (job) => this.#remove([job]),
    };
    this.#table = new FileTable(actions, options, texts);
    this.#recording = new RecordingView(options, texts);
    const what = () => ({ name: this.#exportName, analyses: this.#done.map(({ analysis }) => analysis), whole: this.#content.value === "whole" });
    this.#downloads = downloadButtons("files.download-all", what, texts);
    this.#build();
    this.#takeDrops();
    texts.onChange(() => this.#redraw());
    options.onTheme(() => this.#redraw());
    addEventListener("hashchange", () => this.#root.hidden && this.#recording.pause());
    this.#redraw();
  }

  #build() {
    const heading = make("h2", "visually-hidden");
    heading.id = "files-heading";
    heading.dataset.text = "page.files";
    this.#root.setAttribute("aria-labelledby", heading.id);
    const formats = make("p", "formats");
    formats.dataset.text = "files.formats";
    this.#invitation.dataset.text = "files.drop";
    this.#complaint.role = "alert";
    this.#live.role = "status";
    const files = fileInput({ multiple: true, accept: `audio/*,${AUDIO_ENDINGS.join(",")}` });
    const folder = fileInput({ webkitdirectory: true });
    for (const input of [files, folder]) {
      input.addEventListener("change", () => {
        this.#add(filesOfChoice(input.files));
        // So that the same file can be chosen again.
        input.value = "";
      });
    }
    const buttons = make("div", "drop-buttons",
      textButton("files.choose", "button primary choose-files", () => files.click()),
      textButton("files.choose-folder", "button choose-folder", () => folder.click()));
    this.#drop.append(this.#invitation, buttons, formats, files, folder);
    for (const [value, key] of [["timeline", "files.timelines"], ["whole", "files.wholes"]]) {
      const option = new Option("", value);
      option.dataset.text = key;
      this.#content.append(option);
    }
    this.#content.dataset.label = "files.content";
    this.#downloads.insertBefore(this.#content, this.#downloads.children[1]);
    const head = make("header", "list-head", this.#count, this.#cancel, this.#downloads, this.#clear);
    this.#list.append(head, make("div", "table-box", this.#table.element));
    this.#root.append(heading, this.#drop, this.#complaint, this.#list, this.#recording.element, this.#live);
  }

  /** Take what is dropped anywhere on the view, so that a near miss does not replace the page by a sound player. */
  #takeDrops() {
    const carriesFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
    document.addEventListener("dragover", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      this.#drop.classList.add("ready");
    });
    document.addEventListener("dragleave", (event) => event.relatedTarget ?? this.#drop.classList.remove("ready"));
    document.addEventListener("drop", async (event) => {
      this.#drop.classList.remove("ready");
      if (!carriesFiles(event)) return;
      event.preventDefault();
      if (this.#root.hidden) location.hash = "#files";
      this.#add(await filesOfDrop(event.dataTransfer));
    });
  }

  #add({ found, empty }) {
    say(this.#complaint, empty.map((name) => this.#texts.t("files.none", { name })).join(" "));
    if (!found.length) return;
    const jobs = found.map(({ file, path }) => new Job(file, path));
    this.#jobs.push(...jobs);
    // One file is there to be looked at; of many, somebody chooses.
    if (jobs.length === 1) this.#awaited = jobs[0];
    this.#render();
    this.#queue.add(jobs);
  }

  #note(job) {
    if (job.state === "done" && this.#awaited === job) this.#open(job, false);
    if (!job.isPending) this.#announce(job);
    if (job.failure?.key === "files.error.lost") this.#options.suspect?.();
    // Progress comes more often than pictures.
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#render());
  }

  #announce(job) {
    const texts = this.#texts;
    if (job.failure) {
      say(this.#live, texts.t("files.failed", { name: job.path, why: texts.t(job.failure.key, job.failure.values) }));
    } else if (job.state === "done" && this.#jobs.length === 1) {
      const { label, probability } = job.analysis.whole;
      const answer = job.analysis.windows.length ? texts.label(label) : texts.t("files.no-voice");
      say(this.#live, texts.t("files.done", { name: job.path, label: answer, share: texts.percent(probability) }));
    } else if (!this.#jobs.some(({ isPending }) => isPending)) {
      say(this.#live, texts.t("files.all-done"));
    }
  }

  #open(job, wanted) {
    this.#awaited = null;
    this.#recording.show(job);
    this.#render();
    if (wanted) this.#recording.focus();
  }

  #cancelThese(jobs) {
    const hadFocus = document.activeElement === this.#cancel;
    jobs.forEach((job) => job.cancel());
    this.#render();
    // The button that was pressed is hidden now. Not to the one that removes all: it may be pressed twice.
    if (hadFocus && this.#cancel.hidden) this.#drop.querySelector("button").focus({ preventScroll: true });
  }

  #retry(job) {
    job.reset();
    this.#render();
    this.#queue.add([job]);
  }

  #remove(jobs) {
    const gone = new Set(jobs);
    jobs.forEach((job) => job.cancel());
    this.#jobs = this.#jobs.filter((job) => !gone.has(job));
    if (gone.has(this.#recording.job)) this.#recording.show(null);
    this.#render();
    // The button that was pressed is hidden now.
    if (!this.#jobs.length) this.#drop.querySelector("button").focus();
  }

  get #done() {
    return this.#jobs.filter(({ state }) => state === "done");
  }

  /** What a file with all of them is called: like their folder, where they have one in common. */
  get #exportName() {
    const done = this.#done;
    if (done.length === 1) return stemOf(done[0].path);
    const folders = new Set(done.map(({ path }) => (path.includes("/") ? path.split("/")[0] : "")));
    return (folders.size === 1 && [...folders][0]) || "tonewatch";
  }

  #redraw() {
    this.#texts.apply(this.#root);
    this.#table.redraw();
    this.#recording.render();
    this.#render();
  }

  #render() {
    const texts = this.#texts;
    const [n, done] = [this.#jobs.length, this.#done.length];
    const nPending = this.#jobs.filter(({ isPending }) => isPending).length;
    const nFailed = this.#jobs.filter(({ failure }) => failure).length;
    this.#root.classList.toggle("has-files", n > 0);
    this.#invitation.dataset.text = n ? "files.drop-more" : "files.drop";
    texts.apply(this.#invitation);
    this.#list.hidden = n === 0;
    const words = [nPending ? texts.t("files.progress", { done, n }) : texts.t("files.count", { n })];
    if (nFailed) words.push(texts.t("files.failures", { n: nFailed }));
    say(this.#count, words.join(" · "));
    this.#cancel.hidden = nPending === 0;
    this.#downloads.hidden = done === 0 || n === 1;
    this.#table.render(this.#jobs, this.#recording.job);
  }
}

function textButton(key, className, onClick) {
  const button = make("button", className);
  button.type = "button";
  button.dataset.text = key;
  button.addEventListener("click", onClick);
  return button;
}

/** Return an input that is only ever opened by a button, which looks like the page's others. */
function fileInput(properties) {
  return Object.assign(make("input"), { type: "file", hidden: true, tabIndex: -1, ...properties });
}
