// SPDX-License-Identifier: Apache-2.0
// The thread without reloading: server-sent events; held polls where something on the way swallows
// those. Sending goes without leaving the page, and by the form itself where that fails. Everything
// is set as text, never as markup.
(() => {
  "use strict";
  const chat = document.getElementById("chat");
  const list = document.getElementById("thread");
  const log = document.getElementById("log");
  const model = document.getElementById("line");
  const form = document.getElementById("write");
  if (!chat || !list || !model || !form || !window.fetch) return;
  const show = (id, on) => {
    const element = document.getElementById(id);
    if (element) element.hidden = !on;
  };

  // -- lines -------------------------------------------------------------------------------------

  const known = new Set();
  let last = "";
  const note = (id) => {
    known.add(id);
    last = id;
  };
  Array.from(list.children).forEach((item) => note(item.dataset.id));
  const bottom = () => {
    log.scrollTop = log.scrollHeight;
  };
  const add = (line) => {
    if (known.has(line.id)) return false;
    note(line.id);
    const item = document.importNode(model.content, true).firstElementChild;
    item.dataset.id = line.id;
    item.classList.add(line.us ? "us" : "you");
    item.querySelector("strong").textContent = line.who;
    const tag = item.querySelector(".tag");
    if (line.question) tag.textContent = line.question;
    else tag.remove();
    const time = item.querySelector("time");
    time.textContent = line.time;
    time.dateTime = line.iso;
    item.querySelector(".words-of").textContent = line.text;
    list.append(item);
    show("none", false);
    bottom();
    return true;
  };
  bottom();

  // -- receiving ---------------------------------------------------------------------------------

  // Without a first event in this time, something on the way holds the stream back.
  const PATIENCE = 6000;
  let over = false;
  let source = null;
  const end = () => {
    over = true;
    if (source) source.close();
    show("offline", false);
    show("over", true);
  };
  const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

  const poll = async () => {
    let pause = 2;
    while (!over) {
      const asked = Date.now();
      try {
        const answer = await fetch(chat.dataset.updates, {
          method: "POST",
          body: new URLSearchParams({ last }),
          headers: { accept: "application/json" },
          credentials: "same-origin",
        });
        if (answer.status === 401) return end();
        if (!answer.ok) throw new Error(String(answer.status));
        const { lines } = await answer.json();
        const news = lines.map(add).some(Boolean);
        show("offline", false);
        // Nothing new, and at once: there was no room to wait.
        pause = !news && Date.now() - asked < 5000 ? 5 : 0.2;
      } catch (error) {
        show("offline", true);
        pause = Math.min(Math.max(pause, 2) * 2, 60);
      }
      await wait(pause);
    }
    return undefined;
  };

  const listen = () => {
    if (!window.EventSource) return poll();
    let polling = false;
    const fall = () => {
      if (polling || over) return;
      polling = true;
      source.close();
      poll();
    };
    source = new EventSource(chat.dataset.events);
    let timer = setTimeout(fall, PATIENCE);
    source.addEventListener("here", () => {
      clearTimeout(timer);
      timer = 0;
      show("offline", false);
    });
    source.addEventListener("message", (event) => add(JSON.parse(event.data)));
    source.addEventListener("over", end);
    source.addEventListener("error", () => {
      // The browser tries again by itself, unless it was refused; then the poll learns why.
      if (source.readyState === EventSource.CLOSED) return fall();
      show("offline", true);
      if (!timer) timer = setTimeout(fall, PATIENCE);
      return undefined;
    });
    return undefined;
  };
  listen();

  // -- sending -----------------------------------------------------------------------------------

  const text = form.elements.namedItem("message");
  const token = form.elements.namedItem("token");
  const fresh = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(24));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  };
  let sending = false;
  form.addEventListener("submit", async (event) => {
    // Buttons with a name say what to do: hide, keep, another language. Those go by the page.
    if ((event.submitter && event.submitter.name) || !window.crypto || over) return;
    event.preventDefault();
    if (sending || !text.value.trim()) return;
    sending = true;
    try {
      const answer = await fetch(form.getAttribute("action"), {
        method: "POST",
        body: new URLSearchParams(new FormData(form)),
        headers: { accept: "application/json" },
        credentials: "same-origin",
      });
      const type = answer.headers.get("content-type") || "";
      if (!answer.ok || !type.startsWith("application/json")) throw new Error("not taken");
      (await answer.json()).lines.forEach(add);
      text.value = "";
      text.dispatchEvent(new Event("input"));
      token.value = fresh();
      text.focus();
    } catch (error) {
      // The same words under the same token: if they arrived, they stay one message.
      form.submit();
    }
    sending = false;
  });
})();
