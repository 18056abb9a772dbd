// SPDX-License-Identifier: Apache-2.0
// Keys, folded text and live hints for pages that are whole without them. Nothing is fetched but the
// desk's own hints; no text of a report passes through here.
(() => {
  "use strict";
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const typing = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;

  // -- rows: one is selected, j and k move, Enter opens its first link ------------------------------

  const rows = all("[data-rows] > tbody > tr");
  let selected = -1;
  const select = (index) => {
    if (!rows.length) return;
    if (selected >= 0) rows[selected].removeAttribute("aria-selected");
    selected = Math.max(0, Math.min(rows.length - 1, index));
    rows[selected].setAttribute("aria-selected", "true");
    const link = rows[selected].querySelector("a");
    if (link) link.focus();
  };

  // -- keys --------------------------------------------------------------------------------------

  const list = document.getElementById("keys");
  let before = "";
  const go = (path) => {
    const link = document.querySelector(`.rooms a[href$="/${path}"]`);
    if (link) link.click();
  };
  const marked = (key) => document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || typing(event.target)) return;
    const { key } = event;
    const after = before;
    before = "";
    if (list && list.open) return;
    if (after === "g" && key === "q") return void go("queue");
    if (key === "g") return void (before = "g");
    if (key === "j") return void select(selected + 1);
    if (key === "k") return void select(selected - 1);
    if (key === "?" && list) return void list.showModal();
    if (key === "/") {
      const field = document.querySelector("input[type=search]");
      event.preventDefault();
      return void (field ? field.focus() : go("search"));
    }
    const control = marked(key);
    if (!control) return;
    event.preventDefault();
    if (control.matches("details")) control.open = !control.open;
    else if (control.matches("input, textarea, select")) control.focus();
    else control.click();
  });

  // -- live: a hint that something changed; a list that nobody types in shows it by itself -----------

  const { live } = document.body.dataset;
  const news = document.getElementById("news");
  const watched = document.querySelector("[data-watch]");
  if (live && watched && window.EventSource) {
    const source = new EventSource(`${live}?of=${encodeURIComponent(watched.dataset.watch)}`);
    source.addEventListener("changed", () => {
      const busy = document.querySelector("form:focus-within, dialog[open]");
      if (watched.dataset.reload === "yes" && !busy && !document.hidden) location.reload();
      else if (news) {
        news.querySelector("a").href = location.href;
        news.hidden = false;
      }
    });
    window.addEventListener("pagehide", () => source.close());
  }

  // -- breaks: the header says when, the page reminds once ------------------------------------------

  const due = document.querySelector("[data-break]");
  if (due) setTimeout(() => { due.hidden = false; }, Math.min(Number(due.dataset.break) * 1000, 2 ** 31 - 1));
})();
